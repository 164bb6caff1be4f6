"""The head of the built-in sample: a smooth surface through the 68 points, for any face and expression.

A *chart* point (u, v) names a place on the skin: u runs around the head (0.9 times the angle), v down it.
Anchors, the 68 landmarks among them, have a fixed place in the chart; a face says where they are in
space, and thin-plate splines carry the skin between them. So a landmark lies exactly on the surface,
and what is painted at its place in the chart is seen at its place in the image. Units and axes:
flmd.schemes.head_pose.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flmd.core import exact
from flmd.schemes import IBUG68
from flmd.schemes.head_pose import MEAN_SHAPE

Floats = NDArray[np.float64]

_HALF_WIDTH, _HALF_HEIGHT, _HALF_DEPTH = 0.86, 1.05, 1.03  # of the skull
_SKULL_Y, _SKULL_Z = -0.2, -0.75
_AROUND = 0.9
GRID = 22
"""Bits after the point of weights and anchors where they are multiplied."""

# The right half of the image; (x, y, z). Soft parts the 68 points leave out.
_SOFT = np.array(
    [
        (0.0, -0.20, 0.29), (0.0, 0.60, 0.39), (0.0, 0.475, 0.545), (0.0, 1.00, 0.30), (0.0, 1.14, 0.32),
        (0.0, 0.745, 0.42), (0.0, 0.872, 0.43), (0.11, 0.738, 0.40), (0.11, 0.866, 0.405),
        (0.05, 0.40, 0.54), (0.095, 0.27, 0.33), (0.07, 0.12, 0.28), (0.14, 0.42, 0.35), (0.10, 0.47, 0.41),
        (0.24, 0.42, 0.25), (0.27, 0.56, 0.25), (0.32, 0.19, 0.17), (0.45, 0.30, 0.15), (0.66, 0.32, -0.22),
        (0.40, 0.60, 0.16), (0.60, 0.62, -0.18), (0.19, 1.10, 0.24), (0.38, 0.95, 0.06),
        (0.15, -0.06, 0.19), (0.35, -0.12, 0.16), (0.58, -0.06, -0.07), (0.74, -0.02, -0.40),
        (0.57, 0.10, 0.0), (0.22, 0.15, 0.19), (0.77, 0.20, -0.55), (0.20, 0.70, 0.30),
    ]
)  # fmt: skip
# Where the neck begins under jaw points 8 to 15.
_NECK = np.array(
    [
        (0.0, 1.50, -0.30), (0.12, 1.50, -0.32), (0.24, 1.48, -0.38), (0.36, 1.42, -0.48),
        (0.44, 1.30, -0.62), (0.50, 1.10, -0.80), (0.55, 0.85, -0.97), (0.62, 0.55, -1.08),
    ]
)  # fmt: skip


class Mesh(NamedTuple):
    """A triangulated surface: vertices (V, 3) and their chart (V, 2) float64, triangles (T, 3) int."""

    vertices: Floats
    chart: Floats
    triangles: NDArray[np.intp]


class Chart(NamedTuple):
    """What all faces share.

    Attributes
    ----------
    rest : (A, 3) anchors of the average face; the first 68 are the landmarks.
    anchors : (A, 2) their places in the chart.
    grid : (V, 2) the places of the mesh's vertices, rows of ``across`` each.
    weights : (V, A); ``weights @ anchors_in_space`` are the vertices.
    marching : (14, S, A), a path over the skin from jaw points 0-6 and 10-16 to the face's midline.
    """

    rest: Floats
    anchors: Floats
    grid: Floats
    across: int
    weights: Floats
    marching: Floats
    triangles: NDArray[np.intp]


MARCHING = np.r_[0:7, 10:17]
"""Jaw points that slide along the cheek to the outline when the cheek hides them."""


def to_chart(points: Floats) -> Floats:
    """``(..., 3)`` points near the skin of the average face -> ``(..., 2)`` chart."""
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack([_AROUND * exact.arctan2(x / _HALF_WIDTH, (z - _SKULL_Z) / _HALF_DEPTH), y], axis=-1)


@functools.cache
def chart() -> Chart:
    """The chart; made once a process, in about a tenth of a second."""
    rest, places = _anchors()
    columns = np.concatenate([np.linspace(-2.7, -1.0, 13)[:-1], np.linspace(-1.0, 1.0, 49),
                              np.linspace(1.0, 2.7, 13)[1:]])  # fmt: skip
    rows = np.concatenate([np.linspace(-1.84, -0.4, 13)[:-1], np.linspace(-0.4, 1.4, 45),
                           np.linspace(1.4, 1.8, 6)[1:]])  # fmt: skip
    u, v = np.meshgrid(columns, rows)
    grid = np.stack([u.ravel(), v.ravel()], axis=1)
    starts = places[MARCHING]
    steps = np.linspace(1.0, 0.3, 24)
    paths = np.stack([starts[:, None, 0] * steps, np.repeat(starts[:, 1:], len(steps), 1)], axis=-1)
    spline = exact.on_grid(_spline(places, np.concatenate([grid, paths.reshape(-1, 2)])), GRID)
    weights, marching = spline[: len(grid)], spline[len(grid) :].reshape(*paths.shape[:2], -1)
    return Chart(rest, places, grid, len(columns), weights, marching, _triangles(grid, len(columns)))


def head_mesh(anchors: Floats) -> Mesh:
    """The head through ``(A, 3)`` anchors."""
    shared = chart()
    return Mesh(on_skin(shared.weights, anchors), shared.grid, shared.triangles)


def on_skin(weights: Floats, anchors: Floats) -> Floats:
    """``(..., A)`` weights of the chart, ``(A, 3)`` anchors -> ``(..., 3)`` places, in steps of 2**-44.

    Sums of sizes stay below 2**9, so that BLAS does this exactly (:func:`flmd.core.exact.on_grid`).
    """
    return np.asarray(weights @ exact.on_grid(anchors, GRID))


def _anchors() -> tuple[Floats, Floats]:
    places = to_chart(MEAN_SHAPE)
    places[61:64, 1], places[65:68, 1] = 0.765, 0.835  # lips apart in the chart, so that they can open
    soft_places = to_chart(_SOFT)
    jaw, jaw_places = MEAN_SHAPE[8:16], places[8:16]
    along = np.gradient(places[8:17], axis=0)[:8]
    outward = np.stack([-along[:, 1], along[:, 0]], axis=1)
    outward *= -np.sign(outward[:, 1:] + 1e-9) * -1 / exact.length(outward)[:, None]
    under = [(jaw + share * (_NECK - jaw), jaw_places + offset * outward) for share, offset in
             ((0.0, 0.0), (0.35, 0.13), (1.0, 0.42))][1:]  # fmt: skip
    skull = _skull()
    half = np.concatenate([_SOFT, *(points for points, _ in under), skull[0]])
    half_places = np.concatenate([soft_places, *(place for _, place in under), skull[1]])
    off_middle = half_places[:, 0] > 1e-6
    rest = np.concatenate([MEAN_SHAPE, half, half[off_middle] * (-1, 1, 1)])
    return rest, np.concatenate([places, half_places, half_places[off_middle] * (-1, 1)])


def _skull() -> tuple[Floats, Floats]:
    """Anchors of the forehead, crown, back of the head and nape."""
    points: list[tuple[Any, ...]] = []
    places: list[tuple[Any, ...]] = []
    for around in (0, 22, 45, 70, 100, 135, 170):
        for up in (0, 22, 45, 68, 90):
            if up == 0 and around < 80:
                continue  # the brows are there
            theta, phi = np.radians(around), np.radians(up)
            (right, front), (high, flat) = exact.sin_cos(theta), exact.sin_cos(phi)
            flat = flat * (up < 90)
            points.append((_HALF_WIDTH * right * flat, _SKULL_Y - _HALF_HEIGHT * high,
                           _SKULL_Z + _HALF_DEPTH * front * flat))  # fmt: skip
            places.append((_AROUND * theta, _SKULL_Y - _HALF_HEIGHT * phi))
    for around in (125, 150, 170):
        for v, radius in ((0.2, 0.95), (0.6, 0.75), (1.1, 0.62)):
            theta = np.radians(around)
            right, front = exact.sin_cos(theta)
            points.append((_HALF_WIDTH * right * radius, v, _SKULL_Z - 0.1 + _HALF_DEPTH * front * radius))
            places.append((_AROUND * theta, v))
    return np.array(points), np.array(places)


def _spline(anchors: Floats, at: Floats) -> Floats:
    """Thin-plate spline weights ``(len(at), A)`` of values given at the anchors (Bookstein, 1989)."""

    def kernel(a: Floats, b: Floats) -> Floats:
        u, v = (a[:, None, i] - b[:, i] for i in range(2))
        square = u * u + v * v
        return np.asarray(square * exact.log(square + 1e-12))

    def plane(a: Floats) -> Floats:
        return np.column_stack([np.ones(len(a)), a])

    count = len(anchors)
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = kernel(anchors, anchors)
    system[:count, count:] = plane(anchors)
    system[count:, :count] = plane(anchors).T
    values = exact.inverse(system)[:, :count]
    # some rows at a time, so that the sums stay in the cache
    parts = np.array_split(at, -(-len(at) // 128))
    return np.concatenate([exact.product(np.hstack([kernel(p, anchors), plane(p)]), values) for p in parts])


def _triangles(grid: Floats, across: int) -> NDArray[np.intp]:
    corner = np.arange(len(grid)).reshape(-1, across)
    a, b, c, d = (
        part.ravel() for part in (corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:])
    )
    u, v = ((grid[a] + grid[d]) / 2).T
    skin = v < skin_end(u)
    a, b, c, d = (part[skin] for part in (a, b, c, d))
    return np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])


def skin_end(u: Floats) -> Floats:
    """How far down the chart the head reaches at ``u``: under the jaw, into the neck."""
    return exact.interpolate(
        np.abs(u), [0, 0.4, 0.7, 1.0, 1.25, 1.5, 2.7], [1.76, 1.7, 1.6, 1.38, 1.15, 1.0, 1.0]
    )


def mirrored_anchors() -> NDArray[np.intp]:
    """(A,) the anchor each anchor mirrors into, for checks of symmetry."""
    rest = chart().rest
    found = [int(np.argmin(exact.length(rest * (-1, 1, 1) - point))) for point in rest]
    found[:68] = IBUG68.flip_indices().tolist()
    return np.array(found)
