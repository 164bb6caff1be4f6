"""Boxes and 2x3 affine matrices, applied alike to images and to points.

Pixels: the centre of the top-left pixel is (0, 0), so a W x H image covers [-0.5, W - 0.5] across.
A box (x, y, width, height) covers the pixels x ... x + width - 1: its centre is x + (width - 1) / 2.
Affine matrices map (x, y) column vectors: ``p' = A @ (x, y, 1)``; float64, shape (2, 3) or (N, 2, 3).

Everything is written out in single operations, because BLAS, einsum and LAPACK round as the processor has it
(:mod:`flmd.core.exact`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flmd.core import exact

Array = NDArray[np.float64]


def apply(affine: ArrayLike, points: ArrayLike) -> Array:
    """Map points by affine matrices.

    Parameters
    ----------
    affine : (2, 3) for all points, or (N, 2, 3), one for each face of ``points``.
    points : (..., 2), or (N, K, 2) with (N, 2, 3). NaN stays NaN.

    Returns
    -------
    float64, the shape of ``points``.
    """
    a = np.asarray(affine, dtype=np.float64)
    p = np.asarray(points, dtype=np.float64)
    if a.ndim == 3:
        a = a[:, None]
    x, y = p[..., 0], p[..., 1]
    return np.stack([a[..., i, 0] * x + a[..., i, 1] * y + a[..., i, 2] for i in range(2)], axis=-1)


def compose(outer: ArrayLike, inner: ArrayLike) -> Array:
    """The matrix that applies ``inner`` first and ``outer`` then; (2, 3) or (N, 2, 3) each."""
    o = np.asarray(outer, dtype=np.float64)
    i = np.asarray(inner, dtype=np.float64)
    if o.ndim == i.ndim == 2:
        return _compose_one(o, i)
    out = exact.product(o[..., :, :2], i)
    out[..., :, 2] += o[..., :, 2]
    return out


def _compose_one(outer: Array, inner: Array) -> Array:
    """The same operations on Python's numbers: a tenth of the time for one pair of matrices."""
    (p0, p1, p2), (q0, q1, q2) = inner.tolist()
    return np.array(
        [[a * p0 + b * q0, a * p1 + b * q1, a * p2 + b * q2 + c] for a, b, c in outer.tolist()], np.float64
    )


def invert(affine: ArrayLike) -> Array:
    """The inverse of (2, 3) or (N, 2, 3) matrices; ``numpy.linalg.LinAlgError`` when singular."""
    a = np.asarray(affine, dtype=np.float64)
    if a.ndim == 2:
        return _invert_one(a)
    det = _determinant(a)
    if not np.all(det):
        raise np.linalg.LinAlgError("Singular matrix")
    out = np.empty_like(a)
    out[..., 0, 0], out[..., 0, 1] = a[..., 1, 1] / det, -a[..., 0, 1] / det
    out[..., 1, 0], out[..., 1, 1] = -a[..., 1, 0] / det, a[..., 0, 0] / det
    out[..., :, 2] = -(out[..., :, 0] * a[..., None, 0, 2] + out[..., :, 1] * a[..., None, 1, 2])
    return out


def _invert_one(affine: Array) -> Array:
    """The same operations on Python's numbers."""
    (a, b, x), (c, d, y) = affine.tolist()
    det = a * d - b * c
    if det == 0:
        raise np.linalg.LinAlgError("Singular matrix")
    p, q, r, s = d / det, -b / det, -c / det, a / det
    return np.array([[p, q, -(p * x + q * y)], [r, s, -(r * x + s * y)]])


def _determinant(a: Array) -> Array:
    return np.asarray(a[..., 0, 0] * a[..., 1, 1] - a[..., 0, 1] * a[..., 1, 0])


def scale_of(affine: ArrayLike) -> Array:
    """How much lengths grow, sqrt(|det|): a float64 scalar array or (N,)."""
    a = np.asarray(affine, dtype=np.float64)
    return np.asarray(np.sqrt(np.abs(_determinant(a))))


def resize_affine(scale_x: float, scale_y: float | None = None) -> Array:
    """Scaling an image by ``s`` moves a point to ``(x + 0.5) s - 0.5``."""
    sy = scale_x if scale_y is None else scale_y
    return np.array([[scale_x, 0, 0.5 * scale_x - 0.5], [0, sy, 0.5 * sy - 0.5]])


def mirror_affine(width: float) -> Array:
    """Mirroring an image of that width: x' = W - 1 - x."""
    return np.array([[-1.0, 0, width - 1], [0, 1.0, 0]])


def box_centre(box: ArrayLike) -> Array:
    """(..., 2) centres of (..., 4) boxes, pixels."""
    b = np.asarray(box, dtype=np.float64)
    return np.asarray(b[..., :2] + (b[..., 2:] - 1) / 2)


def box_side(box: ArrayLike) -> Array:
    """(...,) longer side of (..., 4) boxes, pixels: the side of the square that holds the box."""
    return np.asarray(np.asarray(box, dtype=np.float64)[..., 2:].max(axis=-1))


def box_of_points(points: ArrayLike) -> Array:
    """The smallest box around the labelled points of each face.

    Parameters
    ----------
    points : (..., K, 2) pixels; NaN points are left out.

    Returns
    -------
    (..., 4) float64 x, y, width, height: x and y of the outermost points, and the pixels they span
    (``max - min + 1``); NaN throughout when no point is labelled.
    """
    p = np.asarray(points, dtype=np.float64)
    missing = np.asarray(np.isnan(p).any(axis=-1))
    low = np.where(missing[..., None], np.inf, p).min(axis=-2, initial=np.inf)
    high = np.where(missing[..., None], -np.inf, p).max(axis=-2, initial=-np.inf)
    box = np.concatenate([low, high - low + 1], axis=-1)
    return np.where(np.asarray(missing.all(axis=-1))[..., None], np.nan, box)


