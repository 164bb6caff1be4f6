"""Reading one file of COCO keypoints: :class:`flmd.formats.coco.Coco` says what is read and skipped."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import BOX_SOURCES, SPLITS, VISIBLE, Face, SkipFace, Skipped
from flmd.formats.common.json_lists import (
    PicturesByPath,
    attributes_in,
    box_in,
    numbers_in,
    size_in,
)
from flmd.formats.common.json_stream import JsonStream
from flmd.formats.layout import photo_of, split_of
from flmd.schemes import Scheme
from flmd.tree import FileTree
from flmd.tree.names import shown

FACE_IN = {
    133: 23,
    136: 26,
}  # keypoints of a whole body (COCO-WholeBody, Halpe) -> first of its 68 of the face
_FACE = 68


def own_word(info: Any) -> dict[str, Any]:
    """What a file written here says of itself, in its "info"; empty for others."""
    own = info.get("flmd") if isinstance(info, dict) else None
    return own if isinstance(own, dict) else {}


def _points_of(annotation: dict[str, Any], count: int) -> tuple[Any, str | None]:
    """The keypoints that a scheme of ``count`` points means, and the key of their box; None without any."""
    keypoints = annotation.get("keypoints")
    if count != _FACE:
        return keypoints, "bbox"
    if "face_kpts" in annotation:
        return annotation["face_kpts"], "face_box"
    first = FACE_IN.get(len(keypoints) // 3) if isinstance(keypoints, list) else None
    if first is None:
        return keypoints, "bbox"
    assert isinstance(keypoints, list)
    return keypoints[3 * first : 3 * (first + _FACE)], "face_box" if "face_box" in annotation else None


class CocoReader:
    """One file: what a first pass learns of it, and the faces of a second."""

    def __init__(self, tree: FileTree, scheme: Scheme, name: str) -> None:
        self._tree, self._name, self._where, self._count = tree, name, tree.where(name), scheme.count
        self._split = split_of(name) or ""
        self._pictures = PicturesByPath(tree, name, self._split)
        self._images: dict[Hashable, tuple[str, tuple[int, int] | None]] = {}
        self._one_is_visible = True

    def survey(self) -> None:
        """Fill the table of pictures, and find whether any point has v = 2."""
        complete = False
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
                    elif key == "annotations" and document.at_array():
                        for annotation in document.items():
                            if self._one_is_visible and isinstance(annotation, dict):
                                values, _ = _points_of(annotation, self._count)
                                self._one_is_visible = not (isinstance(values, list) and 2 in values[2::3])
                            if complete and not self._one_is_visible:
                                return
        except InputError:
            if not complete:  # else the second pass stops there too, after the good faces
                raise
        if not complete:
            raise InputError('no "images"', where=self._where, expected="a table of pictures")

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
        where = f"{where} (annotation {shown(str_of(annotation.get('id')))})"
        try:
            image, size = self._image(annotation.get("image_id"))
            landmarks, visibility, box_key = self._points(annotation)
            own = annotation.get("flmd")
            own = own if isinstance(own, dict) else {}
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
        image = self._pictures.find(file)
        if image is None:
            what = f"{file[:200]!r} is not a picture in the tree" if file else "the picture has no file_name"
            raise SkipFace("bad_path", what)
        return image, size

    def _points(
        self, annotation: dict[str, Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8], str | None]:
        values, box_key = _points_of(annotation, self._count)
        if box_key != "bbox" and annotation.get("face_valid") is False:
            raise SkipFace("face_not_valid", "face_valid is false: the body's face is not labelled")
        if values is None or values == []:
            raise SkipFace("no_keypoints", "an annotation without keypoints")
        numbers = numbers_in(values, "keypoints" if box_key == "bbox" else "the face's keypoints")
        if len(numbers) != 3 * self._count:
            what = f"{len(numbers)} numbers in keypoints, expected 3 x {self._count}"
            raise SkipFace("wrong_point_count", what)
        x_y_v = numbers.reshape(-1, 3)
        v = x_y_v[:, 2]
        wrong = (v != 0) & (v != 1) & (v != 2)
        if wrong.any():
            what = f"v of point {wrong.argmax()} is {v[wrong][0]:g}, expected 0, 1 or 2"
            raise SkipFace("bad_visibility", what)
        landmarks = x_y_v[:, :2].astype(np.float32)
        landmarks[v == 0] = np.nan
        visibility = v.astype(np.uint8)
        if self._one_is_visible:
            visibility[v == 1] = VISIBLE
        return landmarks, visibility, box_key


def str_of(value: Any) -> str:
    """A short text of an id, whatever it is."""
    if isinstance(value, int) and abs(value) >= 1 << 64:
        return "beyond 64 bits"
    return str(value)[:40] if isinstance(value, int | float | str) else type(value).__name__


def _text(own: dict[str, Any], key: str) -> str:
    value = own.get(key)
    return value if isinstance(value, str) else ""
