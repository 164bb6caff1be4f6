"""`flmd stage`: one stage of the pipeline, as dvc.yaml calls it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from flmd.errors import ParamsError

OF_ONE = {"download": "flmd.sources.stage", "convert": "flmd.conversion.stage"}  # one data set
OF_ALL = {
    "merge": "flmd.store.stage",
    "augment": "flmd.augmentation.stage",
    "weights": "flmd.models.stage",
    "train": "flmd.training.stage",
    "evaluate": "flmd.evaluation.stage",
}


def stage_command(
    name: Annotated[str, typer.Argument(metavar="STAGE", help=", ".join({**OF_ONE, **OF_ALL}))],
    dataset: Annotated[
        str | None, typer.Argument(metavar="[DATA SET]", help="Of download and convert.")
    ] = None,
) -> None:
    """Run one stage in the project that lies here; `dvc repro` calls this for those that are out of date.

    Example: flmd stage convert ibug300w
    """
    from flmd.models.options import unknown
    from flmd.projects import version

    if name not in OF_ONE and name not in OF_ALL:
        raise unknown("stage", name, {**OF_ONE, **OF_ALL})
    version.check(Path())
    if name in OF_ONE:
        getattr(import_module(OF_ONE[name]), name)(dataset or "")
        return
    if dataset is not None:
        raise ParamsError(f"stage {name} is of all data sets, not of {dataset!r} alone")
    getattr(import_module(OF_ALL[name]), name)()
