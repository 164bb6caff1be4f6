"""What a detector is: a picture in, boxes like those the networks were trained with out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from flmd.core import geometry
from flmd.errors import ParamsError
from flmd.inference.picture import Picture


@dataclass(frozen=True)
class Found:
    """The faces of one picture.

    Attributes
    ----------
    boxes : (N, 4) float32 x, y, width, height, stored pixels; may reach outside the picture.
    scores : (N,) float32, larger is surer, in the detector's own unit; NaN where it says nothing.
    source : what made the boxes, one of ``flmd.face.BOX_SOURCES``.
    """

    boxes: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    scores: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    source: str = "detector"

    def __len__(self) -> int:
        return len(self.boxes)


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


class Detector(ABC):
    """Finds the faces of a picture. ``name`` is the one in commands."""

    name: ClassVar[str]

    @classmethod
    def from_spec(cls, file: str) -> Self:
        """Made from what stands behind "name:"; ParamsError unless that fits the detector."""
        if file:
            raise ParamsError(f"detector {cls.name}:{file}", expected=f"{cls.name} alone: it takes no file")
        return cls()

    @abstractmethod
    def __call__(self, picture: Picture) -> Found:
        """The faces of a picture, the largest first; none is no error."""


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
    corners = np.stack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:] - 1], axis=1)
    back = geometry.apply(geometry.invert(picture.to_upright), corners)
    low, high = back.min(axis=1), back.max(axis=1)
    return np.concatenate([low, high - low + 1], axis=1)
