"""Landmark errors as numbers: NME and its normalisers, CED, AUC, failure rate, the mean-shape baseline.

Definitions follow Sagonas et al., "300 Faces In-The-Wild Challenge" (IMAVIS 2016): the error of a face is
the mean distance over its labelled points, divided by a length of that face. Errors are *fractions* of
that length (0.031 is 3.1 %). Three rules hold throughout:

- a point that is not labelled is NaN and takes no part;
- a labelled point for which nothing finite was predicted is infinitely far away, not left out;
- a face that cannot be measured (nothing labelled, no length) has NME NaN; the summaries leave it out,
  and :func:`measured` says which faces they stand on, so that they can be counted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flmd.core import geometry
from flmd.errors import ParamsError
from flmd.schemes import Scheme

Array = NDArray[np.float64]

NORMALISERS = ("inter_ocular", "inter_pupil", "box", "diagonal")
POSES = ("frontal", "three_quarter", "profile", "unknown")
POSE_LIMITS = (15.0, 30.0)
SIZES = ("small", "medium", "large", "huge", "unknown")
SIZE_LIMITS = (64.0, 128.0, 256.0)


def normaliser_lengths(name: str, landmarks: ArrayLike, box: ArrayLike, scheme: Scheme) -> Array:
    """The length that each face's error is divided by.

    Parameters
    ----------
    name : ``inter_ocular``, distance of the outer eye corners; ``inter_pupil``, distance of the means of
        the points around each eye; ``box``, sqrt(w h); ``diagonal``, sqrt(w^2 + h^2).
    landmarks : (N, K, 2) *true* points, image pixels; NaN where not labelled.
    box : (N, 4) x, y, width, height, image pixels.
    scheme : says which points make the eyes.

    Returns
    -------
    (N,) float64, pixels; NaN where a point it needs is not labelled, or where the length is not above 0.

    Raises
    ------
    ParamsError : no such normaliser, or the scheme has no such points.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    sides = np.asarray(box, dtype=np.float64)[:, 2:]
    if name == "inter_ocular":
        if scheme.outer_eye_corners is None:
            raise _no_points(name, scheme, "outer eye corners")
        one, other = scheme.outer_eye_corners
        length = np.linalg.norm(points[:, one] - points[:, other], axis=-1)
    elif name == "inter_pupil":
        if scheme.pupils is None:
            raise _no_points(name, scheme, "pupils")
        first, second = (points[:, list(group)].mean(axis=1) for group in scheme.pupils)
        length = np.linalg.norm(first - second, axis=-1)
    elif name == "box":
        length = np.sqrt(np.where((sides > 0).all(axis=1), sides.prod(axis=1), np.nan))
    elif name == "diagonal":
        length = np.where((sides > 0).all(axis=1), np.hypot(sides[:, 0], sides[:, 1]), np.nan)
    else:
        raise ParamsError(f"unknown normaliser {name!r}", expected="one of " + ", ".join(NORMALISERS))
    return np.where(np.isfinite(length) & (length > 0), length, np.nan)


def available_normalisers(scheme: Scheme) -> tuple[str, ...]:
    """Those of NORMALISERS that can be computed under a scheme, in their order."""
    lacking = {"inter_ocular": scheme.outer_eye_corners is None, "inter_pupil": scheme.pupils is None}
    return tuple(name for name in NORMALISERS if not lacking.get(name, False))


def point_errors(predicted: ArrayLike, true: ArrayLike) -> Array:
    """Distance of every predicted point from the true one.

    Parameters
    ----------
    predicted, true : (N, K, 2), the same pixels; ``true`` is NaN where not labelled.

    Returns
    -------
    (N, K) float64, those pixels; NaN where not labelled, infinite where labelled but not predicted.
    """
    t = np.asarray(true, dtype=np.float64)
    p = np.asarray(predicted, dtype=np.float64)
    if p.shape != t.shape:
        raise ValueError(f"predicted points have shape {p.shape}, true points {t.shape}")
    with np.errstate(invalid="ignore"):
        distance = np.linalg.norm(p - t, axis=-1)
    missed = np.where(np.isfinite(p).all(axis=-1), distance, np.inf)
    return np.where(np.isnan(t).any(axis=-1), np.nan, missed)


def nme(predicted: ArrayLike, true: ArrayLike, lengths: ArrayLike) -> Array:
    """Normalised mean error of each face.

    Parameters
    ----------
    predicted, true : (N, K, 2), as for :func:`point_errors`.
    lengths : (N,) pixels, from :func:`normaliser_lengths`.

    Returns
    -------
    (N,) float64 fractions of the length; NaN where nothing is labelled or the length is NaN.

    Examples
    --------
    >>> true = np.array([[[0.0, 0.0], [10.0, 0.0]]])
    >>> nme(true + [0.3, 0.4], true, [10.0]).round(6).tolist()
    [0.05]
    """
    return mean_over_points(point_errors(predicted, true)) / np.asarray(lengths, dtype=np.float64)


def region_nme(errors: Array, lengths: ArrayLike, scheme: Scheme) -> dict[str, Array]:
    """NME over the points of each region.

    Parameters
    ----------
    errors : (N, K) pixels, from :func:`point_errors`. lengths : (N,) pixels.

    Returns
    -------
    region name -> (N,) float64 fractions; NaN where no point of the region is labelled.
    """
    over = np.asarray(lengths, dtype=np.float64)
    return {name: mean_over_points(errors[:, list(points)]) / over for name, points in scheme.regions.items()}


