"""What may be wrong with a label: each explanation is tried, and holds when what is left is as usual."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flmd.curation.alignment import fit
from flmd.curation.audit.yardstick import Yardstick
from flmd.schemes import Scheme

KINDS = {
    "swapped": "left and right swapped",
    "exchanged": "two points exchanged",
    "reordered": "points in another order",
    "wild_point": "one wild point",
    "region": "a region moved",
    "some_points": "some points of a region off",
    "moved": "whole face shifted, scaled or turned",
    "other_face": "another face's points",
    "other": "something else",
}
USUAL = 3.0  # times the rest of usual faces: what an explanation may leave
FALL = 0.6  # of the rest before: what an explanation may leave
# What is left is multiplied by these before it is compared: a freer explanation fits any face better.
COST = {"swapped": 1.0, "other_face": 1.0, "exchanged": 1.1, "wild_point": 1.1, "region": 1.2}
COST |= {"some_points": 1.3, "reordered": 1.3, "moved": 1.3}
OFF = 3.0  # deviations, of one of several points that are off
MOST_OFF = 0.25  # share of the points that can be off while the others tell where the face is
STAYS = 4.0  # squared deviations that a point must gain to change places
MOST_REORDERED = 500  # points; more are not assigned
COPY = 0.005  # of a face's radius: shapes nearer than this are one shape
TRUE_SHAPE = 1.5  # times the usual rest: the label has this face's own shape

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class Explanation:
    """What is wrong: one of KINDS, the words for it, and the other face whose points they are, or None."""

    kind: str
    says: str = ""
    other: int | None = None


Trial = tuple[float, Explanation]


class Explainer:
    """Tries explanations on faces.

    Parameters
    ----------
    labels : (N, K) complex, image pixels. deviations : (N, K) of them. images : (N,) of the faces.
    """

    def __init__(
        self,
        stick: Yardstick,
        labels: Complex,
        deviations: Array,
        images: Sequence[str],
        scheme: Scheme,
    ) -> None:
        self._stick, self._labels, self._deviations = stick, labels, deviations
        self._images, self._scheme = np.array(images, object), scheme
        rest = left(deviations)
        self._usual = np.zeros(len(stick.centre))
        for group in np.unique(stick.group):
            members = rest[(stick.group == group) & np.isfinite(rest)]
            self._usual[group] = np.median(members) if len(members) else 1.0
        self._shapes = _shapes(labels)

    def of(self, n: int) -> Explanation:
        """The simplest explanation that leaves a usual face, else "other"."""
        usual = float(self._usual[self._stick.group[n]])
        before = float(left(self._deviations[n]))
        tried = [(rest * COST[e.kind], rest, e) for rest, e in self._trials(n)]
        good = [trial for trial in tried if trial[1] <= min(USUAL * usual, FALL * before)]
        best = min(good, key=lambda trial: trial[0], default=None)
        if best is None or (best[2].kind == "moved" and best[1] > TRUE_SHAPE * usual):
            # The shape is not quite this face's, so whose is it?
            elsewhere = self._copied(n) or self._elsewhere(n, TRUE_SHAPE * usual)
            if elsewhere is not None:
                return elsewhere
        return Explanation("other") if best is None else best[2]

    def _trials(self, n: int) -> Iterator[Trial]:
        """Each explanation, and what it leaves."""
        yield from self._swapped(n)
        yield from self._reordered(n)
        yield from self._wild(n)
        yield from self._region(n)
        yield from self._some(n)
        yield from self._moved(n)
        yield from self._of_same_picture(n)

    def _left(self, points: Complex, n: int) -> float:
        return float(left(self._stick.deviations(points[None], np.array([n]))[0]))

    def _swapped(self, n: int) -> Iterator[Trial]:
        if self._scheme.flip_order is not None:
            yield self._left(self._labels[n][self._scheme.flip_indices()], n), Explanation("swapped")

    def _reordered(self, n: int) -> Iterator[Trial]:
        known = np.flatnonzero(np.isfinite(self._deviations[n]))
        if not 2 <= len(known) <= MOST_REORDERED:
            return
        from scipy.optimize import linear_sum_assignment

        every = self._stick.every(self._labels[n], n)[np.ix_(known, known)]
        stays = np.where(np.eye(len(known), dtype=bool), 0, STAYS)
        rows, columns = linear_sum_assignment(every**2 + stays)
        changed = known[rows[rows != columns]]
        if len(changed):
            names = ", ".join(self._scheme.points[k] for k in changed[:6])
            more = ", ..." if len(changed) > 6 else ""
            kind = "exchanged" if len(changed) == 2 else "reordered"
            yield (
                float(left(every[rows, columns])),
                Explanation(kind, f"{len(changed)} points: {names}{more}"),
            )

    def _wild(self, n: int) -> Iterator[Trial]:
        deviations = self._deviations[n].copy()
        if np.isfinite(deviations).sum() < 2:
            return
        worst = int(np.nanargmax(deviations))
        deviations[worst] = np.nan
        says = f"{self._scheme.points[worst]}, {self._percent(n, self._away(n)[worst])} away"
        yield float(left(deviations)), Explanation("wild_point", says)

    def _region(self, n: int) -> Iterator[Trial]:
        away, known = self._away(n), np.isfinite(self._deviations[n])
        for name, points in self._scheme.regions.items():
            inside = np.array([k for k in points if known[k]], np.intp)
            if not 2 <= len(inside) < known.sum():
                continue
            offset = complex(away[inside].mean())
            put_back = self._labels[n].copy()
            put_back[inside] -= offset
            yield self._left(put_back, n), Explanation("region", f"{name} by {self._percent(n, offset)}")

    def _some(self, n: int) -> Iterator[Trial]:
        known = np.isfinite(self._deviations[n])
        off = np.flatnonzero(known & (np.nan_to_num(self._deviations[n]) >= OFF))
        if not 2 <= len(off) <= MOST_OFF * known.sum():
            return
        for name, points in self._scheme.regions.items():
            if np.isin(off, points).all():
                rest = self._deviations[n].copy()
                rest[off] = np.nan
                yield float(left(rest)), Explanation("some_points", f"{len(off)} of {name}")

    def _moved(self, n: int) -> Iterator[Trial]:
        expected = self._stick.expected(np.array([n]))[0]
        turn, shift, _ = fit(self._labels[n][None], expected)
        if not np.isfinite(turn[0]):
            return
        put_back = turn[0] * self._labels[n] + shift[0]
        known = np.isfinite(put_back) & np.isfinite(expected)
        offset = complex(self._away(n)[known].mean())
        says = f"shifted by {self._percent(n, offset)}, {1 / abs(turn[0]):.2f} times the size, turned by "
        says += f"{round(-float(np.degrees(np.angle(turn[0]))))} degrees"
        yield self._left(put_back, n), Explanation("moved", says)

    def _of_same_picture(self, n: int) -> Iterator[Trial]:
        others = np.flatnonzero(self._images == self._images[n])
        others = others[others != n]
        if len(others):
            rest = left(self._as_labels_of(n, others))
            best = int(np.nanargmin(np.where(np.isfinite(rest), rest, np.inf)))
            yield float(rest[best]), Explanation("other_face", "of the same picture", int(others[best]))

    def _elsewhere(self, n: int, most: float) -> Explanation | None:
        """Points that lie, pixel for pixel, where a face of another picture is."""
        label = self._labels[n]
        known = np.isfinite(label)
        centres = self._stick.predicted[:, known].mean(axis=1)
        near = np.abs(centres - label[known].mean()) < 0.5 * self._stick.size
        near[n] = False
        others = np.flatnonzero(near & (self._images != self._images[n]))
        if not len(others):
            return None
        rest = left(self._as_labels_of(n, others))
        best = int(np.argmin(np.where(np.isfinite(rest), rest, np.inf)))
        return Explanation("other_face", "", int(others[best])) if rest[best] <= most else None

    def _copied(self, n: int) -> Explanation | None:
        """A label that is another one, moved and scaled as a whole."""
        apart = np.sqrt(np.nanmean(np.abs(self._shapes - self._shapes[n]) ** 2, axis=1))
        apart[self._images == self._images[n]] = np.inf
        apart = np.where(np.isfinite(apart), apart, np.inf)
        best = int(np.argmin(apart))
        return Explanation("other_face", "a copy of its label", best) if apart[best] < COPY else None

    def _as_labels_of(self, n: int, others: NDArray[np.intp]) -> Array:
        points = np.broadcast_to(self._labels[n], (len(others), len(self._labels[n])))
        return self._stick.deviations(points, others)

    def _away(self, n: int) -> Complex:
        """(K,) image pixels from where the points usually are."""
        return np.asarray(self._labels[n] - self._stick.expected(np.array([n]))[0])

    def _percent(self, n: int, offset: complex) -> str:
        return f"{100 * abs(offset) / self._stick.size[n]:.0f}% of the face"


def left(deviations: Array) -> Array:
    """The fourth root of the mean fourth power over the last axis: one wild point is not lost among many."""
    known = np.isfinite(deviations)
    total = np.where(known, deviations, 0) ** 4
    count = known.sum(axis=-1)
    return np.asarray(np.where(count, (total.sum(axis=-1) / np.maximum(count, 1)) ** 0.25, np.nan))


def _shapes(labels: Complex) -> Complex:
    """(N, K) labels with centre 0 and root-mean-square radius 1; NaN for those without an extent."""
    known = np.isfinite(labels)
    count = np.maximum(known.sum(axis=1), 1)
    centre = np.where(known, labels, 0).sum(axis=1) / count
    centred = labels - centre[:, None]
    radius = np.sqrt((np.where(known, np.abs(centred), 0) ** 2).sum(axis=1) / count)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(centred / np.where(radius > 0, radius, np.nan)[:, None])
