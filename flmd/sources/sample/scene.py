"""Whole pictures of the built-in sample: background, people, light and camera."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flmd.core import exact
from flmd.sources.sample.camera import FINE, SHIFT, Head, Image, Light
from flmd.sources.sample.draws import Draws
from flmd.sources.sample.face import draw_head, draw_neck
from flmd.sources.sample.head import Floats
from flmd.sources.sample.things import draw_body, draw_glasses, draw_long_hair, draw_thing

DEPTH = 65535
"""Levels of a picture before it is stored."""


@dataclass(frozen=True)
class Camera:
    """``blur`` and ``smear`` (sideways motion) in pixels, ``noise`` in grey levels of 0-1, ``gamma``."""

    blur: float
    noise: float
    gamma: float
    smear: float


def draw_light(rng: Draws, hard: bool = False) -> Light:
    """A lamp; ``hard`` ones are strong and stand to the side."""
    direction = np.array([rng.normal(0, 1.1 if hard else 0.55), -rng.uniform(-0.1, 1.0), 1.0 - 0.4 * hard])
    warmth = rng.normal(0, 0.07)
    key = rng.uniform(0.75, 1.25) if hard else rng.uniform(0.45, 0.85)
    fill = rng.uniform(0.10, 0.35) if hard else rng.uniform(0.28, 0.55)
    lamp = np.array([1 + warmth, 1.0, 1 - warmth])
    return Light(direction / exact.length(direction), key * lamp, fill * (2 - lamp))


def draw_camera(rng: Draws, hard: bool = False) -> Camera:
    """Blur and noise of a snapshot."""
    return Camera(
        blur=float(rng.gamma(1.2, 0.3)),
        noise=float(rng.gamma(1.5, 0.008 + 0.006 * hard)),
        gamma=float(exact.exp(rng.normal(0, 0.18 + 0.1 * hard))),
        smear=float(rng.uniform(1, 5)) if rng.random() < 0.08 else 0.0,
    )


def render(
    rng: Draws,
    backdrop: Draws,
    size: tuple[int, int],
    heads: list[Head],
    light: Light,
    camera: Camera,
    *,
    things: float = 0.15,
) -> NDArray[np.uint8]:
    """A picture ``(H, W, 3)`` uint8 RGB of heads, the first in front.

    Parameters
    ----------
    rng : for the noise and what changes from frame to frame.
    backdrop : for the background, clothes and things in the way; the same state gives the same.
    size : (width, height), pixels.
    things : share of heads with something in front of them.
    """
    canvas = _background(backdrop, size)
    for head in reversed(heads):
        tint = float(backdrop.choice([0.04, 0.1, 0.85], p=[0.5, 0.35, 0.15]))
        draw_long_hair(canvas, head, light)
        draw_neck(canvas, head, light)
        draw_body(canvas, head, light, backdrop)
        draw_head(canvas, head, light)
        draw_glasses(canvas, head, light, tint)
        if backdrop.random() < things:
            draw_thing(canvas, head, light, backdrop)
    fours = canvas[::2, ::2] + canvas[::2, 1::2] + (canvas[1::2, ::2] + canvas[1::2, 1::2])
    return _photographed(fours * np.float32(1 / 4), camera, rng)


def _photographed(picture: Image, camera: Camera, rng: Draws) -> NDArray[np.uint8]:
    """The picture (H, W, 3) as the camera has it; motion, lens, sensor, noise."""
    if camera.smear:
        reach = int(np.ceil(camera.smear / 2))
        wide = np.pad(picture, ((0, 0), (reach, reach), (0, 0)), mode="edge")
        steps = [wide[:, i : i + picture.shape[1]] for i in range(2 * reach + 1)]
        picture = exact.total(np.stack(steps), axis=0).astype(np.float32) / np.float32(len(steps))
    levels = _levels(picture)
    if camera.blur > 0.25:
        levels = cv2.GaussianBlur(levels, (0, 0), camera.blur)  # type: ignore[assignment]
    exposed = exact.power(np.arange(DEPTH + 1) / DEPTH, camera.gamma).astype(np.float32)
    picture = exposed[levels] + np.float32(camera.noise) * rng.grain(levels.shape)
    return np.asarray((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8))


def _levels(picture: Image) -> NDArray[np.uint16]:
    """0-1 as levels of a sensor. OpenCV blurs and enlarges 16 bits in fixed point, and floats as it can."""
    return np.asarray(np.rint(np.clip(picture, 0, 1) * DEPTH).astype(np.uint16))


def _background(rng: Draws, size: tuple[int, int]) -> Image:
    width, height = size
    # rooms and streets are mostly dull: colours lie near one tint
    tint = rng.uniform(0.1, 0.8) * np.clip(rng.normal(1, 0.25, 3), 0.3, 1.6)
    ends = np.clip(tint * rng.uniform(0.5, 1.5, (2, 2, 1)) * rng.normal(1, 0.12, (2, 2, 3)), 0, 1)
    picture = _enlarged(ends, size)
    for cells in rng.permutation([3, 6, 12, 30])[:2].tolist():
        patch = rng.normal(0, 0.06, (cells, cells, 1)) + rng.normal(0, 0.02, (cells, cells, 3))
        picture = picture + _enlarged(patch, size)
    _clutter(picture, rng)
    blur = rng.gamma(1.5, 1.5)
    levels = _levels(picture)
    if blur > 0.3:
        levels = cv2.GaussianBlur(levels, (0, 0), blur)  # type: ignore[assignment]
    large = cv2.resize(levels, (width * FINE, height * FINE), interpolation=cv2.INTER_LINEAR_EXACT)
    return large.astype(np.float32) / np.float32(DEPTH)


def _enlarged(cells: Floats, size: tuple[int, int]) -> Image:
    """(H, W, 3) float32 of a few (h, w, 3) cells, smooth between their centres and level beyond them."""
    width, height = size
    across, down = _smooth(cells.shape[1], width), _smooth(cells.shape[0], height)
    rows = exact.product(down, cells.reshape(len(cells), -1)).reshape(height, -1, 3)
    return np.stack([exact.product(rows[..., i], across.T) for i in range(3)], axis=2).astype(np.float32)


def _smooth(cells: int, size: int) -> Floats:
    """(size, cells) shares of the cells in each pixel of a line."""
    place = np.clip((np.arange(size) + 0.5) * (cells / size) - 0.5, 0, cells - 1)
    share = np.clip(1 - np.abs(place[:, None] - np.arange(cells)), 0, 1)
    return np.asarray(share * share * (3 - 2 * share))


def _clutter(picture: Image, rng: Draws) -> None:
    """Rectangles, discs, stripes and fences, in place."""
    size = picture.shape[1::-1]
    for _ in range(rng.integers(0, 14)):
        colour = (rng.uniform(0, 1) * rng.uniform(0.35, 1, 3)).tolist()
        x, y = (rng.uniform(0, 1, 2) * size).tolist()
        w, h = (rng.gamma(1.5, 0.12) * side for side in size)
        shape = rng.integers(4)
        if shape == 0:
            cv2.rectangle(picture, (int(x), int(y)), (int(x + w), int(y + h)), colour, -1)
        elif shape == 1:
            cv2.fillPoly(picture, [_ellipse(x, y, w, h, rng.uniform(0, 180))], colour, cv2.LINE_8, SHIFT)
        elif shape == 2:
            end = (int(x + 4 * w - 2 * h), int(y + 4 * h))
            cv2.line(picture, (int(x), int(y)), end, colour, int(rng.integers(1, 9)), cv2.LINE_AA)
        else:
            for step in range(int(rng.integers(3, 9))):
                at = int(x + step * w / 2)
                cv2.rectangle(picture, (at, int(y)), (at + max(1, int(w / 4)), int(y + 2 * h)), colour, -1)


def _ellipse(x: float, y: float, width: float, height: float, degrees: float) -> NDArray[np.int32]:
    """(48, 2) outline for OpenCV's drawing functions (``shift`` :data:`SHIFT`)."""
    around, along = exact.sin_cos(np.arange(48) * (np.pi / 24))
    sin, cos = exact.sin_cos(np.radians(degrees))
    a, b = along * (width / 2), around * (height / 2)
    outline = np.stack([x + a * cos - b * sin, y + a * sin + b * cos], axis=1)
    return np.asarray(np.rint(outline * (1 << SHIFT)).astype(np.int32))
