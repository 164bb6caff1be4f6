"""Draws one head of the built-in sample into a picture: surfaces, triangles, pixels.

Triangles are drawn back to front as numbers; every pixel then interpolates its triangle's corners and
is shaded once (:mod:`flmd.sources.sample.shade`).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from flmd.core import exact
from flmd.schemes.head_pose import rotation
from flmd.sources.sample.camera import SHIFT, Head, Image, Light, fine, turned_by
from flmd.sources.sample.head import Floats, head_mesh, skin_end
from flmd.sources.sample.person import HAIRLINE_U, Person
from flmd.sources.sample.shade import shade
from flmd.sources.sample.skin import LEFT, TOP

# vertices (V, 3), triangles (T, 3), chart (V, 2), height above the hairline (V,), darkness (V,)
_Part = tuple[Floats, NDArray[np.intp], Floats, Floats, Floats]
_BARE = (LEFT, TOP)  # a corner of the chart where nothing is painted


def draw_neck(canvas: Image, head: Head, light: Light) -> None:
    """Draw the neck over ``(FINE H, FINE W, 3)`` float32, in place; the body goes over it, then the head."""
    _draw(canvas, [_neck(head)], head, light)


def draw_head(canvas: Image, head: Head, light: Light) -> None:
    """Draw head and ears over ``(FINE H, FINE W, 3)`` float32, in place."""
    person = head.person
    ears = [_ear(person, -1), _ear(person, 1)] if person.ears else []
    _draw(canvas, [_scalp_and_face(head), *ears], head, light)


def _draw(canvas: Image, parts: list[_Part], head: Head, light: Light) -> None:
    vertices, attributes, triangles = _joined(parts)
    seen = head.to_camera(vertices)
    attributes[:, :3] = _normals(np.c_[seen[:, :2] / head.scale, seen[:, 2]], triangles)
    corners = fine(seen[:, :2])
    low = np.maximum(corners.min(axis=0) // (1 << SHIFT) - 1, 0)
    high = np.minimum(corners.max(axis=0) // (1 << SHIFT) + 2, canvas.shape[1::-1])
    if (high <= low).any():
        return
    window = canvas[low[1] : high[1], low[0] : high[0]]
    corners = corners - low * (1 << SHIFT)
    flat = corners.astype(np.float32)[triangles] / (1 << SHIFT)
    ids, triangles, flat = _visible(corners, flat, seen[:, 2], triangles, window.shape)
    covered = ids >= 0
    if not covered.any():
        return
    rows, columns = np.nonzero(covered)
    number = ids[rows, columns]
    a, b, c = (flat[number, i] for i in range(3))
    pixel = np.stack([columns, rows], axis=1).astype(np.float32)
    ab, ac, ap = b - a, c - a, pixel - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    s = np.clip((ap[:, 0] * ac[:, 1] - ap[:, 1] * ac[:, 0]) / area, 0, 1)[:, None]
    t = np.clip((ab[:, 0] * ap[:, 1] - ab[:, 1] * ap[:, 0]) / area, 0, 1)[:, None]
    corner = triangles[number]
    first = attributes[corner[:, 0]]
    values = first + s * (attributes[corner[:, 1]] - first) + t * (attributes[corner[:, 2]] - first)
    colour = shade(values, rows, columns, window.shape, head, light)
    # below the jaw the head fades into the neck
    faded = values[:, 4] > 0.8
    u, v = values[faded, 3], values[faded, 4]
    share = np.clip((skin_end(u) - 0.05 - v) / 0.12, 0, 1).astype(np.float32)[:, None]
    behind = window[rows[faded], columns[faded]]
    colour[faded] = behind + share * (colour[faded] - behind)
    window[rows, columns] = colour


def _visible(
    corners: NDArray[np.int32],
    flat: Image,
    depth: Floats,
    triangles: NDArray[np.intp],
    shape: tuple[int, ...],
) -> tuple[NDArray[np.int32], NDArray[np.intp], Image]:
    """Which triangle each pixel shows (-1 none), the triangles that face the camera, and their corners."""
    ab, ac = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]
    facing = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0] > 0.02
    triangles, flat = triangles[facing], flat[facing]
    a, b, c = (depth[triangles[:, i]] for i in range(3))
    order = np.argsort(a + b + c, kind="stable")
    ids = np.full(shape[:2], -1, np.int32)
    for number, outline in zip(order.tolist(), corners[triangles[order]], strict=True):
        cv2.fillConvexPoly(ids, outline, number, cv2.LINE_8, SHIFT)
    return ids, triangles, flat


def _joined(parts: list[_Part]) -> tuple[Floats, Image, NDArray[np.intp]]:
    """Vertices (V, 3) in the head frame, attributes (V, 9), triangles (T, 3) of all parts."""
    vertices, triangles, attributes = [], [], []
    count = 0
    for points, faces, places, level, dark in parts:
        vertices.append(points)
        triangles.append(faces + count)
        attributes.append(np.c_[np.zeros((len(points), 3)), places, points[:, :2], level, dark])
        count += len(points)
    return np.concatenate(vertices), np.concatenate(attributes).astype(np.float32), np.concatenate(triangles)


def _scalp_and_face(head: Head) -> _Part:
    person = head.person
    mesh = head_mesh(head.anchors)
    level = exact.interpolate(np.abs(mesh.chart[:, 0]), HAIRLINE_U, person.hairline) - mesh.chart[:, 1]
    # clipped, so that a steep hairline turns to hair at the skin's side of a triangle and not half-way up
    hair = np.clip(level, -0.15, 0.6)
    grown = np.clip(hair / 0.3, 0, 1)
    thick = person.hair_volume * grown * (2 - grown) * np.clip(1.2 - 0.3 * mesh.chart[:, 1], 0.6, 1.6)
    lifted = mesh.vertices + _normals(mesh.vertices, mesh.triangles) * thick[:, None]
    # at the crown the chart's rows meet, and so must the hair
    crown = mesh.chart[:, 1] < -1.6
    lifted[crown, 1] = np.minimum(lifted[crown, 1], exact.total(lifted[crown, 1]) / crown.sum())
    return lifted, mesh.triangles, mesh.chart, hair, np.zeros(len(lifted))


def _plain(points: Floats, across: int, dark: Floats) -> _Part:
    corner = np.arange(len(points)).reshape(-1, across)
    a, b, c, d = (q.ravel() for q in (corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
    return points, faces, np.tile(_BARE, (len(points), 1)), np.full(len(points), -1.0), dark


def _neck(head: Head) -> _Part:
    """A cylinder that leaves the head with the head's pose and reaches the shoulders with the body's."""
    theta, down = (axis.ravel() for axis in np.meshgrid(np.linspace(-1.9, 1.9, 25), np.linspace(0, 1, 8)))
    width = (
        0.50
        + 0.07 * np.abs(head.person.anchors[12, 0] - head.person.anchors[4, 0])
        + 0.35 * down * down * down
    )
    points = np.stack(
        [width * exact.sin(theta), 0.75 + 1.8 * down, -0.82 - 0.1 * down + 0.46 * exact.cos(theta)], 1
    )
    body = rotation(0.35 * head.yaw, 0, 0.2 * head.roll)
    pivot = np.array([0, 0.6, -0.8])
    turn = exact.product(rotation(head.yaw, head.pitch, head.roll).T, body)
    unturned = turned_by(turn, points - pivot) + pivot
    share = np.clip(down * 1.5, 0, 1)[:, None]
    return _plain(points * (1 - share) + unturned * share, 25, 0.42 * np.clip(1.15 - 1.6 * down, 0.15, 1))


def _ear(person: Person, side: int) -> _Part:
    root = person.anchors[0 if side < 0 else 16]
    out, down = (axis.ravel() for axis in np.meshgrid(np.linspace(0, 1, 9), np.linspace(-1, 1, 13)))
    height = 0.34 * np.sqrt(np.clip(1.02 - exact.power(0.92 * out, 2.2), 0, 1))
    back = 0.34 * out * (1 - 0.22 * down)
    rim = 0.045 * np.clip(np.sqrt(out * out + down * down) - 0.45, 0, 0.45)
    points = np.stack(
        [side * (0.02 + 0.45 * back + rim), 0.20 + height * down - 0.1 * out, -0.05 - 0.75 * back], 1
    )
    points += (root[0], root[1] - 0.06, root[2])
    dark = 0.5 * exact.exp(-((out - 0.35) ** 2 + ((down + 0.05) / 1.3) ** 2) / (0.38 * 0.38))
    if side < 0:  # keep the winding that faces outward
        points, dark = points.reshape(13, 9, 3)[:, ::-1].reshape(-1, 3), dark.reshape(13, 9)[:, ::-1].ravel()
    return _plain(points, 9, dark)


def _normals(points: Floats, triangles: NDArray[np.intp]) -> Floats:
    """Outward unit normals (V, 3)."""
    a, b, c = (points[triangles[:, i]] for i in range(3))
    face = np.cross(b - a, c - a)  # products and differences, each rounded on its own
    total: Floats = np.stack(
        [np.bincount(triangles.ravel(), np.repeat(face[:, i], 3), len(points)) for i in range(3)], 1
    ).astype(np.float64)
    return np.asarray(total / (exact.length(total)[:, None] + 1e-12))
