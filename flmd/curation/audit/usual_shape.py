"""How usual the shape of a face is, whatever its place, size and turn in the picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
FEWEST_POINTS = 3
ROUNDS = 4


def usual_shape(landmarks: NDArray[np.floating]) -> Array:
    """The shape in the middle of many: each point's median after laying the faces over one another.

    Parameters
    ----------
    landmarks : (N, K, 2) pixels, NaN where not labelled.

    Returns
    -------
    (K, 2) float64, centred, its points 1 from the centre in root mean square; NaN for a point labelled
    on no face. Median and not mean, so that a few wrong faces do not bend it.
    """
    points = _complex(landmarks)
    labelled = np.isfinite(points)
    usable = labelled.sum(axis=1) >= FEWEST_POINTS
    if not usable.any():
        return np.full((points.shape[1], 2), np.nan)
    points, labelled = points[usable], labelled[usable]
    shape = _normalised(points[np.argmax(labelled.sum(axis=1))])
    for _ in range(ROUNDS):
        both = labelled & np.isfinite(shape)
        z, m, size = _centred(points, shape, both)
        turn = (z.conj() * m).sum(axis=1) / np.maximum(size, 1e-30)
        # Where the shape knows too few of a face's points, that face says nothing.
        turn[both.sum(axis=1) < FEWEST_POINTS] = np.nan
        offset = _mean(np.broadcast_to(shape, points.shape), both) - turn * _mean(points, both)
        placed = turn[:, None] * points + offset[:, None]
        known = np.isfinite(placed).any(axis=0)
        middle = np.full(points.shape[1], np.nan + 0j)
        middle[known] = np.nanmedian(placed.real[:, known], axis=0) + 1j * np.nanmedian(
            placed.imag[:, known], axis=0
        )
        shape = _normalised(middle)
    return np.stack([shape.real, shape.imag], axis=1)


def shape_residuals(landmarks: NDArray[np.floating], shape: NDArray[np.floating]) -> Array:
    """How far each face is from a shape after the best shift, scale and turn.

    Parameters
    ----------
    landmarks : (N, K, 2) pixels, NaN where not labelled. shape : (K, 2), from :func:`usual_shape`.

    Returns
    -------
    (N,) float64 in 0 ... 1, the full Procrustes distance over the points that both have (Dryden and Mardia,
    *Statistical Shape Analysis*, 1998): 0 for the same shape, near 1 for a jumble. A mirrored face is
    another shape. NaN with fewer than three points; 1 where all points are one.
    """
    points, mean = _complex(landmarks), _complex(shape)
    both = np.isfinite(points) & np.isfinite(mean)
    z, m, size = _centred(points, mean, both)
    product = size * (np.abs(m) ** 2).sum(axis=1)
    overlap = np.abs((z.conj() * m).sum(axis=1)) ** 2
    alike = np.where(product > 0, overlap / np.maximum(product, 1e-30), 0.0)
    residual = np.sqrt(np.clip(1 - alike, 0, 1))
    return np.where(both.sum(axis=1) >= FEWEST_POINTS, residual, np.nan)


def _complex(points: NDArray[np.floating]) -> Complex:
    numbers = np.asarray(points, dtype=np.float64)
    return np.asarray(numbers[..., 0] + 1j * numbers[..., 1])


def _mean(points: Complex, labelled: NDArray[np.bool_]) -> Complex:
    """(N,) means over the labelled points."""
    total = np.where(labelled, points, 0).sum(axis=1)
    return np.asarray(total / np.maximum(labelled.sum(axis=1), 1))


def _centred(points: Complex, shape: Complex, both: NDArray[np.bool_]) -> tuple[Complex, Complex, Array]:
    """Points and shape about their centres, 0 where not both are known; the points' squared size."""
    shapes = np.broadcast_to(shape, points.shape)
    z = np.where(both, points - _mean(points, both)[:, None], 0)
    m = np.where(both, shapes - _mean(shapes, both)[:, None], 0)
    return z, m, np.asarray((np.abs(z) ** 2).sum(axis=1))


def _normalised(shape: Complex) -> Complex:
    """Centre 0, root-mean-square radius 1."""
    known = np.isfinite(shape)
    centred = shape - shape[known].mean()
    radius = np.sqrt((np.abs(centred[known]) ** 2).mean())
    return np.asarray(centred / max(float(radius), 1e-30))
