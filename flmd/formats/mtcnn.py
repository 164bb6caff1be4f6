"""The lists that MTCNN's landmark part is trained on (CNN_FacePoint), and MTFL's: five points a line."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import Attribute, Face, SkipFace
from flmd.formats.base import Detection
from flmd.formats.common.face_lines import FaceLinesFormat, Row
from flmd.formats.common.text_list import box_of_corners, first_word, numbers
from flmd.formats.mtcnn_lists import (
    COLUMNS,
    HIGHEST,
    REQUIRED,
    attributes_of,
    cells_of,
    find_lists,
    kind_of,
)
from flmd.tree import FileTree
from flmd.tree.names import shown

POINTS = 5
ATTRIBUTES = ("gender", "smile", "glasses", "pose")


class Mtcnn(FaceLinesFormat):
    r"""A path and 14 numbers on each line: ``lfw_5590\A_0001.jpg left right top bottom x1 y1 … x5 y5``.

    That is ``trainImageList.txt`` and ``testImageList.txt`` (Sun et al., CVPR 2013), which MTCNN is trained
    on. MTFL's ``training.txt`` and ``testing.txt`` (Zhang et al., ECCV 2014) are read too: a path,
    ``x1 … x5 y1 … y5``, gender (1 male, 2 female), smile, glasses (1 yes, 2 no) and head pose (1 left
    profile, 2 left, 3 frontal, 4 right, 5 right profile), which become the int attributes ``gender smile
    glasses pose``. The points are the pupils, the tip of the nose and the corners of the mouth, that on the
    left of the picture first. Floats. Which base they have is not published: 0 is taken, and ``--base 1`` is
    the option. A box's width is right - left, so a box that was written comes back as it was. There is no
    visibility: every point counts as visible.

    Reading
    -------
    Both kinds have as many columns. The first lines of a list tell which it is: more than half of them end
    in four whole numbers within MTFL's ranges, or have a box that holds three points or more. A list of
    which both or neither is true is not read, except where no line can be MTFL's and all have left < right
    and top < bottom. The path may hold spaces and back-slashes. The picture is looked for beside the list,
    then wherever in the tree a name ends in the path; a name that is not in the tree, or there more than
    once as near, is kept as written. The split comes from the list's name, the subject is the picture's path
    without ending and ``_mirror``.

    Skipped reasons: ``wrong_point_count`` (not a path and 14 columns), ``not_a_number`` (also nan, inf),
    ``bad_box`` (width or height not positive), ``bad_attributes`` (outside MTFL's ranges), ``bad_path``
    (leaves the tree). InputError, with the line: a line of 1 MiB or more; without it: a list of which
    neither kind can be told, a scheme that has not 5 points.

    Writing
    -------
    One file when the target ends in ``.txt``, else a folder with ``ImageList_<split>.txt`` for each split;
    always with a box, never MTFL's kind. Numbers are the shortest that read back as the same float64; paths
    have slashes. Lost, by key of ``WriteReport.lost``: ``box`` (there was none: the box of the points is
    written; or its size is below the precision of its corners), ``box source``, ``visibility``, ``split``,
    ``subject``, ``subset``, ``dataset``, ``attributes``, ``image name``. Not written at all: ``face with
    unlabelled points``, ``face with unwritable image name`` (a line break, white space at an end, a path
    out of the tree), ``face with unwritable box``. A list is read back if it is known for one: its paths end
    as pictures' do, and most of its boxes hold their points.
    """

    name = "mtcnn"
    title = "MTCNN training lists (CNN_FacePoint) and MTFL (5 points)"
    detected_by = REQUIRED
    scheme = "mtfl5"
    points = POINTS
    stem = "ImageList"

    def detect(self, tree: FileTree) -> Detection:
        """Any ``*.txt`` (the 200 largest) whose first lines say what their numbers mean."""
        return find_lists(tree)

    def accepts(self, tree: FileTree, name: str) -> bool:
        """Whether its first lines say what their numbers mean."""
        return name.lower().endswith(".txt") and kind_of(tree, name) is not None

    def line_reader(self, tree: FileTree, name: str) -> Callable[[str], Row]:
        """The reader of the kind of list that the first lines show."""
        kind = kind_of(tree, name)
        if kind is None:
            raise InputError("the columns' meaning cannot be told", where=tree.where(name), expected=REQUIRED)
        return _with_box if kind == "box" else _with_attributes

    def cells(self, face: Face, points: list[str], corners: list[str]) -> list[str]:
        """The path, the box and the points."""
        left, top, right, bottom = corners
        return [face.image, left, right, top, bottom, *points]

    def note(self, line: str) -> str:
        """The picture, as written."""
        return f" (image {shown(cells_of(line)[0][:200])})"


def _with_box(line: str) -> Row:
    path, values = _numbers(line)
    left, right, top, bottom = map(float, values[:4])
    box = box_of_corners(left, top, right, bottom)
    if box is None:
        what = f"left {left:g}, right {right:g}, top {top:g}, bottom {bottom:g}, expected a positive size"
        raise SkipFace("bad_box", what)
    return Row(path, values[4:].reshape(POINTS, 2).astype(np.float32), box)


def _with_attributes(line: str) -> Row:
    path, values = _numbers(line)
    found = attributes_of(values)
    if found is None:
        what = f"the last four columns are {values[10:].tolist()}, expected 1 to {HIGHEST} at most"
        raise SkipFace("bad_attributes", what)
    attributes: dict[str, Attribute] = dict(zip(ATTRIBUTES, found, strict=True))
    points = np.ascontiguousarray(values[:10].reshape(2, POINTS).T, np.float32)
    return Row(path, points, attributes=attributes)


def _numbers(line: str) -> tuple[str, NDArray[np.float64]]:
    """The path and the 14 numbers of a line."""
    path, cells = cells_of(line)
    if len(cells) != COLUMNS:
        raise SkipFace("wrong_point_count", f"{len(cells)} columns after the path, expected {COLUMNS}")
    values = numbers(cells)
    if values is None:
        word = cells[first_word(cells) or 0]
        raise SkipFace("not_a_number", f"{word[:40]!r}, expected a number")
    return path, values
