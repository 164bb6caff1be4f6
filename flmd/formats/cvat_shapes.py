"""The shapes of one CVAT picture, put together to faces: :class:`flmd.formats.cvat.Cvat` has the rules."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import HIDDEN, NOT_LABELLED, VISIBLE, Attribute, SkipFace
from flmd.formats.common.text_list import numbers
from flmd.formats.layout import number_in
from flmd.schemes import Scheme, scheme_of_count
from flmd.schemes.name_choice import PointNames, PointOrders
from flmd.schemes.point_names import LEFT_OUT, frame_of

CORNER = 0.5  # where CVAT sees the centre of the first pixel
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_MOST_SKELETONS = 100  # whose order is kept
_MOST_CELLS = 10_000_000  # points of all faces that single points of one picture may make


@dataclass(slots=True)
class ShapeFace:
    """One face, or why it is none.

    ``landmarks`` (K, 2) float32 and ``box`` (4,) float32 are the store's; ``fault``: why it is no face.
    """

    kind: str
    landmarks: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 2), np.float32))
    visibility: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))
    box: NDArray[np.float32] | None = None
    box_source: str = "none"
    attributes: dict[str, Attribute] = field(default_factory=dict)
    group: str = ""
    fault: SkipFace | None = None


class Labels:
    """What a file says of its labels: the names and attribute types of ``<meta>``, an order once seen.

    Attributes
    ----------
    names : of all labels and points, in order.
    skeletons : where the points of a skeleton belong, by their names, of skeletons seen: most are alike.
    """

    def __init__(self) -> None:
        self.names: dict[str, None] = {}
        self.skeletons: dict[tuple[str, ...], list[int]] = {}
        self._types: dict[str, str] = {}

    def declare(self, meta: Any) -> None:
        """Take in a ``<meta>`` element."""
        for label in meta.iter("{*}label"):
            self.names[_text(label.find("{*}name"))] = None
        for attribute in meta.iter("{*}attribute"):
            name = _text(attribute.find("{*}name"))
            self._types[name] = _text(attribute.find("{*}input_type"))

    def like(self, names: Sequence[str]) -> list[str]:
        """The names that differ from one of these in nothing but a number, and so are points as well."""
        frames = set(map(frame_of, names)) - {None}
        return [name for name in self.names if frame_of(name) in frames and name not in names]

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


def scheme_of_shapes(image: Any, labels: Labels, choice: PointNames) -> str | None:
    """Name of the scheme of the first face in an ``<image>``; None when it holds no points."""
    for shape in image.iterchildren("{*}skeleton", "{*}points"):
        whole = shape.tag.rpartition("}")[2] == "skeleton"
        if whole:
            names = [point.get("label") or "" for point in shape.iterchildren("{*}points")]
        else:
            count = (shape.get("points") or "").count(";") + 1
            if count > 1:
                return scheme_of_count(count)
            names = [point.get("label") or "" for point in image.iterchildren("{*}points")]
            names += labels.like(names)  # points that are not labelled have no shape
        if names:
            found = choice.scheme_of(names, whole=whole) or choice.scheme_of(names, whole=False)
            return found or scheme_of_count(len(set(names)))
    return None


class ShapesOfImage:
    """The shapes of one ``<image>`` element."""

    def __init__(self, image: Any, scheme: Scheme, labels: Labels, orders: PointOrders) -> None:
        self._image, self._scheme, self._labels, self._orders = image, scheme, labels, orders

    def faces(self) -> list[ShapeFace]:
        """Every face of the picture, and what could be none, in the order of their first shapes; no boxes."""
        found: list[ShapeFace] = []
        singles: dict[str, list[Any]] = {}
        places: dict[str, int] = {}
        for shape in self._image.iterchildren("{*}skeleton", "{*}points"):
            group = group_of(shape)
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
        if len(singles) * self._scheme.count > _MOST_CELLS:
            what = f"{len(singles)} groups of single points in one picture"
            taken = set(places.values())
            kept = [face for i, face in enumerate(found) if i not in taken]
            return [*kept, ShapeFace("points", fault=SkipFace("image_too_long", what))]
        for group, shapes in singles.items():
            found[places[group]] = self._checked("points", group, shapes, self._single_points)
        return found

    def _checked(self, kind: str, group: str, shapes: list[Any], read: Any) -> ShapeFace:
        try:
            points, visibility = read(shapes)
        except SkipFace as fault:
            return ShapeFace(kind, group=group, fault=fault)
        attributes: dict[str, Attribute] = {}
        for shape in shapes:
            attributes |= self._labels.attributes(shape)
        first = shapes[0]
        if kind == "skeleton" or read == self._one_shape:
            label = first.get("label") or "face"
            if label != "face":
                attributes.setdefault("label", label)
            if first.get("occluded") == "1":
                attributes.setdefault("occluded", True)
        landmarks = np.full((self._scheme.count, 2), np.nan, np.float32)
        labelled = visibility != NOT_LABELLED
        landmarks[labelled] = (points[labelled] - CORNER).astype(np.float32)
        return ShapeFace(kind, landmarks, visibility, attributes=attributes, group=group)

    def _one_shape(self, shapes: list[Any]) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        pieces = (shapes[0].get("points") or "").split(";")
        if len(pieces) != self._scheme.count:
            what = f"{len(pieces)} points, expected {self._scheme.count}"
            raise SkipFace("wrong_point_count", what)
        points = _points(pieces, lambda place: f"point {place}")
        return points, np.full(len(pieces), VISIBLE, np.uint8)

    def _skeleton(self, shapes: list[Any]) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        children = list(shapes[0].iterchildren("{*}points"))
        names = tuple([child.get("label") or "" for child in children])
        order = self._labels.skeletons.get(names)
        if order is None:
            order = self._order(list(names), complete=True)
            if len(self._labels.skeletons) < _MOST_SKELETONS:
                self._labels.skeletons[names] = order
        return self._placed(children, order)

    def _single_points(self, shapes: list[Any]) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        names = [shape.get("label") or "" for shape in shapes]
        if not group_of(shapes[0]) and len(set(names)) < len(names):
            what = f"{len(names)} single points without group_id, and labels that repeat"
            raise SkipFace("ungrouped_points", what)
        return self._placed(shapes, self._order(names, complete=False))

    def _placed(
        self, points: Sequence[Any], order: Sequence[int]
    ) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        out = np.full((self._scheme.count, 2), np.nan)
        visibility = np.full(self._scheme.count, NOT_LABELLED, np.uint8)
        # A list of each attribute: half the time of a loop over the points, most of which are labelled.
        texts = [point.get("points") or "" for point in points]
        hidden = [point.get("occluded") == "1" for point in points]
        outside = [point.get("outside") for point in points]
        kept: Sequence[int] = range(len(texts))
        places = order
        if "1" in outside or LEFT_OUT in order:
            kept = [n for n in kept if order[n] != LEFT_OUT and outside[n] != "1"]
            texts, places = [texts[n] for n in kept], [order[n] for n in kept]
        if places:
            out[places] = _points(texts, lambda n: f"point {(points[kept[n]].get('label') or '')[:40]!r}")
            visibility[places] = [HIDDEN if hidden[n] else VISIBLE for n in kept] if any(hidden) else VISIBLE
        return out, visibility

    def _order(self, names: list[str], *, complete: bool) -> list[int]:
        """The scheme's index of every label."""
        counts = Counter(names)
        repeated = next((name for name, count in counts.items() if count > 1), None)
        if repeated is not None:
            raise SkipFace("duplicate_point", f"label {repeated[:40]!r} occurs twice")
        count = self._scheme.count
        if complete and len(names) != count and self._orders.choice.points is None:
            raise SkipFace("wrong_point_count", f"{len(names)} points, expected {count}")
        listed = names if complete else [*names, *self._labels.like(names)]
        try:
            order = self._orders.of(listed, "", whole=complete)
        except InputError as error:
            raise SkipFace("unknown_point", str(error)) from None
        places = []
        for name in names:
            place = order.place(name)
            if place is None:
                what = f"label {name[:40]!r} is no point of scheme {self._scheme.name}"
                raise SkipFace("unknown_point", what)
            places.append(place)
        meant = len(places) - places.count(LEFT_OUT)
        if complete and meant != count:
            raise SkipFace("wrong_point_count", f"{meant} points, expected {count}")
        return places


def group_of(element: Any) -> str:
    group = (element.get("group_id") or "").strip()
    return "" if group == "0" else group


def _points(texts: Sequence[str], what: Callable[[int], str]) -> NDArray[np.float64]:
    """(N, 2) of N texts ``x,y``, read all at once; ``what`` names the text of an index that is no point."""
    if {text.count(",") for text in texts} <= {1}:
        values = numbers(",".join(texts).split(",") if texts else [])
        if values is not None:
            return values.reshape(-1, 2)
    return np.array([_point(text, what(place)) for place, text in enumerate(texts)])


def _point(text: str, what: str) -> tuple[float, float]:
    x, comma, y = text.partition(",")
    values = number_in(x), number_in(y)
    if not comma or values[0] is None or values[1] is None:
        raise SkipFace("not_a_number", f"{what} is {text[:60]!r}, expected x,y")
    return values[0], values[1]


def _text(element: Any) -> str:
    return "" if element is None else "".join(element.itertext())
