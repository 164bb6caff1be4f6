"""What changed between two sets of faces: added, removed, moved, or described otherwise.

Faces are matched by data set and picture; several faces of one picture by the least total distance
between their points. A picture with as many faces on both sides has therefore none added or removed.
Both sides go to disk first: memory holds a few numbers a face.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.curation.matching import BLOCK, Side, match
from flmd.face import Face, Skipped

NAMED = 10
TEXT_CHANGES = ("split", "subject", "subset", "box_source", "attributes")
CHANGES = ("box", "visibility", "image_size", *TEXT_CHANGES)
PERCENTILES = (50, 90, 99, 100)


@dataclass(frozen=True)
class Moved:
    """One face that moved: its picture, where it stands on both sides, its worst point and distances, px."""

    image: str
    where_a: str
    where_b: str
    point: int
    largest: float
    mean: float


@dataclass
class FaceDiff:
    """The difference of two sets of faces.

    Attributes
    ----------
    faces_a, faces_b, matched : counts. added, removed : faces of B, of A, without a counterpart.
    moved : matched faces with a point further off than the tolerance.
    largest : (moved,) float64 pixels, the largest distance of a point of each moved face.
    mean : (moved,) float64 pixels, the mean distance over the points that both sides label.
    changed : what -> how many matched faces; ``visibility`` counts points labelled on one side only, too.
    worst : the faces that moved most. first_added, first_removed : places.
    skipped_a, skipped_b : faces the readers could not use.
    """

    faces_a: int = 0
    faces_b: int = 0
    matched: int = 0
    added: int = 0
    removed: int = 0
    largest: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    mean: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    changed: Counter[str] = field(default_factory=Counter)
    worst: list[Moved] = field(default_factory=list)
    first_added: list[str] = field(default_factory=list)
    first_removed: list[str] = field(default_factory=list)
    skipped_a: int = 0
    skipped_b: int = 0

    @property
    def moved(self) -> int:
        """How many faces moved."""
        return len(self.largest)

    @property
    def same(self) -> bool:
        """True when nothing differs."""
        unequal = self.added or self.removed or self.moved or self.skipped_a != self.skipped_b
        return not unequal and not self.changed

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON, flat but for the lists."""
        summary = {
            f"{name}_p{p}_px": float(np.percentile(values, p)) if len(values) else 0.0
            for name, values in (("moved_largest", self.largest), ("moved_mean", self.mean))
            for p in PERCENTILES
        }
        return {
            "same": self.same,
            "faces_a": self.faces_a,
            "faces_b": self.faces_b,
            "skipped_a": self.skipped_a,
            "skipped_b": self.skipped_b,
            "matched": self.matched,
            "added": self.added,
            "removed": self.removed,
            "moved": self.moved,
            **summary,
            **{f"changed_{name}": self.changed[name] for name in CHANGES},
            "worst": [
                {
                    "image": m.image,
                    "a": m.where_a,
                    "b": m.where_b,
                    "point": m.point,
                    "largest_px": m.largest,
                    "mean_px": m.mean,
                }
                for m in self.worst
            ],
            "first_added": self.first_added,
            "first_removed": self.first_removed,
        }

    def lines(self) -> list[str]:
        """All of it, for people."""
        rows = [
            f"faces      {self.faces_a} and {self.faces_b}, {self.matched} in both",
            f"added      {self.added}",
            *(f"    {place}" for place in self.first_added),
            f"removed    {self.removed}",
            *(f"    {place}" for place in self.first_removed),
            f"moved      {self.moved}",
        ]
        for name, values in (("largest", self.largest), ("mean", self.mean)):
            if len(values):
                shown = (
                    f"{'max' if p == 100 else f'p{p}'} {np.percentile(values, p):.4g}" for p in PERCENTILES
                )
                rows.append(f"    {name} distance of a face's points, px: {', '.join(shown)}")
        rows += [
            f"    {m.image}: point {m.point} by {m.largest:.4g} px, mean {m.mean:.4g}"
            f" ({m.where_a}; {m.where_b})"
            for m in self.worst
        ]
        changed = [f"{name} {self.changed[name]}" for name in CHANGES if self.changed[name]]
        rows.append("changed    " + (", ".join(changed) or "0"))
        if self.skipped_a or self.skipped_b:
            rows.append(f"skipped    {self.skipped_a} and {self.skipped_b}")
        rows.append("the same" if self.same else "different")
        return rows


