"""VGGFace2's lists: five points of each face, and its box in a list beside."""

from __future__ import annotations

import contextlib
import csv
import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import Face, SkipFace, Skipped, visibility_of
from flmd.formats.base import Detection, Format, WriteReport
from flmd.formats.common.json_lists import shortest
from flmd.formats.common.row_lookup import RowLookup
from flmd.formats.common.text_list import (
    ListedPictures,
    first_lines,
    first_word,
    lines_of,
    numbers,
    unlisted,
)
from flmd.formats.layout import PICTURE_ENDINGS, photo_of, split_of, whole_or_nothing
from flmd.formats.writing import check_points, count_lost, number_text, usable_box
from flmd.schemes import Scheme
from flmd.tree import FileTree
from flmd.tree.names import shown

POINTS = 5
_LANDMARKS = ("NAME_ID", *(f"P{i}{axis}" for i in range(1, POINTS + 1) for axis in "XY"))
_BOXES = ("NAME_ID", "X", "Y", "W", "H")
_NAME = re.compile(r"loose_landmark(.*)\.csv", re.IGNORECASE)


class VggFace2(Format):
    """``loose_landmark_train.csv``: ``NAME_ID,P1X,P1Y,…,P5Y``; ``loose_bb_train.csv``: ``NAME_ID,X,Y,W,H``.

    ``"n000001/0001_01"`` is the face in ``n000001/0001_01.jpg``, of the person n000001. The points are the
    pupils, the tip of the nose and the corners of the mouth, that on the left of the picture first; floats.
    Which base they and the boxes have is not published: 0 is taken, and ``--base 1`` is the option. There is
    no visibility: every point counts as visible.

    Reading
    -------
    The boxes are read in step with the landmarks, or kept in memory when they are in another order; a face
    without a row there has no box. The picture is looked for beside the list, then wherever in the tree a
    name ends so, .jpg or any other ending. The subject is the folder in the name, else the name; the split
    that of the list's name.

    Skipped reasons: ``wrong_point_count`` (not eleven columns), ``not_a_number`` (also nan, inf),
    ``bad_box`` (width or height not positive), ``bad_path`` (leaves the tree). InputError, with the line: a
    line of 1 MiB or more; more than 2,000,000 boxes in another order; a scheme that has not 5 points.

    Writing
    -------
    A folder with both lists for each split. Numbers have the fewest decimals that give the same float32.
    Lost, by key of ``WriteReport.lost``: ``box`` (not finite or not positive), ``box source``,
    ``visibility``, ``subject`` (another than the folder), ``subset``, ``dataset``, ``attributes``, ``image
    name`` (not a .jpg: it comes back as one). Not written at all: ``another face of one picture``, ``face
    with unlabelled points``, ``face with unwritable image name``.
    """

    name = "vggface2"
    title = "VGGFace2 lists of landmarks and boxes (5 points)"
    detected_by = "loose_landmark*.csv with the header NAME_ID,P1X,P1Y,…,P5Y"
    scheme = "mtfl5"
    boxes = True

    def detect(self, tree: FileTree) -> Detection:
        """Any such file with that header."""
        files = tuple(name for name in tree.names if _has_header(tree, name, _LANDMARKS))
        if files:
            return Detection(files, f"VGGFace2 lists: {', '.join(map(shown, files))}")
        boxes = next((name for name in tree.names if _has_header(tree, name, _BOXES)), None)
        miss = f" ({shown(posixpath.basename(boxes))}: only boxes, no points)" if boxes else ""
        return Detection((), f"no {self.detected_by}{miss}")

    def accepts(self, tree: FileTree, name: str) -> bool:
        """Whether it has that header."""
        return _has_header(tree, name, _LANDMARKS)

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield a face for each row; see the class for what is skipped and what memory holds."""
        _check(scheme)
        for name in files:
            yield from _read(tree, name)

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a folder of lists; see the class for what is lost."""
        _check(scheme)
        report = WriteReport()
        seen: set[str] = set()
        with whole_or_nothing(target) as folder, contextlib.ExitStack() as stack:
            folder.mkdir()
            lists = _Lists(folder, stack)
            for face in faces:
                check_points(face, scheme)
                stem = posixpath.splitext(face.image)[0]
                why = "another face of one picture" if stem in seen else unlisted(face)
                if why is not None:
                    report.lost[why] += 1
                    continue
                seen.add(stem)
                lists.of("landmark", face.split).write(_line(stem, face.landmarks))
                if face.box is not None and usable_box(face):
                    lists.of("bb", face.split).write(_line(stem, face.box))
                report.faces += 1
                _count_losses(report, face, stem)
            if not seen:
                lists.of("landmark", "")
        return report


