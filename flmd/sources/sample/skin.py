"""What is painted on the built-in sample's heads, in the chart of :mod:`flmd.sources.sample.head`.

Every map is the same for all faces; a face's own colours and widths come in when a pixel is shaded.
"""

from __future__ import annotations

import functools
import itertools
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from flmd.core import exact
from flmd.sources.sample.draws import Draws
from flmd.sources.sample.head import Floats, chart

DENSITY = 300.0  # texels a chart unit
LEFT, TOP, RIGHT, BOTTOM = -1.55, -0.75, 1.55, 1.7
STRAND_DENSITY = 150.0


class Skin(NamedTuple):
    """uint8 maps of the chart.

    Attributes
    ----------
    parts : (H, W, 4) lips, mouth opening, eye openings, lashes.
    tints : (H, W, 4) shade, beard, moustache, blush.
    brow : (H, W) 255 on the line of the brow, falling to 0 at a distance of 0.1.
    strands : (256, 256) a tile of hair that lies along v.
    """

    parts: NDArray[np.uint8]
    tints: NDArray[np.uint8]
    brow: NDArray[np.uint8]
    strands: NDArray[np.uint8]


def texel(places: Floats) -> Floats:
    """``(..., 2)`` chart -> ``(..., 2)`` texel coordinates."""
    return (places - (LEFT, TOP)) * DENSITY


def smooth_outline(points: Floats, closed: bool = True, steps: int = 8) -> Floats:
    """``(N, 2)`` corners -> a centripetal-like Catmull-Rom curve through them, ``(M, 2)``."""
    if closed:
        around = np.concatenate([points[-1:], points, points[:2]])
    else:
        around = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = []
    for p0, p1, p2, p3 in zip(around, around[1:], around[2:], around[3:], strict=False):
        pieces.append(
            p1 + 0.5 * t * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)))
        )
    return np.concatenate(pieces)


@functools.cache
def skin() -> Skin:
    """The maps; made once a process."""
    at = chart().anchors[:68]
    canvas = _Canvas()
    tints = [
        cv2.GaussianBlur(np.clip(tint, 0, 255).astype(np.uint8), (0, 0), blur)
        for tint, blur in (
            (_shade(canvas, at), 1.5),
            (_beard(canvas), 8),
            (_moustache(canvas), 4),
            (_blush(canvas), 6),
        )
    ]
    brows = (at[17:22], at[22:27])
    distance = np.minimum(*(_distance(canvas.u, canvas.v, brow) for brow in brows))
    brow = np.clip(255 * (1 - distance / 0.1), 0, 255).astype(np.uint8)
    return Skin(np.stack(_parts(canvas, at), axis=2), np.stack(tints, axis=2), brow, _strands())


class _Canvas:
    """What maps of the chart are painted on.

    ``u``, ``v``, (H, W): the place of each texel; ``au``: how far it is from the middle line.
    """

    def __init__(self) -> None:
        self.size = (round((BOTTOM - TOP) * DENSITY), round((RIGHT - LEFT) * DENSITY))
        across, down = np.arange(self.size[1]), np.arange(self.size[0])
        self.u, self.v = np.meshgrid(LEFT + across / DENSITY, TOP + down / DENSITY)
        self.au = np.abs(self.u)

    def filled(self, *outlines: Floats, blur: float = 0.8) -> NDArray[np.uint8]:
        """255 inside outlines; ``blur`` in texels."""
        image = np.zeros(self.size, np.uint8)
        corners = [np.round(texel(outline) * 16).astype(np.int32) for outline in outlines]
        cv2.fillPoly(image, corners, 255, cv2.LINE_AA, 4)
        return cv2.GaussianBlur(image, (0, 0), blur).astype(np.uint8)

    def stroked(self, *lines: Floats, width: float, blur: float) -> NDArray[np.uint8]:
        """255 on lines; ``width`` and ``blur`` in the chart's units."""
        image = np.zeros(self.size, np.uint8)
        thickness = max(1, round(width * DENSITY))
        for line in lines:
            corners = [np.round(texel(line) * 16).astype(np.int32)]
            cv2.polylines(image, corners, False, 255, thickness, cv2.LINE_AA, 4)
        return cv2.GaussianBlur(image, (0, 0), blur * DENSITY).astype(np.uint8)

    def spot(self, cu: float, cv: float, su: float, sv: float) -> Floats:
        """1 at (cu, cv) and at its mirror image, falling to 1/e within (su, sv)."""
        across, down = (self.au[:1] - cu) / su, (self.v[:, :1] - cv) / sv
        return np.asarray(exact.exp(-(across * across)) * exact.exp(-(down * down)))


