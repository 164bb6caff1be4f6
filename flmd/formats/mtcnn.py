"""The lists that MTCNN's landmark part is trained on (CNN_FacePoint), and MTFL's: five points a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import Attribute, Face, Skipped, visibility_of
from flmd.formats.base import Detection, Format, WriteReport
from flmd.formats.common.text_list import (
    ListedPictures,
    box_of_corners,
    corner_texts,
    first_word,
    lines_of,
    numbers,
    unlisted,
)
from flmd.formats.layout import photo_of, split_of
from flmd.formats.mtcnn_lists import (
    COLUMNS,
    HIGHEST,
    REQUIRED,
    Kind,
    attributes_of,
    cells_of,
    find_lists,
    kind_of,
)
from flmd.formats.writing import check_points, count_lost, list_files, number_text
from flmd.schemes import Scheme
from flmd.tree import FileTree
from flmd.tree.names import shown

POINTS = 5
ATTRIBUTES = ("gender", "smile", "glasses", "pose")


class Mtcnn(Format):
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
    boxes = True
    suffix = ".txt"

    def detect(self, tree: FileTree) -> Detection:
        """Any ``*.txt`` (the 200 largest) whose first lines say what their numbers mean."""
        return find_lists(tree)

    def accepts(self, tree: FileTree, name: str) -> bool:
        """Whether its first lines say what their numbers mean."""
        return name.lower().endswith(".txt") and kind_of(tree, name) is not None

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield a face for each line, in bounded memory; see the class for what is skipped."""
        _check_scheme(scheme)
        for name in files:
            kind = kind_of(tree, name)
            if kind is None:
                raise InputError(
                    "the columns' meaning cannot be told", where=tree.where(name), expected=REQUIRED
                )
            with tree.open(name) as stream:
                yield from _read(tree, name, stream, kind)

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a ``.txt`` file or a folder of them; see the class for what is lost."""
        _check_scheme(scheme)
        report = WriteReport()
        with list_files(target, self.suffix, "ImageList") as out:
            for face in faces:
                check_points(face, scheme)
                corners, same_box = corner_texts(face) if (why := unlisted(face)) is None else (None, False)
                if corners is None:
                    report.lost[why or "face with unwritable box"] += 1
                    continue
                left, top, right, bottom = corners
                points = map(number_text, face.landmarks.ravel().tolist())
                row = " ".join([face.image, left, right, top, bottom, *points]) + "\n"
                out.of(face.split).write(row.encode("utf-8", "surrogateescape"))
                report.faces += 1
                if not same_box:
                    report.lost["box"] += 1
                split = out.split_read_back(face.split)
                count_lost(report, face, keeps=("box",), subject=photo_of(face.image), split=split)
        return report


def _check_scheme(scheme: Scheme) -> None:
    if scheme.count != POINTS:
        what = f"scheme {scheme.name} has {scheme.count} points"
        raise InputError(what, expected=f"{POINTS}, as these lists hold")


def _read(tree: FileTree, name: str, stream: BinaryIO, kind: Kind) -> Iterator[Face | Skipped]:
    where = tree.where(name)
    pictures = ListedPictures(tree, name)
    split = split_of(name) or ""
    for number, line in lines_of(stream, where):
        path, cells = cells_of(line)
        here = f"{where}:{number} (image {shown(path[:200])})"
        values = numbers(cells)
        if len(cells) != COLUMNS:
            yield Skipped(
                "wrong_point_count", here, f"{len(cells)} columns after the path, expected {COLUMNS}"
            )
        elif values is None:
            word = cells[first_word(cells) or 0]
            yield Skipped("not_a_number", here, f"{word[:40]!r}, expected a number")
        elif (image := pictures.find(path)) is None:
            yield Skipped("bad_path", here, f"{path[:200]!r} is not a picture in the tree")
        else:
            yield _face(image, values, kind, split, here)


def _face(image: str, values: NDArray[np.float64], kind: Kind, split: str, where: str) -> Face | Skipped:
    box, attributes = None, dict[str, Attribute]()
    if kind == "box":
        left, right, top, bottom = map(float, values[:4])
        box = box_of_corners(left, top, right, bottom)
        if box is None:
            what = f"left {left:g}, right {right:g}, top {top:g}, bottom {bottom:g}, expected a positive size"
            return Skipped("bad_box", where, what)
        points = values[4:].reshape(POINTS, 2)
    else:
        found = attributes_of(values)
        if found is None:
            what = f"the last four columns are {values[10:].tolist()}, expected 1 to {HIGHEST} at most"
            return Skipped("bad_attributes", where, what)
        attributes.update(zip(ATTRIBUTES, found, strict=True))
        points = values[:10].reshape(2, POINTS).T
    landmarks = np.ascontiguousarray(points, dtype=np.float32)
    return Face(
        image=image,
        landmarks=landmarks,
        visibility=visibility_of(landmarks),
        box=box,
        box_source="none" if box is None else "annotated",
        subject=photo_of(image),
        split=split,
        attributes=attributes,
        where=where,
    )
