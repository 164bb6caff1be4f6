"""Faces whose landmarks do not look like a face, or do not fit their box or picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flmd.curation.alignment import Aligned, blocks_of, fit, mirrored
from flmd.curation.audit.findings import Outlier
from flmd.schemes import Scheme

ENOUGH = 30  # faces to learn from; fewer have no usual shape
VARIATION = 0.95  # share of the variance that the shape model keeps
MOST_COMPONENTS = 25
TRIMMED = 0.1  # the oddest share of faces does not take part in the model
ODD, UNSURE = 5.0, 20  # robust standard deviations of the logarithm of a distance; few faces show few poses
SWAP_GAIN = 0.6  # a swapped face fits at most this well as it is against swapped back
FAR_OUTSIDE = 0.25  # of the box's side beyond the picture's edge
LOW_IOU = 0.2

Array = NDArray[np.float64]
Reasons = dict[int, list[tuple[float, str]]]


def find_outliers(
    aligned: Aligned,
    landmarks: NDArray[np.floating],
    boxes: NDArray[np.floating],
    box_sources: Sequence[str],
    image_sizes: NDArray[np.integer],
    images: Sequence[str],
    splits: Sequence[str],
    scheme: Scheme,
) -> list[Outlier]:
    """Faces with something wrong, the worst first; what it is stands in their reasons."""
    reasons: Reasons = defaultdict(list)
    _odd_shapes(aligned, scheme, reasons)
    _swapped(aligned, scheme, reasons)
    _collapsed(landmarks, boxes, reasons)
    _misplaced(landmarks, boxes, box_sources, image_sizes, reasons)
    found = [
        Outlier(row, images[row], splits[row], round(max(w[0] for w in why), 2), tuple(w[1] for w in why))
        for row, why in reasons.items()
    ]
    return sorted(found, key=lambda o: (-o.score, o.row))


def shape_scores(points: NDArray[np.complex128], mean: NDArray[np.complex128]) -> tuple[Array, Array]:
    """How odd each aligned shape is, and how far each point lies from where the others put it.

    Parameters
    ----------
    points : (N, K) complex, aligned, all rows usable. mean : (K,).

    Returns
    -------
    odd : (N,) robust standard deviations; the worse of the distance within a principal-component model
        of the usual shapes (Mahalanobis) and the distance from that model.
    left : (N, K) distance of each point from the model, in radii of the face; 0 where not labelled.
    """
    everywhere = list(blocks_of(len(points)))
    far = np.concatenate([(_away(points[rows], mean) ** 2).sum(axis=1) for rows in everywhere])
    usual = np.zeros(len(points), bool)
    usual[np.argsort(far)[: max(2, int(len(points) * (1 - TRIMMED)))]] = True
    count = np.count_nonzero(usual)
    centre = sum(_away(points[rows][usual[rows]], mean).sum(axis=0) for rows in everywhere) / count
    spread = np.zeros((2 * len(mean), 2 * len(mean)))
    for rows in everywhere:
        centred = _away(points[rows][usual[rows]], mean) - centre
        spread += centred.T @ centred
    variance, axes = np.linalg.eigh(spread / count)
    variance, axes = variance[::-1], axes[:, ::-1]
    share = np.cumsum(variance) / max(variance.sum(), 1e-12)
    kept = min(int(np.searchsorted(share, VARIATION)) + 1, MOST_COMPONENTS, count // 5)
    mahalanobis, off, left = np.empty(len(points)), np.empty(len(points)), np.empty(points.shape)
    for rows in everywhere:
        centred = _away(points[rows], mean) - centre
        inside = centred @ axes[:, :kept]
        mahalanobis[rows] = np.sqrt((inside**2 / np.maximum(variance[:kept], 1e-12)).sum(axis=1))
        rest = centred - inside @ axes[:, :kept].T
        known = np.isfinite(points[rows])
        left[rows] = np.where(known, np.hypot(rest[:, : len(mean)], rest[:, len(mean) :]), 0)
        off[rows] = np.sqrt((left[rows] ** 2).sum(axis=1) / np.maximum(known.sum(axis=1), 1))
    return np.maximum(robust(mahalanobis), robust(off)), left


def _away(points: NDArray[np.complex128], mean: NDArray[np.complex128]) -> Array:
    """(N, 2 K) how far right and down of the mean's points; 0 where not labelled."""
    away = np.where(np.isfinite(points), points - mean, 0)
    return np.concatenate([away.real, away.imag], axis=1)


