"""Where a head of the built-in sample stands, how it is lit and where its points fall in the picture.

Pixels as everywhere in flmd: the centre of the top-left one is (0, 0). Canvases are :data:`FINE` times the
picture's size and shrunk at the end. Colours are RGB in 0-1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from flmd.core import exact
from flmd.schemes.head_pose import rotation
from flmd.sources.sample.head import MARCHING, Floats, chart, on_skin
from flmd.sources.sample.person import Expression, Person, expressed

FINE = 2
SHIFT = 4
"""Fractional bits of the coordinates given to OpenCV's drawing functions."""
CAMERA_DISTANCE = 13.0  # inter-ocular distances: about 1.2 m
Image = NDArray[np.float32]


@dataclass(frozen=True)
class Light:
    """``direction`` (3,) to the lamp, camera frame; ``key`` and ``fill`` (3,) RGB intensities."""

    direction: Floats
    key: Floats
    fill: Floats


@dataclass(frozen=True)
class Head:
    """A person in front of the camera. ``centre`` (2,) pixels of the head frame's origin, ``scale`` pixels
    an inter-ocular distance, angles in degrees as in flmd.schemes.head_pose."""

    person: Person
    expression: Expression
    yaw: float
    pitch: float
    roll: float
    centre: tuple[float, float]
    scale: float

    @cached_property
    def anchors(self) -> Floats:
        """``(A, 3)`` anchors of the person with the expression, head frame."""
        return expressed(self.person, self.expression)

    def to_camera(self, points: Floats) -> Floats:
        """``(..., 3)`` head frame -> ``(..., 3)``: x and y in pixels, z in inter-ocular distances."""
        turned = turned_by(rotation(self.yaw, self.pitch, self.roll), points)
        near = self.scale / (1 - turned[..., 2:] / CAMERA_DISTANCE)
        return np.concatenate([self.centre + turned[..., :2] * near, turned[..., 2:]], axis=-1)

    def landmarks(self) -> Floats:
        """``(68, 2)`` float64, pixels.

        All points lie on the skin where the feature is, seen or not, except that a jaw point hidden by the
        cheek moves along its row of the skin to the visible outline, as annotators place it.
        """
        points = self.to_camera(self.anchors[:68])[:, :2]
        paths = on_skin(chart().marching, self.anchors)
        upright = turned_by(rotation(self.yaw, self.pitch, 0), paths)
        outwards = upright[..., 0] * np.where(MARCHING < 8, -1, 1)[:, None]
        outermost = outwards.argmax(axis=1)
        points[MARCHING] = self.to_camera(paths[np.arange(len(MARCHING)), outermost])[:, :2]
        return points


def turned_by(matrix: Floats, points: Floats) -> Floats:
    """``(3, 3)`` applied to ``(..., 3)`` points."""
    return exact.product(matrix, points.reshape(-1, 3).T).T.reshape(points.shape)


def fine(points: Floats) -> NDArray[np.int32]:
    """Pixels -> OpenCV's fixed-point coordinates on the fine canvas (``shift`` :data:`SHIFT`)."""
    return np.round(((points + 0.5) * FINE - 0.5) * (1 << SHIFT)).astype(np.int32)
