"""Small training arrays: a square whose corners, middle and side are the landmarks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flmd.core.crop_spec import CropSpec
from flmd.schemes import Scheme

SQUARE = Scheme(
    name="square",
    points=("top_left", "top_right", "bottom_left", "bottom_right", "middle"),
    flip_order=(1, 0, 3, 2, 4),
    regions={},
    skeleton=(),
    outer_eye_corners=(0, 1),
    pupils=None,
)


RGB, GREY = CropSpec(32, 1.3, "rgb"), CropSpec(32, 1.3, "grey")  # how the squares were cut out


@dataclass
class Arrays:
    images: NDArray[np.uint8]
    points: NDArray[np.float32]
    visibility: NDArray[np.uint8]


def squares(count: int, *, side: int = 32, colour: bool = False, seed: int = 0) -> Arrays:
    """Grey noise with one bright square each; a tenth of the points is not labelled (NaN)."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 60, (count, side, side), dtype=np.uint8)
    points = np.empty((count, 5, 2), dtype=np.float32)
    for image, five in zip(images, points, strict=True):
        size = int(random.integers(side // 4, side // 2))
        x, y = random.integers(0, side - size, 2)
        image[y : y + size, x : x + size] += 150
        last = size - 1
        five[:] = [(x, y), (x + last, y), (x, y + last), (x + last, y + last), (x + last / 2, y + last / 2)]
    hidden = random.random((count, 5)) < 0.1
    points[hidden] = np.nan
    if colour:
        images = np.repeat(images[:, None], 3, axis=1)
    return Arrays(images, points, np.where(hidden, 0, 2).astype(np.uint8))
