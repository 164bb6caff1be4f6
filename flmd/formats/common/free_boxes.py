"""Boxes that no group ties to a face, matched by the points that they hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def only_one_around(
    points: NDArray[np.floating], boxes: Sequence[NDArray[np.float32]]
) -> NDArray[np.float32] | None:
    """The box that holds more than half of (N, 2) points, where one alone does.

    ``boxes`` are (4,) x, y, width, height, and both ends of a side belong to it; all in the same pixels.
    """
    found = [box for box in boxes if 2 * _inside(points.astype(np.float64), box) > len(points)]
    return found[0] if len(found) == 1 else None


def _inside(points: NDArray[np.float64], box: NDArray[np.float32]) -> int:
    low = box[:2].astype(np.float64)
    return int(((points >= low) & (points <= low + box[2:])).all(axis=1).sum())
