"""Whole pictures of the built-in sample: background, people, light and camera."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flmd.sources.sample.camera import FINE, Head, Image, Light
from flmd.sources.sample.face import draw_head, draw_neck
from flmd.sources.sample.things import draw_body, draw_glasses, draw_long_hair, draw_thing


@dataclass(frozen=True)
class Camera:
    """``blur`` and ``smear`` (sideways motion) in pixels, ``noise`` in grey levels of 0-1, ``gamma``."""

    blur: float
    noise: float
    gamma: float
    smear: float


def draw_light(rng: np.random.Generator, hard: bool = False) -> Light:
    """A lamp; ``hard`` ones are strong and stand to the side."""
    direction = np.array([rng.normal(0, 1.1 if hard else 0.55), -rng.uniform(-0.1, 1.0), 1.0 - 0.4 * hard])
    warmth = rng.normal(0, 0.07)
    key = rng.uniform(0.75, 1.25) if hard else rng.uniform(0.45, 0.85)
    fill = rng.uniform(0.10, 0.35) if hard else rng.uniform(0.28, 0.55)
    lamp = np.array([1 + warmth, 1.0, 1 - warmth])
    return Light(direction / np.linalg.norm(direction), key * lamp, fill * (2 - lamp))


def draw_camera(rng: np.random.Generator, hard: bool = False) -> Camera:
    """Blur and noise of a snapshot."""
    return Camera(
        blur=float(rng.gamma(1.2, 0.3)),
        noise=float(rng.gamma(1.5, 0.008 + 0.006 * hard)),
        gamma=float(np.exp(rng.normal(0, 0.18 + 0.1 * hard))),
        smear=float(rng.uniform(1, 5)) if rng.random() < 0.08 else 0.0,
    )


def render(
    rng: np.random.Generator,
    backdrop: np.random.Generator,
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
    picture = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA)
    if camera.smear:
        kernel = np.zeros((1, 2 * int(np.ceil(camera.smear / 2)) + 1), np.float32)
        kernel[:] = 1 / kernel.size
        picture = cv2.filter2D(picture, -1, kernel, borderType=cv2.BORDER_REPLICATE)
    if camera.blur > 0.25:
        picture = cv2.GaussianBlur(picture, (0, 0), camera.blur)
    picture = np.clip(picture, 0, 1) ** np.float32(camera.gamma)
    picture += np.float32(camera.noise) * rng.standard_normal(picture.shape, dtype=np.float32)
    levels: NDArray[np.uint8] = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    return levels


def _background(rng: np.random.Generator, size: tuple[int, int]) -> Image:
    width, height = size
    # rooms and streets are mostly dull: colours lie near one tint
    tint = rng.uniform(0.1, 0.8) * np.clip(rng.normal(1, 0.25, 3), 0.3, 1.6)
    ends = np.clip(tint * rng.uniform(0.5, 1.5, (2, 2, 1)) * rng.normal(1, 0.12, (2, 2, 3)), 0, 1)
    picture = cv2.resize(ends.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    for cells in rng.choice([3, 6, 12, 30], 2, replace=False).tolist():
        patch = rng.normal(0, 0.06, (cells, cells, 1)) + rng.normal(0, 0.02, (cells, cells, 3))
        picture = picture + cv2.resize(patch.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    for _ in range(rng.integers(0, 14)):
        colour = (rng.uniform(0, 1) * rng.uniform(0.35, 1, 3)).tolist()
        x, y = (rng.uniform(0, 1, 2) * size).tolist()
        w, h = (rng.gamma(1.5, 0.12, 2) * size).tolist()
        shape = rng.integers(4)
        if shape == 0:
            cv2.rectangle(picture, (int(x), int(y)), (int(x + w), int(y + h)), colour, -1)
        elif shape == 1:
            cv2.ellipse(picture, ((x, y), (w, h), float(rng.uniform(0, 180))), colour, -1)
        elif shape == 2:
            end = (int(x + 4 * w - 2 * h), int(y + 4 * h))
            cv2.line(picture, (int(x), int(y)), end, colour, int(rng.integers(1, 9)), cv2.LINE_AA)
        else:
            for step in range(int(rng.integers(3, 9))):
                at = int(x + step * w / 2)
                cv2.rectangle(picture, (at, int(y)), (at + max(1, int(w / 4)), int(y + 2 * h)), colour, -1)
    blur = rng.gamma(1.5, 1.5)
    if blur > 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), blur)
    picture = np.clip(picture, 0, 1)
    return np.asarray(
        cv2.resize(picture, (width * FINE, height * FINE), interpolation=cv2.INTER_LINEAR), np.float32
    )
