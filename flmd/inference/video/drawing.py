"""Faces drawn on pictures: boxes, points, and numbers, in a thickness that fits the face."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flmd.core import geometry, palette

_SUB = 4  # bits of sub-pixel precision that cv2's shapes take
POINT, BOX = palette.rgb(palette.PREDICTED), palette.rgb(palette.BOX)
TEXT, EDGE = palette.rgb(palette.LABEL), palette.rgb(palette.EDGE)


@dataclass(frozen=True)
class DrawnFace:
    """What is drawn of a face, in pixels of the picture: (K, 2) points, a (4,) box or None, a label."""

    points: NDArray[np.floating]
    box: NDArray[np.floating] | None = None
    label: str = ""


def draw(
    pixels: NDArray[np.uint8],
    faces: Iterable[DrawnFace],
    *,
    numbers: bool = False,
    skeleton: Sequence[tuple[int, int]] = (),
) -> None:
    """Draw faces into a picture.

    Parameters
    ----------
    pixels : (H, W, 3) uint8 RGB, contiguous; drawn into. faces : points that are NaN are left out.
    numbers : the index beside each point. skeleton : pairs of points joined by a line.
    """
    for face in faces:
        labelled = face.points[np.isfinite(face.points).all(axis=1)]
        side = _side(face, labelled)
        line = max(1, round(side / 150))
        if face.box is not None:
            _rectangle(pixels, np.asarray(face.box, np.float64), line)
        _lines(pixels, face.points, skeleton, max(1, round(side / 250)))
        _dots(pixels, labelled, side)
        if numbers:
            for index, point in enumerate(face.points):
                if np.isfinite(point).all():
                    _text(pixels, str(index), point + side / 100, side / 900)
        if face.label and face.box is not None:
            _text(pixels, face.label, np.array([face.box[0], face.box[1] - 4.0]), max(0.4, side / 400))


def _side(face: DrawnFace, labelled: NDArray[np.floating]) -> float:
    if face.box is not None:
        return float(geometry.box_side(face.box))
    return float(np.ptp(labelled, axis=0).max()) if len(labelled) else 1.0


def _rectangle(pixels: NDArray[np.uint8], box: NDArray[np.float64], thickness: int) -> None:
    low, high = _fixed(box[:2]), _fixed(box[:2] + box[2:] - 1)
    cv2.rectangle(pixels, low, high, BOX, thickness, cv2.LINE_AA, _SUB)


def _lines(
    pixels: NDArray[np.uint8], points: NDArray[np.floating], skeleton: Sequence[tuple[int, int]], width: int
) -> None:
    """The lines of the face; one to a point that is not labelled is left out."""
    for first, last in skeleton:
        if np.isfinite(points[[first, last]]).all():
            ends = _fixed(points[first]), _fixed(points[last])
            cv2.line(pixels, *ends, POINT, width, cv2.LINE_AA, _SUB)


def _dots(pixels: NDArray[np.uint8], points: NDArray[np.floating], side: float) -> None:
    """A light dot in a dark ring, so that it shows on any skin."""
    radius = max(1.0, side / 110)
    for grow, color in ((0.6, EDGE), (0.0, POINT)):
        size = round((radius * (1 + grow)) * (1 << _SUB))
        for point in points:
            cv2.circle(pixels, _fixed(point), size, color, cv2.FILLED, cv2.LINE_AA, _SUB)


def _text(pixels: NDArray[np.uint8], text: str, at: NDArray[np.floating], scale: float) -> None:
    place = round(float(np.clip(at[0], -1e6, 1e6))), round(float(np.clip(at[1], -1e6, 1e6)))
    scale = max(0.25, scale)
    for color, thickness in ((EDGE, max(2, round(4 * scale))), (TEXT, max(1, round(1.5 * scale)))):
        cv2.putText(pixels, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, color, thickness, cv2.LINE_AA)


def _fixed(point: NDArray[np.floating]) -> tuple[int, int]:
    """cv2's fixed-point coordinates; far outside any picture they are cut, as they are not seen."""
    x, y = (np.clip(np.asarray(point, np.float64), -30000, 30000) * (1 << _SUB)).round().astype(int).tolist()
    return x, y
