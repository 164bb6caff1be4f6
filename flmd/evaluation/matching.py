"""Which faces of a store another program's points are meant for: by picture, and in it by overlap.

Pictures. A predicted picture is a picture of the store when their names are equal, or when the shorter of the
two paths is the end of the longer: ``testset/a.jpg`` and ``/data/helen/testset/a.jpg``. Endings may differ
(``a.jpg``, ``a``, ``a.png``). Where no path fits, the file name alone decides, if one picture on each side
has it. A name that fits two pictures is counted as ambiguous, not guessed.

Faces. Two faces of one picture overlap by the larger of two ratios (intersection over union): that of their
boxes, where both have one, and that of the boxes around their points. Pairs of at least ``least`` are
assigned so that the sum of the overlaps is largest (the Hungarian method). What is left on either side is
counted and named.
"""

from __future__ import annotations

import csv
import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.core import geometry
from flmd.core.orientation import FRAME, ORIENTATION, STORED, turned, turned_size
from flmd.face import Face, Skipped
from flmd.store.face_store import FaceStore
from flmd.store.values import attributes_of

LEAST = 0.3  # intersection over union from which on two faces can be the same
NAMED = 5
# Why a face of the store has no points, and why points are no face of the store.
NO_PICTURE, NO_OVERLAP = "its picture is not in the predictions", "no predicted face overlaps it"
UNKNOWN, AMBIGUOUS = "its picture is not in the store", "its picture's name fits several in the store"
OTHER_SIZE, EXTRA = "its picture has another size in the store", "overlaps no face of the store"
OTHER_SPLIT = "of another split"

Key = tuple[str, str]
"""Data set and picture of the store."""


@dataclass(frozen=True)
class Unmatched:
    """A face that has no counterpart: ``side`` "store" or "predictions", its picture, place, and why."""

    side: str
    image: str
    where: str
    reason: str


@dataclass
class Matched:
    """Another program's points, brought to the faces of a store.

    Attributes
    ----------
    points : (N, K, 2) float32 image pixels for N faces of the store; NaN where none were found.
    read : predicted faces. used : those that are one of the N faces.
    faces : row of the store -> the predicted face that was found for it, in the frame of the store's.
    unmatched : all others, on both sides. skipped : reason -> how many the reader could not use.
    """

    points: NDArray[np.float32]
    read: int = 0
    used: int = 0
    faces: dict[int, Face] = field(default_factory=dict)
    unmatched: list[Unmatched] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)

    def summary(self) -> dict[str, Any]:
        """Counts and the first few names, for JSON."""
        found: dict[str, Any] = {"faces": self.read, "used": self.used}
        for side, name in (("store", "store_faces_without_points"), ("predictions", "points_without_face")):
            by_reason: dict[str, list[str]] = defaultdict(list)
            for item in self.unmatched:
                if item.side == side:
                    by_reason[item.reason].append(item.where or item.image)
            found[name] = {
                reason: {"count": len(places), "first": places[:NAMED]}
                for reason, places in sorted(by_reason.items())
            }
        return {**found, "skipped": dict(sorted(self.skipped.items()))}

    def write_unmatched(self, path: Path) -> None:
        """Write every face without a counterpart as CSV: side, image, where, reason."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as stream:
            table = csv.writer(stream, lineterminator="\n")
            table.writerow(["side", "image", "where", "reason"])
            table.writerows([i.side, i.image, i.where, i.reason] for i in self.unmatched)

    def lines(self) -> list[str]:
        """The counts for people, a line for each reason."""
        said = [f"{self.used} of {self.read} predicted faces used"]
        for side, what in (
            ("store", "faces of the store without points"),
            ("predictions", "predicted faces left out"),
        ):
            reasons = Counter(item.reason for item in self.unmatched if item.side == side)
            for reason, count in sorted(reasons.items()):
                first = next(i for i in self.unmatched if i.side == side and i.reason == reason)
                said.append(f"{count} {what}: {reason}; the first: {first.where or first.image}")
        said += [f"{count} could not be read: {reason}" for reason, count in sorted(self.skipped.items())]
        return said


def match_predictions(
    store: FaceStore,
    rows: NDArray[np.intp],
    true_points: NDArray[np.floating],
    predictions: Iterable[Face | Skipped],
    *,
    least: float = LEAST,
    frame: str = STORED,
) -> Matched:
    """Bring another program's faces to the faces of a store.

    Parameters
    ----------
    store : all its faces take part in the matching, so that those of other splits are known as such.
    rows : (N,) the faces that are measured.
    true_points : (len(store), K, 2) image pixels, NaN where not labelled, in the predictions' scheme.
    predictions : of K points each.
    least : overlap from which on two faces can be the same, above 0.
    frame : of predictions that do not say theirs, where a picture has an EXIF orientation
        (``flmd.core.orientation``); they are turned to the frame of the store's faces.

    Raises
    ------
    InputError : what reading the predictions raises.
    """
    pictures = _Pictures(store)
    done = Matched(np.zeros((0, true_points.shape[1], 2), np.float32))
    given = _placed(predictions, pictures, done, frame)
    wanted = np.zeros(len(store), bool)
    wanted[rows] = True
    points = np.full((len(store), *true_points.shape[1:]), np.nan, np.float32)
    reasons = dict.fromkeys(rows.tolist(), NO_PICTURE)
    for key, faces in given.items():
        here = pictures.rows[key]
        reasons |= {row: NO_OVERLAP for row in here if wanted[row]}
        pairs = assigned(overlaps(store, np.array(here), true_points, faces), least)
        for which, face in enumerate(faces):
            row = here[pairs[which]] if which in pairs else None
            if row is not None and wanted[row]:
                points[row], done.faces[row] = face.landmarks, face
                del reasons[row]
                done.used += 1
            else:
                why = EXTRA if row is None else OTHER_SPLIT
                done.unmatched.append(Unmatched("predictions", face.image, face.where, why))
    for row, why in sorted(reasons.items()):
        image = pictures.keys[row][1]
        done.unmatched.append(Unmatched("store", image, f"{image} (face {row})", why))
    done.points = points[rows]
    return done


class _Pictures:
    """The pictures of a store, and the rows of the faces in each."""

    def __init__(self, store: FaceStore) -> None:
        self.store = store
        self.keys: list[Key] = list(zip(store.texts("dataset"), store.texts("image"), strict=True))
        self.rows: dict[Key, list[int]] = defaultdict(list)
        for row, key in enumerate(self.keys):
            self.rows[key].append(row)
        self._attributes = store.texts("attributes")

    def chosen(self, fitting: Sequence[Key], face: Face) -> tuple[Key | None, str]:
        """The picture that a predicted face lies in, or None and why."""
        if len(fitting) > 1 and face.dataset:
            fitting = [key for key in fitting if key[0] == face.dataset] or fitting
        if len(fitting) != 1:
            return None, AMBIGUOUS if fitting else UNKNOWN
        return fitting[0], ""

    def turned(self, face: Face, key: Key, frame: str) -> Face | None:
        """A predicted face in the frame of the store's; None where its picture has another size."""
        row = self.rows[key][0]
        width, height = self.store.column("image_size")[row].tolist()
        size = int(width), int(height)
        said = attributes_of(self._attributes[row])
        orientation, wanted = int(said.get(ORIENTATION, 1)), str(said.get(FRAME, STORED))
        if orientation != 1 and face.attributes.get(FRAME, frame) != wanted and min(size) > 0:
            stored = size if wanted == STORED else turned_size(orientation, size)
            points, box = turned(orientation, stored, wanted, face.landmarks, face.box)
            told = face.image_size and turned_size(orientation, face.image_size)
            face = replace(face, landmarks=points, box=box, image_size=told or None)
        other = face.image_size and min(face.image_size) > 0 and min(size) > 0 and face.image_size != size
        return None if other else face


