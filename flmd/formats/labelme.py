"""LabelMe: a JSON file beside each picture, with the shapes drawn on it."""

from __future__ import annotations

import base64
import binascii
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from flmd.core.images import ImageError
from flmd.core.orientation import SHOWN
from flmd.errors import InputError
from flmd.face import BOX_SOURCES, SPLITS, Face, SkipFace, Skipped
from flmd.formats.base import Certainty, Detection, Format, WriteReport
from flmd.formats.common.inner_pictures import InnerPictures
from flmd.formats.common.json_file import content_of
from flmd.formats.common.json_lists import attributes_in
from flmd.formats.labelme_shapes import ShapeFace, faces_in, label_of, numbers_of_size, shapes_in
from flmd.formats.labelme_writer import write
from flmd.formats.layout import PicturesBeside, photo_of, resolve, split_of_path
from flmd.schemes import Scheme, scheme_of_count
from flmd.schemes.point_names import PointOrder
from flmd.tree import FileTree
from flmd.tree.names import shown

LARGEST_FILE = 96 << 20  # bytes; the picture may be inside
_HEAD, _LOOKED_THROUGH = 1 << 16, 8 << 20
_POINT = re.compile(rb'"shape_type"\s*:\s*"point"')
_LOOKED_AT = 64
_MOST_SCANNED = 100  # files whose labels tell the scheme