def _check(scheme: Scheme) -> None:
    if scheme.count != POINTS:
        raise InputError(f"scheme {scheme.name} has {scheme.count} points", expected=str(POINTS))


def _cells(line: str) -> list[str]:
    """The cells of a line, the first of which may be in quotes."""
    try:
        return next(csv.reader([line]), [""])
    except csv.Error:
        return [line]


def _has_header(tree: FileTree, name: str, header: tuple[str, ...]) -> bool:
    if not name.lower().endswith(".csv"):
        return False
    lines = first_lines(tree, name)[:1]
    return bool(lines) and tuple(cell.strip() for cell in _cells(lines[0])) == header


def _boxes_of(tree: FileTree, name: str) -> RowLookup | None:
    """The boxes' list beside a landmarks' list: ``loose_bb_train.csv`` for ``loose_landmark_train.csv``."""
    found = _NAME.fullmatch(posixpath.basename(name))
    wanted = f"loose_bb{found[1]}.csv" if found else ""
    folder = posixpath.dirname(name)
    beside = next((n for n in tree.names if n.lower() == posixpath.join(folder, wanted).lower()), None)
    if beside is None or not _has_header(tree, beside, _BOXES):
        return None
    return RowLookup(tree, beside, len(_BOXES) - 1, _cells, header=1)


def _read(tree: FileTree, name: str) -> Iterator[Face | Skipped]:
    where, split = tree.where(name), split_of(name) or ""
    pictures, boxes = ListedPictures(tree, name), _boxes_of(tree, name)
    with tree.open(name) as stream:
        for number, line in lines_of(stream, where):
            if number == 1:
                continue
            key, *cells = _cells(line)
            box_row = boxes.of(key) if boxes is not None else None
            try:
                image = _picture(tree, pictures, key) if key else None
                if image is None:
                    raise SkipFace("bad_path", f"{key[:200]!r} is not a picture in the tree")
                landmarks = _floats(cells, 2 * POINTS, "wrong_point_count").reshape(POINTS, 2)
                box = None if box_row is None else _floats(box_row[0], 4, "bad_box")
                if box is not None and not (box[2:] > 0).all():
                    raise SkipFace("bad_box", f"width {box[2]:g}, height {box[3]:g}, expected above 0")
            except SkipFace as fault:
                yield fault.at(f"{where}:{number}")
                continue
            yield Face(
                image=image,
                landmarks=landmarks,
                visibility=visibility_of(landmarks),
                box=box,
                box_source="none" if box is None else "annotated",
                subject=_person(key),
                split=split,
                where=f"{where}:{number}",
            )


def _picture(tree: FileTree, pictures: ListedPictures, key: str) -> str | None:
    """The picture of a name: a .jpg, as published, unless another one of that stem is there."""
    likely = pictures.find(f"{key}.jpg")
    if likely is None or likely in tree:
        return likely
    others = (pictures.find(key + ending) for ending in sorted(PICTURE_ENDINGS))
    return next((image for image in others if image in tree), likely)


def _floats(cells: list[str], count: int, reason: str) -> NDArray[np.float32]:
    if len(cells) != count:
        raise SkipFace(reason, f"{len(cells)} numbers, expected {count}")
    values = numbers(cells)
    if values is None:
        word = cells[first_word(cells) or 0]
        raise SkipFace("not_a_number", f"{word[:40]!r}, expected a number")
    return values.astype(np.float32)


class _Lists:
    """The lists of a folder being written, opened and given their header on first use."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._open: dict[str, BinaryIO] = {}

    def of(self, kind: str, split: str) -> BinaryIO:
        """``loose_bb_train.csv`` for "bb" and "train"."""
        name = f"loose_{kind}_{split or 'unsplit'}.csv"
        if name not in self._open:
            self._open[name] = self._stack.enter_context((self._folder / name).open("wb"))
            columns = _BOXES if kind == "bb" else _LANDMARKS
            self._open[name].write((",".join(columns) + "\n").encode())
        return self._open[name]


def _person(key: str) -> str:
    """Whose face it is: the folder in a name, else the name itself."""
    return posixpath.dirname(key) or photo_of(f"{key}.jpg")


def _line(stem: str, values: NDArray[np.float32]) -> bytes:
    quoted = '"' + stem.replace('"', '""') + '"'
    return (",".join([quoted, *map(number_text, shortest(values))]) + "\n").encode("utf-8", "surrogateescape")


def _count_losses(report: WriteReport, face: Face, stem: str) -> None:
    if face.box is not None and not usable_box(face):
        report.lost["box"] += 1
    if face.image != f"{stem}.jpg":
        report.lost["image name"] += 1
    count_lost(report, face, keeps=("box",), subject=_person(stem), split=face.split)