def _placed(
    predictions: Iterable[Face | Skipped], pictures: _Pictures, done: Matched, frame: str
) -> dict[Key, list[Face]]:
    """The predicted faces of each picture of the store; the others are counted in ``done``."""
    found: dict[str, list[Face]] = defaultdict(list)
    for item in predictions:
        if isinstance(item, Skipped):
            done.skipped[item.reason] += 1
        else:
            found[item.image].append(item)
            done.read += 1
    names = picture_names(found, pictures.rows)
    given: dict[Key, list[Face]] = defaultdict(list)
    for image, faces in found.items():
        for face in faces:
            key, why = pictures.chosen(names[image], face)
            turned = None if key is None else pictures.turned(face, key, frame)
            if key is None or turned is None:
                why = why or OTHER_SIZE
                done.unmatched.append(Unmatched("predictions", image, face.where, why))
            else:
                given[key].append(turned)
    return given


def overlaps(
    store: FaceStore, here: NDArray[np.intp], true_points: NDArray[np.floating], faces: Sequence[Face]
) -> NDArray[np.float64]:
    """(M predicted, N here) the larger of both ratios of each pair, 0 to 1."""
    boxes = np.array([np.full(4, np.nan) if f.box is None else f.box for f in faces], np.float64)
    around = geometry.box_of_points(np.stack([f.landmarks for f in faces]))
    by_box = geometry.iou(boxes, store.numbers("box", here).astype(np.float64))
    by_points = geometry.iou(around, geometry.box_of_points(true_points[here]))
    return np.asarray(np.fmax(np.nan_to_num(by_box), np.nan_to_num(by_points)))


def assigned(overlap: NDArray[np.float64], least: float) -> dict[int, int]:
    """Row -> column of the pairs whose overlaps of at least ``least`` have the largest sum."""
    from scipy.optimize import linear_sum_assignment

    kept = np.where(overlap >= least, overlap, 0.0)
    rows, columns = linear_sum_assignment(-kept)
    return {int(r): int(c) for r, c in zip(rows, columns, strict=True) if kept[r, c] > 0}


def picture_names(predicted: Iterable[str], stored: Iterable[Key]) -> dict[str, list[Key]]:
    """Which pictures of the store each predicted name may mean; see above."""
    by_stem: dict[str, list[tuple[list[str], Key]]] = defaultdict(list)
    for key in stored:
        parts = _parts(key[1])
        by_stem[parts[-1]].append((parts, key))
    names = {name: _parts(name) for name in predicted}
    same_stem = Counter(parts[-1] for parts in names.values())
    found: dict[str, list[Key]] = {}
    for name, parts in names.items():
        choices = by_stem.get(parts[-1], [])
        exact = [key for _, key in choices if key[1] == name]
        longest: dict[int, list[Key]] = defaultdict(list)
        for other, key in choices:
            shared = min(len(parts), len(other))
            if parts[-shared:] == other[-shared:]:
                longest[shared].append(key)
        fitting = exact or longest.get(max(longest, default=0), [])
        if fitting:
            # a.jpg and a.png are two pictures where the store has both.
            ending = posixpath.splitext(name)[1].lower()
            found[name] = [k for k in fitting if posixpath.splitext(k[1])[1].lower() == ending] or fitting
        elif len(choices) == 1 and same_stem[parts[-1]] == 1:
            found[name] = [choices[0][1]]
        else:
            found[name] = [key for _, key in choices] if len(choices) > 1 else []
    return found


def _parts(name: str) -> list[str]:
    """The folders of a path and its file's name without the ending."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")] or [""]
    return [*parts[:-1], posixpath.splitext(parts[-1])[0]]
