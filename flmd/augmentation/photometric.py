"""Changes of brightness, colour and sharpness: parameters in, one uint8 crop out.

Brightness and contrast of grey are one 256-entry table; of colours they are one matrix with saturation and
hue. Parameters are drawn by us, so that a draw depends on nothing but the face.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from flmd.augmentation import color_matrix
from flmd.core import exact, processor
from flmd.core.params import AugmentParams

Pixels = NDArray[np.uint8]
DRAWS = 16
LEAST_BLUR = 0.05  # sigma; below that the kernel is a single 1
_LEVELS = np.arange(256, dtype=np.float64)
_NOISE_BITS = 20


@cache
def noise_table(seed: int) -> NDArray[np.float32]:
    """2**20 normal numbers; a crop takes a run of them from a place drawn at random."""
    raw = np.random.Philox(seed).random_raw((1 << _NOISE_BITS) // 4)
    return np.asarray(exact.normal_levels().astype(np.float32)[raw.astype("<u8").view("<u2")])


@cache
def _negative_noise(seed: int) -> Pixels:
    """255 where :func:`noise_table` is negative, 0 elsewhere."""
    return np.where(noise_table(seed) < 0, 255, 0).astype(np.uint8)


class Photometric(NamedTuple):
    """What happens to one crop; the neutral value of each leaves the crop as it is."""

    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0
    grey: bool = False
    blur: float = 0.0
    noise: float = 0.0
    noise_place: float = 0.0
    occlusion: tuple[float, float, float, float, float] | None = None
    seed: int = 0


def draw(u: NDArray[np.float64], config: AugmentParams) -> list[Photometric]:
    """Turn (N, DRAWS) uniform numbers into N sets of changes within the limits."""
    signed = 2 * u - 1
    return [
        Photometric(
            brightness=1 + config.brightness * s[0],
            contrast=1 + config.contrast * s[1],
            saturation=1 + config.saturation * s[2],
            hue=config.hue * s[3],
            grey=bool(v[4] < config.grey),
            # Half of the crops stay sharp, half stay clean: real pictures do.
            blur=config.blur * max(0.0, s[5]),
            noise=config.noise * max(0.0, s[6]),
            noise_place=v[7],
            occlusion=(v[9], v[10], v[11], v[12], v[13]) if v[8] < config.occlusion else None,
            seed=int(v[14] * 2**32),
        )
        for v, s in zip(u.tolist(), signed.tolist(), strict=True)
    ]


def uses_color(config: AugmentParams) -> bool:
    """Whether any change within the limits looks at more than the grey of a picture."""
    return config.saturation > 0 or config.hue > 0


def change_levels(pixels: Pixels, change: Photometric) -> Pixels:
    """Brightness and contrast as one table: x -> m + c (b x - m), m the mean grey after brightening.

    Rounded once, clipped to 0 ... 255 by the nature of uint8 pictures. Where none of the 256 results is near
    a half, OpenCV's line in float32 gives the table's levels in half its time.
    """
    b, c = change.brightness, change.contrast
    if b == 1 and c == 1:
        return pixels
    mean = _mean_grey(pixels) * b
    slope, start = b * c, mean - c * mean
    if processor.ON_X86 and _is_safe_in_float32(slope, start):
        if start >= 0:
            return cv2.convertScaleAbs(pixels, alpha=slope, beta=start)  # type: ignore[return-value]
        return cv2.addWeighted(pixels, slope, pixels, 0, start)  # type: ignore[return-value]
    table = np.clip(np.rint(mean + c * (b * _LEVELS - mean)), 0, 255).astype(np.uint8)
    return cv2.LUT(pixels, table)  # type: ignore[return-value]


def _is_safe_in_float32(slope: float, start: float) -> bool:
    """Whether slope * x + start, added up in float32 in any way, is rounded right for each x of 0 ... 255."""
    line = _LEVELS * slope
    line += start
    off = np.abs(np.subtract(line, np.rint(line), out=line), out=line)
    # A product of rounded factors and a sum: each within 2**-24 of its size.
    return bool(off.max() < 0.5 - (255 * slope + abs(start)) * 2.0**-22)


def _mean_grey(pixels: Pixels) -> float:
    if pixels.ndim == 2:
        return cv2.sumElems(pixels)[0] / pixels.size
    # By rows first: cv2.sumElems of interleaved colours takes many times as long.
    rows = cv2.reduce(pixels, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
    red, green, blue, _ = cv2.sumElems(rows)
    weights = color_matrix.WEIGHTS
    return (weights[0] * red + weights[1] * green + weights[2] * blue) / (pixels.size / 3)


def change_color(rgb: Pixels, change: Photometric) -> Pixels:
    """Brightness, contrast, saturation, hue and greying of an (S, S, 3) RGB crop, in one step."""
    if change.saturation == 1 and not change.hue and not change.grey:
        return change_levels(rgb, change)
    matrix = color_matrix.of(change)
    if color_matrix.is_diagonal(matrix):
        return change_levels(rgb, change)
    mean = 0.0 if change.contrast == 1 else _mean_grey(rgb)
    return color_matrix.apply(rgb, matrix, color_matrix.start(change, mean))


def change_texture(pixels: Pixels, change: Photometric, seed: int) -> Pixels:
    """Blur, then a covering rectangle, then noise, of an (S, S) or (S, S, 3) crop."""
    if change.blur > LEAST_BLUR:
        pixels = cv2.GaussianBlur(pixels, (0, 0), change.blur, borderType=cv2.BORDER_REPLICATE)  # type: ignore[assignment]
    if change.occlusion:
        pixels = _cover(pixels, change.occlusion)
    if change.noise > 0:
        pixels = _add_noise(pixels, change, seed)
    return pixels


def _add_noise(pixels: Pixels, change: Photometric, seed: int) -> Pixels:
    """Noise rounded to whole levels, and the sum clipped: what is negative is subtracted apart."""
    table = noise_table(seed)
    begin = int(change.noise_place * (len(table) - pixels.size))
    run = slice(begin, begin + pixels.size)
    grain = cv2.convertScaleAbs(table[run].reshape(pixels.shape), alpha=change.noise * 255)
    below = cv2.bitwise_and(grain, _negative_noise(seed)[run].reshape(pixels.shape))
    return cv2.subtract(cv2.add(pixels, cv2.subtract(grain, below)), below)  # type: ignore[return-value]


def _cover(pixels: Pixels, where: tuple[float, float, float, float, float]) -> Pixels:
    x, y, width, height, level = rectangle(pixels.shape[0], where)
    pixels = pixels.copy()
    pixels[y : y + height, x : x + width] = level
    return pixels


def rectangle(size: int, where: tuple[float, float, float, float, float]) -> tuple[int, int, int, int, int]:
    """x, y, width, height and level of a covering rectangle: 1/8 to 3/8 of each side, of one level."""
    width, height = (int(size * (0.125 + 0.25 * share)) for share in where[:2])
    x, y = int(where[2] * (size - width + 1)), int(where[3] * (size - height + 1))
    return x, y, width, height, int(where[4] * 256)