def diff_faces(
    a: Iterable[Face | Skipped],
    b: Iterable[Face | Skipped],
    points: int,
    *,
    scratch: Path,
    tolerance: float = 0.0,
    progress: Callable[[int], object] = lambda n: None,
) -> FaceDiff:
    """Compare two sets of faces of one scheme.

    Parameters
    ----------
    a, b : each streamed once. points : K, of both.
    scratch : an empty folder, which the caller removes; it takes both sides.
    tolerance : pixels; points and boxes that differ by no more count as equal.

    Returns
    -------
    The difference. Data sets are left out of the matching when one side names none.

    Raises
    ------
    InputError : a face with a different number of points.
    """
    result = FaceDiff()
    with (
        closing(Side(scratch / "a", points)) as one,
        closing(Side(scratch / "b", points)) as two,
    ):
        one.fill(a, progress)
        two.fill(b, progress)
        result.faces_a, result.faces_b = len(one), len(two)
        result.skipped_a, result.skipped_b = one.skipped, two.skipped
        by_dataset = one.has_datasets and two.has_datasets
        pairs, removed, added = match(one, two, one.keys(by_dataset), two.keys(by_dataset))
        result.matched, result.added, result.removed = len(pairs), len(added), len(removed)
        result.first_added = [two.place(row) for row in added[:NAMED].tolist()]
        result.first_removed = [one.place(row) for row in removed[:NAMED].tolist()]
        _compare(one, two, pairs, tolerance, result)
    return result


def _compare(one: Side, two: Side, pairs: NDArray[np.intp], tolerance: float, result: FaceDiff) -> None:
    largest, mean, which = [np.empty(0)], [np.empty(0)], [np.empty((0, 3), np.intp)]
    for start in range(0, len(pairs), BLOCK):
        block = pairs[start : start + BLOCK]
        rows_a, rows_b = block[:, 0], block[:, 1]
        far, average, worst = _distances(one.numbers("landmarks", rows_a), two.numbers("landmarks", rows_b))
        moved = far > tolerance
        largest.append(far[moved])
        mean.append(average[moved])
        which.append(np.concatenate([block[moved], worst[moved][:, None]], axis=1))
        _count_changes(one, two, rows_a, rows_b, tolerance, result)
    result.largest, result.mean = np.concatenate(largest), np.concatenate(mean)
    places = np.concatenate(which)
    for i in np.argsort(-result.largest, kind="stable")[:NAMED].tolist():
        row_a, row_b, point = places[i].tolist()
        where = one.where(row_a), two.where(row_b)
        result.worst.append(
            Moved(one.image(row_a), *where, point, float(result.largest[i]), float(result.mean[i]))
        )


def _distances(
    a: NDArray[np.float32], b: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """Largest and mean distance, and the point furthest off, over the points labelled on both sides."""
    distance = np.linalg.norm(a.astype(np.float64) - b.astype(np.float64), axis=2)
    shared = ~np.isnan(distance)
    known = np.where(shared, distance, 0.0)
    return (
        known.max(axis=1, initial=0.0),
        known.sum(axis=1) / np.maximum(shared.sum(axis=1), 1),
        known.argmax(axis=1),
    )


def _count_changes(
    one: Side,
    two: Side,
    rows_a: NDArray[np.intp],
    rows_b: NDArray[np.intp],
    tolerance: float,
    result: FaceDiff,
) -> None:
    boxes = [side.numbers("box", rows).astype(np.float64) for side, rows in ((one, rows_a), (two, rows_b))]
    there = [np.all(~np.isnan(box), axis=1) for box in boxes]
    apart = np.abs(np.where(there[0][:, None], boxes[0], 0) - np.where(there[1][:, None], boxes[1], 0))
    different = {"box": (there[0] != there[1]) | np.any(apart > tolerance, axis=1)}
    seen = [side.numbers("visibility", rows) for side, rows in ((one, rows_a), (two, rows_b))]
    different["visibility"] = np.any(seen[0] != seen[1], axis=1)
    sizes = [side.numbers("image_size", rows) for side, rows in ((one, rows_a), (two, rows_b))]
    known = np.all((sizes[0] > 0) & (sizes[1] > 0), axis=1)  # not knowing a size is no other size
    different["image_size"] = known & np.any(sizes[0] != sizes[1], axis=1)
    for name in TEXT_CHANGES:
        texts = zip(one.texts(name, rows_a), two.texts(name, rows_b), strict=True)
        different[name] = np.array([x != y for x, y in texts], bool)
    for name, faces in different.items():
        if faces.any():
            result.changed[name] += int(faces.sum())