def iou(a: ArrayLike, b: ArrayLike) -> Array:
    """(N, M) intersection over union of (N, 4) and (M, 4) boxes, 0 to 1; NaN where a box is."""
    one, two = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    low = np.maximum(one[:, None, :2], two[None, :, :2])
    high = np.minimum(one[:, None, :2] + one[:, None, 2:], two[None, :, :2] + two[None, :, 2:])
    inside = np.clip(high - low, 0, None).prod(axis=2)
    union = one[:, None, 2:].prod(axis=2) + two[None, :, 2:].prod(axis=2) - inside
    return np.asarray(inside / np.maximum(union, 1e-12))


def mirror_box(box: ArrayLike, width: float) -> Array:
    """(..., 4) boxes in an image of that width after mirroring: x' = W - x - w."""
    b = np.array(box, dtype=np.float64)
    b[..., 0] = width - b[..., 0] - b[..., 2]
    return b


def square_crop(box: ArrayLike, zoom: ArrayLike, size: int) -> Array:
    """From image pixels to a square crop around boxes; never squashed, the longer side decides.

    Parameters
    ----------
    box : (4,) or (N, 4) x, y, width, height in pixels.
    zoom : side of the crop over the box's longer side; a number or (N,).
    size : side of the crop in its own pixels.

    Returns
    -------
    (2, 3) or (N, 2, 3) float64: the box's centre goes to the crop's centre, (size - 1) / 2.
    """
    centre, side = box_centre(box), box_side(box)
    k = size / (side * np.asarray(zoom, dtype=np.float64))
    out = np.zeros((*np.shape(k), 2, 3))
    out[..., 0, 0] = out[..., 1, 1] = k
    out[..., :, 2] = (size - 1) / 2 - centre * k[..., None]
    return out


def augmentation(
    box: ArrayLike,
    zoom: ArrayLike,
    size: int,
    *,
    rotation: ArrayLike,
    scale: ArrayLike,
    shift: ArrayLike,
    flip: ArrayLike,
    aspect: ArrayLike = 1.0,
    shear: ArrayLike = 0.0,
) -> Array:
    """Crop, stretch, rotate, scale, shift and mirror around N boxes as ONE matrix each.

    Parameters
    ----------
    box : (N, 4) pixels. zoom, size : as in :func:`square_crop`.
    rotation : (N,) degrees; positive turns the picture's content clockwise as seen.
    scale : (N,) above 1 makes the face larger in the crop.
    shift : (N, 2) shares of the crop's side; positive moves the face right and down.
    flip : (N,) bool; mirrors the finished crop.
    aspect : (N,) above 1 makes the upright face wider and as much flatter; its area stays.
    shear : (N,) tangent of the slant that the upright face's vertical lines get; positive leans its lower
        half to the right.

    Returns
    -------
    (N, 2, 3) float64 from image pixels to crop pixels.
    """
    plain = square_crop(box, zoom, size)
    angle = np.deg2rad(np.asarray(rotation, dtype=np.float64))
    s = np.asarray(scale, dtype=np.float64)
    centre = (size - 1) / 2
    turn = np.zeros((len(plain), 2, 3))
    wider, slant = np.sqrt(np.asarray(aspect, dtype=np.float64)), np.asarray(shear, dtype=np.float64)
    sin, cos = (s * value for value in exact.sin_cos(angle))
    # Rotation times [[wider, slant], [0, 1 / wider]].
    turn[:, 0, 0], turn[:, 0, 1] = cos * wider, cos * slant - sin / wider
    turn[:, 1, 0], turn[:, 1, 1] = sin * wider, sin * slant + cos / wider
    moved = np.asarray(shift, dtype=np.float64) * size
    turn[:, :, 2] = centre - (turn[:, :, 0] + turn[:, :, 1]) * centre + moved
    out = compose(turn, plain)
    mirrored = np.asarray(flip, dtype=bool)
    out[mirrored, 0, :] *= -1
    out[mirrored, 0, 2] += size - 1
    return out


def reach(
    *, rotation: float, scale: float, shift: float, padding: float, aspect: float = 0.0, shear: float = 0.0
) -> float:
    """How far an augmented crop may sample from the box's centre, over half the box's longer side.

    Parameters
    ----------
    rotation : largest angle, degrees. scale : the smallest scale (below 1 zooms out).
    shift : largest shift, a share of the crop's side. padding : crop side over box side at scale 1.
    aspect : largest change of width over height, 1 - aspect ... 1 + aspect. shear : largest shear.

    Returns
    -------
    The margin a context crop needs. The corners of a square of half side 1 turned by an angle a reach
    |cos a| + |sin a|, largest at 45 degrees; a shift moves the square on by twice its share. Where the face
    was narrowed by w and slanted by h, they reach (cos a + sin a) / w + h (cos a - sin a).
    """
    wide = 1 / np.sqrt(1 - aspect)
    furthest = exact.arctan2(max(wide - shear, 0.0), wide + shear)  # where that sum is largest
    a = min(np.deg2rad(abs(rotation)), furthest)
    sin, cos = exact.sin_cos(a)
    return float(padding / scale * (wide * (cos + sin) + shear * (cos - sin)) * (1 + 2 * shift))
