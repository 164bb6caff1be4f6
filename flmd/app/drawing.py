"""Boxes and points on a picture as people look at it: upright, at the size of a screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from flmd.core import geometry, images
from flmd.face import Face
from flmd.inference.picture import Picture
from flmd.inference.video.drawing import POINT, DrawnFace, draw

MARGIN = 1.4  # side of a face's own picture over its box's


@dataclass(frozen=True)
class Marks:
    """What is drawn besides the points: boxes, the points' indices."""

    boxes: bool = True
    numbers: bool = False


PLAIN = Marks()


def annotated(
    picture: Picture,
    faces: Sequence[Face],
    marks: Marks = PLAIN,
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
    affine = geometry.compose(shown, picture.to_upright)
    draw(pixels, [_mapped(face, affine, box=marks.boxes) for face in faces], numbers=marks.numbers)
    return pixels


def face_picture(picture: Picture, face: Face, side: int, marks: Marks = PLAIN) -> NDArray[np.uint8]:
    """(side, side, 3) uint8 RGB: what is around a face's box, upright, with its points."""
    assert face.box is not None
    centre = geometry.apply(picture.to_upright, geometry.box_centre(face.box))
    length = float(geometry.box_side(face.box))
    square = np.array([*(centre - (length - 1) / 2), length, length])
    cut = geometry.square_crop(square, MARGIN, side)
    pixels = images.warp(picture.upright, cut, side, "cubic")
    drawn = _mapped(face, geometry.compose(cut, picture.to_upright), box=False)
    draw(pixels, [drawn], numbers=marks.numbers)
    return pixels


def icon() -> NDArray[np.uint8]:
    """(64, 64, 3) uint8 RGB: a face of seven points, for the browser's tab.

    Drawn here, because the icons that Streamlit knows by name are fetched from elsewhere.
    """
    pixels = np.full((64, 64, 3), (24, 60, 50), np.uint8)
    for x, y in ((20, 24), (44, 24), (32, 36), (18, 42), (26, 50), (38, 50), (46, 42)):
        cv2.circle(pixels, (x, y), 4, POINT, -1, cv2.LINE_AA)
    return pixels


def _mapped(face: Face, affine: ArrayLike, *, box: bool) -> DrawnFace:
    """A face, in stored pixels, where ``affine`` takes it."""
    points = geometry.apply(affine, face.landmarks)
    if not box or face.box is None:
        return DrawnFace(points)
    # The edges, not the outermost pixels' centres: those come closer when a picture shrinks.
    edges = np.stack([face.box[:2] - 0.5, face.box[:2] + face.box[2:] - 0.5])
    mapped = geometry.apply(affine, edges)
    low, high = mapped.min(axis=0), mapped.max(axis=0)
    return DrawnFace(points, np.concatenate([low + 0.5, high - low]))
