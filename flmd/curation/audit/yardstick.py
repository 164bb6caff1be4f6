"""How far each point of a label lies from where a model puts it, in units of how far such points usually do.

A jaw's points lie loosely along the face's edge, and every data set puts some points a little elsewhere than
a network that has seen several. So the distance is measured in the face's own frame (turned upright, over the
size of the face), from the median offset of the point among the faces of its group, and over its spread there
in each direction. Deviations are counted in standard deviations along each of two axes: their median is 1.18.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flmd.curation.alignment import align, to_complex
from flmd.schemes import Scheme

ENOUGH = 30  # faces of a group; those of smaller ones are measured by all faces
FEWEST_LABELS = 10  # of a point, to tell its directions apart
FINEST = 0.002  # of the face's size: labels are not more exact than that
MEDIAN = (
    1.1774  # of the distance from the centre of a normal distribution of two dimensions, over its deviation
)
ROUNDS = 3
FEW = 0.1  # deviations
TRIMMED = 3.0  # deviations; what lies farther is no measure of the usual

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class Yardstick:
    """The faces that are judged, and how far their points usually lie off.

    Attributes
    ----------
    predicted : (N, K) complex, image pixels, the model's points; NaN where it has none.
    turn : (N,) complex of length 1, which turns the face upright.
    size : (N,) pixels, geometric mean of the sides of the box of the model's points, upright; NaN: cannot be
        judged.
    group : (N,) indices into ``centre`` and ``whiten``.
    centre : (G, K) complex, median offset of label from model, upright, in sizes.
    whiten : (G, K, 2, 2), makes deviations of offsets from the centre.
    """

    predicted: Complex
    size: Array
    turn: Complex
    group: NDArray[np.intp]
    centre: Complex
    whiten: Array

    @classmethod
    def of(
        cls,
        labels: NDArray[np.floating],
        predicted: NDArray[np.floating],
        groups: NDArray[np.integer],
        scheme: Scheme,
    ) -> Yardstick:
        """The usual offsets of faces.

        Parameters
        ----------
        labels, predicted : (N, K, 2) image pixels; NaN where not labelled, or not predicted.
        groups : (N,) integers, faces whose labels are alike: of one data set, all seen by the model or not.
        """
        found = to_complex(predicted)
        turn = _upright(predicted, scheme)
        size = _sizes(found * turn[:, None])
        given, group = np.unique(groups, return_inverse=True)
        offsets = _offsets(to_complex(labels), found, size, turn)
        usable = np.isfinite(size)
        whole = _usual(offsets[usable])
        usual = [whole]
        index = np.zeros(len(found), np.intp)
        for number in range(len(given)):
            members = (group == number) & usable
            if members.sum() >= ENOUGH:
                index[group == number] = len(usual)
                usual.append(_usual(offsets[members]))
        centres, whitens = zip(*usual, strict=True)
        return cls(found, size, turn, index, np.array(centres), np.array(whitens))

    def deviations(self, labels: Complex, rows: NDArray[np.intp]) -> Array:
        """(n, K) deviations of (n, K) labels as those of the faces in ``rows``; NaN where not labelled."""
        offsets = _offsets(labels, self.predicted[rows], self.size[rows], self.turn[rows])
        away = offsets - self.centre[self.group[rows]]
        return _lengths(self.whiten[self.group[rows]], away)

    def every(self, labels: Complex, row: int) -> Array:
        """(K, K) deviation of each of (K,) labels, were it each of the points of a face: label by point."""
        away = (labels[:, None] - self.predicted[row][None]) / self.size[row] * self.turn[row]
        away = away - self.centre[self.group[row]]
        whiten = np.broadcast_to(self.whiten[self.group[row]], (*away.shape, 2, 2))
        return _lengths(whiten, away)

    def expected(self, rows: NDArray[np.intp]) -> Complex:
        """(n, K) complex, image pixels: where labels of the faces in ``rows`` usually are."""
        back = self.centre[self.group[rows]] * (self.size[rows] / self.turn[rows])[:, None]
        return np.asarray(self.predicted[rows] + back)


def root_mean_square(deviations: Array) -> Array:
    """Over the last axis, of the labelled points; 0 where there is none."""
    known = np.isfinite(deviations)
    total = np.where(known, deviations, 0) ** 2
    return np.asarray(np.sqrt(total.sum(axis=-1) / np.maximum(known.sum(axis=-1), 1)))


def _sizes(upright: Complex) -> Array:
    points = np.stack([upright.real, upright.imag], axis=2)
    some = np.isfinite(upright).sum(axis=1) >= 2
    sides = np.full((len(points), 2), np.nan)
    sides[some] = np.nanmax(points[some], axis=1) - np.nanmin(points[some], axis=1)
    size = np.sqrt(sides.prod(axis=1))
    return np.where(size > 0, size, np.nan)


def _upright(predicted: NDArray[np.floating], scheme: Scheme) -> Complex:
    """(N,) the turn of each face to the mean shape; 1 where it cannot be told."""
    turn = align(predicted, scheme).turn
    with np.errstate(invalid="ignore"):
        turn = turn / np.abs(turn)
    return np.where(np.isfinite(turn), turn, 1)


def _offsets(labels: Complex, predicted: Complex, size: Array, turn: Complex) -> Complex:
    with np.errstate(invalid="ignore"):
        return np.asarray((labels - predicted) * (turn / size)[:, None])


def _usual(offsets: Complex) -> tuple[Complex, Array]:
    """The centre (K,) and the whitening (K, 2, 2) of (n, K) offsets."""
    points = offsets.shape[1]
    centre, whiten = np.zeros(points, complex), np.tile(np.eye(2) / FINEST, (points, 1, 1))
    alike = []
    for k in range(points):
        own = offsets[:, k][np.isfinite(offsets[:, k])]
        if len(own):
            centre[k] = np.median(own.real) + 1j * np.median(own.imag)
            alike.append(np.abs(own - centre[k]))
    spread = max(float(np.median(np.concatenate(alike))) / MEDIAN, FINEST) if alike else FINEST
    for k in range(points):
        away = offsets[:, k][np.isfinite(offsets[:, k])] - centre[k]
        whiten[k] = _whitening(away) if len(away) >= FEWEST_LABELS else np.eye(2) / spread
    return centre, whiten


def _whitening(away: Complex) -> Array:
    """(2, 2) that makes the usual distances from 0 1.18 in the median, alike in every direction."""
    whiten = np.eye(2) / max(float(np.median(np.abs(away))) / MEDIAN, FINEST)
    for _ in range(ROUNDS):
        distance = _lengths(np.broadcast_to(whiten, (len(away), 2, 2)), away)
        usual = away[distance <= TRIMMED * max(float(np.median(distance)) / MEDIAN, 1e-9)]
        covariance = np.cov(np.stack([usual.real, usual.imag])) + FINEST**2 * np.eye(2)
        variance, axes = np.linalg.eigh(covariance)
        whiten = np.asarray((axes / np.sqrt(variance)) @ axes.T)
    typical = float(np.median(_lengths(np.broadcast_to(whiten, (len(away), 2, 2)), away)))
    # Labels that are the model's own points, or as near as labels are exact, have no usual distance.
    return np.asarray(whiten * (MEDIAN / typical)) if typical > FEW else np.asarray(np.eye(2) / FINEST)


def _lengths(whiten: Array, away: Complex) -> Array:
    """The lengths of ``whiten @ away``, of any shape."""
    across = whiten[..., 0, 0] * away.real + whiten[..., 0, 1] * away.imag
    down = whiten[..., 1, 0] * away.real + whiten[..., 1, 1] * away.imag
    return np.asarray(np.hypot(across, down))
