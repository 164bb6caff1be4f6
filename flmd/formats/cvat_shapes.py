"""The shapes of one CVAT picture, put together to faces: :class:`flmd.formats.cvat.Cvat` has the rules."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.face import HIDDEN, NOT_LABELLED, VISIBLE, Attribute
from flmd.formats.layout import number_in
from flmd.schemes import SCHEMES, Scheme, scheme_of_count

CORNER = 0.5  # where CVAT sees the centre of the first pixel
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_EDGES = ("xtl", "ytl", "xbr", "ybr")


class _UnusableError(Exception):
    """The shape at hand is no face: reason and finding of a Skipped."""


@dataclass(slots=True)
class ShapeFace:
    """One face, or why it is none.

    ``landmarks`` (K, 2) float32 and ``box`` (4,) float32 are the store's; ``fault``: reason and finding.
    """

    kind: str
    landmarks: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 2), np.float32))
    visibility: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))
    box: NDArray[np.float32] | None = None
    box_source: str = "none"
    attributes: dict[str, Attribute] = field(default_factory=dict)
    group: str = ""
    fault: tuple[str, str] | None = None


class Labels:
    """What a file says of its labels: the names and attribute types of ``<meta>``, an order once seen.

    Attributes
    ----------
    names : of all labels and points. order : label -> index by the first skeleton, for a scheme without
        names.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.order: dict[str, int] = {}
        self._types: dict[str, str] = {}

    def declare(self, meta: Any) -> None:
        """Take in a ``<meta>`` element."""
        for label in meta.iter("{*}label"):
            self.names.add(_text(label.find("{*}name")))
        for attribute in meta.iter("{*}attribute"):
            name = _text(attribute.find("{*}name"))
            self._types[name] = _text(attribute.find("{*}input_type"))

    def attributes(self, shape: Any) -> dict[str, Attribute]:
        """The ``<attribute>`` children of a shape."""
        found = {}
        for child in shape.iterchildren("{*}attribute"):
            name = child.get("name") or ""
            found[name] = value_of(_text(child), self._types.get(name, "text"))
        return found


def value_of(text: str, input_type: str) -> Attribute:
    """An attribute's value by its CVAT type: checkbox, number, anything else being text."""
    if input_type == "checkbox" and text in ("true", "false"):
        return text == "true"
    if input_type == "number":
        number = number_in(text)
        if number is not None:
            return int(text) if _WHOLE.fullmatch(text) else number
    return text


def scheme_of_shapes(image: Any, labels: Labels) -> str | None:
    """Name of the scheme of the first face in an ``<image>``; None when it holds no points."""
    for shape in image.iterchildren("{*}skeleton", "{*}points"):
        if shape.tag.rpartition("}")[2] == "skeleton":
            names = [point.get("label") or "" for point in shape.iterchildren("{*}points")]
        else:
            count = (shape.get("points") or "").count(";") + 1
            if count > 1:
                return scheme_of_count(count)
            names = [point.get("label") or "" for point in image.iterchildren("{*}points")]
            if _numbers(names):  # points that are not labelled have no shape, but their labels are declared
                names += [name for name in labels.names if _numbers([name])]
        if not names:
            continue
        fitting = [s for s in SCHEMES.values() if set(names) <= set(s.points)]
        if fitting:
            return min(fitting, key=lambda s: s.count).name
        return scheme_of_count(len(set(names)))
    return None


