"""Telling MERL-RAV's negative coordinates from points that lie outside the picture."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_NOT_PLACED = -1.0
_FEWEST = 4
_TORN = 1.5


def has_merl_rav_signs(points: NDArray[np.float64]) -> bool:
    """Whether (N, 2) coordinates of a .pts file, as written, can only be a face of MERL-RAV.

    Either sign is enough:

    - two points are at ``-1 -1`` exactly: landmarks of a face do not coincide to the last digit elsewhere;
    - each point has both coordinates positive or both negative, and without the signs the points take up
      less than two thirds of the room that they take up with them (diagonals of the bounding boxes). A
      plain face over the picture's top-left corner would have points that are outside on one side only.

    A face of MERL-RAV close to the picture's corner may bear neither.
    """
    not_placed = (points == _NOT_PLACED).all(axis=1)
    if np.count_nonzero(not_placed) > 1:
        return True
    placed = points[~not_placed]
    negative = (placed < 0).all(axis=1)
    if len(placed) < _FEWEST or not negative.any() or not (negative | (placed > 0).all(axis=1)).all():
        return False
    return _diagonal(placed) > _TORN * _diagonal(np.abs(placed))


def _diagonal(points: NDArray[np.float64]) -> float:
    width, height = np.ptp(points, axis=0).tolist()
    return math.sqrt(width * width + height * height)
