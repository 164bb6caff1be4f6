"""A canonical face in three dimensions, and head pose from landmarks.

Head frame: x to the image's right, y down, z towards the camera. The unit is the inter-ocular distance
(outer eye corners, points 36 and 45) and the origin lies midway between those corners. Angles turn this
frame into the camera's as ``R = roll @ pitch @ yaw`` (:func:`rotation`):

- yaw > 0: the face turns towards the image's right, so that the nose moves right;
- pitch > 0: the face looks up, so that the nose moves up;
- roll > 0: the head tilts clockwise as the picture is seen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flmd.core import exact

LEAST_POINTS = 6
"""An affine camera has 8 unknowns, 2 a point: 4 points fix it, 6 leave something to average over."""

_JAW_WEIGHT = 0.1  # under yaw, annotators follow the visible cheek and not the jaw bone

# The midline, and the half on the image's right (the person's left); the other half is its mirror image.
_MIDLINE = {
    8: (0.0, 1.34, 0.20),
    27: (0.0, -0.02, 0.25), 28: (0.0, 0.13, 0.36), 29: (0.0, 0.27, 0.47), 30: (0.0, 0.41, 0.58),
    33: (0.0, 0.53, 0.41),
    51: (0.0, 0.705, 0.40), 57: (0.0, 0.915, 0.38), 62: (0.0, 0.785, 0.37), 66: (0.0, 0.81, 0.37),
}  # fmt: skip
_RIGHT_OF_IMAGE = {
    16: (0.82, 0.02, -0.85), 15: (0.81, 0.26, -0.81), 14: (0.78, 0.49, -0.73), 13: (0.72, 0.71, -0.61),
    12: (0.62, 0.92, -0.43), 11: (0.48, 1.09, -0.21), 10: (0.32, 1.22, 0.01), 9: (0.16, 1.31, 0.15),
    22: (0.13, -0.19, 0.29), 23: (0.26, -0.26, 0.28), 24: (0.39, -0.28, 0.23), 25: (0.52, -0.25, 0.13),
    26: (0.62, -0.17, -0.02),
    34: (0.08, 0.515, 0.38), 35: (0.16, 0.49, 0.29),
    42: (0.19, 0.02, 0.10), 43: (0.285, -0.05, 0.14), 44: (0.39, -0.05, 0.11), 45: (0.5, 0.0, 0.0),
    46: (0.40, 0.05, 0.09), 47: (0.29, 0.06, 0.11),
    54: (0.29, 0.79, 0.22), 53: (0.18, 0.73, 0.34), 52: (0.07, 0.695, 0.39), 55: (0.18, 0.87, 0.33),
    56: (0.08, 0.905, 0.37), 64: (0.25, 0.795, 0.25), 63: (0.085, 0.78, 0.36), 65: (0.085, 0.805, 0.36),
}  # fmt: skip
_MIRROR_OF = {
    **{16 - i: i for i in range(8)},
    **dict(zip(range(22, 27), range(21, 16, -1), strict=True)),
    **{34: 32, 35: 31, 42: 39, 43: 38, 44: 37, 45: 36, 46: 41, 47: 40},
    **{54: 48, 53: 49, 52: 50, 55: 59, 56: 58, 64: 60, 63: 61, 65: 67},
}


def _mean_shape() -> NDArray[np.float64]:
    shape = np.empty((68, 3))
    for index, point in (_MIDLINE | _RIGHT_OF_IMAGE).items():
        shape[index] = point
    for index, mirrored in _MIRROR_OF.items():
        shape[mirrored] = shape[index] * (-1, 1, 1)
    shape.setflags(write=False)
    return shape


MEAN_SHAPE: NDArray[np.float64] = _mean_shape()
"""(68, 3) float64, the iBUG 68 points of an average adult face at rest, in the head frame; read-only."""


def rotation(yaw: ArrayLike, pitch: ArrayLike, roll: ArrayLike) -> NDArray[np.float64]:
    """Rotation matrices from the head frame to the camera's.

    Parameters
    ----------
    yaw, pitch, roll : degrees, of any shapes that broadcast to one shape ``S``.

    Returns
    -------
    ``S + (3, 3)`` float64; a point of the head frame is a column.
    """
    angles = np.broadcast_arrays(
        *(np.radians(np.asarray(angle, dtype=np.float64)) for angle in (yaw, pitch, roll))
    )
    (sy, sp, sr), (cy, cp, cr) = exact.sin_cos(angles)
    rows = [
        [cr * cy - sr * sp * sy, -sr * cp, cr * sy + sr * sp * cy],
        [sr * cy + cr * sp * sy, cr * cp, sr * sy - cr * sp * cy],
        [-cp * sy, sp, cp * cy],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def estimate_pose(
    points: NDArray[np.floating], visibility: NDArray[np.integer] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Yaw, pitch and roll of faces under a scaled-orthographic camera.

    :data:`MEAN_SHAPE` is fitted to the labelled points by linear least squares with a free 2x3 matrix,
    and the rotation nearest to that matrix is read off. The jaw counts a tenth: under yaw its labels
    follow the visible cheek.

    Parameters
    ----------
    points : ``(N, 68, 2)`` floating, pixels; NaN where not labelled.
    visibility : ``(N, 68)`` integers, 0 not labelled; None: every point that is not NaN is labelled.

    Returns
    -------
    Three ``(N,)`` float64 arrays in degrees: yaw and roll in (-180, 180], pitch in [-90, 90]. NaN for a face
    with fewer than :data:`LEAST_POINTS` labelled points, or whose points cannot tell (all on a line).

    Raises
    ------
    ValueError : points are not ``(N, 68, 2)``, or visibility is not ``(N, 68)``.

    Examples
    --------
    >>> yaw, pitch, roll = estimate_pose(100 * (MEAN_SHAPE @ rotation(30, 0, 0).T)[None, :, :2])
    >>> round(float(yaw[0]), 3)
    30.0
    """
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 3 or points.shape[1:] != MEAN_SHAPE[:, :2].shape:
        raise ValueError(f"points have shape {points.shape}, expected (N, 68, 2)")
    labelled = np.isfinite(points).all(axis=2)
    if visibility is not None:
        if visibility.shape != labelled.shape:
            raise ValueError(f"visibility has shape {visibility.shape}, expected {labelled.shape}")
        labelled &= visibility > 0

    weights = np.where(labelled, np.where(np.arange(68) < 17, _JAW_WEIGHT, 1.0), 0.0)
    total = np.maximum(weights.sum(axis=1), _JAW_WEIGHT)[:, None, None]
    points = np.where(labelled[:, :, None], points, 0.0)
    shape = MEAN_SHAPE - (weights[:, :, None] * MEAN_SHAPE).sum(axis=1, keepdims=True) / total
    points = points - (weights[:, :, None] * points).sum(axis=1, keepdims=True) / total
    weighted = weights[:, :, None] * shape
    spread = np.einsum("nki,nkj->nij", weighted, shape)
    known = (labelled.sum(axis=1) >= LEAST_POINTS) & (np.linalg.eigvalsh(spread)[:, 0] > 1e-6)
    spread[~known] = np.eye(3)
    camera = np.einsum("nki,nkj->nij", points, weighted) @ np.linalg.inv(spread)

    u, scales, v = np.linalg.svd(camera, full_matrices=False)
    known &= scales[:, 1] > 1e-9 * np.maximum(scales[:, 0], 1e-300)
    right, down = np.moveaxis(u @ v, 1, 0)
    forward = np.cross(right, down)
    yaw = np.arctan2(-forward[:, 0], forward[:, 2])
    pitch = np.arcsin(np.clip(forward[:, 1], -1.0, 1.0))
    roll = np.arctan2(-right[:, 1], down[:, 1])
    degrees = [np.where(known, np.degrees(angle), np.nan) for angle in (yaw, pitch, roll)]
    return degrees[0], degrees[1], degrees[2]
