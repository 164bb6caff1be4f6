"""What `flmd-data audit` compares labels with, and where the labels go that disagree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flmd.cli.common import check_free, check_there
from flmd.core import terminal
from flmd.errors import ParamsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from flmd.curation.audit.disagreement import Judged
    from flmd.curation.audit.findings import Audit
    from flmd.store.face_store import FaceStore
    from flmd.tree import FileTree

RECIPE = "fast"


@dataclass(frozen=True)
class Wanted:
    """The options that say what labels are compared with."""

    model: Path | None
    folds: int | None
    recipe: str | None
    params: Path | None
    keep: Path | None
    workers: int | None
    split: str
    device: str

    def by_model(self, store: FaceStore) -> Judged | None:
        """What the model says of the faces; None where there is none."""
        return None if self.model is None else judged_by_model(store, self.model, self.split, self.device)

    def by_folds(self, store: FaceStore, found: Audit) -> Judged | None:
        """What the networks of the folds say of the faces; None where none are wanted."""
        if self.folds is None:
            return None
        from flmd.cli.out_of_fold import Training, judged_out_of_fold, pinned_settings

        settings, origin = pinned_settings(self.params, self.recipe)
        training = Training(settings, origin, self.keep, self.workers, self.device)
        return judged_out_of_fold(store, found.pairs, self.folds, training)


@dataclass(frozen=True)
class Sent:
    """The options that say where labels go that disagree."""

    list: Path | None
    correct: str | None
    to: str
    originals: str | None
    first: int | None
    overwrite: bool

    def write(self, found: Audit, store: FaceStore) -> Iterator[Path | str]:
        """Write the list, and the faces to correct where there are any; names of what was written."""
        from flmd.curation.audit.suspect_list import write_list

        if self.list is not None:
            write_list(found, self.list, self.first)
            yield self.list
        if self.correct is not None and not found.suspects:
            terminal.say(f"{self.correct}: not written, as no label disagrees", err=True)
        elif self.correct is not None:
            write_corrections(found, store, self.correct, self)
            yield self.correct


def check_options(wanted: Wanted, sent: Sent, least: float) -> None:
    """ParamsError for options that do not fit each other, before anything is read."""
    if wanted.model is not None and wanted.folds is not None:
        raise ParamsError("--model and --folds", expected="one of them")
    if wanted.folds is not None and wanted.folds < 2:
        raise ParamsError(f"--folds {wanted.folds}", expected="2 or more")
    if wanted.folds is None and (wanted.recipe or wanted.params or wanted.keep or wanted.workers):
        raise ParamsError("settings of a training, but none is wanted", hint="add --folds 5")
    if wanted.model is None and wanted.split != "all":
        raise ParamsError(f"--split {wanted.split}, but no model", hint="add --model FILE")
    if wanted.model is None and wanted.folds is None and (sent.list or sent.correct):
        raise ParamsError("no model to compare labels with", hint="add --model FILE, or --folds 5")
    if sent.originals is not None and sent.correct is None:
        raise ParamsError("--originals, but nothing to correct", hint="add --correct FILE")
    if not np.isfinite(least):
        raise ParamsError(f"--least is {least}", expected="a number, such as 3")
    if wanted.model is not None:
        check_there(str(wanted.model))
    if sent.list is not None:
        from flmd.curation.audit.suspect_list import check_name

        check_name(sent.list)
        check_free(sent.list, sent.overwrite)


def judged_by_model(store: FaceStore, path: Path, split: str, device: str) -> Judged:
    """The points of a model for the faces of one split, or "all"; faces it learned from are a group apart."""
    from flmd.evaluation.evaluate import model_system, truth_of

    truth = truth_of(store, split)
    points = model_system(truth, "model", path, device=device).points
    return judged_rows(store, truth.rows, points, path.name)


def judged_rows(
    store: FaceStore,
    rows: NDArray[np.intp],
    predicted: NDArray[np.floating],
    judge: str,
    *,
    unseen: bool = False,
) -> Judged:
    """Faces of a store beside (N, K, 2) predicted points. ``unseen`` : no face was learned from."""
    from flmd.curation.audit.disagreement import Judged

    labels = store.numbers("landmarks", rows)
    labels[store.numbers("visibility", rows) == 0] = np.nan
    splits = store.texts("split", rows)
    learned = [not unseen and split == "train" for split in splits]
    alike = [f"{learns}/{name}" for learns, name in zip(learned, store.texts("dataset", rows), strict=True)]
    groups = np.unique(alike, return_inverse=True)[1]
    images = store.texts("image", rows)
    return Judged(rows, labels, predicted, groups, images, splits, store.scheme, judge, unseen)


def write_corrections(found: Audit, store: FaceStore, target: str, sent: Sent) -> None:
    """The faces that disagree, to be corrected: their labels, and the crops or pictures they lie in."""
    from flmd import formats
    from flmd.conversion.face_source import StoredFaces
    from flmd.conversion.opening import open_faces
    from flmd.curation.corrections import Notes, crops_of, originals_of
    from flmd.curation.write_annotations import write_faces

    notes: Notes = {
        item.row: {"found": item.kind, "score": item.score, "points": " ".join(item.points)}
        for item in found.suspects[: sent.first]
    }
    with open_faces(store.path, pictures=sent.originals) as faces:
        assert isinstance(faces, StoredFaces)
        pictures: FileTree | None
        if sent.originals is None:
            chosen, pictures = crops_of(faces, notes)
        else:
            chosen, pictures = originals_of(faces, notes), faces.pictures
        write_faces(
            chosen,
            formats.get(sent.to),
            target,
            store.scheme,
            pictures=pictures,
            images="copy",
            overwrite=sent.overwrite,
            frame=faces.frame,
        )