def _odd_shapes(aligned: Aligned, scheme: Scheme, reasons: Reasons) -> None:
    rows = np.flatnonzero(aligned.usable)
    if len(rows) < ENOUGH:
        return
    odd, left = shape_scores(aligned.points[rows], aligned.mean)
    limit = ODD * (1 + UNSURE / len(rows))
    for n in np.flatnonzero(odd > limit).tolist():
        worst = int(left[n].argmax())
        text = (
            f"unusual shape ({odd[n]:.1f} deviations), most at {scheme.points[worst]} "
            f"({100 * left[n, worst]:.0f}% of the face's radius)"
        )
        reasons[int(rows[n])].append((float(odd[n]), text))


def _swapped(aligned: Aligned, scheme: Scheme, reasons: Reasons) -> None:
    """Left and right exchanged: the points fit much better in the order of the mirrored face."""
    if scheme.flip_order is None or int(aligned.usable.sum()) < ENOUGH:
        return
    swapped = np.empty(len(aligned.points))
    for rows in blocks_of(len(swapped)):
        # Mirroring twice puts the points back where they are, with left and right exchanged.
        back = -np.conj(mirrored(aligned.points[rows], scheme))
        swapped[rows] = fit(back, aligned.mean)[2]
    with np.errstate(invalid="ignore"):
        wrong = swapped < SWAP_GAIN * aligned.residual
    for row in np.flatnonzero(wrong).tolist():
        gain = float(aligned.residual[row] / max(swapped[row], 1e-6))
        reasons[row].append((10.0, f"left and right are swapped (fits {gain:.1f} times better exchanged)"))


def _collapsed(landmarks: NDArray[np.floating], boxes: NDArray[np.floating], reasons: Reasons) -> None:
    for row, points in enumerate(landmarks):
        labelled = points[np.isfinite(points).all(axis=1)]
        if len(labelled) < 3:
            continue
        # Closed lips may share points; half of a face may not.
        distinct = len(np.unique(labelled, axis=0))
        if distinct <= len(labelled) / 2:
            reasons[row].append((20.0, f"points collapsed: {len(labelled)} points at {distinct} places"))


def _misplaced(
    landmarks: NDArray[np.floating],
    boxes: NDArray[np.floating],
    box_sources: Sequence[str],
    image_sizes: NDArray[np.integer],
    reasons: Reasons,
) -> None:
    """Points far beyond the picture; boxes that lie elsewhere than the points."""
    box = boxes.astype(np.float64)
    side = box[:, 2:].max(axis=1)
    some = np.isfinite(landmarks).all(axis=2).any(axis=1)
    low, high = np.empty((len(box), 2)), np.empty((len(box), 2))
    for rows in blocks_of(len(box)):
        p = landmarks[rows].astype(np.float64)
        p[~some[rows]] = box[rows][~some[rows], None, :2]
        size = image_sizes[rows]
        with np.errstate(invalid="ignore"):
            low[rows], high[rows] = np.nanmin(p, axis=1), np.nanmax(p, axis=1)
            beyond = np.maximum(-0.5 - p, p - (size[:, None] - 0.5)).max(axis=2)
        beyond = np.where(np.isfinite(beyond), beyond, 0)
        far = (beyond > FAR_OUTSIDE * side[rows, None]) & (size[:, :1] > 0) & some[rows, None]
        for n in np.flatnonzero(far.any(axis=1)).tolist():
            text = f"{int(far[n].sum())} points lie up to {beyond[n].max():.0f} px outside the picture"
            reasons[rows.start + n].append((8.0, text))
    near, corner = np.maximum(low, box[:, :2]), np.minimum(high + 1, box[:, :2] + box[:, 2:])
    shared = np.prod(np.maximum(corner - near, 0), axis=1)
    union = np.prod(high - low + 1, axis=1) + np.prod(box[:, 2:], axis=1) - shared
    iou = shared / np.maximum(union, 1e-9)
    # What is usual depends on the points: five of them fill a quarter of a good box.
    judged = np.isin(list(box_sources), ("annotated", "detector")) & some
    limit = min(LOW_IOU, 0.4 * float(np.median(iou[judged]))) if judged.any() else 0.0
    for row in np.flatnonzero(judged & (iou <= limit)).tolist():
        reasons[row].append((9.0, f"the box does not match the points (IoU {iou[row]:.2f})"))


def robust(distances: Array) -> Array:
    """Robust standard deviations above the median, of the logarithms."""
    logs = np.log(np.maximum(distances, 1e-6))
    middle = np.median(logs)
    spread = 1.4826 * np.median(np.abs(logs - middle))
    # Shapes of one mould differ by less than their own logarithms' rounding; 0.15 is what real faces have.
    return np.asarray((logs - middle) / max(float(spread), 0.15))
