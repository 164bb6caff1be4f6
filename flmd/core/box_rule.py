"""How the boxes of a data set lie around the points of its faces: from points to the box it would have.

A detector's boxes follow a rule of their own. With the rule of the faces that a network was trained with, the
box can be drawn anew around the points that it found at first, so that whose box came first matters less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flmd.core import geometry


@dataclass(frozen=True)
class BoxRule:
    """A square around points, in units of the longer side of the smallest box that holds them.

    Attributes
    ----------
    right, down : from the middle of that smallest box to the middle of the square. size : side of the square.
    """

    right: float
    down: float
    size: float

    @classmethod
    def fit(cls, points: ArrayLike, boxes: ArrayLike) -> Self | None:
        """The median rule of faces.

        Parameters
        ----------
        points : (N, K, 2), NaN where not labelled. boxes : (N, 4) x, y, width, height, in the same pixels.

        Returns
        -------
        None when no face has all of its points, or all of them lie in one place.
        """
        held, given = geometry.box_of_points(points), np.asarray(boxes, dtype=np.float64)
        whole = np.isfinite(np.asarray(points, dtype=np.float64)).all(axis=(1, 2))
        held, given = held[whole], given[whole]
        side = geometry.box_side(held)
        held, given, side = (each[side > 1] for each in (held, given, side))
        if not len(side):
            return None
        away = (geometry.box_centre(given) - geometry.box_centre(held)) / side[:, None]
        right, down = np.median(away, axis=0).tolist()
        return cls(right, down, float(np.median(geometry.box_side(given) / side)))

    def boxes(self, points: ArrayLike) -> NDArray[np.float64]:
        """(N, 4) square boxes around (N, K, 2) points; NaN for a face without any."""
        held = geometry.box_of_points(points)
        side = geometry.box_side(held)
        centre = geometry.box_centre(held) + side[:, None] * np.array([self.right, self.down])
        size = self.size * side
        return np.column_stack([centre - (size[:, None] - 1) / 2, size, size])