def mean_over_points(errors: Array) -> Array:
    """(N,) means of the rows of (N, K), NaN entries left out; NaN for a row of nothing but NaN."""
    labelled = ~np.isnan(errors)
    count = labelled.sum(axis=1)
    total = np.where(labelled, errors, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def measured(errors: ArrayLike) -> NDArray[np.bool_]:
    """(N,) which faces have an NME; the others are left out of every summary and must be counted."""
    return ~np.isnan(np.asarray(errors, dtype=np.float64))


def ced(errors: ArrayLike, thresholds: ArrayLike) -> Array:
    """Cumulative error distribution: the share of faces whose NME is at or below each threshold.

    Parameters
    ----------
    errors : (N,) NME; NaN is left out. thresholds : (T,) fractions.

    Returns
    -------
    (T,) float64 in 0..1; NaN throughout when no face was measured.
    """
    values = np.sort(_kept(errors))
    steps = np.asarray(thresholds, dtype=np.float64)
    if not len(values):
        return np.full(steps.shape, np.nan)
    return np.asarray(np.searchsorted(values, steps, side="right") / len(values))


def auc(errors: ArrayLike, limit: float) -> float:
    """Area under the CED on [0, limit], divided by ``limit``: 1 is perfect.

    The CED is a step function, so the area is exact and needs no grid: a face with NME e stands under
    it on [e, limit] and adds ``max(0, limit - e)``.

    Parameters
    ----------
    errors : (N,) NME; NaN is left out. limit : a fraction above 0.

    Returns
    -------
    0..1; NaN when no face was measured.
    """
    _check_limit(limit)
    values = _kept(errors)
    return float(np.clip(1 - values / limit, 0, 1).mean()) if len(values) else float("nan")


def failure_rate(errors: ArrayLike, limit: float) -> float:
    """Share of faces whose NME lies above ``limit``: 1 - CED(limit); NaN when no face was measured."""
    _check_limit(limit)
    values = _kept(errors)
    return float((values > limit).mean()) if len(values) else float("nan")


def mean_shape(landmarks: ArrayLike, box: ArrayLike) -> Array:
    """Where each point lies in its box on average: the baseline that looks at no picture.

    Parameters
    ----------
    landmarks : (N, K, 2) image pixels, NaN where not labelled; of *training* faces.
    box : (N, 4) x, y, width, height, image pixels.

    Returns
    -------
    (K, 2) float64: (0, 0) is the box's upper left edge, (1, 1) its lower right one (a box covers the
    pixels x ... x + width - 1, so its edge lies at x - 0.5). NaN for a point labelled on no face.
    """
    origin, sides = _edges(box)
    relative = (np.asarray(landmarks, dtype=np.float64) - origin) / sides
    labelled = np.isfinite(relative).all(axis=-1, keepdims=True)
    count = labelled.sum(axis=0)
    total = np.where(labelled, relative, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def place_mean_shape(shape: ArrayLike, box: ArrayLike) -> Array:
    """(N, K, 2) float64 image pixels: a (K, 2) shape in box units laid into (N, 4) boxes."""
    origin, sides = _edges(box)
    return np.asarray(shape, dtype=np.float64) * sides + origin


def pose_bucket(yaw: ArrayLike) -> NDArray[np.str_]:
    """(N,) names of POSES for (N,) degrees: |yaw| below 15, below 30, 30 and above; ``unknown`` for NaN."""
    return _bucket(np.abs(np.asarray(yaw, dtype=np.float64)), POSE_LIMITS, POSES)


def size_bucket(face: ArrayLike) -> NDArray[np.str_]:
    """(N,) names of SIZES for (N,) box sides in image pixels: below 64, 128, 256, above; or ``unknown``."""
    return _bucket(np.asarray(face, dtype=np.float64), SIZE_LIMITS, SIZES)


def _bucket(values: Array, limits: tuple[float, ...], names: tuple[str, ...]) -> NDArray[np.str_]:
    """``names`` holds one more than the intervals: the last is for NaN."""
    index = np.digitize(values, limits)
    return np.asarray(names)[np.where(np.isnan(values), len(names) - 1, index)]


def _edges(box: ArrayLike) -> tuple[Array, Array]:
    """(N, 1, 2) upper left edges and (N, 1, 2) sides of (N, 4) boxes."""
    b = np.asarray(box, dtype=np.float64)[:, None, :]
    sides = b[..., 2:]
    return geometry.box_centre(b) - sides / 2, np.where(sides > 0, sides, np.nan)


def _kept(errors: ArrayLike) -> Array:
    values = np.asarray(errors, dtype=np.float64)
    return values[measured(values)]


def _check_limit(limit: float) -> None:
    if not limit > 0:
        raise ParamsError(f"the threshold of AUC and failure rate is {limit!r}", expected="a number above 0")


def _no_points(name: str, scheme: Scheme, what: str) -> ParamsError:
    usable = ", ".join(available_normalisers(scheme))
    return ParamsError(
        f"scheme {scheme.name} has no {what}, so there is no {name}",
        hint=f"set evaluate.normaliser: {usable}",
    )
