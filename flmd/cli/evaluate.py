"""`flmd evaluate`: measure a model on the faces of a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flmd.cli.choices import Cpu, EvaluatedSplit, Normaliser
from flmd.core import terminal
from flmd.errors import ParamsError


def evaluate_command(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A face store, from `flmd-data convert`.")],
    model: Annotated[Path, typer.Option("--model", "-m", help="From `flmd train`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for numbers, tables and pictures.")],
    split: Annotated[EvaluatedSplit, typer.Option(help="The faces to measure.")] = EvaluatedSplit.TEST,
    normaliser: Annotated[
        Normaliser, typer.Option(help="The length that errors are divided by.")
    ] = Normaliser.INTER_OCULAR,
    threshold: Annotated[float, typer.Option(help="Of AUC and failure rate.")] = 0.08,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    seed: Annotated[int, typer.Option(help="Which faces the random gallery shows.")] = 0,
    cpu: Annotated[Cpu, typer.Option(help="As train.cpu in params.yaml.")] = Cpu.PORTABLE,
) -> None:
    """Measure a model on the faces of a store.

    Example: flmd evaluate data/faces.h5 --model data/model/best.pt --out reports/again
    """
    from flmd.core import processor

    processor.restart_pinned(cpu.value)
    from flmd.core import provenance
    from flmd.core.params import EvaluateParams
    from flmd.evaluation import report_files
    from flmd.evaluation.evaluate import evaluate_store
    from flmd.models import checkpoint
    from flmd.store.face_store import FaceStore

    if not 0 < threshold < 10:
        raise ParamsError(f"--threshold is {threshold}", expected="a fraction above 0, such as 0.08")
    settings = EvaluateParams(normaliser=normaliser.value, threshold=threshold)
    used = {"evaluate": settings, "split": split.value, "seed": seed, "device": device, "cpu": cpu.value}
    with FaceStore(store) as faces:
        inputs = {store: faces.made_from, model: checkpoint.read_info(model).made_from}
        measured = evaluate_store(
            faces,
            model,
            out,
            settings,
            split=split.value,
            seed=seed,
            device=device,
            made_from=provenance.made_from(inputs, used, stage="flmd evaluate"),
        )
    terminal.show(*report_files.metrics_table(measured.metrics, measured.settings))
