"""Viola and Jones' cascade of Haar features, with the file that comes with OpenCV.

Viola and Jones, "Robust real-time face detection", IJCV 57(2), 2004; the frontal-face cascade is Lienhart's,
``haarcascade_frontalface_default.xml`` of ``cv2.data``. The five source systems use the same file.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from flmd.core import images
from flmd.errors import FlmdError
from flmd.inference.detection.pixel_detector import BoxAdjustment, PixelDetector

CASCADE = "haarcascade_frontalface_default.xml"
# Medians over 1840 of the 2012 training faces of 300-W that are no mirrored twins (afw, helen/trainset,
# lfpw/trainset; annotated boxes; matched where the IoU is above 0.3): side 1.008, shift 0.004 and 0.148. The
# sideways shift is left at 0: a face and its mirror image must be treated alike.
TO_ANNOTATED = BoxAdjustment(side=1.01, shift_y=0.15)


class Haar(PixelDetector):
    """Frontal faces; the score of a box is how many raw hits were merged into it.

    Parameters
    ----------
    scale_factor : between one size of the window and the next.
    min_neighbours : hits that a face needs besides the first.
    smallest_side : pixels, of a face in the picture that is looked at; the cascade's window is 24.
    """

    name: ClassVar[str] = "haar"
    adjustment = TO_ANNOTATED

    def __init__(
        self,
        longest_side: int = 800,
        adjustment: BoxAdjustment | None = None,
        *,
        scale_factor: float = 1.1,
        min_neighbours: int = 5,
        smallest_side: int = 30,
    ) -> None:
        super().__init__(longest_side, adjustment)
        self.scale_factor, self.min_neighbours = scale_factor, min_neighbours
        self.smallest_side = smallest_side
        path = Path(cv2.__file__).parent / "data" / CASCADE
        self._cascade = cv2.CascadeClassifier(str(path))
        if self._cascade.empty():
            raise FlmdError("OpenCV's cascade is missing", where=str(path), hint="install opencv again")

    def detect(self, rgb: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """See :meth:`PixelDetector.detect`."""
        if min(rgb.shape[:2]) < self.smallest_side:
            return np.zeros((0, 4)), np.zeros(0, np.float32)
        boxes, hits = self._cascade.detectMultiScale2(
            images.to_grey(rgb),
            scaleFactor=self.scale_factor,
            minNeighbors=self.min_neighbours,
            minSize=(self.smallest_side, self.smallest_side),
        )
        return (
            np.asarray(boxes, np.float64).reshape(-1, 4),
            np.asarray(hits, np.float32).reshape(-1),
        )
