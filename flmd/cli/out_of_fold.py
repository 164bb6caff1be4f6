"""Networks trained to judge labels, each on all faces but those that it judges."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flmd.cli.judging import RECIPE, judged_rows
from flmd.core import processor, terminal
from flmd.core.params import Params
from flmd.errors import StoreError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from flmd.curation.audit.disagreement import Judged
    from flmd.curation.audit.findings import Pair
    from flmd.store.face_store import FaceStore

VALIDATION = 0.05  # share of a fold's training faces that the best epoch is chosen by
FEWEST_UNITS = 20  # people or pictures to train on; of fewer none is held out, and the training loss decides
STAGE = "flmd-data audit"


@dataclass(frozen=True)
class Training:
    """How networks are trained.

    Attributes
    ----------
    settings : augment and train are used, and the seed. origin : where they are from, in words.
    keep : folder of the networks, or None. workers : processes. device : of the predictions.
    """

    settings: Params
    origin: str
    keep: Path | None = None
    workers: int | None = None
    device: str = "auto"


def pinned_settings(params: Path | None, recipe: str | None) -> tuple[Params, str]:
    """The settings of a training: those of a file, with a recipe where one is named or no file is.

    Starts the program anew where the processor's arithmetic has to be pinned first.
    """
    from flmd.projects.settings import load

    settings, origin = load(params, RECIPE if recipe is None and params is None else recipe)
    processor.restart_pinned(settings.train.cpu)
    return settings, origin


def judged_out_of_fold(store: FaceStore, pairs: Iterable[Pair], count: int, training: Training) -> Judged:
    """Every face as a network sees it that never saw the person, the picture or its twin.

    Parameters
    ----------
    pairs : of rows whose pictures are the same, or mirrored. count : of folds.

    Raises
    ------
    ParamsError : fewer groups of faces than folds; crops too tight for the changes.
    StoreError : a store without crops.
    """
    from flmd.core import provenance
    from flmd.curation.audit.folds import folds_of, units_of
    from flmd.evaluation.evaluate import predict_rows
    from flmd.models import checkpoint
    from flmd.models.devices import choose_device

    if not store.has_crops:
        raise StoreError(
            "holds annotations only, no crops", where=str(store.path), hint="convert with images"
        )
    units = units_of(store, pairs)
    fold = folds_of(units, count, training.settings.seed)
    terminal.say(f"settings: {training.origin}", err=True)
    used: dict[str, Any] = {"augment": training.settings.augment, "train": training.settings.train}
    used |= {"seed": training.settings.seed, "folds": count}
    record = provenance.made_from({store.path: store.made_from}, used, stage=STAGE)
    points = np.full((len(store), store.scheme.count, 2), np.nan, np.float32)
    with ExitStack() as stack:
        folder = training.keep or Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix=".folds-", dir=store.path.absolute().parent)
            )
        )
        for number in range(count):
            terminal.say(
                f"fold {number + 1} of {count}: {int((fold == number).sum())} faces to judge", err=True
            )
            own = {**record, "params": {**record["params"], "fold": number + 1}}
            best = _trained(store, units, fold == number, training, folder / f"fold_{number + 1}", own)
            model, info = checkpoint.load_model(best, choose_device(training.device))
            rows = np.flatnonzero(fold == number)
            points[rows] = predict_rows(store, rows, model, info, training.device)
    judge = f"networks of {count} folds"
    return judged_rows(store, np.arange(len(store)), points, judge, unseen=True)


def _trained(
    store: FaceStore,
    units: list[str],
    judged: NDArray[np.bool_],
    training: Training,
    out: Path,
    record: dict[str, Any],
) -> Path:
    """The network of one fold: one that is there already, where it was made from the same."""
    from flmd.augmentation import arrays, build
    from flmd.models import checkpoint
    from flmd.store.build import Replaced, copy_rows
    from flmd.store.face_store import FaceStore
    from flmd.training.faces_of import fit_arrays

    best, settings = out / "best.pt", training.settings
    if best.exists() and (out / "last.pt").exists() and checkpoint.read_info(best).made_from == record:
        return best
    out.mkdir(parents=True, exist_ok=True)
    faces, source = out / "faces.h5", out / "arrays.h5"
    splits = _splits(units, judged, settings.seed)
    copy_rows([Replaced(store, texts={"split": splits})], faces, store.scheme, store.crop_spec, record)
    augment = settings.augment.stored_for(settings.train.augmentation)
    with FaceStore(faces) as copied:
        build.build(copied, source, augment, seed=settings.seed, made_from=record, workers=training.workers)
    # The findings alone go to stdout.
    with arrays.TrainingArrays(source) as data, contextlib.redirect_stdout(sys.stderr):
        fit_arrays(
            data,
            faces,
            settings.train,
            seed=settings.seed,
            out=out,
            resume_dir=out / "resume",
            made_from=record,
        )
    faces.unlink()
    source.unlink()
    return best


def _splits(units: list[str], judged: NDArray[np.bool_], seed: int) -> list[str]:
    """ "test" for the faces to judge, "train" and, of whole units, "val" for the others."""
    from flmd.conversion.splits import take_share

    others = [unit for unit, out in zip(units, judged.tolist(), strict=True) if not out]
    held = take_share(others, VALIDATION, seed + 1) if len(set(others)) >= FEWEST_UNITS else set()
    return [
        "test" if out else "val" if unit in held else "train"
        for unit, out in zip(units, judged.tolist(), strict=True)
    ]
