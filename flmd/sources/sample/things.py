"""What the built-in sample's people wear, and what is in front of them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from flmd.core import exact
from flmd.sources.sample.camera import FINE, SHIFT, Head, Image, Light, fine
from flmd.sources.sample.draws import Draws
from flmd.sources.sample.head import Floats
from flmd.sources.sample.skin import skin, smooth_outline


def _lit(colour: Floats, light: Light, share: float = 0.55) -> list[float]:
    return [float(c) for c in np.clip(colour * (light.fill + share * light.key), 0, 1)]


def _in_plane(head: Head, points: Floats, depth: float, turn: float) -> NDArray[np.int32]:
    """Points of a plane through the head at ``depth``, following ``turn`` of the head's roll and yaw."""
    sin, cos = exact.sin_cos(np.radians(head.roll * turn))
    shift = exact.sin(np.radians(head.yaw)) * depth * turn
    x, y = points[:, 0] + shift, points[:, 1]
    return fine(head.centre + head.scale * np.stack([x * cos - y * sin, x * sin + y * cos], axis=1))


def _textured(
    canvas: Image, outline: NDArray[np.int32], colour: list[float], contrast: float, scale: float
) -> None:
    """Fill an outline with strands of hair or folds of cloth, within its bounds only."""
    low = np.maximum(outline.min(axis=0) >> SHIFT, 0)
    high = np.minimum((outline.max(axis=0) >> SHIFT) + 2, canvas.shape[1::-1])
    if (high <= low).any():
        return
    window = canvas[low[1] : high[1], low[0] : high[0]]
    mask = np.zeros(window.shape[:2], np.uint8)
    cv2.fillPoly(mask, [outline - (low << SHIFT).astype(np.int32)], 255, cv2.LINE_AA, SHIFT)
    tile = skin().strands
    repeat = [int(np.ceil(n / (s * scale))) for n, s in zip(window.shape, tile.shape, strict=False)]
    grain = _larger(np.tile(tile, repeat), scale)[: window.shape[0], : window.shape[1]]
    shade = 1 + contrast * (grain.astype(np.float32) / 128 - 1)
    share = (mask.astype(np.float32) / 255)[:, :, None]
    window += (np.clip(np.asarray(colour, np.float32) * shade[:, :, None], 0, 1) - window) * share


