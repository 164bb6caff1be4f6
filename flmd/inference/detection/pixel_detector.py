"""Detectors that look at the pixels of the upright picture, and boxes of theirs made like annotated ones."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flmd.core import geometry
from flmd.core.orientation import map_boxes
from flmd.inference.detection.base import Detector, Found
from flmd.inference.picture import Picture


@dataclass(frozen=True)
class BoxAdjustment:
    """From a detector's boxes to annotated ones: a square around a shifted centre.

    ``side``: of the new square over the detector's longer side. ``shift_x``, ``shift_y``: of the centre,
    in the detector's longer sides, right and down in the upright picture.
    """

    side: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0

    def __call__(self, boxes: NDArray[np.floating]) -> NDArray[np.float64]:
        """(N, 4) adjusted boxes of the (N, 4) boxes of a detector."""
        old = geometry.box_side(boxes)
        centre = geometry.box_centre(boxes) + old[:, None] * np.array([self.shift_x, self.shift_y])
        side = self.side * old
        return np.concatenate([centre - (side[:, None] - 1) / 2, side[:, None], side[:, None]], axis=1)


class PixelDetector(Detector):
    """A detector that looks at the pixels: upright, and no larger than need be.

    Parameters
    ----------
    longest_side : pixels; a larger picture is shrunk to it before detection. Faces smaller than the
        detector's smallest window at that size are not found; raise it to find them.
    adjustment : from its boxes to the kind that networks are trained with; None: the detector's own.
    """

    adjustment: BoxAdjustment = BoxAdjustment()

    def __init__(self, longest_side: int = 800, adjustment: BoxAdjustment | None = None) -> None:
        self.longest_side = longest_side
        if adjustment is not None:
            self.adjustment = adjustment

    @abstractmethod
    def detect(self, rgb: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """(N, 4) boxes as the detector draws them, and (N,) scores, for (H, W, 3) uint8 pixels."""

    def __call__(self, picture: Picture) -> Found:
        """Detect on the upright picture, at reduced size when it is large; adjust, and map back."""
        pixels = picture.upright
        height, width = pixels.shape[:2]
        shrink = max(height, width) / self.longest_side
        if shrink > 1:
            size = max(1, round(width / shrink)), max(1, round(height / shrink))
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        raw, scores = self.detect(pixels)
        if not len(raw):
            return Found()
        scale = np.array([width / pixels.shape[1], height / pixels.shape[0]] * 2)
        raw = raw * scale  # a box is measured from the corner of its first pixel, so scaling keeps it
        boxes = upright_to_stored(self.adjustment(raw), picture)
        order = np.argsort(-boxes[:, 2] * boxes[:, 3], kind="stable")
        return Found(boxes[order].astype(np.float32), scores[order].astype(np.float32))


def upright_to_stored(boxes: NDArray[np.float64], picture: Picture) -> NDArray[np.float64]:
    """(N, 4) boxes of the upright picture in stored pixels; exact, as axes stay axes."""
    if picture.orientation == 1:
        return boxes
    return map_boxes(geometry.invert(picture.to_upright), boxes)
