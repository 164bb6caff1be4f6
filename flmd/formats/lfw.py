"""LFW's landmarks.txt: a path and five points on each line, a person in each folder."""

from __future__ import annotations

import posixpath
from collections.abc import Callable

import numpy as np

from flmd.face import Face, SkipFace
from flmd.formats.base import Certainty, Detection
from flmd.formats.celeba_files import is_header
from flmd.formats.common.face_lines import FaceLinesFormat, Row
from flmd.formats.common.text_list import first_lines, first_word, numbers, text_files
from flmd.formats.layout import is_picture, photo_of, without_unions
from flmd.tree import FileTree
from flmd.tree.names import shown

POINTS = 5
_COLUMNS = 2 * POINTS


class Lfw(FaceLinesFormat):
    """A path and ten numbers on each line: ``Aaron_Eckhart/Aaron_Eckhart_0001.jpg x1 y1 … x5 y5``.

    Cells are separated by tabs or spaces. The points are the pupils, the tip of the nose and the corners of
    the mouth, that on the left of the picture first. Which base they have is not published: 0 is taken, and
    ``--base 1`` is the option. There is no box and no visibility: every point counts as visible.

    Reading
    -------
    The path may hold spaces and back-slashes. The picture is looked for beside the list, then wherever in the
    tree a name ends in the path; a name that is not there, or more than once as near, is kept as written.
    The subject is the picture's folder, a person; of a picture without a folder, its path without ending and
    ``_mirror``. The split comes from the list's name.

    Skipped reasons: ``wrong_point_count`` (not a path and ten columns), ``not_a_number`` (also nan, inf),
    ``bad_path`` (leaves the tree). InputError, with the line: a line of 1 MiB or more; without it: a scheme
    that has not 5 points.

    Writing
    -------
    One file when the target ends in ``.txt``, else a folder with ``landmarks_<split>.txt`` for each split,
    separated by tabs. Numbers are the shortest that read back as the same float64. Lost, by key of
    ``WriteReport.lost``: ``box``, ``visibility``, ``split``, ``subject``, ``subset``, ``dataset``,
    ``attributes``, ``image name``. Not written at all: ``face with unlabelled points``, ``face with
    unwritable image name`` (a line break, white space at an end, a path out of the tree).
    """

    name = "lfw"
    title = "LFW landmarks.txt (5 points, a person in each folder)"
    detected_by = "*.txt with lines of a picture's path and 10 numbers"
    scheme = "mtfl5"
    boxes = False
    points = POINTS
    stem = "landmarks"

    def detect(self, tree: FileTree) -> Detection:
        """Any ``*.txt`` (the 200 largest) of which the first line is a face."""
        files, unions = without_unions(name for name in text_files(tree) if _is_list(tree, name))
        if not files:
            return Detection((), f"no {self.detected_by}")
        why = f"lists of five points without boxes: {', '.join(map(shown, files))}"
        if unions:
            why += f"; left out as the union of these: {', '.join(map(shown, unions))}"
        return Detection(tuple(files), why, Certainty.POSSIBLE)

    def accepts(self, tree: FileTree, name: str) -> bool:
        """Whether its first line is a face."""
        return name.lower().endswith(".txt") and _is_list(tree, name)

    def line_reader(self, tree: FileTree, name: str) -> Callable[[str], Row]:
        """The reader of all lines."""
        return _row

    def cells(self, face: Face, points: list[str], corners: list[str]) -> list[str]:
        """The path and the points."""
        return ["\t".join([face.image, *points])]

    def subject(self, image: str) -> str:
        """The folder, named after a person."""
        return posixpath.basename(posixpath.dirname(image)) or photo_of(image)


def _is_list(tree: FileTree, name: str) -> bool:
    lines = first_lines(tree, name)
    if not lines or any(map(is_header, lines[:2])):
        return False
    path, *cells = lines[0].strip().rsplit(None, _COLUMNS)
    whole = len(cells) == _COLUMNS and numbers(cells) is not None and numbers([path.split()[-1]]) is None
    return whole and is_picture(path)


def _row(line: str) -> Row:
    path, *cells = line.rsplit(None, _COLUMNS)
    if len(cells) != _COLUMNS:
        raise SkipFace("wrong_point_count", f"{len(cells)} columns after the path, expected {_COLUMNS}")
    values = numbers(cells)
    if values is None:
        raise SkipFace("not_a_number", f"{cells[first_word(cells) or 0][:40]!r}, expected a number")
    return Row(path, values.reshape(POINTS, 2).astype(np.float32))
