"""WFLW's lists: a face on each line, 98 points, perhaps a box and six flags, and the picture's path."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
from numpy.typing import NDArray

from flmd.face import Attribute, Face, SkipFace
from flmd.formats.base import Detection
from flmd.formats.common.face_lines import FaceLinesFormat, Row
from flmd.formats.common.text_list import box_of_corners, first_word, numbers
from flmd.formats.wflw_lists import (
    BESIDE_POINTS,
    COORDINATES,
    FLAGS,
    POINTS,
    REQUIRED,
    boxes_in,
    find_lists,
    subset_of,
)
from flmd.tree import FileTree


class Wflw(FaceLinesFormat):
    """WFLW lists: 196 numbers ``x0 y0 … x97 y97``, ``xmin ymin xmax ymax``, six 0/1 flags, a picture's path.

    ``list_98pt_test*.txt`` are plain: no box and no flags. Points are 0-based pixel centres (base 0) and
    floats. A box is two corners; its width is xmax - xmin, so a box that was written comes back as it was.
    The flags become bool attributes ``pose expression illumination make_up occlusion blur``. There is no
    visibility: every point counts as visible, ``occlusion`` being about the face.

    Reading
    -------
    The path is all that follows the numbers and may hold spaces. The picture is looked for beside the list,
    then wherever in the tree a name ends in the path, first in folders named ``WFLW_images``; a name that
    is not in the tree, or there more than once as near, is kept as written. The split comes from the list's
    name, and so does the subset (``list_98pt_test_largepose.txt``). One picture may stand on many lines.

    Subset lists repeat faces of the test list, and the plain test list those of the one with boxes: where
    the fuller list of the same split lies in the same folder or in one beside it, the others are left out,
    and the detection says so. Where only subset lists are there, a face that stands in two of them is two
    faces, that differ in ``subset`` and share a subject.

    Skipped reasons: ``wrong_point_count`` (fewer than 196 numbers), ``not_a_number`` (also nan, inf),
    ``bad_line`` (box or flags are missing in a list that has them), ``bad_flag`` (neither 0 nor 1),
    ``bad_box`` (a corner is no number, width or height not positive), ``bad_path`` (none, or one that
    leaves the tree). InputError, with the line: a line of 1 MiB or more; without it: a scheme that has not
    98 points.

    Writing
    -------
    One file when the target ends in ``.txt``, else a folder with ``list_98pt_rect_attr_<split>.txt`` for
    each split; always with box and flags. Numbers are the shortest that read back as the same float64.
    Lost, by key of ``WriteReport.lost``: ``box`` (there was none: the box of the points is written; or its
    size is below the precision of its corners), ``box source``, ``visibility``, ``split``, ``subject``,
    ``subset``, ``dataset``, ``attributes`` (other than the flags, which are 0 unless they say true),
    ``image name``. Not written at all: ``face with unlabelled points``, ``face with unwritable image name``
    (a line break, white space at an end, a path out of the tree), ``face with unwritable box``.
    """

    name = "wflw"
    title = "WFLW lists (98 points)"
    detected_by = REQUIRED
    scheme = "wflw98"
    points = POINTS
    stem = "list_98pt_rect_attr"
    picture_folder = "WFLW_images"

    def detect(self, tree: FileTree) -> Detection:
        """Any ``*.txt`` (the 200 largest) of which one of the first lines is a face."""
        return find_lists(tree)

    def accepts(self, tree: FileTree, name: str) -> bool:
        """Whether one of its first lines is a face."""
        return name.lower().endswith(".txt") and boxes_in(tree, name) is not None

    def line_reader(self, tree: FileTree, name: str) -> Callable[[str], Row]:
        """The reader of a list with boxes, or of a plain one."""
        return _with_box if boxes_in(tree, name) else _plain

    def cells(self, face: Face, points: list[str], corners: list[str]) -> list[str]:
        """The points, the box, the flags and the path."""
        flags = ("1" if _says(face.attributes.get(flag)) else "0" for flag in FLAGS)
        return [*points, *corners, *flags, face.image]

    def held_attributes(self, face: Face) -> Collection[str]:
        """The flags of which the face says yes or no."""
        return [flag for flag in FLAGS if _says(face.attributes.get(flag)) is not None]

    def subset(self, name: str) -> str:
        """The subset that a list's name says: "makeup" for ``list_98pt_test_makeup.txt``."""
        return subset_of(name)


def _says(value: Attribute | None) -> bool | None:
    """What a flag holds of an attribute's value: True, False, or None for what it has no room for."""
    return bool(value) if isinstance(value, bool) or value in (0, 1) else None


def _plain(line: str) -> Row:
    cells = line.split(None, COORDINATES)
    points = _points(cells)
    return Row(cells[-1], points)


def _with_box(line: str) -> Row:
    cells = line.split(None, COORDINATES + BESIDE_POINTS)
    points = _points(cells)
    box, attributes = _box_and_flags(cells[COORDINATES:])
    return Row(cells[-1], points, box, attributes)


def _points(cells: list[str]) -> NDArray[np.float32]:
    """(98, 2) float32 from the first cells of a line; there must be more after them."""
    values = numbers(cells[:COORDINATES])
    word = None if values is not None else first_word(cells[:COORDINATES])
    if word is not None and word < len(cells) - 1:
        raise SkipFace("not_a_number", f"column {word} holds {cells[word][:40]!r}, expected a number")
    if values is None or len(values) < COORDINATES:
        found = len(cells) if word is None else word
        raise SkipFace("wrong_point_count", f"{found} numbers, expected {COORDINATES}")
    if len(cells) == COORDINATES:
        raise SkipFace("bad_path", f"nothing after {COORDINATES} numbers, expected a picture's path")
    return values.astype(np.float32).reshape(POINTS, 2)


def _box_and_flags(cells: list[str]) -> tuple[NDArray[np.float32], dict[str, Attribute]]:
    """Box and attributes from what follows the points: four corners, six flags and the path."""
    if len(cells) <= BESIDE_POINTS:
        what = f"{len(cells)} columns after the points, expected a box, {len(FLAGS)} flags and a path"
        raise SkipFace("bad_line", what)
    corners = numbers(cells[:4])
    box = None if corners is None else box_of_corners(*map(float, corners))
    if box is None:
        what = f"{' '.join(cell[:40] for cell in cells[:4])}, expected xmin ymin xmax ymax"
        raise SkipFace("bad_box", what)
    attributes: dict[str, Attribute] = {}
    for flag, cell in zip(FLAGS, cells[4:], strict=False):
        if cell not in ("0", "1"):
            raise SkipFace("bad_flag", f"{flag} is {cell[:40]!r}, expected 0 or 1")
        attributes[flag] = cell == "1"
    return box, attributes
