"""No detector: the whole picture is one face, as in pictures that were cropped before."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from flmd.inference.detection.base import Detector, Found
from flmd.inference.picture import Picture


class WholePicture(Detector):
    """One box, the picture's."""

    name: ClassVar[str] = "none"

    def __call__(self, picture: Picture) -> Found:
        """The box of the picture, without a score."""
        return Found(np.array([[0, 0, *picture.size]], np.float32), np.full(1, np.nan, np.float32), "image")
