"""Faces laid over one another by their landmarks, so that shapes and pixels can be compared.

Points are complex numbers x + iy here: a similarity (turn, scale, shift) is ``turn * z + shift``, and
mirroring left to right is ``-conj(z)``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flmd.schemes import Scheme

Complex = NDArray[np.complex128]
FITTED = 20_000  # faces that the mean shape is made of; more do not change it
ROUNDS = 6
FEWEST_POINTS = 3
BLOCK = 8192  # faces whose points are worked on at a time, so that memory holds little more than the result


@dataclass(frozen=True)
class Aligned:
    """Shapes laid over their mean.

    Attributes
    ----------
    mean : (K,) complex mean shape; centre 0, root-mean-square radius 1, as good as symmetric where the
        scheme has a flip order; NaN for a point that no face has.
    points : (N, K) complex, each face in the mean's frame; NaN where not labelled or not usable.
    turn, shift : (N,) complex, ``points = turn * z + shift``; NaN for faces that cannot be aligned.
    residual : (N,) root-mean-square distance of the points from the mean's, in its radius.
    """

    mean: Complex
    points: Complex
    turn: Complex
    shift: Complex
    residual: NDArray[np.float64]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """(N,) whether the face could be aligned."""
        return np.isfinite(self.turn)


def to_complex(landmarks: NDArray[np.floating]) -> Complex:
    """(N, K) complex of (N, K, 2) points; NaN where not labelled."""
    points = np.asarray(landmarks, np.float64)
    return np.asarray(points[..., 0] + 1j * points[..., 1])


def mirrored(points: Complex, scheme: Scheme) -> Complex:
    """(N, K) points of the mirrored faces, in the order of the scheme, mirrored about x = 0."""
    return np.asarray(-np.conj(points[..., scheme.flip_indices()]))


def fit(points: Complex, mean: Complex) -> tuple[Complex, Complex, NDArray[np.float64]]:
    """The similarity that lays each face best over ``mean``: turn, shift, residual, each (N,).

    NaN for a face with fewer than three usable points or with all points in one place.
    """
    blocks = [_fit_block(points[block], mean) for block in blocks_of(len(points))]
    turn, shift, residual = (np.concatenate(column) for column in zip(*blocks, strict=True))
    return turn, shift, residual


def blocks_of(count: int) -> Iterator[slice]:
    """Rows 0 ... count - 1 in runs of ``BLOCK``; one empty run of none."""
    for start in range(0, max(count, 1), BLOCK):
        yield slice(start, min(start + BLOCK, count))


def _fit_block(points: Complex, mean: Complex) -> tuple[Complex, Complex, NDArray[np.float64]]:
    known = np.isfinite(points) & np.isfinite(mean)
    count = known.sum(axis=1)
    z, from_ = _centred(points, known)
    m, to = _centred(mean, known)
    power = (np.abs(z) ** 2).sum(axis=1)
    # A spread below a thousandth of a pixel is one place.
    good = (count >= FEWEST_POINTS) & (power > 1e-6 * count)
    with np.errstate(divide="ignore", invalid="ignore"):
        turn = np.where(good, (np.conj(z) * m).sum(axis=1) / power, np.nan)
        left = np.where(known, turn[:, None] * z - m, 0)
        residual = np.sqrt((np.abs(left) ** 2).sum(axis=1) / count)
    return turn, to - turn * from_, np.where(good, residual, np.nan)


def procrustes_distance(points: Complex, mean: Complex) -> NDArray[np.float64]:
    """How far each face is from ``mean`` after the best shift, scale and turn, whatever the size of ``mean``.

    Returns
    -------
    (N,) float64 in 0 ... 1, the full Procrustes distance over the points that both have (Dryden and Mardia,
    *Statistical Shape Analysis*, 1998): 0 for the same shape, near 1 for a jumble. A mirrored face is
    another shape. NaN with fewer than three points; 1 where all points are one.
    """
    known = np.isfinite(points) & np.isfinite(mean)
    count = known.sum(axis=1)
    m, _ = _centred(mean, known)
    residual = fit(points, mean)[2]
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = residual / np.sqrt((np.abs(m) ** 2).sum(axis=1) / count)
    distance = np.where(np.isfinite(distance), np.minimum(distance, 1), 1)
    return np.where(count >= FEWEST_POINTS, distance, np.nan)


def mean_shape(points: Complex, scheme: Scheme) -> Complex:
    """The (K,) median shape of the faces, by repeated alignment; centre 0, radius 1."""
    some = points[:: -(-len(points) // FITTED)]
    some = some[np.isfinite(some).sum(axis=1) >= FEWEST_POINTS]
    if not len(some):
        return np.full(points.shape[1], np.nan + 0j)
    centred = some - np.nanmean(some, axis=1, keepdims=True)
    size = np.sqrt(np.nanmean(np.abs(centred) ** 2, axis=1))
    centred = centred[size > 1e-3] / size[size > 1e-3, None]
    mean = _settled(_median(centred), scheme)
    for _ in range(ROUNDS):
        turn, shift, _ = fit(centred, mean)
        mean = _settled(_median(turn[:, None] * centred + shift[:, None]), scheme)
    return mean


def align(landmarks: NDArray[np.floating], scheme: Scheme) -> Aligned:
    """Lay (N, K, 2) landmarks over their mean shape."""
    points = to_complex(landmarks)
    if not len(points) or points.shape[1] < FEWEST_POINTS:
        nothing = np.full(len(points), np.nan)
        return Aligned(
            np.full(points.shape[1], np.nan + 0j), points * np.nan, nothing + 0j, nothing + 0j, nothing
        )
    mean = mean_shape(points, scheme)
    turn, shift, residual = fit(points, mean)
    for rows in blocks_of(len(points)):
        points[rows] = turn[rows, None] * points[rows] + shift[rows, None]
    return Aligned(mean, points, turn, shift, residual)


def shape_distance(a: Complex, b: Complex) -> NDArray[np.float64]:
    """(N,) root-mean-square distance between faces in one frame, over the points that both have."""
    with np.errstate(invalid="ignore"):
        squared = np.abs(a - b) ** 2
    known = np.isfinite(squared)
    total = np.where(known, squared, 0).sum(axis=1)
    return np.asarray(np.where(known.any(axis=1), np.sqrt(total / np.maximum(known.sum(axis=1), 1)), np.nan))


def _centred(points: Complex, known: NDArray[np.bool_]) -> tuple[Complex, Complex]:
    """(N, K) points about the centre of the known ones, 0 for the others; the (N,) centres."""
    z = np.where(known, points, 0)
    centre = z.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.where(known, z - centre[:, None], 0), centre


def _settled(mean: Complex, scheme: Scheme) -> Complex:
    """The mean made symmetric, which also keeps it upright, with centre 0 and radius 1."""
    if not np.isfinite(mean).any():
        return mean
    mean = mean - np.nanmean(mean)
    if scheme.flip_order is not None:
        other = mirrored(mean, scheme)
        mean = np.where(np.isfinite(mean) & np.isfinite(other), (mean + other) / 2, mean)
        mean = mean - np.nanmean(mean)
    return np.asarray(mean / np.sqrt(np.nanmean(np.abs(mean) ** 2)))


def _median(points: Complex) -> Complex:
    with np.errstate(invalid="ignore"):
        known = np.isfinite(points).any(axis=0)
        out = np.full(points.shape[1], np.nan + 0j)
        out[known] = np.nanmedian(points.real[:, known], axis=0) + 1j * np.nanmedian(
            points.imag[:, known], axis=0
        )
    return out