class LabelMe(Format):
    """``{"shapes": [{"label", "points", "group_id", "shape_type"}], "imagePath"}`` for each picture.

    LabelMe measures from the picture's top-left corner, so the centre of the first pixel is (0.5, 0.5): base
    0.5. A rectangle from x to x + w becomes a box of x and width w.

    What is a face
    --------------
    The shapes of type "point" with one ``group_id``; or those without, when no label occurs twice among them.
    Their labels are the points' names: the scheme's, however spelt, or numbers (``flmd.schemes.point_names``;
    ``--names`` says otherwise). What has no shape is not labelled; a point whose flag ``occluded`` is true is
    hidden. The rectangle of the group is the face's box; that of a face without group is the only one
    without group that holds most of its points. Two rectangles: none. Other shapes are not read.

    Reading
    -------
    The picture is ``imagePath``, from the file's folder, else that of the same stem beside the file; where
    neither is there and ``imageData`` holds it, it is taken from there. The split is that of the deepest
    folder that says one, the subject the picture's path without ending and ``_mirror``, unless the file was
    written here. Memory holds one file.

    Skipped, a face or a file, and the next one is read: ``ungrouped_points`` (no group, labels repeat),
    ``unknown_point`` (a label that is no point of the scheme), ``duplicate_point``, ``not_a_number``,
    ``bad_box``, ``box_without_points`` (a group of a rectangle alone), ``bad_path``, ``bad_json``,
    ``bad_structure``, ``unreadable_file`` (also one above 96 MiB). InputError: labels of which the order
    cannot be told.

    Writing
    -------
    A folder with ``<image stem>.json``, a group for each face: a rectangle ``face`` and a point for each
    label. ``imageData`` is null. What LabelMe has no key for stands under ``flmd``, which it keeps:
    subject, split, subset, dataset, box source and attributes. Lost, by key of ``WriteReport.lost``:
    ``sub-pixel`` (a value so small that adding 0.5, or a box's x, loses it), ``box`` (not finite or not
    positive), ``attributes`` (not finite). Not written at all: ``face with unwritable image name``,
    ``another picture of this stem``, ``face without points``.
    """

    name = "labelme"
    title = "LabelMe JSON, a file for each picture (points in groups)"
    frame = SHOWN
    detected_by = '*.json, an object with "shapes", one of them of the shape_type "point"'
    base = 0.5
    boxes = True
    visibility = True
    named = True

    def detect(self, tree: FileTree) -> Detection:
        """LabelMe's files, if one has a point; where more than 64 ``*.json`` are there, 64 tell for all."""
        names = [name for name in tree.names if name.lower().endswith(".json")]
        step = -(-len(names) // _LOOKED_AT) or 1
        kinds = {name: _kind(tree, name) for name in names[::step]}
        if "points" in kinds.values():
            fits = [name for name, kind in kinds.items() if kind]
            files = names if step > 1 and 2 * len(fits) > len(kinds) else fits
            return Detection(tuple(files), f"{len(files)} files of LabelMe", Certainty.LIKELY)
        other = next((name for name, kind in kinds.items() if kind), None)
        miss = f" ({shown(posixpath.basename(other))}: boxes and other shapes, no points)" if other else ""
        return Detection((), f"no {self.detected_by}{miss}")

    def accepts(self, tree: FileTree, name: str) -> bool:
        """Whether it is LabelMe's and has a point."""
        return name.lower().endswith(".json") and _kind(tree, name) == "points"

    def scheme_in(self, tree: FileTree, files: tuple[str, ...]) -> str:
        """The smallest scheme with all labels of the first 100 files, or that of their number."""
        labels = list(_labels(tree, files))
        if not labels:
            where = tree.where(files[0]) if files else tree.origin
            raise InputError("no points", where=where, hint="name the scheme with --scheme")
        return self.names.scheme_of(labels, whole=False) or scheme_of_count(len(labels))

    def pictures(self, tree: FileTree) -> FileTree:
        """The tree, and the pictures that are in the files alone; those files are read once to find them."""
        index: dict[str, str] = {}
        beside = PicturesBeside(tree)
        for name in self.detect(tree).files:
            try:
                content = content_of(tree, name, most=LARGEST_FILE)
                image = _image(tree, name, content, beside)
            except SkipFace:
                continue
            if image not in tree and isinstance(content.get("imageData"), str):
                index.setdefault(image, name)
        return _PicturesInside(tree, index) if index else tree

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield the faces of each file; see the class for what is skipped."""
        labels = list(_labels(tree, files))
        where = tree.where(files[0]) if files else tree.origin
        order = self.names.orders(scheme).of(labels, where, whole=False) if labels else PointOrder({})
        beside = PicturesBeside(tree)
        for name in files:
            where = tree.where(name)
            try:
                content = content_of(tree, name, most=LARGEST_FILE)
                image = _image(tree, name, content, beside)
                found = list(faces_in(content, order, scheme.count))
            except SkipFace as fault:
                yield fault.at(where)
                continue
            for number, shapes in enumerate(found):
                at = f"{where} ({f'group {shown(shapes.key)}' if shapes.key else f'face {number}'})"
                yield _face(shapes, content, image, name, at) if shapes.fault is None else shapes.fault.at(at)

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a folder of .json files; see the class for what is lost."""
        return write(faces, target, scheme)


class _PicturesInside(InnerPictures):
    """A tree, and the pictures that only its annotation files hold; the place of one is its file."""

    def __init__(self, tree: FileTree, index: Mapping[str, str]) -> None:
        super().__init__(tree, {**dict.fromkeys(tree.names), **index})
        self._inside = index

    def encode(self, place: str | None) -> bytes:
        """The bytes that LabelMe holds, whatever picture they are."""
        assert place is not None
        where = self._tree.where(place)
        try:
            data = content_of(self._tree, place, most=LARGEST_FILE).get("imageData")
            return base64.b64decode(data if isinstance(data, str) else "", validate=True)
        except (SkipFace, binascii.Error, ValueError) as error:
            raise ImageError("image_damaged", f"imageData cannot be read ({error})", where=where) from None

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        if name in self._inside:
            return super().read(name, start, size)
        return self._tree.read(name, start, size)


def _kind(tree: FileTree, name: str) -> str:
    """ "points" for LabelMe with points, "others" without, "" for what is no LabelMe."""
    try:
        head = tree.read(name, 0, _HEAD)
        if not all(key in head for key in (b'"shapes"', b'"shape_type"', b'"label"')):
            return ""
        found = _POINT.search(head)
        if found is None and len(head) == _HEAD:
            found = _POINT.search(tree.read(name, 0, _LOOKED_THROUGH))
        return "points" if found else "others"
    except InputError:
        return ""


def _labels(tree: FileTree, files: tuple[str, ...]) -> dict[str, None]:
    """Labels of the points in the first 100 files, as far as they can be read, in the order they come in."""
    labels: dict[str, None] = {}
    for name in files[:_MOST_SCANNED]:
        try:
            content = content_of(tree, name, most=LARGEST_FILE)
            labels |= dict.fromkeys(filter(None, map(label_of, shapes_in(content, "point"))))
        except SkipFace:
            continue
    return labels


def _image(tree: FileTree, name: str, content: dict[str, Any], beside: PicturesBeside) -> str:
    """The picture of a file; SkipFace where its path leaves the tree."""
    path = content.get("imagePath")
    if not isinstance(path, str) or not path:
        return beside.name_for(name)
    image = resolve(posixpath.dirname(name), path)
    if image is not None and image in tree:
        return image
    found = beside.find(name)
    if found is None and image is None:
        raise SkipFace("bad_path", f"{path[:200]!r} is not a picture in the tree")
    return found or image or ""


def _face(shapes: ShapeFace, content: dict[str, Any], image: str, name: str, where: str) -> Face:
    own = content.get("flmd")
    said = own.get(shapes.key or "0") if isinstance(own, dict) else None
    said = said if isinstance(said, dict) else {}

    def text(key: str) -> str:
        value = said.get(key)
        return value if isinstance(value, str) else ""

    source = text("box_source")
    split = said.get("split")
    folder_says = split_of_path(posixpath.dirname(name)) or ""
    return Face(
        image=image,
        landmarks=shapes.landmarks,
        visibility=shapes.visibility,
        box=shapes.box,
        box_source="none" if shapes.box is None else source if source in BOX_SOURCES[:-1] else "annotated",
        subject=text("subject") or photo_of(image),
        split=split if isinstance(split, str) and split in SPLITS else folder_says,
        subset=text("subset"),
        dataset=text("dataset"),
        image_size=numbers_of_size(content),
        attributes=attributes_in(said.get("attributes")),
        where=where,
    )
