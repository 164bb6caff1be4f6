"""The shapes of a LabelMe file, made into faces: :class:`flmd.formats.labelme.LabelMe` has the rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.face import HIDDEN, NOT_LABELLED, VISIBLE, SkipFace
from flmd.formats.common.free_boxes import only_one_around
from flmd.formats.common.json_lists import numbers_in, points_in
from flmd.schemes.point_names import LEFT_OUT, PointOrder

CORNER = 0.5  # where LabelMe sees the centre of the first pixel
HIDDEN_FLAG = "occluded"


@dataclass
class ShapeFace:
    """A face in the store's pixels, or why it is none.

    ``key``: its group, as :func:`group_key` has it. ``box``: (4,) float32.
    """

    key: str
    landmarks: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 2), np.float32))
    visibility: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))
    box: NDArray[np.float32] | None = None
    fault: SkipFace | None = None


def group_key(shape: Mapping[str, Any]) -> str:
    """The group of a shape as text, "" for none."""
    group = shape.get("group_id")
    return str(group)[:40] if isinstance(group, int | str) and not isinstance(group, bool) else ""


def shapes_in(content: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    """The shapes of one kind, "point" or "rectangle"."""
    shapes = content.get("shapes")
    if not isinstance(shapes, list):
        raise SkipFace("bad_structure", 'no list "shapes"')
    return [s for s in shapes if isinstance(s, dict) and s.get("shape_type", "polygon") == kind]


def label_of(shape: Mapping[str, Any]) -> str:
    """The label of a shape, "" where it is no text."""
    label = shape.get("label")
    return label if isinstance(label, str) else ""


def faces_in(content: Mapping[str, Any], order: PointOrder, count: int) -> Iterator[ShapeFace]:
    """Every group of points as a face, and rectangles of groups that have none as faults."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for shape in shapes_in(content, "point"):
        groups.setdefault(group_key(shape), []).append(shape)
    rectangles: dict[str, list[dict[str, Any]]] = {}
    for shape in shapes_in(content, "rectangle"):
        rectangles.setdefault(group_key(shape), []).append(shape)
    for key, shapes in groups.items():
        face = ShapeFace(key)
        try:
            face.landmarks, face.visibility = _points(shapes, key, order, count)
            face.box = _box(face, rectangles.get(key, []))
        except SkipFace as fault:
            face.fault = fault
        yield face
    for key in rectangles:
        if key and key not in groups:
            what = f"a rectangle {label_of(rectangles[key][0])[:40]!r} in group {key}, which has no points"
            yield ShapeFace(key, fault=SkipFace("box_without_points", what))


def _points(
    shapes: list[dict[str, Any]], key: str, order: PointOrder, count: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    counts = Counter(map(label_of, shapes))
    repeated = next((label for label, n in counts.items() if n > 1), None)
    if repeated is not None and not key:
        what = f"{len(shapes)} points without group_id, and label {repeated[:40]!r} occurs twice"
        raise SkipFace("ungrouped_points", what)
    landmarks = np.full((count, 2), np.nan, np.float32)
    visibility = np.full(count, NOT_LABELLED, np.uint8)
    for shape in shapes:
        label = label_of(shape)
        place = order.place(label)
        if place is None:
            raise SkipFace("unknown_point", f"label {label[:40]!r} is no point of the scheme")
        if place == LEFT_OUT:
            continue
        if visibility[place] != NOT_LABELLED:
            raise SkipFace(
                "duplicate_point", f"label {label[:40]!r} occurs twice, or another one means it too"
            )
        pairs = points_in(shape.get("points"), f"point {label[:40]!r}")
        if len(pairs) != 1:
            raise SkipFace("not_a_number", f"point {label[:40]!r} has {len(pairs)} places, expected one")
        landmarks[place] = pairs[0] - CORNER
        flags = shape.get("flags")
        hidden = isinstance(flags, dict) and flags.get(HIDDEN_FLAG) is True
        visibility[place] = HIDDEN if hidden else VISIBLE
    return landmarks, visibility


def _box(face: ShapeFace, rectangles: list[dict[str, Any]]) -> NDArray[np.float32] | None:
    """The one rectangle of the group; of a face without group, the one that holds most of its points."""
    boxes = [_rectangle(shape) for shape in rectangles]
    if not face.key:
        return only_one_around(face.landmarks[face.visibility != NOT_LABELLED] + CORNER, boxes)
    return boxes[0] if len(boxes) == 1 else None


def _rectangle(shape: dict[str, Any]) -> NDArray[np.float32]:
    """x, y, width, height between two corners, in any order."""
    corners = points_in(shape.get("points"), "a rectangle")
    if len(corners) not in (2, 4):
        raise SkipFace("bad_box", f"a rectangle of {len(corners)} corners, expected 2 or 4")
    low, high = corners.min(axis=0), corners.max(axis=0)
    with np.errstate(over="ignore"):
        box = np.concatenate([low, high - low]).astype(np.float32)
    if not (np.isfinite(box).all() and (box[2:] > 0).all()):
        raise SkipFace("bad_box", f"a rectangle of width {box[2]:g}, height {box[3]:g}, expected above 0")
    return box


def numbers_of_size(content: Mapping[str, Any]) -> tuple[int, int] | None:
    """imageWidth and imageHeight, where both are whole positive numbers."""
    try:
        sides = numbers_in([content.get("imageWidth"), content.get("imageHeight")], "the picture's size")
    except SkipFace:
        return None
    whole = (sides == np.floor(sides)).all() and (sides > 0).all() and (sides < 1 << 31).all()
    return (int(sides[0]), int(sides[1])) if whole else None