def _larger(tile: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    height, width = tile.shape
    size = (round(width * scale), round(height * scale))
    return np.asarray(cv2.resize(tile, size, interpolation=cv2.INTER_LINEAR_EXACT), np.uint8)


def draw_long_hair(canvas: Image, head: Head, light: Light) -> None:
    person = head.person
    if not person.long_hair:
        return
    wide = 0.95 + 1.1 * person.hair_volume
    end = person.long_hair
    across = wide * np.array([0, 0.55, 0.92, 1.0, 1.05, 0.9, 0.3])
    right = np.stack([across, [-1.3, -1.15, -0.5, 0.3, 0.8 * end, end, 1.05 * end]], axis=1)
    outline = smooth_outline(np.concatenate([right, (right * (-1, 1))[:0:-1]]))
    _textured(canvas, _in_plane(head, outline, -0.9, 0.9), _lit(person.hair * 0.75, light, 0.35), 0.8, 1.0)


def draw_body(canvas: Image, head: Head, light: Light, rng: Draws) -> None:
    wide, slope, collar = rng.uniform(1.7, 2.2), rng.uniform(0.35, 0.7), rng.uniform(0.45, 0.75)
    depth = rng.uniform(1.65, 1.95)
    style = rng.integers(3)
    second = rng.uniform(0.1, 0.95, 3)
    right = np.array([(0.0, depth), (0.35, depth - 0.18), (collar, depth - 0.32), (0.75 * wide, depth + 0.1),
                      (wide, depth + slope), (1.15 * wide, 5.0)])  # fmt: skip
    outline = np.concatenate([right, (right * (-1, 1))[:0:-1]])
    _textured(canvas, _in_plane(head, outline, -0.8, 0.3), _lit(head.person.clothes, light), 0.12, 2.0)
    if style:  # a shirt's collar under a jacket
        for side in (-1, 1):
            flap = np.array(
                [
                    (0.0, depth + 0.02),
                    (collar, depth - 0.34),
                    (collar + 0.16, depth - 0.1),
                    (0.22, depth + 0.55),
                ]
            )
            cv2.fillPoly(
                canvas,
                [_in_plane(head, flap * (side, 1), -0.8, 0.3)],
                _lit(second, light),
                cv2.LINE_AA,
                SHIFT,
            )
    if style == 2:
        tie = np.array([(-0.09, depth), (0.09, depth), (0.16, depth + 1.5), (-0.16, depth + 1.5)])
        cv2.fillPoly(
            canvas, [_in_plane(head, tie, -0.8, 0.3)], _lit(second[::-1] * 0.7, light), cv2.LINE_AA, SHIFT
        )


def draw_thing(canvas: Image, head: Head, light: Light, rng: Draws) -> None:
    """A hand, scarf, microphone or lock of hair in front of the face; the landmarks stay where they are."""
    kind = rng.integers(4)
    place = rng.uniform(-1, 1, 4)
    if kind == 0:  # a hand: fingers and a palm
        base = np.array([0.55 * np.sign(place[0]), 1.25 + 0.2 * place[1]])
        up = np.array([-0.35 * np.sign(place[0]), -0.8])
        for finger in range(4):
            start = base + np.array([0.19 * (finger - 1.5), 0.04 * finger])
            line = _in_plane(
                head, np.stack([start, start + up * (0.75 + 0.1 * (finger in (1, 2)))]), 0.3, 0.6
            )
            for darker, thick in ((0.55, 0.20), (0.9, 0.165)):
                cv2.polylines(canvas, [line], False, _lit(head.person.skin * darker, light),
                              max(1, round(thick * head.scale * FINE)), cv2.LINE_AA, SHIFT)  # fmt: skip
        palm = smooth_outline(
            base + np.array([(-0.42, -0.1), (0.42, -0.1), (0.45, 0.6), (0.3, 2.5), (-0.3, 2.5), (-0.45, 0.6)])
        )
        cv2.fillPoly(
            canvas,
            [_in_plane(head, palm, 0.3, 0.6)],
            _lit(head.person.skin * 0.85, light),
            cv2.LINE_AA,
            SHIFT,
        )
    elif kind == 1:  # a scarf over the chin
        top = 1.0 + 0.25 * place[0]
        scarf = smooth_outline(
            np.array(
                [(-1.0, top - 0.25), (0, top + 0.1), (1.0, top - 0.25), (1.1, 2.1), (0, 2.5), (-1.1, 2.1)]
            )
        )
        _textured(canvas, _in_plane(head, scarf, 0.0, 0.7), _lit(rng.uniform(0.1, 0.9, 3), light), 0.4, 0.8)
    elif kind == 2:  # a microphone
        middle = np.array([0.35 * place[0], 1.25 + 0.2 * place[1]])
        stick = _in_plane(head, np.stack([middle, middle + np.array([0.5 * place[2], 2.5])]), 0.5, 0.3)
        cv2.polylines(
            canvas,
            [stick],
            False,
            _lit(np.full(3, 0.25), light),
            max(1, round(0.16 * head.scale * FINE)),
            cv2.LINE_AA,
            SHIFT,
        )
        ball = middle + 0.19 * np.stack(
            [exact.cos(np.linspace(0, 6.28, 20)), 1.2 * exact.sin(np.linspace(0, 6.28, 20))], 1
        )
        _textured(canvas, _in_plane(head, ball, 0.5, 0.3), _lit(np.full(3, 0.2), light), 0.6, 0.4)
    else:  # locks of hair
        for lock in range(3):
            start = np.array([0.5 * place[0] + 0.12 * lock, -0.85])
            bend = start + np.array([0.25 * place[1], 0.5])
            end = start + np.array([0.5 * place[1] + 0.05 * lock, 0.85 + 0.3 * place[2]])
            line = _in_plane(head, smooth_outline(np.stack([start, bend, end]), closed=False), 0.25, 1.0)
            cv2.polylines(canvas, [line], False, _lit(head.person.hair * (0.8 + 0.2 * lock), light),
                          max(1, round(0.07 * head.scale * FINE)), cv2.LINE_AA, SHIFT)  # fmt: skip


def draw_glasses(canvas: Image, head: Head, light: Light, tint: float) -> None:
    """Frames before the eyes, with lenses that keep ``1 - tint`` of what is behind; in place."""
    size = head.person.glasses
    if not size:
        return
    anchors = head.person.anchors
    colour = (head.person.glasses_colour * (0.4 * light.fill + 0.6 * light.key)).tolist()
    round_ = np.linspace(0, 2 * np.pi, 25)[:-1]
    thick = max(1, round(0.035 * head.scale * FINE))
    box = 0.5 + 0.5 * np.abs(exact.cos(2 * round_))
    rims = []
    for side in (-1, 1):
        middle = exact.total(anchors[36:42] if side < 0 else anchors[42:48], axis=0) / 6
        bow = (
            exact.cos(round_) * size * (1.15 - 0.15 * box),
            exact.sin(round_) * size * 0.82 * (1.15 - 0.15 * box),
        )
        rim = middle + np.stack([bow[0], bow[1] + 0.04, 0.13 - 0.5 * np.maximum(side * bow[0], 0)], axis=1)
        rims.append(rim)
    if tint:
        lenses = canvas.copy()
        for rim in rims:
            cv2.fillPoly(lenses, [fine(head.to_camera(rim)[:, :2])], colour, cv2.LINE_AA, SHIFT)
        canvas += (lenses - canvas) * np.float32(tint)
    bridge = np.array([rims[0][0], anchors[27] + (0, 0.0, 0.05), rims[1][12]])
    lines = [np.concatenate([rim, rim[:1]]) for rim in rims] + [smooth_outline(bridge, closed=False)]
    for rim, place, ear in ((rims[0], 12, 0), (rims[1], 0, 16)):
        if (head.yaw > 0) == (ear == 0) or abs(head.yaw) < 8:
            lines.append(np.array([rim[place], anchors[ear] * (1.03, 1, 1) + (0, -0.04, 0)]))
    for line in lines:
        cv2.polylines(canvas, [fine(head.to_camera(line)[:, :2])], False, colour, thick, cv2.LINE_AA, SHIFT)
