"""Corrected labels brought into a store: points and their visibility are replaced, nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.core import geometry, provenance
from flmd.core.orientation import STORED
from flmd.curation.corrections import crop_keys, key_in
from flmd.errors import InputError
from flmd.evaluation.matching import LEAST, Unmatched, match_predictions
from flmd.face import VISIBLE, Face, Skipped, visibility_of
from flmd.store.build import Replaced, copy_rows
from flmd.store.face_store import FaceStore

STAGE = "flmd-data fix"
# A correction's pixels. CVAT writes two decimals, so that untouched points come back within 0.0071 of them.
TOLERANCE = 0.01
OTHER_CROP = "it is a crop of no face of the store"
OTHER_SIZE = "it is a crop of another size than the store's"
EMPTY = "no point of it is labelled, and faces are not taken out of a store"
TWICE = "its face has been corrected already"


@dataclass
class FixReport:
    """What became of corrections.

    Attributes
    ----------
    read : faces in them. same : faces whose labels they leave as they are.
    changed : row -> how many of its points were moved, added, taken away, or seen otherwise.
    moved, added, removed : points, of all changed faces. seen : points whose visibility alone changed.
    unmatched : corrections that were not used: they are no face of the store, or have no points.
    skipped : reason -> how many could not be read.
    boxes_of_points : changed faces whose box was drawn around the points that they had before.
    """

    read: int = 0
    same: int = 0
    changed: dict[int, int] = field(default_factory=dict)
    moved: int = 0
    added: int = 0
    removed: int = 0
    seen: int = 0
    unmatched: list[Unmatched] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    boxes_of_points: int = 0

    @property
    def whole(self) -> bool:
        """Whether every correction was used."""
        return not self.unmatched and not self.skipped

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "read": self.read,
            "changed": len(self.changed),
            "same": self.same,
            "points": {n: getattr(self, n) for n in ("moved", "added", "removed", "seen")},
            "unmatched": [{"image": u.image, "where": u.where, "reason": u.reason} for u in self.unmatched],
            "skipped": dict(sorted(self.skipped.items())),
            "boxes_of_old_points": self.boxes_of_points,
        }


@dataclass(frozen=True)
class Corrections:
    """Corrected faces of a store's scheme.

    Attributes
    ----------
    faces : as a reader gives them. where : the file, for messages.
    frame : of faces that do not say theirs (:func:`flmd.evaluation.matching.match_predictions`).
    visibility : whether they tell hidden points from visible ones; else the store's visibility is kept.
    inputs : name -> SHA-256 of what was read.
    """

    faces: Iterable[Face | Skipped]
    where: str
    frame: str = STORED
    visibility: bool = True
    inputs: Mapping[str, str] = field(default_factory=dict)


def fix_store(
    store: FaceStore,
    corrections: Corrections,
    target: Path,
    *,
    least: float = LEAST,
    skip_unmatched: bool = False,
    progress: Callable[[int], object] = lambda n: None,
) -> FixReport:
    """Write a store with corrected points; boxes, crops, splits and all else stay as they are.

    A correction belongs to the face whose crop it was made on (:mod:`flmd.curation.corrections`), else to the
    one that it overlaps in its picture. A point that lies within 0.01 pixel of where it was, in the picture
    that it was corrected on, keeps its very number. One that is missing is not labelled any more.

    Parameters
    ----------
    target : the new store. least : overlap from which on two faces can be the same.
    skip_unmatched : leave out what is no face of the store, or cannot be read, instead of refusing all.

    Raises
    ------
    InputError : a correction that is no face of the store, or cannot be read. StoreError : as for writing.
    """
    report = FixReport()
    points, visibility = store.numbers("landmarks"), store.numbers("visibility")
    before, seen_before = points.copy(), visibility.copy()
    for row, face, near in _pairs(store, before, corrections, least, report):
        _replace(report, row, face, near, points, visibility, corrections.visibility)
    if not report.whole and not skip_unmatched:
        raise InputError(
            _refusal(report),
            where=corrections.where,
            hint="--skip-unmatched leaves them out",
        )
    _count(report, store, (before, seen_before), (points, visibility))
    used = {"overlap": least, "changed": len(report.changed), "skip_unmatched": skip_unmatched}
    made_from = provenance.made_from({store.path: store.made_from}, used, stage=STAGE)
    made_from["inputs"] |= corrections.inputs
    crop = store.crop_spec if store.has_crops else None
    changed = Replaced(store, numbers={"landmarks": points, "visibility": visibility})
    copy_rows([changed], target, store.scheme, crop, made_from, progress)
    return report


def _pairs(
    store: FaceStore,
    points: NDArray[np.float32],
    corrections: Corrections,
    least: float,
    report: FixReport,
) -> Iterator[tuple[int, Face, NDArray[np.bool_]]]:
    """Row, corrected face in image pixels, and which of its points were not moved: (K,) bool."""
    crops: list[Face] = []
    matched = match_predictions(
        store,
        np.arange(len(store)),
        points,
        _in_pictures(corrections.faces, crops),
        least=least,
        frame=corrections.frame,
    )
    report.skipped = matched.skipped
    report.read = matched.read + len(crops)
    report.unmatched += [u for u in matched.unmatched if u.side == "predictions"]
    for row, face in matched.faces.items():
        yield row, face, _near(face.landmarks, points[row])
    rows = {key: row for row, key in enumerate(crop_keys(store))} if crops else {}
    taken = set(matched.faces)
    for face in crops:
        found = rows.get(key_in(face.image) or "")
        why = OTHER_CROP if found is None else TWICE if found in taken else _other_size(store, face)
        if found is None or why:
            report.unmatched.append(Unmatched("predictions", face.image, face.where, why))
            continue
        taken.add(found)
        affine = store.numbers("affine", slice(found, found + 1))[0]
        near = _near(face.landmarks, geometry.apply(affine, points[found]))
        in_picture = geometry.apply(geometry.invert(affine), face.landmarks).astype(np.float32)
        yield found, replace(face, landmarks=in_picture), near


def _in_pictures(faces: Iterable[Face | Skipped], crops: list[Face]) -> Iterator[Face | Skipped]:
    """The faces that were not corrected on crops; those that were are added to ``crops``."""
    for face in faces:
        if isinstance(face, Face) and key_in(face.image) is not None:
            crops.append(face)
        else:
            yield face


def _other_size(store: FaceStore, face: Face) -> str:
    side = store.crop_spec.size
    told = face.image_size is not None and min(face.image_size) > 0
    return OTHER_SIZE if told and face.image_size != (side, side) else ""


def _near(new: NDArray[np.floating], old: NDArray[np.floating]) -> NDArray[np.bool_]:
    """(K,) whether each point is where it was, or labelled in neither."""
    with np.errstate(invalid="ignore"):
        apart = np.linalg.norm(new.astype(np.float64) - old, axis=1)
    both_missing = np.isnan(new).any(axis=1) & np.isnan(old).any(axis=1)
    return np.asarray((apart <= TOLERANCE) | both_missing)


def _replace(
    report: FixReport,
    row: int,
    face: Face,
    near: NDArray[np.bool_],
    points: NDArray[np.float32],
    visibility: NDArray[np.uint8],
    says_visibility: bool,
) -> None:
    """One face of ``points`` and ``visibility`` as its correction says."""
    there = visibility_of(face.landmarks) > 0
    if not there.any() and (visibility[row] > 0).any():
        report.unmatched.append(Unmatched("predictions", face.image, face.where, EMPTY))
        return
    kept = np.where(visibility[row] > 0, visibility[row], VISIBLE)
    points[row] = np.where(near[:, None], points[row], face.landmarks)
    visibility[row] = np.where(there, face.visibility if says_visibility else kept, 0)
    report.same += 1  # until it is counted as changed


def _count(
    report: FixReport,
    store: FaceStore,
    before: tuple[NDArray[np.float32], NDArray[np.uint8]],
    after: tuple[NDArray[np.float32], NDArray[np.uint8]],
) -> None:
    """Which faces and points differ now."""
    had, has = before[1] > 0, after[1] > 0
    with np.errstate(invalid="ignore"):
        moved = had & has & (before[0] != after[0]).any(axis=2)
    seen = had & has & ~moved & (before[1] != after[1])
    kinds = {"moved": moved, "added": has & ~had, "removed": had & ~has, "seen": seen}
    for name, which in kinds.items():
        setattr(report, name, int(which.sum()))
    each = np.sum([which.sum(axis=1) for which in kinds.values()], axis=0)
    report.changed = {int(row): int(each[row]) for row in np.flatnonzero(each)}
    report.same -= len(report.changed)
    sources = store.texts("box_source")
    shifted = (moved | kinds["added"] | kinds["removed"]).any(axis=1)
    report.boxes_of_points = sum(sources[row] == "landmarks" for row in np.flatnonzero(shifted).tolist())


def _refusal(report: FixReport) -> str:
    """What was not used, and the first of it by name."""
    says = []
    if report.unmatched:
        first = report.unmatched[0]
        place = f"{first.image} ({first.where})" if first.where else first.image
        says.append(f"{len(report.unmatched)} of {report.read} corrections not used: {place}: {first.reason}")
    says += [f"{count} could not be read ({reason})" for reason, count in sorted(report.skipped.items())]
    return "; ".join(says)
