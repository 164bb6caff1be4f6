"""Who is in the picture and what the face does: the random part of the built-in sample's heads.

A :class:`Person` keeps still from frame to frame; an :class:`Expression` does not. Both move the anchors
of :mod:`flmd.sources.sample.head` by smooth fields, so that neighbours follow and the skin never tears.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flmd.core import exact
from flmd.sources.sample.draws import Draws
from flmd.sources.sample.head import chart

Floats = NDArray[np.float64]

# Red, green, blue of light to dark skin and of hair, dark to grey.
_SKIN = (
    np.array([(244, 208, 186), (228, 182, 150), (205, 152, 115), (164, 111, 77), (112, 74, 52), (72, 48, 38)])
    / 255
)
_HAIR = np.array(
    [(22, 18, 17), (48, 32, 24), (84, 56, 36), (128, 88, 52), (186, 148, 96), (124, 56, 30), (150, 147, 144)]
)
_IRIS = (
    np.array([(62, 38, 24), (84, 56, 32), (92, 98, 62), (96, 122, 146), (70, 98, 138), (40, 28, 22)]) / 255
)
_LOWER_LIP = np.r_[55:60, 65:68]


@dataclass(frozen=True)
class Person:
    """One identity. Lengths in inter-ocular distances, colours (3,) RGB in 0-1."""

    anchors: Floats
    skin: Floats
    lips: Floats
    hair: Floats
    iris: Floats
    brow: Floats
    brow_width: float
    hairline: tuple[float, ...]  # height in the chart at HAIRLINE_U
    hair_volume: float
    long_hair: float  # how far down it falls behind the shoulders; 0 none
    beard: float  # 0 shaven to 1 full
    moustache: float
    wrinkles: float
    glasses: float  # lens half-width; 0 none
    glasses_colour: Floats
    clothes: Floats
    ears: bool


HAIRLINE_U = (0.0, 0.35, 0.7, 0.95, 1.12, 1.28, 1.42, 1.6, 2.0, 2.7)


@dataclass(frozen=True)
class Expression:
    """What the face does; 0 is rest.

    Attributes
    ----------
    open : opening of the mouth, inter-ocular distances.
    smile : -1 sullen to 1 broad smile.
    pout : 0 to 1.
    closed : (2,) share by which the image's left and right eye are shut; below 0 is wide open.
    brows : -1 frown to 1 raised.
    gaze : (2,) shift of the iris, inter-ocular distances.
    """

    open: float
    smile: float
    pout: float
    closed: tuple[float, float]
    brows: float
    gaze: tuple[float, float]


def draw_person(rng: Draws) -> Person:
    """A person; takes a fixed number of draws in a fixed order."""
    tone = rng.beta(1.1, 1.5) * (len(_SKIN) - 1.001)
    low = int(tone)
    skin = _SKIN[low] * (1 - tone + low) + _SKIN[low + 1] * (tone - low)
    skin = np.clip(skin * rng.normal(1, (0.02, 0.03, 0.05)), 0.08, 0.98)
    anchors = _identity(chart().rest, rng)
    hair_weights = (5, 4, 3, 2, 2, 1, 2) if tone < 2 else (12, 4, 1, 0.2, 0.2, 0.1, 1.5)
    hair = np.clip(rng.choice(_HAIR, p=hair_weights) / 255 * rng.uniform(0.8, 1.2), 0, 1)
    style = rng.choice(
        ["short", "fringe", "receding", "bald", "long", "long fringe"], p=[0.38, 0.1, 0.14, 0.06, 0.24, 0.08]
    )
    man = rng.random() < (0.85 if style in ("short", "receding", "bald") else 0.05)
    lips = skin * (0.86, 0.62, 0.62) * rng.normal(1, 0.05)
    paint = rng.random()
    if not man and paint < 0.5:
        lips = 0.4 * lips + 0.6 * np.array([0.72, 0.14, 0.18]) * rng.uniform(0.7, 1.1)
    beard = rng.random(3)
    return Person(
        anchors=anchors,
        skin=skin,
        lips=np.clip(lips, 0, 1),
        hair=hair,
        iris=_IRIS[
            rng.integers(2 if tone < 2 else 0, 5) if tone < 2 and beard[2] < 0.7 else rng.choice([0, 1, 5])
        ],
        brow=np.clip(0.75 * hair + 0.1 * skin, 0.05, 0.55),
        brow_width=float(rng.uniform(0.020, 0.034) + 0.012 * man),
        hairline=_hairline(str(style), rng),
        hair_volume=float(rng.uniform(0.05, 0.22)) if style != "bald" else 0.015,
        long_hair=float(rng.uniform(1.0, 2.6)) if style in ("long", "long fringe") else 0.0,
        beard=float(beard[0] * 1.3) if man and beard[1] < 0.4 else 0.0,
        moustache=float(beard[2]) if man and beard[1] < 0.5 else 0.0,
        wrinkles=float(rng.beta(1, 2)),
        glasses=float(rng.uniform(0.20, 0.25)) if rng.random() < 0.16 else 0.0,
        glasses_colour=rng.uniform(0.03, 0.35) * rng.uniform(0.6, 1, 3),
        clothes=rng.uniform(0.05, 0.9) * rng.uniform(0.4, 1, 3),
        ears=bool(style in ("short", "receding", "bald") or rng.random() < 0.3),
    )


def draw_expression(rng: Draws, strength: float = 1.0) -> Expression:
    """An expression; ``strength`` 1 is an album of snapshots, 0 a passport photograph."""
    opened, shut = rng.random(2)
    blink = rng.uniform(0.85, 1.0) if shut < 0.07 * strength else rng.normal(-0.05, 0.2) * strength
    wink = rng.normal(0, 0.05, 2) if rng.random() < 0.97 else np.array([0.9, 0.0])
    return Expression(
        open=float(strength * rng.gamma(2.0, 0.07)) if opened < 0.5 else 0.0,
        smile=float(np.clip(strength * rng.normal(0.35, 0.5), -0.7, 1.1)),
        pout=float(strength * rng.uniform(0.3, 1.0)) if rng.random() < 0.15 else 0.0,
        closed=(float(np.clip(blink + wink[0], -0.3, 1)), float(np.clip(blink + wink[1], -0.3, 1))),
        brows=float(np.clip(strength * rng.normal(0.1, 0.55), -1, 1.3)),
        gaze=(float(rng.normal(0, 0.035)), float(rng.normal(0, 0.012))),
    )


def expressed(person: Person, expression: Expression) -> Floats:
    """``(A, 3)`` anchors of the person with that expression."""
    rest = chart().rest
    x, y = rest[:, 0], rest[:, 1]
    side = np.sign(x)
    moved = person.anchors.copy()
    opening = min(expression.open, 0.42)
    lower = np.zeros(len(rest))
    lower[_LOWER_LIP] = 1
    lower[(np.abs(x) < 0.2) & (np.abs(y - 0.87) < 0.02)] = 1
    drop = np.maximum(
        lower, _step(y, 0.72, 1.05) * exact.exp(-exact.whole_power(np.abs(x) / 0.75, 4)) * (y > 0.84)
    )
    drop[[48, 54, 60, 64]] = 0.42
    # the mean shape's lips are a little apart; without opening they close
    moved[:, 1] += (opening - 0.022 * max(0.0, 1 - opening / 0.04)) * drop
    moved[:, 2] -= 0.25 * opening * drop
    corners = _near(np.abs(x), y, 0.29, 0.79, 0.12)
    smile = expression.smile
    moved[:, 0] += side * corners * (0.085 * smile - 0.10 * expression.pout - 0.10 * opening)
    moved[:, 1] -= corners * 0.075 * smile
    moved[:, 2] -= corners * 0.05 * smile
    cheeks = _near(np.abs(x), y, 0.46, 0.32, 0.16) * max(smile, 0)
    moved[:, 1] -= 0.05 * cheeks
    moved[:, 2] += 0.05 * cheeks
    moved[:, 2] += 0.07 * expression.pout * _near(np.abs(x), y, 0, 0.81, 0.15)
    moved[:, 1] -= 0.02 * max(smile, 0) * _near(np.abs(x), y, 0.12, 0.7, 0.08)

    for (upper, under), closed in zip(
        (((37, 38), (41, 40)), ((44, 43), (46, 47))), expression.closed, strict=True
    ):
        closed = max(closed, 0.0) if closed > 0 else closed
        for a, b in zip(upper, under, strict=True):
            meet = 0.25 * moved[a] + 0.75 * moved[b]
            squint = 0.08 * max(smile, 0)
            moved[a] += closed * (meet - moved[a])
            moved[b] += (max(closed, 0) * 0.97 + squint * (1 - max(closed, 0))) * (meet - moved[b])
    brow = _near(np.abs(x), y, 0.38, -0.25, 0.2) + 0.6 * _near(np.abs(x), y, 0.14, -0.2, 0.08)
    moved[:, 1] -= brow * (0.085 * max(expression.brows, 0) + 0.06 * min(expression.brows, 0))
    frown = max(-expression.brows, 0) * _near(np.abs(x), y, 0.15, -0.21, 0.1)
    moved[:, 0] -= side * 0.045 * frown
    moved[:, 1] += 0.035 * frown
    return moved


def _identity(rest: Floats, rng: Draws) -> Floats:
    """The average head made somebody's; spreads are chosen by eye, a little wider than adults'."""
    n = rng.normal(0, 1, 24).clip(-2.2, 2.2)
    moved = rest.copy()
    x, y, _ = rest.T
    across, side = np.abs(x), np.sign(x)
    face_down = _step(y, 0.0, 1.3)
    moved[:, 0] *= 1 + 0.05 * n[0] + 0.07 * n[1] * _step(y, 0.3, 1.1) * _step(across, 0.2, 0.5)
    moved[:, 1] += 0.09 * n[2] * face_down + 0.07 * n[3] * _step(y, 0.95, 1.3)
    moved[:, 2] += 0.05 * n[4] * _step(y, 0.9, 1.3) * (1 - _step(across, 0.2, 0.6))
    moved[:, 1] += -0.08 * n[5] * _step(-y, 0.35, 1.2)
    nose = _step(y, -0.05, 0.35) * (1 - _step(y, 0.5, 0.66)) * (1 - _step(across, 0.16, 0.3))
    moved[:, 0] *= 1 + 0.14 * n[6] * nose
    moved[:, 1] += 0.055 * n[7] * nose
    moved[:, 2] += (0.06 * n[8] + 0.03 * n[9] * (y < 0.3)) * nose
    eyes = _near(across, y, 0.345, 0.0, 0.17)
    moved[:, 0] += side * 0.025 * n[10] * eyes
    moved[:, 1] += (
        np.clip(y, -0.12, 0.12) * np.clip(0.22 * n[11], -0.35, 0.5) * eyes
        + (across - 0.345) * 0.09 * n[12] * eyes
    )
    moved[:, 0] += side * (across - 0.345) * 0.08 * n[13] * eyes
    mouth = _near(across, y, 0.12, 0.8, 0.22)
    moved[:, 0] *= 1 + 0.12 * n[14] * mouth
    lips = (
        exact.exp(-exact.whole_power(across / 0.24, 4))
        * np.clip((y - 0.795) / 0.11, -1, 1)
        * (np.abs(y - 0.8) < 0.16)
    )
    moved[:, 1] += 0.028 * n[15] * lips + 0.045 * n[16] * mouth
    moved[:, 2] += 0.025 * n[15] * mouth
    brows = _near(across, y, 0.38, -0.25, 0.17)
    moved[:, 1] += (0.045 * n[17] + (across - 0.36) * 0.14 * n[18]) * brows
    moved[:, 1] -= 0.035 * n[19] * _near(across, y, 0.42, -0.28, 0.1)
    cheeks = _near(across, y, 0.5, 0.45, 0.25)
    moved[:, 2] += 0.06 * n[20] * cheeks
    moved[:, 0] += 0.012 * n[21] * exact.exp(-((x / 0.4) ** 2)) * _step(y, 0.2, 0.8)  # nobody is symmetric
    moved[:, 1] += 0.012 * n[22] * x
    moved[:, 2] *= 1 + 0.04 * n[23]
    return moved


def _hairline(style: str, rng: Draws) -> tuple[float, ...]:
    top = {"fringe": -0.40, "long fringe": -0.38, "receding": -1.05, "bald": -1.9}.get(style, -0.80)
    top += rng.normal(0, 0.05)
    temple = top + (0.0 if "fringe" in style else -0.1 * (style == "receding")) + rng.normal(0, 0.04)
    side = -1.2 if style == "bald" else -0.32 + rng.normal(0, 0.05)
    burns = rng.uniform(-0.1, 0.35) if style != "bald" else -0.2
    lengths = (1.2, 1.5, 1.6, 1.6) if "long" in style else (burns, -0.12, 0.05, 0.7)
    front = side + 0.25 if style != "bald" else -0.7
    return (top, top + rng.normal(0, 0.03), temple, side, front, *lengths, lengths[-1])


def _near(across: Floats, y: Floats, at_x: float, at_y: float, width: float) -> Floats:
    return exact.exp(-((across - at_x) ** 2 + (y - at_y) ** 2) / (2 * width * width))


def _step(value: Floats, low: float, high: float) -> Floats:
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
