"""Reading one file of Datumaro's: :class:`flmd.formats.datumaro.Datumaro` says what is read and skipped."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import BOX_SOURCES, NOT_LABELLED, VISIBLE, Face, SkipFace, Skipped
from flmd.formats.common.free_boxes import only_one_around
from flmd.formats.common.json_lists import PicturesByPath, attributes_in, box_in, numbers_in
from flmd.formats.common.json_stream import JsonStream
from flmd.formats.layout import SPLIT_WORDS, photo_of, resolve
from flmd.schemes import Scheme, scheme_of_count
from flmd.schemes.name_choice import PointNames, PointOrders
from flmd.schemes.point_names import LEFT_OUT, PointOrder
from flmd.tree import FileTree

_KINDS = ("points", "skeleton")


@dataclass
class Categories:
    """What a file says of its labels: their names, and the names of the points of some, by label_id."""

    labels: list[str] = field(default_factory=list)
    points: dict[int, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any) -> Categories:
        """From "categories", as far as it is what it should be."""
        value = value if isinstance(value, dict) else {}
        labels = value.get("label")
        listed = labels.get("labels") if isinstance(labels, dict) else None
        found = cls()
        for label in listed if isinstance(listed, list) else ():
            name = label.get("name") if isinstance(label, dict) else None
            found.labels.append(name if isinstance(name, str) else "")
        points = value.get("points")
        items = points.get("items") if isinstance(points, dict) else None
        for item in items if isinstance(items, list) else ():
            names = item.get("labels") if isinstance(item, dict) else None
            label_id = item.get("label_id") if isinstance(item, dict) else None
            if isinstance(names, list) and all(isinstance(n, str) for n in names) and _is_index(label_id):
                found.points[label_id] = names
        return found

    def point_names(self, label_id: Any) -> list[str]:
        """The names of the points of a label, none where they are not said."""
        return self.points.get(label_id, []) if isinstance(label_id, int) else []

    def label(self, label_id: Any) -> str:
        """The name of a label, "" where there is none."""
        return self.labels[label_id] if _is_index(label_id) and label_id < len(self.labels) else ""


def _is_index(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def scheme_of_file(tree: FileTree, name: str, names: PointNames) -> str | None:
    """The scheme of the first face: that of its points' names, else of their number; None without a face."""
    categories = _survey(tree, name)
    with tree.open(name) as stream:
        document = JsonStream(stream, tree.where(name))
        for key in document.members() if document.kind == "object" else ():
            if key != "items" or not document.at_array():
                continue
            for item in document.items():
                for annotation in _annotations(item):
                    if annotation.get("type") in _KINDS:
                        listed = categories.point_names(annotation.get("label_id"))
                        count = len(listed) or _count(annotation)
                        if count:
                            return (names.scheme_of(listed) if listed else None) or scheme_of_count(count)
    return None


def _survey(tree: FileTree, name: str) -> Categories:
    """The categories of a file, wherever they stand in it."""
    with tree.open(name) as stream:
        document = JsonStream(stream, tree.where(name))
        if document.kind != "object":
            raise document.fail("not a JSON object")
        for key in document.members():
            if key == "categories":
                return Categories.of(document.value())
    return Categories()


def _annotations(item: Any) -> list[dict[str, Any]]:
    given = item.get("annotations") if isinstance(item, dict) else None
    return [a for a in given if isinstance(a, dict)] if isinstance(given, list) else []


def _count(annotation: dict[str, Any]) -> int:
    """How many points an annotation has."""
    elements = annotation.get("elements")
    if isinstance(elements, list):
        return len(elements)
    points = annotation.get("points")
    each = 3 if annotation.get("type") == "skeleton" else 2
    return len(points) // each if isinstance(points, list) else 0


