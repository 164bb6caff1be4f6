"""COCO keypoints in JSON, with COCO-WholeBody's and Halpe's face points."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from flmd.core.orientation import SHOWN
from flmd.errors import InputError, ParamsError
from flmd.face import Face, Skipped
from flmd.formats.base import Detection, Format, WriteReport
from flmd.formats.coco_names import FACE_IN, Categories, categories_at_end, categories_in
from flmd.formats.coco_reader import CocoReader, own_word
from flmd.formats.coco_writer import write
from flmd.formats.common.json_lists import HEAD, json_heads, text_of
from flmd.formats.common.json_stream import JsonStream, outline
from flmd.formats.layout import without_unions
from flmd.schemes import Scheme, get_scheme, scheme_of_count
from flmd.schemes.name_choice import PointNames
from flmd.tree import FileTree
from flmd.tree.names import shown

_WINDOW = HEAD // 2
_KEYPOINTS = re.compile(r'"(?:keypoints|face_kpts)"\s*:')
_REQUIRED = 'no *.json with "images" (id, file_name) and "annotations" that have keypoints'


class Coco(Format):
    """COCO keypoints: ``{"images": […], "annotations": [{image_id, keypoints [x, y, v, …], bbox}], …}``.

    Coordinates and ``bbox`` [x, y, width, height] are kept as they are: base 0. v is the store's
    visibility: 0 not labelled (the point is NaN, whatever x and y say), 1 hidden, 2 visible. Many sets
    (COCO-WholeBody's faces; mmpose's 300W, AFLW and WFLW) write 1 for every labelled point, so in a file
    whose face points never have v = 2 a 1 means visible; files written here say that their 1 is hidden.

    Reading
    -------
    Points: with a scheme of 68, ``face_kpts`` where there is one (its box is ``face_box``), ``keypoints``
    where there are 68, or the face's among 133 (23 to 90, box ``face_box``) or 136 (Halpe: 26 to 93, no box:
    the annotation's is the person's); with any other scheme the ``keypoints``. The scheme found is the one
    that the file names, the one with the category's keypoint names, ``wholebody68`` for the three kinds of
    whole bodies, or that of the number of keypoints. A face without a labelled point stays one. Names: a
    category's ``keypoints`` tell the order of its annotations' points (``flmd.schemes.point_names``); the
    names of the file's first category that is used, where they mean nothing and the scheme neither. Pictures:
    ``file_name`` from the JSON's folder, else the only picture whose path ends with it, of several the one in
    a folder of the list's split. Splits: the file's name (``person_keypoints_train2017.json``). Subject: the
    picture's path. Attributes: those in ``attributes``, as CVAT writes them, and ``iscrowd`` when it is 1.
    Ids, area, segmentation, num_keypoints and the category are not kept. A file is read twice, to find its
    pictures, its categories and what v means; the first pass ends early where pictures stand first,
    categories before the annotations or in the last MiB, and a v is 2. Memory holds the table of pictures.

    Skipped reasons: ``no_keypoints`` (none in the annotation), ``unknown_point`` (a name beyond those of the
    scheme), ``face_not_valid`` (face_valid is false),
    ``wrong_point_count``, ``not_a_number``, ``bad_visibility`` (v is none of 0, 1, 2), ``bad_box`` (not
    four numbers, or not positive), ``unknown_image`` (image_id is of no picture), ``bad_path`` (no
    file_name, or one that leaves the tree), ``bad_annotation`` (it is no dictionary). InputError, with the
    line: broken or truncated JSON, nesting too deep, an item too large (``json_stream``), no "images", a
    file that is no object; names of points that are not the scheme's, so that their order cannot be trusted.

    Writing
    -------
    One file when the target ends in ``.json``, else ``annotations_<split>.json`` for each split. Ids count
    from 1; one category ``face`` with the scheme's names and skeleton (from 1, as COCO's). ``area`` is the
    box's. What COCO has no key for stands in ``attributes`` and in ``flmd`` (subject, split, subset,
    dataset, box source), which other readers ignore. Numbers have the fewest decimals that give the same
    float32. A face without box gets that of its points, marked ``"box_source": "none"``. Lost: ``box``
    (not finite or not positive), ``attributes`` (not finite), ``image name`` (comes back otherwise). Not
    written at all: ``face with unwritable image name`` (one that leaves the tree).
    """

    name = "coco"
    title = "COCO keypoints JSON (COCO, COCO-WholeBody, Halpe, mmpose's face sets)"
    frame = SHOWN
    detected_by = '*.json, an object with "images" and "annotations" that have keypoints'
    suffix = ".json"
    boxes = True
    visibility = True
    named = True

    def detect(self, tree: FileTree) -> Detection:
        """Any ``*.json`` object with pictures in its first 32 KiB, keypoints there, halfway or at its end.

        Lists that say no split are left out in a folder where others do, as their union.
        """
        found: list[str] = []
        miss = ""
        for name, head in json_heads(tree):
            try:
                wrong = _not_coco(tree, name, head)
            except InputError as error:
                wrong = error.what
            if wrong is None:
                found.append(name)
            elif wrong and not miss:
                miss = f" ({shown(name.rsplit('/', 1)[-1])}: {wrong})"
        if not found:
            return Detection((), _REQUIRED + miss)
        files, unions = without_unions(found)
        why = f"COCO keypoints: {', '.join(map(shown, files[:5]))}"
        if unions:
            why += f"; left out as the union of these: {', '.join(map(shown, unions[:5]))}"
        return Detection(tuple(files), why)

    def scheme_in(self, tree: FileTree, files: tuple[str, ...]) -> str:
        """From the file's own word, the category's names, or the first annotation's number of keypoints."""
        for name in files:
            with tree.open(name) as stream:
                found = _scheme_in(tree, name, JsonStream(stream, tree.where(name)), self.names)
            if found:
                return found
        where = tree.where(files[0]) if files else tree.origin
        raise InputError("no annotation with keypoints", where=where)

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield the annotations of every file in order; see the class for what is skipped."""
        orders = self.names.orders(scheme)
        for name in files:
            reader = CocoReader(tree, scheme, name, orders)
            reader.survey()
            yield from reader.faces()

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a ``.json`` file or a folder of them; see the class for what is lost."""
        return write(faces, target, scheme)


