"""Brightness, contrast, saturation, hue and greying of a colour crop as one matrix, in whole numbers.

All five are linear in the colours of a pixel, so that they are one step, rounded and clipped once. Hue is a
turn about the axis of greys, as the colour matrix of a camera turns colours. (The hue of the HSV cone keeps
the highest and the lowest of the three colours instead, which is not linear: pixels of torchvision and of
albumentations differ.)

Entries are whole numbers over 1024, and the sums too, so that no processor has other pixels. OpenCV does the
same: :func:`by_hand` is its arithmetic, written out for processors where its kernels may take another way.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from flmd.core import exact, processor

if TYPE_CHECKING:
    from flmd.augmentation.photometric import Photometric

Pixels = NDArray[np.uint8]
ONE = 1024  # what stands for 1
WEIGHTS = (0.299, 0.587, 0.114)  # of red, green and blue in grey, ITU-R BT.601
_STEPS = 1024  # of hue, a turn


@cache
def _circle() -> list[tuple[float, float]]:
    """Sine and cosine of each step of a turn."""
    sine, cosine = exact.sin_cos(np.arange(_STEPS) * (2 * np.pi / _STEPS))
    return list(zip(sine.tolist(), cosine.tolist(), strict=True))


def of(change: Photometric) -> list[list[int]]:
    """3 x 3 whole numbers over 1024: what each colour (row) takes from red, green and blue.

    Brightness and contrast are factors of all. With saturation s and a turn R about the axis of greys it is
    b c (s R + (1 - s) W), where the rows of W are the weights of grey. Each row sums to the same number, so
    that grey stays grey; the entry on the diagonal takes what rounding leaves.
    """
    gain = change.brightness * change.contrast
    if change.grey:
        shares = [list(WEIGHTS)] * 3
    else:
        sine, cosine = _circle()[round(change.hue * _STEPS) % _STEPS]
        ahead, behind = (1 - cosine) / 3 + sine / math.sqrt(3), (1 - cosine) / 3 - sine / math.sqrt(3)
        turn = ((1 + 2 * cosine) / 3, behind, ahead)  # by how many colours on: 0, 1, 2
        s = change.saturation
        shares = [[s * turn[(j - i) % 3] + (1 - s) * WEIGHTS[j] for j in range(3)] for i in range(3)]
    rows = [[round(ONE * gain * share) for share in row] for row in shares]
    total = round(ONE * gain)
    for i, row in enumerate(rows):
        row[i] += total - sum(row)
    return rows


def start(change: Photometric, mean_grey: float) -> int:
    """What is added to every colour, over 1024: contrast is about the mean grey after brightening."""
    return round(ONE * (1 - change.contrast) * change.brightness * mean_grey)


def is_diagonal(matrix: list[list[int]]) -> bool:
    """Whether no colour takes from another."""
    return not any(matrix[i][j] for i in range(3) for j in range(3) if i != j)


def apply(rgb: Pixels, matrix: list[list[int]], added: int) -> Pixels:
    """(H, W, 3) RGB times a matrix that is not diagonal, plus ``added``; rounded and clipped once."""
    if not processor.ON_X86:
        return by_hand(rgb, matrix, added)
    floats = [[*(entry / ONE for entry in row), added / ONE] for row in matrix]
    return cv2.transform(rgb, np.array(floats))  # type: ignore[return-value]


def by_hand(rgb: Pixels, matrix: list[list[int]], added: int) -> Pixels:
    """What :func:`apply` is: whole numbers, a half rounded up."""
    sums = rgb.astype(np.int64) @ np.array(matrix).T + (added + ONE // 2)
    levels: Pixels = np.clip(sums >> 10, 0, 255).astype(np.uint8)
    return levels
