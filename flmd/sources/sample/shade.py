"""Colours of the built-in sample's heads: light on skin and hair, and what is inside mouth and eyes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from flmd.core import exact
from flmd.sources.sample.camera import FINE, Head, Image, Light
from flmd.sources.sample.head import Floats
from flmd.sources.sample.skin import DENSITY, LEFT, STRAND_DENSITY, TOP, skin

# columns of a vertex's attributes
_NORMAL, _CHART, _PLACE, _HAIR, _DARK = slice(0, 3), slice(3, 5), slice(5, 7), 7, 8


def _sample(image: NDArray[np.uint8], x: Image, y: Image, wrap: bool = False) -> Image:
    """Bilinear look-ups (P,) or (P, C), 0-1. remap's sides are limited to 32767, hence the folding.

    Places are whole 1/32 texels: with these remap mixes whole numbers.
    """
    count = len(x)
    across = 1024
    places = np.zeros((-(-count // across) * across, 2), np.int32)
    places[:count, 0], places[:count, 1] = np.rint(x * 32), np.rint(y * 32)
    texels, parts = (places >> 5).astype(np.int16).reshape(-1, across, 2), places & 31
    shares = (parts[:, 1] * 32 + parts[:, 0]).astype(np.uint16).reshape(-1, across)
    found = cv2.remap(image, texels, shares, cv2.INTER_LINEAR,
                      borderMode=cv2.BORDER_WRAP if wrap else cv2.BORDER_REPLICATE)  # fmt: skip
    values: Image = found.reshape(-1, *image.shape[2:])[:count].astype(np.float32) / np.float32(255)
    return values


def _ramp(value: Image, low: float | Image, high: float | Image) -> Image:
    t: Image = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def shade(
    values: Image,
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    shape: tuple[int, ...],
    head: Head,
    light: Light,
) -> Image:
    """Colours (P, 3) of pixels with interpolated attributes (P, 9)."""
    person, maps = head.person, skin()
    u, v = values[:, 3], values[:, 4]
    tx, ty = (u - LEFT) * DENSITY, (v - TOP) * DENSITY
    parts, tints = _sample(maps.parts, tx, ty), _sample(maps.tints, tx, ty)
    strand = _sample(maps.strands, u * STRAND_DENSITY, v * STRAND_DENSITY, wrap=True)
    speckle = 0.5 * _sample(maps.strands, v * 700, u * 700, wrap=True) + 0.5 * _sample(
        maps.strands, u * 700, v * 700, wrap=True
    )

    def mix(colour: Image, other: Floats, share: Image) -> Image:
        return colour + (other.astype(np.float32) - colour) * share[:, None]

    albedo = np.tile(person.skin.astype(np.float32), (len(u), 1))
    albedo *= (0.97 + 0.06 * speckle)[:, None]
    albedo = mix(albedo, person.skin * (0.98, 0.72, 0.70), 0.4 * tints[:, 3])
    stubble = np.maximum(person.beard * tints[:, 1], person.moustache * tints[:, 2])
    stubble = stubble * (1 - parts[:, 0]) * (0.55 + 0.9 * strand)
    albedo = mix(albedo, person.hair * 0.8, np.clip(stubble, 0, 0.9))
    albedo = mix(albedo, person.lips * 1.0, 0.95 * parts[:, 0])
    near_brow = _sample(maps.brow, tx, (v - 0.008 - TOP) * DENSITY)
    edge = 1 - person.brow_width / 0.1 + 0.16 * _ramp(np.abs(u), 0.5, 0.85)
    brow = _ramp(near_brow + 0.12 * (strand - 0.5), edge - 0.07, edge + 0.07)
    albedo = mix(albedo, person.brow, 0.88 * brow)
    albedo = mix(albedo, person.hair * 0.35, 0.8 * parts[:, 3] * (1 - parts[:, 2]))
    level = values[:, _HAIR]
    hair = _ramp(level + 0.16 * (strand - 0.5), -0.02, 0.05)
    dark = np.clip(tints[:, 0] * (0.75 + 0.5 * person.wrinkles) + values[:, _DARK], 0, 0.85)
    dark = dark + (1 - dark) * 0.35 * _ramp(level, -0.13, 0.0) * (1 - hair) * (level > -0.9)
    albedo *= 1 - dark[:, None] * np.array([0.60, 0.75, 0.75], np.float32)  # shade on skin is warm
    albedo += (person.hair.astype(np.float32) * (0.62 + 0.76 * strand)[:, None] - albedo) * hair[:, None]

    normal = values[:, :3] / (_length(values[:, 0], values[:, 1], values[:, 2]) + 1e-6)[:, None]
    facing = _towards(normal, light.direction)
    # light bleeds through skin, red the furthest
    wrap = np.array([0.34, 0.22, 0.17], np.float32)
    diffuse = np.clip((facing[:, None] + wrap) / (1 + wrap), 0, 1)
    gloss = np.clip(_towards(normal, light.direction + np.array([0.0, 0.0, 1.0])), 0, 1)
    shine = (
        0.13 * exact.whole_power(gloss, 14) * (1 - dark) * (1 - hair)
        + 0.22 * exact.whole_power(gloss, 18) * hair * strand
        + 0.16 * exact.whole_power(gloss, 30) * parts[:, 0]
    )
    around = (0.75 - 0.25 * normal[:, 1])[:, None] * light.fill.astype(np.float32)
    key = light.key.astype(np.float32)
    colour: Image = albedo * (around + diffuse * key) + shine[:, None] * key

    lit = (0.45 * light.fill + 0.5 * light.key).astype(np.float32)
    _paint_mouth(colour, values, parts[:, 1], head.anchors, lit)
    _paint_eyes(colour, values, parts[:, 2], head, light, lit)
    return colour


def _length(*sides: Image) -> Image:
    """Lengths (P,) of vectors given by their sides."""
    square = sides[0] * sides[0]
    for side in sides[1:]:
        square = square + side * side
    return np.asarray(np.sqrt(square))


def _towards(normal: Image, direction: Floats) -> Image:
    """Cosines (P,) between unit normals and a direction; no BLAS, whose sums depend on its threads."""
    x, y, z = (direction / exact.length(direction)).astype(np.float32)
    cosines: Image = normal[:, 0] * x + normal[:, 1] * y + normal[:, 2] * z
    return cosines


def _paint_mouth(colour: Image, values: Image, inside: Image, anchors: Floats, lit: Image) -> None:
    at = np.flatnonzero(inside > 0.02)
    if not len(at):
        return
    x, y = values[at, 5], values[at, 6]
    upper, corner = anchors[60:65], float(anchors[64, 0] - anchors[60, 0])
    gap = float(anchors[66, 1] - anchors[62, 1])
    below = (y - exact.interpolate(x, upper[:, 0], upper[:, 1])).astype(np.float32)
    arch = np.sqrt(np.clip(1 - ((x - np.float32(anchors[62, 0])) / (0.47 * corner)) ** 2, 0, 1))
    teeth = _ramp(0.075 * arch - below, -0.004, 0.008) * (gap > 0.03)
    tongue = _ramp(below / max(gap, 1e-3), 0.55, 0.95) * (gap > 0.12)
    inner = np.array([0.16, 0.05, 0.05], np.float32) + tongue[:, None] * np.array(
        [0.38, 0.12, 0.12], np.float32
    )
    inner += (np.array([1.0, 0.96, 0.88], np.float32) - inner) * teeth[:, None]
    colour[at] += (inner * lit - colour[at]) * inside[at, None]


def _paint_eyes(colour: Image, values: Image, opening: Image, head: Head, light: Light, lit: Image) -> None:
    at = np.flatnonzero((opening > 0.02) & (np.abs(values[:, 5]) > 0.05))
    for eye in (np.arange(36, 42), np.arange(42, 48)):
        corners = head.anchors[eye[[0, 3]]]
        some = at[(values[at, 5] < 0) == (corners[0, 0] < 0)]
        if not len(some):
            continue
        middle = (corners[0] + corners[1]) / 2
        gaze = head.expression.gaze
        x, y = values[some, 5], values[some, 6]
        lids = head.anchors[eye[:4]]
        under_lid = (y - exact.interpolate(x, lids[:, 0], lids[:, 1])).astype(np.float32)
        away = _length(x - np.float32(middle[0] + gaze[0]), y - np.float32(middle[1] + gaze[1] - 0.008))
        soft = 0.9 / (head.scale * FINE)
        white = np.tile(np.array([0.90, 0.87, 0.85], np.float32), (len(some), 1))
        white -= _ramp(np.abs(x - np.float32(middle[0])), 0.09, 0.17)[:, None] * np.array(
            [0.05, 0.22, 0.22], np.float32
        )
        iris = head.person.iris.astype(np.float32) * (0.55 + 0.75 * _ramp(away, 0.02, 0.05))[:, None]
        iris *= (1 - 0.6 * _ramp(away, 0.055, 0.072))[:, None]
        eyeball = white + (iris - white) * _ramp(-away, -0.070 - soft, -0.070 + soft)[:, None]
        eyeball *= 1 - _ramp(-away, -0.030 - soft, -0.030 + soft)[:, None] * 0.96
        eyeball *= (0.68 + 0.32 * _ramp(under_lid, 0.0, 0.05))[:, None]
        glint = middle[:2] + gaze + 0.028 * light.direction[:2] + (0, -0.012)
        shine = _ramp(-_length(x - np.float32(glint[0]), y - np.float32(glint[1])), -0.017 - soft, -0.010)
        eyeball = eyeball * lit * 1.05 + shine[:, None] * 0.85
        colour[some] += (eyeball - colour[some]) * opening[some, None]
