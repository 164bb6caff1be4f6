"""Boxes and points on a picture as people look at it: upright, at the size of a screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from flmd import geometry, images
from flmd.face import Face
from flmd.picture import Picture
from flmd.schemes import Scheme

POINT, EDGE, BOX, LINE = (70, 255, 110), (0, 45, 10), (255, 196, 0), (90, 170, 255)
SHIFT = 4  # OpenCV draws at places of 1 / 2**SHIFT pixel
MARGIN = 1.4  # side of a face's own picture over its box's


@dataclass(frozen=True)
class Marks:
    """What is drawn besides the points: boxes, the lines of the scheme, the points' indices."""

    boxes: bool = True
    lines: bool = False
    numbers: bool = False


def annotated(
    picture: Picture,
    faces: Sequence[Face],
    scheme: Scheme,
    marks: Marks | None = None,
    *,
    longest_side: int | None = None,
) -> NDArray[np.uint8]:
    """A copy of the upright picture with its faces on it.

    Parameters
    ----------
    longest_side : pixels to which a larger picture is shrunk, before points are drawn at their places.

    Returns
    -------
    (H, W, 3) uint8 RGB.
    """
    pixels = picture.upright.copy()
    height, width = pixels.shape[:2]
    if longest_side is not None and max(height, width) > longest_side:
        shrink = longest_side / max(height, width)
        size = max(1, round(width * shrink)), max(1, round(height * shrink))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    shown = geometry.resize_affine(pixels.shape[1] / width, pixels.shape[0] / height)
    _draw(pixels, faces, scheme, geometry.compose(shown, picture.to_upright), marks or Marks())
    return pixels


def face_picture(
    picture: Picture, face: Face, scheme: Scheme, side: int, marks: Marks | None = None
) -> NDArray[np.uint8]:
    """(side, side, 3) uint8 RGB: what is around a face's box, upright, with its points."""
    assert face.box is not None
    centre = geometry.apply(picture.to_upright, geometry.box_centre(face.box))
    length = float(geometry.box_side(face.box))
    square = np.array([*(centre - (length - 1) / 2), length, length])
    cut = geometry.square_crop(square, MARGIN, side)
    pixels = images.warp(picture.upright, cut, side, "cubic")
    _draw(pixels, [face], scheme, geometry.compose(cut, picture.to_upright), marks or Marks(boxes=False))
    return pixels


def icon() -> NDArray[np.uint8]:
    """(64, 64, 3) uint8 RGB: a face of seven points, for the browser's tab.

    Drawn here, because the icons that Streamlit knows by name are fetched from elsewhere.
    """
    pixels = np.full((64, 64, 3), (24, 60, 50), np.uint8)
    for x, y in ((20, 24), (44, 24), (32, 36), (18, 42), (26, 50), (38, 50), (46, 42)):
        cv2.circle(pixels, (x, y), 4, POINT, -1, cv2.LINE_AA)
    return pixels


def _draw(
    pixels: NDArray[np.uint8], faces: Sequence[Face], scheme: Scheme, affine: ArrayLike, marks: Marks
) -> None:
    """Draw faces, in stored pixels, on a picture to whose pixels ``affine`` leads."""
    for face in faces:
        points = geometry.apply(affine, face.landmarks)
        spread = geometry.box_side(geometry.box_of_points(points))
        radius = float(np.clip(spread / 90, 1.4, 8))
        if marks.boxes and face.box is not None:
            corners = np.stack([face.box[:2], face.box[:2] + face.box[2:] - 1])
            first, last = geometry.apply(affine, corners)
            cv2.rectangle(pixels, _at(first), _at(last), BOX, max(1, round(radius)), cv2.LINE_AA, SHIFT)
        if marks.lines:
            for a, b in scheme.skeleton:
                cv2.line(
                    pixels,
                    _at(points[a]),
                    _at(points[b]),
                    LINE,
                    max(1, round(radius / 2)),
                    cv2.LINE_AA,
                    SHIFT,
                )
        for index, point in enumerate(points):
            # A dark rim, so that a point is seen on any skin.
            cv2.circle(pixels, _at(point), _fixed(radius + 0.8), EDGE, -1, cv2.LINE_AA, SHIFT)
            cv2.circle(pixels, _at(point), _fixed(radius), POINT, -1, cv2.LINE_AA, SHIFT)
            if marks.numbers:
                place = (round(float(point[0]) + radius + 1), round(float(point[1]) - radius))
                size = 0.09 * radius + 0.22
                for colour, thickness in ((EDGE, 3), (POINT, 1)):
                    cv2.putText(pixels, str(index), place, 0, size, colour, thickness, cv2.LINE_AA)


def _fixed(value: float) -> int:
    return round(value * (1 << SHIFT))


def _at(point: NDArray[np.float64]) -> tuple[int, int]:
    """A place for OpenCV; what is far outside any picture stays there, within its integers."""
    x, y = np.clip(point, -1e6, 1e6)
    return _fixed(float(x)), _fixed(float(y))
