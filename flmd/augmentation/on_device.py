"""The changes of :class:`~flmd.augmentation.augmenter.Augmenter` as one step on a device, for a whole batch.

Draws, matrices and points are those of the CPU, to the bit: a few numbers a face, made there and sent over.
Pixels are not: OpenCV looks up in steps of 1/32 pixel and rounds to whole levels after each change, here
everything stays float32 until the end. :data:`TOLERANCE` says how far the two may be apart; a test holds them
to it. Two runs on one device give the same pixels: nothing here sums in an order that can change.

Kernels: a gather of crops, one bilinear look-up, and pointwise arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample, pad

from flmd.augmentation import color_matrix, photometric
from flmd.augmentation.photometric import Photometric
from flmd.core import geometry
from flmd.core.params import AugmentParams

# Levels by which a crop differs from the CPU's: the mean of a batch, and of 99.9 % of its pixels at most.
TOLERANCE = (1.0, 12.0)
MOST_SUBPIXELS = 8


@dataclass(frozen=True)
class Changes:
    """What happens to B crops, on the device; float32 but for ``noise_begin``.

    Attributes
    ----------
    matrix : (B, 2, 3) pixels of the network's crop -> of the context crop.
    brightness, contrast, blur, noise : (B,).
    color : (B, 3, 3) whole numbers over 1024, of ``color_matrix.of``.
    noise_begin : (B,) int64, where the run of noise begins in the table.
    cover : (B, 5) left, top, right, bottom, level; right 0 where nothing is covered.
    """

    matrix: Tensor
    brightness: Tensor
    contrast: Tensor
    color: Tensor
    blur: Tensor
    noise: Tensor
    noise_begin: Tensor
    cover: Tensor


def changes_on(
    device: torch.device,
    matrix: NDArray[np.float64],
    drawn: list[Photometric],
    size: int,
    channels: int,
    table: int,
) -> Changes:
    """Changes of B faces, sent to a device in two copies.

    Parameters
    ----------
    matrix : (B, 2, 3) context crop -> network's crop, as ``Augmenter`` composes it. drawn : of each face.
    size : side of the crop. channels : that noise is drawn for. table : length of the noise table.
    """
    rows = np.array([_numbers(change, size) for change in drawn], np.float32).reshape(len(drawn), 18)
    begin = np.array([int(c.noise_place * (table - size * size * channels)) for c in drawn], np.int64)
    packed = np.concatenate([geometry.invert(matrix).reshape(-1, 6).astype(np.float32), rows], axis=1)
    sent = torch.from_numpy(packed).to(device)
    brightness, contrast, blur, noise = sent[:, 6:10].unbind(1)
    return Changes(
        sent[:, :6].reshape(-1, 2, 3),
        brightness,
        contrast,
        sent[:, 15:].reshape(-1, 3, 3),
        blur,
        noise,
        torch.from_numpy(begin).to(device),
        sent[:, 10:15],
    )


def _numbers(change: Photometric, size: int) -> list[float]:
    cover = [0.0] * 5
    if change.occlusion:
        left, top, width, height, level = photometric.rectangle(size, change.occlusion)
        cover = [left, top, left + width, top + height, level]
    blur = change.blur if change.blur > photometric.LEAST_BLUR else 0.0
    color = [float(entry) for row in color_matrix.of(change) for entry in row]
    return [change.brightness, change.contrast, blur, change.noise, *cover, *color]


def augment(crops: Tensor, changes: Changes, table: Tensor, config: AugmentParams, subpixels: int) -> Tensor:
    """Crops at network size.

    Parameters
    ----------
    crops : (B, C, H, W) uint8 context crops, C 1 or 3. table : of normal noise, float32.
    subpixels : look-ups along each side of a pixel, averaged; 1 unless the crop shrinks by 2 or more.

    Returns
    -------
    (B, 1 or 3, S, S) uint8, as ``config.color`` says.
    """
    size = config.input_size
    pixels = _warp(crops.float(), changes.matrix, size, subpixels).round()
    pixels = (_color if pixels.shape[1] == 3 else _levels)(pixels, changes)
    if pixels.shape[1] == 3 and config.color == "grey":
        pixels = grey_of(pixels).round()
    if config.blur > photometric.LEAST_BLUR:
        pixels = _blur(pixels, changes.blur, config.blur)
    if config.occlusion:
        pixels = _cover(pixels, changes.cover)
    if config.noise:
        pixels = pixels.round() + _noise(pixels, changes, table).round()
    pixels = pixels.round().clamp(0, 255).to(torch.uint8)
    return pixels.expand(-1, 3, -1, -1) if config.color == "rgb" and pixels.shape[1] == 1 else pixels


def _warp(pixels: Tensor, matrix: Tensor, size: int, subpixels: int) -> Tensor:
    """One bilinear look-up for each (sub)pixel; black outside."""
    height, width = pixels.shape[-2:]
    places = torch.arange(size * subpixels, device=pixels.device, dtype=torch.float32)
    steps = (places + 0.5) / subpixels - 0.5
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    place = torch.stack([x, y, torch.ones_like(x)], -1).view(1, -1, 3)
    source = (place @ matrix.transpose(1, 2)).view(-1, *x.shape, 2)
    scale = torch.tensor([2 / (width - 1), 2 / (height - 1)], device=pixels.device)
    found = grid_sample(pixels, source * scale - 1, mode="bilinear", padding_mode="zeros", align_corners=True)
    if subpixels > 1:
        count, channels = found.shape[:2]
        found = found.reshape(count, channels, size, subpixels, size, subpixels).mean((3, 5))
    return found


def _per_face(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def grey_of(rgb: Tensor) -> Tensor:
    """(B, 1, S, S) grey of (B, 3, S, S), with OpenCV's weights."""
    red, green, blue = color_matrix.WEIGHTS
    return red * rgb[:, :1] + green * rgb[:, 1:2] + blue * rgb[:, 2:]


