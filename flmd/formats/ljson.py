"""Menpo's LJSON: a JSON file beside each picture, y before x."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import Face, SkipFace, Skipped, visibility_of
from flmd.formats.base import Certainty, Detection, Format, WriteReport
from flmd.formats.common.json_file import content_of
from flmd.formats.common.named_points import layout_of
from flmd.formats.layout import LARGEST, PicturesBeside, photo_of, split_of_path
from flmd.formats.ljson_writer import is_group_of, write
from flmd.schemes import Scheme, scheme_of_count
from flmd.schemes.base import MOST_POINTS
from flmd.schemes.name_choice import PointOrders
from flmd.schemes.point_names import misplaced_part
from flmd.tree import FileTree
from flmd.tree.names import shown

HEAD = 1 << 16
LOOKED_AT = 64
_KEYS = (b'"groups"', b'"landmarks"', b'"labels"', b'"version"')


class Ljson(Format):
    """Menpo LJSON: ``{"version": 3, "groups": {"a": {"landmarks": {"points": [[y, x], …]}, "labels": []}}}``.

    Points are 0-based pixel centres (base 0), **y first**; ``[null, null]`` is a point without a label.
    There is no box and no visibility: labelled points count as visible.

    Reading
    -------
    A file describes the picture beside it under the same stem, ``<stem>.jpg`` where there is none. In version
    3 each group is a face; its name becomes the attribute ``group``, unless it is the scheme's, or that with
    ``_face2``, ``_face3``, …. In version 2 the file is one group without a name. In version 1, ``{"groups":
    [{"label", "landmarks": [{"point": [y, x]}]}]}``, the groups are parts of one face, whose points are
    theirs in turn. Labels (masks) and connectivity are not kept: the scheme has its own regions. Labels of
    one point each tell the order of the points; a label like "nose" that has other points than the scheme's
    nose shows that the order is not the scheme's (``unknown_order``). The split is that of the deepest folder
    that says one. The subject is the picture's path without ending and ``_mirror``. Any number of points: 68
    are ibug68; the scheme of a tree is that of the first group.

    Skipped, a face or a file, and the next one is read: ``bad_json`` (broken, truncated or too deep),
    ``bad_structure`` (a key is missing or holds something else; a version above 3), ``not_a_number`` (a
    word, one null of two, too large for float32), ``bad_point`` (not two coordinates: a mesh's has three),
    ``wrong_point_count``, ``unreadable_file`` (also one above 8 MiB). No InputError.

    Writing
    -------
    A folder with ``<image stem>.ljson`` of version 3. A group is named by its face's attribute ``group``,
    else by the scheme, with ``_face2`` for the second such in a file, and so on. Labels are the scheme's
    regions, and ``all`` when those are not all points; connectivity is the scheme's skeleton. Lost, by key
    of ``WriteReport.lost``: ``box``, ``visibility``, ``split`` (unless a folder of the image's name says
    it), ``subject``, ``subset``, ``dataset``, ``attributes`` (others than ``group``, or a ``group`` that
    reads back otherwise), ``image name`` (not a .jpg, so that only the picture beside the file tells its
    ending; or it comes back otherwise). Not written at all: ``face with unwritable image name`` (it leaves
    the folder, or the disk refuses it).
    """

    name = "ljson"
    title = "Menpo LJSON beside each picture"
    named = True
    detected_by = '*.ljson that begin as a JSON object with "groups" or "landmarks"'

    def detect(self, tree: FileTree) -> Detection:
        """Every ``*.ljson``, when one of at most 64 of them, evenly spread, begins as such a file does."""
        names = [name for name in tree.names if name.lower().endswith(".ljson")]
        if not names:
            return Detection((), "no *.ljson")
        if not any(_looks_right(tree, name) for name in names[:: -(-len(names) // LOOKED_AT)]):
            return Detection((), 'no *.ljson that begins as a JSON object with "groups" or "landmarks"')
        return Detection(tuple(names), f"{len(names)} .ljson files", Certainty.LIKELY)

    def scheme_in(self, tree: FileTree, files: tuple[str, ...]) -> str:
        """The scheme meant by the number of points of the first group that can be read."""
        for name in files[:LOOKED_AT]:
            try:
                for _, points in _groups(content_of(tree, name)):
                    count = len(_points(points))
                    single = [label for label, mask in _labels(points) if len(mask) == 1]
                    named = self.names.scheme_of(single) if len(single) == count else None
                    return named or scheme_of_count(count)
            except SkipFace:
                continue
        return "ibug68"

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield the faces of each file in order; memory holds one file."""
        pictures = PicturesBeside(tree)
        orders = self.names.orders(scheme)
        for name in files:
            where = tree.where(name)
            image = pictures.name_for(name)
            split = split_of_path(posixpath.dirname(name)) or ""
            try:
                groups = _groups(content_of(tree, name))
            except SkipFace as fault:
                yield fault.at(where)
                continue
            for group, points in groups:
                here = where if group is None else f"{where} (group {shown(group[:80])})"
                try:
                    landmarks = _points(points)
                    landmarks = _in_order(landmarks, _labels(points), scheme, orders)
                except SkipFace as fault:
                    yield fault.at(here)
                    continue
                named = group is not None and not is_group_of(scheme, group)
                yield Face(
                    image=image,
                    landmarks=landmarks,
                    visibility=visibility_of(landmarks),
                    subject=photo_of(image),
                    split=split,
                    attributes={"group": group} if group is not None and named else {},
                    where=here,
                )

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a folder of .ljson files; see the class for what is lost."""
        return write(faces, target, scheme)


def _looks_right(tree: FileTree, name: str) -> bool:
    try:
        head = tree.read(name, 0, HEAD).removeprefix(b"\xef\xbb\xbf").lstrip()
    except InputError:
        return False
    return head.startswith(b"{") and any(key in head for key in _KEYS)


def _groups(content: dict[str, Any]) -> list[tuple[str | None, Any]]:
    """Name and points of each face of a file, the points as they were found."""
    version = content.get("version", 3 if isinstance(content.get("groups"), dict) else None)
    if type(version) is int and version in (1, 2, 3):
        if version == 2:
            return [(None, _get(content, "landmarks", "points"))]
        groups = _get(content, "groups")
        if version == 3 and isinstance(groups, dict):
            return [(name, group) for name, group in groups.items()]
        if version == 1 and isinstance(groups, list):
            parts = [_get(part, "landmarks") for part in groups]
            if all(isinstance(part, list) for part in parts):
                return [(None, [_get(mark, "point") for part in parts for mark in part])]
        raise SkipFace("bad_structure", f"groups of version {version} in {type(groups).__name__}")
    raise SkipFace("bad_structure", f"version {_brief(version)}, expected 1, 2 or 3")


def _get(content: Any, *keys: str) -> Any:
    for key in keys:
        if not isinstance(content, dict) or key not in content:
            raise SkipFace("bad_structure", f"no {key!r} where one is expected")
        content = content[key]
    return content


def _points(found: Any) -> NDArray[np.float32]:
    """(N, 2) float32 x, y of a list of [y, x], or of a version 3 group."""
    if isinstance(found, dict):
        found = _get(found, "landmarks", "points")
    if not isinstance(found, list):
        raise SkipFace("bad_structure", f"points in {type(found).__name__}, expected a list")
    if not 0 < len(found) <= MOST_POINTS:
        raise SkipFace("wrong_point_count", f"{len(found)} points, expected 1 to {MOST_POINTS}")
    out = np.full((len(found), 2), np.nan)
    for number, point in enumerate(found):
        if not isinstance(point, list) or len(point) != 2:
            raise SkipFace("bad_point", f"point {number} is {_brief(point)}, expected [y, x]")
        if point == [None, None]:
            continue
        for value in point:
            if type(value) not in (int, float) or not -LARGEST <= value <= LARGEST:
                raise SkipFace("not_a_number", f"point {number} holds {_brief(value)}, expected a number")
        out[number] = point[1], point[0]
    return out.astype(np.float32)


def _labels(found: Any) -> list[tuple[str, list[int]]]:
    """The points of each label of a version 3 group, as far as they are lists of indices."""
    labels = found.get("labels") if isinstance(found, dict) else None
    masks = []
    for label in labels if isinstance(labels, list) else ():
        mask = label.get("mask") if isinstance(label, dict) else None
        if isinstance(mask, list) and all(type(index) is int for index in mask):
            masks.append((str(label.get("label")), mask))
    return masks


def _in_order(
    landmarks: NDArray[np.float32], labels: list[tuple[str, list[int]]], scheme: Scheme, orders: PointOrders
) -> NDArray[np.float32]:
    """The points in the scheme's order, as far as labels tell one: those of single points, or of parts."""
    names = {mask[0]: label for label, mask in labels if len(mask) == 1}
    if names and sorted(names) == list(range(len(landmarks))):
        try:
            layout = layout_of([names[index] for index in range(len(names))], scheme, orders, "")
        except InputError as error:
            if len(landmarks) == scheme.count:
                raise SkipFace("unknown_order", str(error)) from None
        else:
            return landmarks if layout is None else layout.points(landmarks, visibility_of(landmarks))[0]
    if len(landmarks) != scheme.count:
        raise SkipFace("wrong_point_count", f"{len(landmarks)} points, expected {scheme.count}")
    strange = misplaced_part(dict(labels), scheme) if orders.choice.word == "auto" else None
    if strange is not None:
        what = f"label {strange[:40]!r} has other points than in scheme {scheme.name}"
        raise SkipFace("unknown_order", what + "; --names keep takes them as they stand")
    return landmarks


def _brief(value: Any) -> str:
    if isinstance(value, list | dict):
        return f"{type(value).__name__} of {len(value)}"
    return repr(value)[:40]
