"""Reading one file of COCO keypoints: :class:`flmd.formats.coco.Coco` says what is read and skipped."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import BOX_SOURCES, HIDDEN, NOT_LABELLED, SPLITS, VISIBLE, Face, SkipFace, Skipped
from flmd.formats.coco_names import FACE, FACE_IN, CocoNames, categories_in
from flmd.formats.common.json_lists import (
    PicturesByPath,
    attributes_in,
    box_in,
    numbers_in,
    size_in,
)
from flmd.formats.common.json_stream import JsonStream
from flmd.formats.common.named_points import Layout
from flmd.formats.layout import photo_of, split_of
from flmd.schemes import Scheme
from flmd.schemes.name_choice import PointOrders
from flmd.tree import FileTree
from flmd.tree.names import shown

_NOTHING: dict[str, Any] = {}
_KINDS = {NOT_LABELLED, HIDDEN, VISIBLE}


def own_word(info: Any) -> dict[str, Any]:
    """What a file written here says of itself, in its "info"; empty for others."""
    own = info.get("flmd") if isinstance(info, dict) else None
    return own if isinstance(own, dict) else {}


class CocoReader:
    """One file: what a first pass learns of it, and the faces of a second."""

    def __init__(self, tree: FileTree, scheme: Scheme, name: str, orders: PointOrders) -> None:
        self._tree, self._name, self._where, self._count = tree, name, tree.where(name), scheme.count
        self._names = CocoNames(scheme, orders, self._where)
        self._split = split_of(name) or ""
        self._pictures = PicturesByPath(tree, name, self._split)
        self._images: dict[Hashable, tuple[str, tuple[int, int] | None]] = {}
        self._at_hand: tuple[str | None, str | None] = None, None
        self._one_is_visible = True

    def survey(self) -> None:
        """Fill the table of pictures, find the names of points, and whether any point has v = 2."""
        complete, known = False, True
        try:
            with self._tree.open(self._name) as stream:
                document = JsonStream(stream, self._where)
                if document.kind != "object":
                    raise document.fail("not a JSON object", hint="a list of results names no pictures")
                for key in document.members():
                    if key == "info":
                        self._one_is_visible &= own_word(document.value()).get("visibility") != "coco"
                    elif key == "images" and document.at_array():
                        self._add_images(document)
                        complete = True
                    elif key == "categories" and document.at_array():
                        self._names.categories = categories_in(document.items())
                    elif key == "annotations" and document.at_array():
                        known = self._names.find_at_end(self._tree, self._name)
                        for annotation in document.items():
                            if self._one_is_visible and isinstance(annotation, dict):
                                self._one_is_visible = not self._has_two(annotation)
                            if complete and known and not self._one_is_visible:
                                return
        except InputError:
            if not complete:  # else the second pass stops there too, after the good faces
                raise
        if not complete:
            raise InputError('no "images"', where=self._where, expected="a table of pictures")
        if (
            not known and self._names.categories
        ):  # they stand behind: which points are the face's was not known
            self._one_is_visible = True
            self.survey()

    def _has_two(self, annotation: dict[str, Any]) -> bool:
        try:
            values, _, _ = self._keypoints(annotation)
        except SkipFace:
            return False
        return isinstance(values, list) and 2 in values[2::3]

    def _add_images(self, document: JsonStream) -> None:
        for image in document.items():
            if isinstance(image, dict) and isinstance(image.get("id"), int | str):
                file = image.get("file_name")
                self._images[image["id"]] = file if isinstance(file, str) else "", size_in(image)

    def faces(self) -> Iterator[Face | Skipped]:
        """Every annotation as a face or skipped."""
        with self._tree.open(self._name) as stream:
            document = JsonStream(stream, self._where)
            for key in document.members():
                if key == "annotations" and document.at_array():
                    for annotation in document.items():
                        yield self._face(annotation, f"{self._where}:{document.line}")

    def _face(self, annotation: Any, where: str) -> Face | Skipped:
        if not isinstance(annotation, dict):
            return Skipped("bad_annotation", where, "an annotation that is no dictionary")
        number = annotation.get("id")
        named = number if type(number) is int and abs(number) < 1 << 64 else shown(str_of(number))
        where = f"{where} (annotation {named})"
        try:
            image, size = self._image(annotation.get("image_id"))
            landmarks, visibility, box_key = self._points(annotation)
            own = annotation.get("flmd")
            own = own if isinstance(own, dict) else _NOTHING
            source = own.get("box_source", "annotated")
            source = source if source in BOX_SOURCES else "annotated"
            box = None
            if box_key and source != "none":
                box = box_in(annotation.get(box_key), box_key)
            attributes = attributes_in(annotation.get("attributes"))
            if annotation.get("iscrowd") == 1:
                attributes["iscrowd"] = True
        except SkipFace as fault:
            return fault.at(where)
        split = own.get("split")
        return Face(
            image=image,
            landmarks=landmarks,
            visibility=visibility,
            box=box,
            box_source=source if box is not None else "none",
            subject=_text(own, "subject") or photo_of(image),
            split=split if isinstance(split, str) and split in SPLITS else self._split,
            subset=_text(own, "subset"),
            dataset=_text(own, "dataset"),
            image_size=size,
            attributes=attributes,
            where=where,
        )

    def _image(self, image_id: Any) -> tuple[str, tuple[int, int] | None]:
        known = self._images.get(image_id) if isinstance(image_id, int | str) else None
        if known is None:
            raise SkipFace("unknown_image", f"image_id {str_of(image_id)} is of no picture in the file")
        file, size = known
        if file != self._at_hand[0]:  # the faces of a picture mostly follow each other
            self._at_hand = file, self._pictures.find(file)
        image = self._at_hand[1]
        if image is None:
            what = f"{file[:200]!r} is not a picture in the tree" if file else "the picture has no file_name"
            raise SkipFace("bad_path", what)
        return image, size

    def _keypoints(self, annotation: dict[str, Any]) -> tuple[Any, str | None, Layout | None]:
        """The key points meant, the key of their box (None without any), and where they go in the scheme."""
        if self._count == FACE and "face_kpts" in annotation:
            return annotation["face_kpts"], "face_box", None
        values = annotation.get("keypoints")
        count, odd = divmod(len(values), 3) if isinstance(values, list) else (0, 0)
        layout = self._names.layout(annotation.get("category_id"), count) if count and not odd else None
        if layout is None:
            return values, "bbox", None
        if self._count != FACE or count not in FACE_IN:
            return values, "bbox", layout
        columns = layout.columns.tolist()  # of a whole body only the face's points are looked at
        values = [value for at in columns for value in annotation["keypoints"][3 * at : 3 * at + 3]]
        box = "face_box" if "face_box" in annotation else None
        return values, box, replace(layout, columns=np.arange(len(columns)))

    def _points(
        self, annotation: dict[str, Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8], str | None]:
        values, box_key, layout = self._keypoints(annotation)
        if box_key != "bbox" and annotation.get("face_valid") is False:
            raise SkipFace("face_not_valid", "face_valid is false: the body's face is not labelled")
        if values is None or values == []:
            raise SkipFace("no_keypoints", "an annotation without keypoints")
        numbers = numbers_in(values, "keypoints" if box_key == "bbox" else "the face's keypoints")
        if layout is None and len(numbers) != 3 * self._count:
            what = f"{len(numbers)} numbers in keypoints, expected 3 x {self._count}"
            raise SkipFace("wrong_point_count", what)
        x_y_v = numbers.reshape(-1, 3)
        said = values[2::3]
        kinds = set(said)  # mostly of one number: then there is nothing to look up point by point
        if not kinds <= _KINDS:
            point = next(i for i, v in enumerate(said) if v not in _KINDS)
            raise SkipFace("bad_visibility", f"v of point {point} is {said[point]:g}, expected 0, 1 or 2")
        landmarks = x_y_v[:, :2].astype(np.float32)
        visibility = x_y_v[:, 2].astype(np.uint8)
        if 0 in kinds:
            landmarks[visibility == NOT_LABELLED] = np.nan
        if self._one_is_visible and 1 in kinds:
            visibility[visibility == HIDDEN] = VISIBLE
        if layout is not None:
            landmarks, visibility = layout.points(landmarks, visibility)
        return landmarks, visibility, box_key


def str_of(value: Any) -> str:
    """A short text of an id, whatever it is."""
    if isinstance(value, int) and abs(value) >= 1 << 64:
        return "beyond 64 bits"
    return str(value)[:40] if isinstance(value, int | float | str) else type(value).__name__


def _text(own: dict[str, Any], key: str) -> str:
    value = own.get(key)
    return value if isinstance(value, str) else ""