def _levels(grey: Tensor, changes: Changes) -> Tensor:
    """Brightness, then contrast about the mean; whole levels, as the table of the CPU has them."""
    b, c = _per_face(changes.brightness), _per_face(changes.contrast)
    mean = grey.mean((1, 2, 3), keepdim=True) * b
    return (mean + c * (b * grey - mean)).round().clamp(0, 255)


def _color(rgb: Tensor, changes: Changes) -> Tensor:
    """One matrix for all changes of colour: whole numbers, each of which float32 holds."""
    one = color_matrix.ONE
    mean = grey_of(rgb).mean((1, 2, 3), keepdim=True)
    added = (one * (1 - _per_face(changes.contrast)) * _per_face(changes.brightness) * mean).round()
    # Products and sums one at a time: a matrix product may be done in 10 bits of precision (TF32).
    row = [changes.color[:, :, i, None, None] * rgb[:, i : i + 1] for i in range(3)]
    return ((row[0] + row[1] + row[2] + added) / one + 0.5).floor().clamp(0, 255)


def _blur(pixels: Tensor, sigma: Tensor, largest: float) -> Tensor:
    """A Gaussian of each face's own sigma, as wide as OpenCV makes it; the edge repeated."""
    reach = _radius(largest)
    steps = torch.arange(-reach, reach + 1, device=pixels.device, dtype=torch.float32)
    # OpenCV's kernel is round(6 sigma + 1) | 1 wide.
    own = torch.floor((sigma * 6 + 1).round().div(2))[:, None]
    weight = torch.exp(-0.5 * (steps / sigma.clamp(min=1e-3)[:, None]) ** 2) * (steps.abs() <= own)
    weight = weight / weight.sum(1, keepdim=True)
    size = pixels.shape[-1]
    wide = pad(pixels, (reach, reach, 0, 0), mode="replicate")
    across = sum(_per_face(weight[:, i]) * wide[..., i : i + size] for i in range(2 * reach + 1))
    assert isinstance(across, Tensor)
    tall = pad(across, (0, 0, reach, reach), mode="replicate")
    blurred = sum(_per_face(weight[:, i]) * tall[..., i : i + size, :] for i in range(2 * reach + 1))
    assert isinstance(blurred, Tensor)
    return torch.where(_per_face(sigma) > 0, blurred.round(), pixels)


def _radius(sigma: float) -> int:
    return max(1, round(sigma * 6 + 1) // 2)


def _cover(pixels: Tensor, cover: Tensor) -> Tensor:
    steps = torch.arange(pixels.shape[-1], device=pixels.device, dtype=torch.float32)
    left, top, right, bottom, level = (_per_face(cover[:, i]) for i in range(5))
    x, y = steps.view(1, 1, 1, -1), steps.view(1, 1, -1, 1)
    inside = (x >= left) & (x < right) & (y >= top) & (y < bottom)
    return torch.where(inside, level, pixels)


def _noise(pixels: Tensor, changes: Changes, table: Tensor) -> Tensor:
    """The run of the table that the CPU takes, whose colours lie beside one another."""
    channels, size = pixels.shape[1:3]
    run = torch.arange(size * size * channels, device=pixels.device)
    place = run.view(size, size, channels).permute(2, 0, 1)
    grain = table[changes.noise_begin.view(-1, 1, 1, 1) + place]
    return grain * _per_face(changes.noise) * 255


def subpixels(matrix: NDArray[np.float64]) -> int:
    """Look-ups along each side of a pixel that (B, 2, 3) matrices need: by how much the largest shrinks."""
    shrinks = 1 / geometry.scale_of(matrix).min()
    return int(np.clip(np.floor(shrinks + 1e-6), 1, MOST_SUBPIXELS))
