"""Which box of a CVAT picture belongs to which face: :class:`flmd.formats.cvat.Cvat` has the rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.face import NOT_LABELLED, SkipFace
from flmd.formats.cvat_shapes import CORNER, Labels, ShapeFace, group_of
from flmd.formats.layout import number_in

_EDGES = ("xtl", "ytl", "xbr", "ybr")
_MOST_TESTS = 50_000_000  # points times boxes; a picture of 800 faces needs about as many


def join_boxes(image: Any, shapes: list[ShapeFace], labels: Labels) -> list[ShapeFace]:
    """Give every face of an ``<image>`` its box; what is returned are the boxes of no face, as faults."""
    faults: list[ShapeFace] = []
    elements: list[Any] = []
    rows: list[list[float]] = []
    for element in image.iterchildren("{*}box"):
        row = _edges(element)
        if _positive(row):
            elements.append(element)
            rows.append(row)
        else:
            said = ", ".join(f"{edge} {(element.get(edge) or '')[:20]!r}" for edge in _EDGES)
            faults.append(ShapeFace("box", fault=SkipFace("bad_box", said + ", expected a positive size")))
    groups = [group_of(element) for element in elements]
    boxes = np.array(rows, np.float64).reshape(-1, 4)
    faces = [shape for shape in shapes if shape.fault is None]
    joined, around = _free_pairs(faces, boxes, np.array([not group for group in groups], bool))
    in_group: dict[str, list[int]] = {}
    for i, group in enumerate(groups):
        in_group.setdefault(group, []).append(i)
    members = Counter(face.group for face in faces)
    for face in faces:
        if face.group and members[face.group] == 1 and len(in_group.get(face.group, ())) == 1:
            joined.append((face, in_group[face.group][0]))
    claims = Counter(i for _, i in joined)
    for face, i in joined:
        if claims[i] == 1:
            _join(face, elements[i], boxes[i], labels)
    known = {shape.group for shape in shapes}
    for i, element in enumerate(elements):
        if claims[i] == 1:
            continue
        several = bool(groups[i] in known if groups[i] else around[i])
        reason = "faces or boxes that could be its match are several, or unusable" if several else "no points"
        what = f"a box {(element.get('label') or '')[:40]!r}: {reason}"
        faults.append(ShapeFace("box", fault=SkipFace("box_without_points", what)))
    return faults


def box_in(element: Any) -> NDArray[np.float32] | None:
    """(4,) x, y, width, height of a ``<box>``; None where that is not positive, or not a number."""
    edges = _edges(element)
    return _box(edges) if _positive(edges) else None


def _edges(element: Any) -> list[float]:
    """xtl, ytl, xbr and ybr, NaN for what is no number."""
    edges = [number_in(element.get(edge)) for edge in _EDGES]
    return [np.nan if edge is None else edge for edge in edges]


def _box(edges: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float32]:
    left, top, right, bottom = edges
    return np.array([left, top, right - left, bottom - top]).astype(np.float32)


def _positive(edges: list[float]) -> bool:
    with np.errstate(over="ignore"):
        sides = np.array([edges[2] - edges[0], edges[3] - edges[1]]).astype(np.float32)
    return bool(np.isfinite(edges).all() and np.isfinite(sides).all() and (sides > 0).all())


def _free_pairs(
    faces: list[ShapeFace], boxes: NDArray[np.float64], free: NDArray[np.bool_]
) -> tuple[list[tuple[ShapeFace, int]], NDArray[np.intp]]:
    """Faces and boxes without group that go together, and around how many such faces each box is."""
    around = np.zeros(len(boxes), np.intp)
    index = np.flatnonzero(free)
    candidates = [face for face in faces if not face.group]
    if not candidates or not len(index):
        return [], around
    if len(candidates) * len(index) * len(candidates[0].landmarks) > _MOST_TESTS:
        return [], np.ones(len(boxes), np.intp)
    joined = []
    low, high = boxes[index, :2], boxes[index, 2:]
    for face in candidates:
        points = face.landmarks[face.visibility != NOT_LABELLED].astype(np.float64)[:, None] + CORNER
        inside = ((points >= low) & (points <= high)).all(axis=2).sum(axis=0)
        holding = index[2 * inside > len(points)]
        around[holding] += 1
        if len(holding) == 1:
            joined.append((face, int(holding[0])))
    # A box around several faces is nobody's, also where one of them could have had another.
    return [(face, i) for face, i in joined if around[i] == 1], around


def _join(face: ShapeFace, element: Any, edges: NDArray[np.float64], labels: Labels) -> None:
    face.box = _box(edges)
    face.box_source = "detector" if element.get("source") == "auto" else "annotated"
    face.attributes = labels.attributes(element) | face.attributes
    rotation = number_in(element.get("rotation"))
    if rotation:
        face.attributes.setdefault("rotation", rotation)
