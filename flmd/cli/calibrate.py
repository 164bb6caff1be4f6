"""`flmd calibrate`: how sure a model is of its points, measured on faces that it has not learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flmd.cli.choices import EvaluatedSplit
from flmd.cli.common import check_free
from flmd.core import terminal
from flmd.errors import ParamsError


def calibrate_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="best.pt of a training.")],
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A face store, from `flmd-data convert`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The model with its confidence.")],
    split: Annotated[EvaluatedSplit, typer.Option(help="The faces to measure on.")] = EvaluatedSplit.VAL,
    dataset: Annotated[str, typer.Option(help="Faces of this data set alone; all by default.")] = "",
    overwrite: Annotated[bool, typer.Option(help="Replace the output if it exists.")] = False,
) -> None:
    """Measure how far points are off at each spread of their heat maps, and write the model with that.

    The weights stay as they are. `flmd predict --confidence` then tells how sure each point is.

    Example: flmd calibrate data/model/best.pt data/faces.h5 -o sure.pt
    """
    if split.value not in ("val", "test"):
        raise ParamsError(
            f"--split {split.value}", expected="val or test: of faces that it has learnt, a model is too sure"
        )
    check_free(output, overwrite)
    from flmd.inference.calibration import calibrate

    found = calibrate(model, store, output, split=split.value, dataset=dataset)
    terminal.say(f"{output}: measured on {found.points} points of {found.faces} faces")
    first, last = (
        f"{100 * found.error[i]:.2f} % of the face's side, {100 * found.within[i]:.0f} % within "
        f"{100 * found.limit:g} %"
        for i in (0, -1)
    )
    terminal.say(f"expected error from {first}")
    terminal.say(f"to {last}")