class DatumaroReader:
    """One file: its categories, and the faces of its items."""

    def __init__(self, tree: FileTree, name: str, scheme: Scheme, orders: PointOrders) -> None:
        self._tree, self._name, self._where = tree, name, tree.where(name)
        self._count, self._orders = scheme.count, orders
        subset = posixpath.splitext(posixpath.basename(name))[0]
        said = SPLIT_WORDS.get(subset.lower())
        self._split = said or ""
        self._subset = "" if said is not None or subset == "default" else subset
        self._folders = _picture_folders(name, subset)
        self._pictures = PicturesByPath(tree, name, self._split)
        self._categories = Categories()
        self._orders_of: dict[int, PointOrder | None] = {}

    def faces(self) -> Iterator[Face | Skipped]:
        """The faces of every item."""
        self._categories = _survey(self._tree, self._name)
        found = False
        with self._tree.open(self._name) as stream:
            document = JsonStream(stream, self._where)
            for key in document.members():
                if key == "items" and document.at_array():
                    found = True
                    for item in document.items():
                        yield from self._item(item, f"{self._where}:{document.line}")
        if not found:
            raise InputError('no "items"', where=self._where, expected="a list of pictures")

    def _item(self, item: Any, where: str) -> Iterator[Face | Skipped]:
        if not isinstance(item, dict):
            yield Skipped("bad_annotation", where, "an item that is no dictionary")
            return
        annotations = _annotations(item)
        faces = [a for a in annotations if a.get("type") in _KINDS]
        boxes = [a for a in annotations if a.get("type") == "bbox"]
        for number, annotation in enumerate(faces):
            at = f"{where} (face {number})"
            try:
                yield self._face(item, annotation, boxes, at)
            except SkipFace as fault:
                yield fault.at(at)

    def _face(
        self, item: dict[str, Any], annotation: dict[str, Any], boxes: list[dict[str, Any]], where: str
    ) -> Face:
        image, size = self._image(item)
        landmarks, visibility = self._points(annotation)
        box, box_annotation = _box_of(annotation, boxes, landmarks[visibility != NOT_LABELLED])
        own = annotation.get("flmd")
        own = own if isinstance(own, dict) else {}
        attributes = attributes_in((box_annotation or {}).get("attributes"))
        attributes |= attributes_in(annotation.get("attributes"))
        label = self._categories.label(annotation.get("label_id"))
        if label and label != "face":
            attributes.setdefault("label", label)
        source = own.get("box_source")
        source = source if isinstance(source, str) and source in BOX_SOURCES[:-1] else "annotated"
        return Face(
            image=image,
            landmarks=landmarks,
            visibility=visibility,
            box=box,
            box_source="none" if box is None else source,
            subject=_text(own, "subject") or photo_of(image),
            split=self._split,
            subset=self._subset,
            dataset=_text(own, "dataset"),
            image_size=size,
            attributes=attributes,
            where=where,
        )

    def _image(self, item: dict[str, Any]) -> tuple[str, tuple[int, int] | None]:
        """The picture of an item, and its size, which Datumaro gives as height and width."""
        media = item.get("image")
        media = media if isinstance(media, dict) else {}
        path = media.get("path")
        if not isinstance(path, str) or not path:
            path = f"{item.get('id')}.jpg" if isinstance(item.get("id"), str) else ""
        size = media.get("size")
        sides = size if isinstance(size, list) and len(size) == 2 and all(map(_is_index, size)) else [0, 0]
        known = (sides[1], sides[0]) if min(sides) > 0 and max(sides) < 1 << 31 else None
        for folder in self._folders:
            image = resolve(folder, path)
            if image is not None and image in self._tree:
                return image, known
        found = self._pictures.ending_with(path) if path else None
        likely = found or resolve(self._folders[0], path)
        if likely is None:
            raise SkipFace("bad_path", f"{path[:200]!r} is not a picture in the tree")
        return likely, known

    def _points(self, annotation: dict[str, Any]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Points and visibility in the scheme's order."""
        label_id = annotation.get("label_id")
        names = self._categories.point_names(label_id)
        if isinstance(annotation.get("elements"), list):
            names, x_y_v = self._elements(annotation["elements"])
        else:
            x_y_v = _flat_points(annotation)
        if names and len(names) != len(x_y_v):
            raise SkipFace("wrong_point_count", f"{len(x_y_v)} points, but its label names {len(names)}")
        if not names and len(x_y_v) != self._count:
            raise SkipFace("wrong_point_count", f"{len(x_y_v)} points, expected {self._count}")
        order = self._order(names) if names else None
        places = list(range(len(x_y_v))) if order is None else [self._place(order, name) for name in names]
        landmarks = np.full((self._count, 2), np.nan, np.float32)
        visibility = np.full(self._count, NOT_LABELLED, np.uint8)
        kept = [i for i, place in enumerate(places) if place != LEFT_OUT]
        to = [places[i] for i in kept]
        if len(set(to)) < len(to):
            raise SkipFace("duplicate_point", "two points are one and the same")
        landmarks[to] = x_y_v[kept, :2]
        visibility[to] = x_y_v[kept, 2]
        landmarks[visibility == NOT_LABELLED] = np.nan
        return landmarks, visibility

    def _order(self, names: list[str]) -> PointOrder:
        if len(names) != self._count and self._orders.choice.points is None:
            raise SkipFace("wrong_point_count", f"{len(names)} points, expected {self._count}")
        return self._orders.of(names, self._where)

    def _place(self, order: PointOrder, name: str) -> int:
        place = order.place(name)
        if place is None:
            raise SkipFace("unknown_point", f"{name[:40]!r} is no point of the scheme")
        return place

    def _elements(self, elements: list[Any]) -> tuple[list[str], NDArray[np.float64]]:
        """The labels of a skeleton's elements, and x, y, visibility of each."""
        names, rows = [], []
        for element in elements:
            if not isinstance(element, dict):
                raise SkipFace("bad_annotation", "an element that is no dictionary")
            names.append(self._categories.label(element.get("label_id")))
            row = _flat_points({**element, "type": "points"})
            if len(row) != 1:
                raise SkipFace("wrong_point_count", f"an element of {len(row)} points, expected one")
            rows.append(row[0])
        return names, np.array(rows).reshape(-1, 3)


def _flat_points(annotation: dict[str, Any]) -> NDArray[np.float64]:
    """(N, 3) x, y and visibility of an annotation of points, or of a skeleton's flat list."""
    values = numbers_in(annotation.get("points"), "points")
    if annotation.get("type") == "skeleton":
        if len(values) % 3:
            raise SkipFace(
                "wrong_point_count", f"{len(values)} numbers, expected x, y, visibility of each point"
            )
        rows = values.reshape(-1, 3)
    else:
        if len(values) % 2:
            raise SkipFace("wrong_point_count", f"{len(values)} numbers, expected x and y of each point")
        seen = annotation.get("visibility")
        said = np.full(len(values) // 2, VISIBLE) if seen is None else numbers_in(seen, "visibility")
        if len(said) != len(values) // 2:
            raise SkipFace(
                "bad_visibility", f"visibility of {len(said)} points, of which there are {len(values) // 2}"
            )
        rows = np.column_stack([values.reshape(-1, 2), said])
    if not np.isin(rows[:, 2], (0, 1, 2)).all():
        raise SkipFace("bad_visibility", "a visibility that is neither 0, 1 nor 2")
    return rows


def _box_of(
    annotation: dict[str, Any], boxes: list[dict[str, Any]], points: NDArray[np.float32]
) -> tuple[NDArray[np.float32] | None, dict[str, Any] | None]:
    """A face's box and the annotation of that: the one of its group, else the only free one around it."""
    group = annotation.get("group") or 0
    same = [b for b in boxes if (b.get("group") or 0) == group]
    found = [box for b in same if (box := box_in(b.get("bbox"), "bbox")) is not None]
    box = (found[0] if len(found) == 1 else None) if group else only_one_around(points, found)
    return box, next((b for b, one in zip(same, found, strict=False) if one is box), None)


def _picture_folders(name: str, subset: str) -> list[str]:
    """Where the pictures of an annotation file may lie, the likeliest first."""
    folder = posixpath.dirname(name)
    root = posixpath.dirname(folder) if posixpath.basename(folder) == "annotations" else folder
    images = posixpath.join(root, "images")
    return [posixpath.join(images, subset), images, root] if root != folder else [folder, images]


def _text(own: dict[str, Any], key: str) -> str:
    value = own.get(key)
    return value if isinstance(value, str) else ""