class ShapesOfImage:
    """The shapes of one ``<image>`` element."""

    def __init__(self, image: Any, scheme: Scheme, labels: Labels) -> None:
        self._image, self._scheme, self._labels = image, scheme, labels
        self._index = {name: i for i, name in enumerate(scheme.points)}

    def faces(self) -> Iterator[ShapeFace]:
        """Every face of the picture, and what could be none, in the order of their first shapes."""
        found: list[ShapeFace] = []
        singles: dict[str, list[Any]] = {}
        places: dict[str, int] = {}
        for shape in self._image.iterchildren("{*}skeleton", "{*}points"):
            group = _group(shape)
            if shape.tag.rpartition("}")[2] == "skeleton":
                found.append(self._checked("skeleton", group, [shape], self._skeleton))
            elif ";" in (shape.get("points") or "") or self._scheme.count == 1:
                found.append(self._checked("points", group, [shape], self._one_shape))
            else:
                if group not in singles:
                    singles[group] = []
                    places[group] = len(found)
                    found.append(ShapeFace("points"))
                singles[group].append(shape)
        for group, shapes in singles.items():
            found[places[group]] = self._checked("points", group, shapes, self._single_points)
        found += self._join_boxes([f for f in found if f.fault is None], {f.group for f in found})
        yield from found

    def _checked(self, kind: str, group: str, shapes: list[Any], read: Any) -> ShapeFace:
        try:
            points, visibility = read(shapes)
        except _UnusableError as fault:
            reason, what = fault.args
            return ShapeFace(kind, group=group, fault=(reason, what))
        attributes: dict[str, Attribute] = {}
        for shape in shapes:
            attributes |= self._labels.attributes(shape)
        first = shapes[0]
        if len(shapes) == 1:
            label = first.get("label") or "face"
            if label != "face":
                attributes.setdefault("label", label)
            if first.get("occluded") == "1" and (kind == "skeleton" or self._scheme.count > 1):
                attributes.setdefault("occluded", True)
        landmarks = np.full((self._scheme.count, 2), np.nan, np.float32)
        labelled = visibility != NOT_LABELLED
        landmarks[labelled] = (points[labelled] - CORNER).astype(np.float32)
        return ShapeFace(kind, landmarks, visibility, attributes=attributes, group=group)

    def _one_shape(self, shapes: list[Any]) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        pieces = (shapes[0].get("points") or "").split(";")
        if len(pieces) != self._scheme.count:
            what = f"{len(pieces)} points, expected {self._scheme.count}"
            raise _UnusableError("wrong_point_count", what)
        points = np.array([_point(piece, f"point {i}") for i, piece in enumerate(pieces)])
        return points, np.full(len(pieces), VISIBLE, np.uint8)

    def _skeleton(self, shapes: list[Any]) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        children = list(shapes[0].iterchildren("{*}points"))
        names = [child.get("label") or "" for child in children]
        order = self._order(names, complete=True)
        return self._placed(children, order)

    def _single_points(self, shapes: list[Any]) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        names = [shape.get("label") or "" for shape in shapes]
        if not _group(shapes[0]) and len(set(names)) < len(names):
            what = f"{len(names)} single points without group_id, and labels that repeat"
            raise _UnusableError("ungrouped_points", what)
        return self._placed(shapes, self._order(names, complete=False))

    def _placed(
        self, points: Sequence[Any], order: Sequence[int]
    ) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        out = np.full((self._scheme.count, 2), np.nan)
        visibility = np.full(self._scheme.count, NOT_LABELLED, np.uint8)
        for element, index in zip(points, order, strict=True):
            if element.get("outside") == "1":
                continue
            out[index] = _point(element.get("points") or "", f"point {(element.get('label') or '')[:40]!r}")
            visibility[index] = HIDDEN if element.get("occluded") == "1" else VISIBLE
        return out, visibility

    def _order(self, names: list[str], *, complete: bool) -> list[int]:
        """The scheme's index of every label."""
        counts = Counter(names)
        repeated = next((name for name, count in counts.items() if count > 1), None)
        if repeated is not None:
            raise _UnusableError("duplicate_point", f"label {repeated[:40]!r} occurs twice")
        count = self._scheme.count
        if complete and len(names) != count:
            raise _UnusableError("wrong_point_count", f"{len(names)} points, expected {count}")
        index = self._index
        if not counts.keys() & index.keys():
            if _numbers(names):
                index = self._numbered(names)
            elif self._scheme.name == f"points{count}":
                if not self._labels.order and len(names) == count:
                    self._labels.order = {name: i for i, name in enumerate(names)}
                index = self._labels.order
        unknown = next((name for name in names if name not in index), None)
        if unknown is not None:
            what = f"label {unknown[:40]!r} is no point of scheme {self._scheme.name}"
            raise _UnusableError("unknown_point", what)
        return [index[name] for name in names]

    def _numbered(self, names: list[str]) -> dict[str, int]:
        count = self._scheme.count
        known = {int(name) for name in {*names, *self._labels.names} if _numbers([name])}
        if 0 not in known and count not in known:
            what = f"numbers {names[0]} …, among them neither 0 nor {count}: their start is open"
            raise _UnusableError("unknown_point", what)
        first = 0 if 0 in known else 1
        return {name: int(name) - first for name in names if first <= int(name) < first + count}

    def _join_boxes(self, faces: list[ShapeFace], groups: set[str]) -> list[ShapeFace]:
        """Give every face its box; what is returned are the boxes of no face, as faults."""
        faults: list[ShapeFace] = []
        boxes: list[tuple[Any, str, NDArray[np.float64]]] = []
        for element in self._image.iterchildren("{*}box"):
            edges = [number_in(element.get(edge)) for edge in _EDGES]
            values = np.array([np.nan if edge is None else edge for edge in edges])
            with np.errstate(over="ignore"):
                sides = (values[2:] - values[:2]).astype(np.float32)
            if np.isfinite(values).all() and (sides > 0).all() and np.isfinite(sides).all():
                boxes.append((element, _group(element), values))
            else:
                said = ", ".join(f"{edge} {(element.get(edge) or '')[:20]!r}" for edge in _EDGES)
                faults.append(ShapeFace("box", fault=("bad_box", said + ", expected a positive size")))
        grouped: dict[str, list[int]] = {}
        for i, (_, group, _) in enumerate(boxes):
            grouped.setdefault(group, []).append(i)
        members = Counter(face.group for face in faces)
        free = grouped.get("", [])
        joined: list[tuple[ShapeFace, int]] = []
        known = set(groups - {""})
        for face in faces:
            if face.group:
                candidates = grouped.get(face.group, [])
                if len(candidates) == 1 and members[face.group] == 1:
                    joined.append((face, candidates[0]))
            else:
                holding = [i for i in free if _holds_most(boxes[i][2], face)]
                if len(holding) == 1:
                    joined.append((face, holding[0]))
        claims = Counter(i for _, i in joined)
        for face, i in joined:
            if claims[i] == 1:
                self._join(face, boxes[i][0], boxes[i][2])
        for i, (_, group, _) in enumerate(boxes):
            if claims[i] == 0 and not (group and group in known):
                faults.append(ShapeFace("box", fault=("box_without_points", self._why_free(i, boxes, faces))))
            elif claims[i] != 1:
                what = f"the box with group_id {group!r} could be that of several faces"
                faults.append(ShapeFace("box", fault=("box_without_points", what)))
        return faults

    def _why_free(self, i: int, boxes: list[tuple[Any, str, NDArray[np.float64]]], faces: Any) -> str:
        element, group, edges = boxes[i]
        inside = any(not face.group and _holds_most(edges, face) for face in faces)
        reason = "one of several boxes around one face" if inside and not group else "no points belong to it"
        return f"a box {(element.get('label') or '')[:40]!r}: {reason}"

    def _join(self, face: ShapeFace, element: Any, edges: NDArray[np.float64]) -> None:
        face.box = np.concatenate([edges[:2], edges[2:] - edges[:2]]).astype(np.float32)
        face.box_source = "detector" if element.get("source") == "auto" else "annotated"
        face.attributes = self._labels.attributes(element) | face.attributes
        rotation = number_in(element.get("rotation"))
        if rotation:
            face.attributes.setdefault("rotation", rotation)


def _holds_most(edges: NDArray[np.float64], face: ShapeFace) -> bool:
    points = face.landmarks[face.visibility != NOT_LABELLED].astype(np.float64) + CORNER
    inside = ((points >= edges[:2]) & (points <= edges[2:])).all(axis=1)
    return bool(2 * inside.sum() > len(points))


def _group(element: Any) -> str:
    group = (element.get("group_id") or "").strip()
    return "" if group == "0" else group


def _numbers(names: Sequence[str]) -> bool:
    return bool(names) and all(name.isascii() and name.isdecimal() and len(name) < 6 for name in names)


def _point(text: str, what: str) -> tuple[float, float]:
    x, comma, y = text.partition(",")
    values = number_in(x), number_in(y)
    if not comma or values[0] is None or values[1] is None:
        raise _UnusableError("not_a_number", f"{what} is {text[:60]!r}, expected x,y")
    return values[0], values[1]


def _text(element: Any) -> str:
    return "" if element is None else "".join(element.itertext())