def _not_coco(tree: FileTree, name: str, head: bytes) -> str | None:
    """Why a file is not COCO with keypoints, "" when it is something else altogether; None when it is."""
    kind, first = outline(head)
    if kind == "array":
        item = next(iter(first[""]), None)
        if isinstance(item, dict) and "image_id" in item:
            return "a list of results, which names no pictures"
        return ""
    images, annotations = first.get("images"), first.get("annotations")
    if images is None and annotations is None:
        return ""
    if images and not (isinstance(images[0], dict) and "file_name" in images[0]):
        return ""
    if annotations and not (isinstance(annotations[0], dict) and "image_id" in annotations[0]):
        return ""
    size = tree.size(name)
    if size <= len(head) and (images is None or annotations is None):
        return 'no "images"' if images is None else 'no "annotations"'
    if _KEYPOINTS.search(text_of(head)):
        return None
    if size > len(head):
        for start in (size // 2 & ~1, max(size - _WINDOW, 0) & ~1):  # even: UTF-16 is read in pairs
            if _KEYPOINTS.search(text_of(head, tree.read(name, start, _WINDOW))):
                return None
    return "its annotations have no keypoints"


def _scheme_in(tree: FileTree, name: str, document: JsonStream, choice: PointNames) -> str | None:
    """By the file's own word; else by the first annotation with key points and its category's names."""
    if document.kind != "object":
        return None
    own: str | None = None
    categories: Categories | None = None
    first: dict[str, Any] | None = None
    try:
        for key in document.members():
            if key == "info":
                own = _own_scheme(document.value())
            elif key == "categories" and document.at_array():
                categories = categories_in(document.items())
            elif key == "annotations" and document.at_array():
                annotations = document.items()
                first = next(filter(_has_points, annotations), None)
                categories = categories_at_end(tree, name) if categories is None else categories
                if first is not None and categories is not None:
                    break
                deque(annotations, maxlen=0)
    except InputError:
        if first is None:  # else reading tells what is wrong, after the good faces
            raise
    if choice.word == "auto" and own is not None:
        return own
    if first is None:
        named = [names for names in (categories or {}).values() if names]
        return next(filter(None, map(choice.scheme_of, named)), None)
    return _scheme_of(first, categories or {}, choice)


def _own_scheme(info: Any) -> str | None:
    named = own_word(info).get("scheme")
    try:
        return get_scheme(named).name if isinstance(named, str) else None
    except ParamsError:
        return None


def _has_points(annotation: Any) -> bool:
    if not isinstance(annotation, dict):
        return False
    keypoints = annotation.get("keypoints")
    return isinstance(annotation.get("face_kpts"), list) or (
        isinstance(keypoints, list) and len(keypoints) > 2
    )


def _scheme_of(annotation: dict[str, Any], categories: Categories, choice: PointNames) -> str:
    keypoints = annotation.get("keypoints")
    count = len(keypoints) // 3 if isinstance(keypoints, list) else 0
    if isinstance(annotation.get("face_kpts"), list) or count in FACE_IN:
        return "wholebody68"
    category = annotation.get("category_id")
    names = categories.get(category, ()) if isinstance(category, int | str) else ()
    return (choice.scheme_of(names) if len(names) == count else None) or scheme_of_count(count)