def _both(points: list[tuple[float, float]]) -> tuple[Floats, Floats]:
    """A curve through corners, and its mirror image."""
    line = smooth_outline(np.array(points), closed=False)
    return line, line * (-1, 1)


def _almond(at: Floats, upper: NDArray[np.intp], lower: NDArray[np.intp]) -> Floats:
    """The outline of lips or of an eye: its corners are sharp, so each arc is a curve of its own."""
    arcs = [(smooth_outline(at[part], closed=False), at[part[-1:]]) for part in (upper, lower)]
    return np.concatenate([np.concatenate(arc) for arc in arcs])


def _parts(canvas: _Canvas, at: Floats) -> list[NDArray[np.uint8]]:
    """Lips, mouth opening, eye openings, lashes."""
    mouth = _almond(at, np.r_[48:55], np.r_[54:60, 48])
    inside = _almond(at, np.r_[60:65], np.r_[64:68, 60])
    eyes = [_almond(at, np.r_[36:40], np.r_[39:42, 36]), _almond(at, np.r_[42:46], np.r_[45:48, 42])]
    upper_lids = [
        smooth_outline(at[part], closed=False) - np.array([0, 0.006]) for part in (np.r_[36:40], np.r_[42:46])
    ]
    lashes = canvas.stroked(*upper_lids, width=0.014, blur=0.004)
    return [canvas.filled(mouth), canvas.filled(inside), canvas.filled(*eyes), lashes]


def _shade(canvas: _Canvas, at: Floats) -> Floats:
    """Folds of the skin, and what lies in shadow."""
    stroked, spot = canvas.stroked, canvas.spot
    eye_u = float(exact.total(at[42:48, 0])) / 6
    crease = _both(
        [
            (eye_u - 0.17, 0.0),
            (eye_u - 0.08, -0.095),
            (eye_u + 0.04, -0.105),
            (eye_u + 0.16, -0.045),
            (eye_u + 0.22, 0.0),
        ]
    )
    bags = _both([(eye_u - 0.14, 0.09), (eye_u, 0.135), (eye_u + 0.12, 0.10)])
    folds = _both([(0.20, 0.45), (0.28, 0.58), (0.36, 0.74), (0.39, 0.86)])
    wings = _both([(0.15, 0.38), (0.195, 0.45), (0.175, 0.52), (0.13, 0.535)])
    seam = smooth_outline(
        at[[60, 61, 62, 63, 64]] * (1, 0)
        + at[[60, 67, 66, 65, 64]] * (0, 0.5)
        + at[[60, 61, 62, 63, 64]] * (0, 0.5),
        closed=False,
    )
    shade = 0.75 * stroked(*crease, width=0.012, blur=0.008) + 0.35 * stroked(*bags, width=0.02, blur=0.02)
    shade += 0.42 * stroked(*folds, width=0.025, blur=0.022) + 0.55 * stroked(*wings, width=0.018, blur=0.012)
    shade += 0.25 * stroked(seam, width=0.01, blur=0.008)
    nose_and_chin = 235 * spot(0.072, 0.505, 0.038, 0.021) + 70 * spot(0, 0.985, 0.2, 0.05)
    shade += nose_and_chin + 45 * spot(0.0, 0.55, 0.16, 0.035)
    sockets = 60 * spot(eye_u - 0.19, -0.03, 0.06, 0.1) + 45 * spot(eye_u, -0.1, 0.17, 0.06)
    shade += sockets + 28 * spot(0, 0.63, 0.035, 0.06)
    jaw = exact.interpolate(canvas.au[0], np.abs(at[8:17, 0]), at[8:17, 1])
    return np.asarray(shade + 90 * np.clip((canvas.v - jaw) / 0.15, 0, 1) * (canvas.v > 0.3))


