"""Turning the hue of a crop in whole numbers, so that no processor has other pixels.

OpenCV on x86-64 takes the same whole numbers as the two functions ``by_hand`` here; on ARM its kernels of
another library round otherwise, and those two stand in.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flmd.core import processor

Pixels = NDArray[np.uint8]


def turn_hue(rgb: Pixels, turns: float) -> Pixels:
    """Around the colour circle, in OpenCV's steps of two degrees.

    Back from hue to colours by products of two levels over 255, rounded. None of them is near a half, so that
    no processor rounds one otherwise; OpenCV's own way back does come near.
    """
    hue, saturation, high = hue_saturation_value(rgb) if processor.ON_X86 else hue_by_hand(rgb)
    over_255 = product_over_255 if processor.ON_X86 else product_by_hand
    span = over_255(high, saturation)
    first = math.floor(180 * turns) % 180
    planes = []
    for table in _below_highest():
        share: Any = cv2.LUT(hue, table[first : first + 256])
        planes.append(cv2.subtract(high, over_255(share, span)))
    return cv2.merge(planes)  # type: ignore[return-value]


@cache
def _below_highest() -> list[Pixels]:
    """How far red, green and blue lie below the highest of them at each hue, 255: all the way.

    (540,) each: the circle of 180 steps three times, so that a turn is another place to begin.
    """
    sixths = np.abs((np.arange(540) - np.array([[0], [60], [120]]) + 90) % 180 - 90)
    return list(((np.clip(sixths - 30, 0, 30) * 255 + 15) // 30).astype(np.uint8))


def hue_saturation_value(rgb: Pixels) -> tuple[Pixels, Pixels, Pixels]:
    """(H, W) planes of an (H, W, 3) RGB picture: hue 0-179 in steps of two degrees, saturation, value."""
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
    hue, saturation, value = (cv2.extractChannel(hsv, i) for i in range(3))
    return hue, saturation, value  # type: ignore[return-value]


def product_over_255(a: Pixels, b: Pixels) -> Pixels:
    """a times b over 255, rounded."""
    return cv2.multiply(a, b, scale=1 / 255)  # type: ignore[return-value]


def hue_by_hand(rgb: Pixels) -> tuple[Pixels, Pixels, Pixels]:
    """What :func:`hue_saturation_value` is on x86-64: quotients are products with reciprocals of 12 bits."""
    red, green, blue = (rgb[..., i].astype(np.int32) for i in range(3))
    value, low = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    span = value - low
    sixth = np.where(
        value == red,
        green - blue,
        np.where(value == green, blue - red + 2 * span, red - green + 4 * span),
    )
    whole, circle = _reciprocals()
    hue = (sixth * circle[span] + (1 << 11)) >> 12
    hue = np.where(hue < 0, hue + 180, hue)
    planes = [plane.astype(np.uint8) for plane in (hue, (span * whole[value] + (1 << 11)) >> 12, value)]
    return planes[0], planes[1], planes[2]


@cache
def _reciprocals() -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """255 and 30 over 1 to 255, times 2**12; 0 over 0."""
    levels = np.maximum(np.arange(256), 1)
    whole, circle = (np.rint((n << 12) / levels).astype(np.int32) for n in (255, 30))
    whole[0] = circle[0] = 0
    return whole, circle


def product_by_hand(a: Pixels, b: Pixels) -> Pixels:
    """What :func:`product_over_255` is on x86-64."""
    return ((2 * a.astype(np.int32) * b + 255) // 510).astype(np.uint8)
