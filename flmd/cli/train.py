"""`flmd train`: augment the faces of a store and train a network on them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flmd.core import terminal
from flmd.errors import ParamsError, StoreError

if TYPE_CHECKING:
    from flmd.core.params import Params

Store = Annotated[Path, typer.Argument(metavar="STORE", help="A face store, from `flmd-data convert`.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for best.pt, last.pt and the arrays.")]
ParamsFile = Annotated[
    Path | None, typer.Option("--params", help="The settings; params.yaml here, else flmd's own.")
]
RecipeName = Annotated[
    str | None,
    typer.Option("--recipe", help="Of `flmd recipe list`: merged into the settings, not the file."),
]
Processes = Annotated[int | None, typer.Option(help="Processes; all CPUs by default.")]
Scheduler = Annotated[
    str | None,
    typer.Option("--scheduler", help="Augment on a Dask cluster, tcp://host:port; else $FLMD_SCHEDULER."),
]
Overwrite = Annotated[bool, typer.Option(help="Replace the models in OUT.")]


def train_command(
    store: Store,
    out: Out,
    params_file: ParamsFile = None,
    recipe: RecipeName = None,
    workers: Processes = None,
    scheduler: Scheduler = None,
    overwrite: Overwrite = False,
) -> None:
    """Augment the training faces of a store and train a network on them.

    All data sets of the store are used. A killed run goes on from its last finished epoch. Under torchrun
    its processes share every batch.

    Example: flmd train faces.h5 --recipe fast --out runs/first
    """
    from flmd.core import processor
    from flmd.projects.settings import load

    settings, origin = load(params_file, recipe)
    processor.restart_pinned(settings.train.cpu)
    from flmd.augmentation import arrays
    from flmd.training import distributed
    from flmd.training.faces_of import fit_arrays

    with distributed.joined() as processes, _no_empty_folders(out):
        if processes.first:
            terminal.say(f"settings: {origin}", err=True)
        if (out / "best.pt").exists() and not overwrite:
            raise ParamsError("holds a model already", where=str(out), hint="add --overwrite to replace it")
        made_from = _record(store, settings)
        source = out / "arrays.h5"
        processes.first_alone(
            "augment", lambda: _augment(store, source, settings, made_from, workers, scheduler)
        )
        with arrays.TrainingArrays(source) as data:
            result = fit_arrays(
                data,
                store,
                settings.train,
                seed=settings.seed,
                out=out,
                resume_dir=out / "resume",
                curves=out / "curves",
                made_from=made_from,
            )
        if processes.first:
            terminal.say(
                f"{out / 'best.pt'}: best epoch {result.best_epoch}, {result.best_by} {result.best_val:.6g}"
            )
            if result.best_by != "validation loss":
                terminal.say("no face has split val: the best epoch is the best by training loss", err=True)


@contextlib.contextmanager
def _no_empty_folders(out: Path) -> Iterator[None]:
    """A failure takes the folders along that were made for ``out``, as far as nothing is in them."""
    new = [place for place in (out, *out.parents) if not place.exists()]
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            for place in new:
                place.rmdir()
        raise


def _record(store: Path, settings: Params) -> dict[str, object]:
    """What a model is made from: the store, with what that says of itself, and files of weights."""
    from flmd.core import provenance
    from flmd.models import own_weights
    from flmd.models.checkpoint import read_info
    from flmd.models.pretrained import IMAGENET, NONE, weights_file
    from flmd.store.face_store import FaceStore

    pretrained = settings.train.pretrained
    files = [] if pretrained in (NONE, IMAGENET) else [weights_file(pretrained)]
    teacher = settings.train.teacher
    augment = settings.augment.stored_for(settings.train.augmentation)
    used = {"augment": augment, "train": settings.train, "seed": settings.seed}
    with FaceStore(store) as faces:
        inputs = {store: faces.made_from, **dict.fromkeys(files)}
    if own_weights.is_model(pretrained):
        inputs[Path(pretrained)] = read_info(pretrained).made_from
    if teacher != NONE:
        inputs[Path(teacher)] = read_info(teacher).made_from
    return provenance.made_from(inputs, used, stage="flmd train")


def _augment(
    store: Path,
    target: Path,
    settings: Params,
    made_from: dict[str, object],
    workers: int | None,
    scheduler: str | None,
) -> None:
    """The crops to train on, unless an earlier, killed run left the same."""
    from flmd.augmentation import build
    from flmd.parallel import dask_cluster
    from flmd.store.face_store import FaceStore

    if _made_alike(target, made_from):
        return
    with FaceStore(store) as faces, dask_cluster.connected(scheduler) as executor:
        build.build(
            faces,
            target,
            settings.augment.stored_for(settings.train.augmentation),
            seed=settings.seed,
            made_from=made_from,
            workers=workers,
            executor=executor,
        )


def _made_alike(path: Path, made_from: dict[str, object]) -> bool:
    """Whether arrays of an earlier, killed run fit this one."""
    from flmd.augmentation.arrays import TrainingArrays

    try:
        with TrainingArrays(path) as old:
            return old.made_from == made_from
    except StoreError:
        return False