def _beard(canvas: _Canvas) -> Floats:
    """Along the jaw, and on the chin."""
    au, v = canvas.au, canvas.v
    jaw = exact.interpolate(au[0], [0, 0.3, 0.7, 1.0, 1.3, 1.6], [1.0, 0.9, 0.72, 0.45, 0.1, -0.1])
    beard = 255 * np.clip((v - jaw + 0.12) / 0.12, 0, 1) * np.clip((au - 0.0) / 0.01 + 1, 0, 1)
    from_chin = np.sqrt((au / 0.36) ** 2 + ((v - 0.86) / 0.28) ** 2)
    goatee = 255 * (1 - np.clip((from_chin - 1) / 0.15, 0, 1)) * (v > 0.8)
    return np.asarray(np.maximum(beard, goatee))


def _moustache(canvas: _Canvas) -> Floats:
    au, v = canvas.au, canvas.v
    under_nose = np.clip(1 - exact.whole_power(au / 0.34, 4), 0, 1)
    return np.asarray(
        255 * under_nose * np.clip((v - 0.56 - 0.25 * au) / 0.06, 0, 1) * (v < 0.80 + 0.35 * au)
    )


def _blush(canvas: _Canvas) -> Floats:
    """Of cheeks, nose and chin."""
    spot = canvas.spot
    cheeks_and_nose = 200 * spot(0.45, 0.36, 0.25, 0.18) + 170 * spot(0, 0.42, 0.13, 0.12)
    return cheeks_and_nose + 60 * spot(0, 1.15, 0.2, 0.12)


def _distance(u: Floats, v: Floats, line: Floats) -> Floats:
    """How far each place of the chart is from a line through these points; 1 where that is above 0.1."""
    curve = np.concatenate([smooth_outline(line, closed=False), line[-1:]])
    low, high = curve.min(axis=0) - 0.11, curve.max(axis=0) + 0.11
    columns = slice(*np.searchsorted(u[0], (low[0], high[0])).tolist())
    rows = slice(*np.searchsorted(v[:, 0], (low[1], high[1])).tolist())
    x, y = u[rows, columns], v[rows, columns]
    nearest = np.ones(x.shape)
    for begin, end in itertools.pairwise(curve):
        du, dv = (end - begin).tolist()
        along = np.clip(((x - begin[0]) * du + (y - begin[1]) * dv) / max(du * du + dv * dv, 1e-12), 0, 1)
        across, down = x - (begin[0] + along * du), y - (begin[1] + along * dv)
        nearest = np.minimum(nearest, across * across + down * down)
    whole = np.ones(u.shape)
    whole[rows, columns] = np.sqrt(nearest)
    return whole


def _strands() -> NDArray[np.uint8]:
    """A tile of hair, lying along v, mean 128."""
    noise = np.rint(Draws(68).normal(0, 1, (256, 256)) * 2**10) / 2**10
    total = np.zeros((256, 256))
    for along, across in ((40, 0.8), (60, 2.5), (80, 7.0)):
        # Sides of 256 meet: the blur is a product with one matrix each way. All numbers are on so coarse a
        # grid that sums are exact, whatever order BLAS takes.
        half = np.rint(_around(along) @ noise * 2**16) / 2**16
        layer = half @ _around(across)
        total += layer / np.sqrt(exact.total(layer.ravel() * layer.ravel()) / layer.size)
    return np.clip(128 + 36 * total, 0, 255).astype(np.uint8)


def _around(sigma: float) -> Floats:
    """(256, 256) Gaussian blur of a circle of 256, in steps of 2**-24."""
    away = np.arange(-1024, 1024)
    kernel = exact.exp(-(away * away) / (2 * sigma * sigma)).reshape(-1, 256)
    ring = exact.total(kernel, axis=0)
    ring = np.rint(ring / exact.total(ring) * 2**24) / 2**24
    return np.asarray(ring[(np.arange(256)[:, None] - np.arange(256)) % 256])
