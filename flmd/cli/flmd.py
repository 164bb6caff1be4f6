"""`flmd`: train and measure landmark models on face stores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flmd.cli import recipes, remotes
from flmd.cli.app import app_command
from flmd.cli.bench import bench_command
from flmd.cli.common import main_for, print_version
from flmd.cli.export import export_command
from flmd.cli.gate import gate_command
from flmd.cli.predict import camera_command, predict_command
from flmd.cli.provenance import provenance_command
from flmd.cli.report import report_command
from flmd.cli.verify import verify_command
from flmd.core import terminal
from flmd.errors import ParamsError

app = typer.Typer(help="Landmark models: train them, measure them.", no_args_is_help=True)
app.add_typer(recipes.app, name="recipe")
app.add_typer(remotes.app, name="remote")
app.command("verify")(verify_command)
app.command("provenance")(provenance_command)
app.command("app")(app_command)
app.command("gate")(gate_command)
app.command("report")(report_command)

Store = Annotated[Path, typer.Argument(metavar="STORE", help="A face store, from `flmd-data convert`.")]
ParamsFile = Annotated[Path, typer.Option("--params", help="The settings.")]


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=print_version, is_eager=True)] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Landmark models: train them, measure them."""


@app.command()
def train(
    store: Store,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for best.pt, last.pt and the arrays.")],
    params_file: ParamsFile = Path("params.yaml"),
    workers: Annotated[int | None, typer.Option(help="Processes; all CPUs by default.")] = None,
    scheduler_: Annotated[
        str | None,
        typer.Option("--scheduler", help="Augment on a Dask cluster, tcp://host:port; else $FLMD_SCHEDULER."),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the models in OUT.")] = False,
) -> None:
    """Augment the training faces of a store and train a network on them.

    All data sets of the store are used. A killed run goes on from its last finished epoch. Under torchrun
    its processes share every batch.

    Example: flmd train data/faces.h5 --out runs/first
    """
    from flmd.augmentation import arrays, build
    from flmd.core import params
    from flmd.models import weights
    from flmd.parallel import dask_cluster
    from flmd.store.face_store import FaceStore
    from flmd.training import distributed, loop

    with distributed.joined() as processes:
        settings = params.load(params_file)
        if (out / "best.pt").exists() and not overwrite:
            raise ParamsError("holds a model already", where=str(out), hint="add --overwrite to replace it")
        used = {"augment": settings.augment, "train": settings.train, "seed": settings.seed}
        pretrained = settings.train.pretrained
        files = [] if pretrained in (weights.NONE, weights.IMAGENET) else [weights.file_of(pretrained)]
        made_from = _record(store, files, used)
        source = out / "arrays.h5"

        def augment() -> None:
            if _made_alike(source, made_from):
                return
            with FaceStore(store) as faces, dask_cluster.connected(scheduler_) as executor:
                build.build(
                    faces,
                    source,
                    settings.augment,
                    seed=settings.seed,
                    made_from=made_from,
                    workers=workers,
                    executor=executor,
                )

        processes.first_alone("augment", augment)
        with arrays.TrainingArrays(source) as data:
            result = loop.fit(
                data.split("train"),
                data.split("val"),
                settings.train,
                scheme=data.scheme,
                seed=settings.seed,
                crop=data.crop,
                out=out,
                resume_dir=out / "resume",
                curves=out / "curves",
                made_from=made_from,
            )
        if processes.first:
            typer.echo(f"{out / 'best.pt'}: best epoch {result.best_epoch}, loss {result.best_val:.6g}")


def _record(store: Path, files: list[Path], used: dict[str, object]) -> dict[str, object]:
    """What a model is made from: the store, with what that says of itself, and files of weights."""
    from flmd.core import provenance
    from flmd.store.face_store import FaceStore

    with FaceStore(store) as faces:
        inputs = {store: faces.made_from, **dict.fromkeys(files)}
    return provenance.made_from(inputs, used, stage="flmd train")


def _made_alike(path: Path, made_from: dict[str, object]) -> bool:
    """Whether arrays of an earlier, killed run fit this one."""
    from flmd.augmentation.arrays import TrainingArrays
    from flmd.errors import StoreError

    try:
        with TrainingArrays(path) as old:
            return old.made_from == made_from
    except StoreError:
        return False


@app.command()
def evaluate(
    store: Store,
    model: Annotated[Path, typer.Option("--model", "-m", help="From `flmd train`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for numbers, tables and pictures.")],
    split: Annotated[str, typer.Option(help="train, val, test or all.")] = "test",
    normaliser: Annotated[
        str, typer.Option(help="inter_ocular, inter_pupil, box or diagonal.")
    ] = "inter_ocular",
    threshold: Annotated[float, typer.Option(help="Of AUC and failure rate.")] = 0.08,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    seed: Annotated[int, typer.Option(help="Which faces the random gallery shows.")] = 0,
) -> None:
    """Measure a model on the faces of a store.

    Example: flmd evaluate data/faces.h5 --model data/model/best.pt --out reports/again
    """
    from flmd.core import provenance
    from flmd.core.params import EvaluateParams
    from flmd.evaluation import report_files
    from flmd.evaluation.evaluate import evaluate_store
    from flmd.models import checkpoint
    from flmd.store.face_store import FaceStore

    if split not in ("train", "val", "test", "all"):
        raise ParamsError(f"--split is {split!r}", expected="train, val, test or all")
    if normaliser not in ("inter_ocular", "inter_pupil", "box", "diagonal"):
        raise ParamsError(
            f"--normaliser is {normaliser!r}", expected="inter_ocular, inter_pupil, box or diagonal"
        )
    if not 0 < threshold < 10:
        raise ParamsError(f"--threshold is {threshold}", expected="a fraction above 0, such as 0.08")
    settings = EvaluateParams(normaliser=normaliser, threshold=threshold)  # type: ignore[arg-type]
    used = {"evaluate": settings, "split": split, "seed": seed, "device": device}
    with FaceStore(store) as faces:
        inputs = {store: faces.made_from, model: checkpoint.read_info(model).made_from}
        measured = evaluate_store(
            faces,
            model,
            out,
            settings,
            split=split,
            seed=seed,
            device=device,
            made_from=provenance.made_from(inputs, used, stage="flmd evaluate"),
        )
    terminal.show(*report_files.metrics_table(measured.metrics, measured.settings))


app.command("export")(export_command)
app.command("bench")(bench_command)
app.command("predict")(predict_command)
app.command("camera")(camera_command)

main = main_for(app, "flmd")

if __name__ == "__main__":  # torchrun -m flmd.cli.flmd train ...
    main()
