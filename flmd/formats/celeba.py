"""CelebA's lists: five points of each picture, and its box, split and person in lists beside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import Face, Skipped, visibility_of
from flmd.formats.base import Detection, Format, WriteReport
from flmd.formats.celeba_files import (
    BOXES,
    HEADER,
    IDENTITY,
    PARTITION,
    REQUIRED,
    beside,
    find_lists,
    is_aligned,
    is_header,
    is_list,
    picture_folder,
)
from flmd.formats.celeba_writer import COORDINATES, check_scheme, write
from flmd.formats.common.row_lookup import RowLookup
from flmd.formats.common.text_list import ListedPictures, first_word, lines_of, numbers
from flmd.formats.layout import photo_of
from flmd.schemes import Scheme
from flmd.tree import FileTree
from flmd.tree.names import shown

_SPLITS = {"0": "train", "1": "val", "2": "test"}


class CelebA(Format):
    """CelebA lists: a count, a header, then ``000001.jpg 150 180 240 170 190 250 160 280 260 270``.

    ``list_landmarks_celeba.txt`` is about the pictures in the wild, ``list_landmarks_align_celeba.txt``
    about the aligned and cropped ones. Numbers are whole. Whether CelebA counts pixels from 0 or from 1 is
    not published: base 0 is taken, and ``--base 1`` is the option. Five points; there is no visibility, and
    every point counts as visible.

    Reading
    -------
    Beside the list, or elsewhere in the tree: ``list_eval_partition.txt`` (0 train, 1 val, 2 test),
    ``identity_CelebA.txt`` (the subject; else it is the picture's path without ending), and
    ``list_bbox_celeba.txt`` (``x_1 y_1 width height``, taken as they are, in the points' base), which
    belongs to the pictures in the wild and is not used with the aligned list. A picture without a row there,
    or with a box ``0 0 0 0``, has no box. These lists are read in step with the landmarks, or kept in memory
    when they are in another order. Where both landmark lists are there, the one whose pictures are is
    read, else the aligned one, and the detection says so. Pictures are looked for beside the list, then
    wherever in the tree a name ends so, first in folders ``img_celeba`` or ``img_align_celeba``; a name not
    in the tree is kept as written.

    Skipped reasons: ``wrong_point_count`` (not a name and ten columns), ``not_a_number``, ``bad_box``,
    ``bad_split`` (not 0, 1 or 2), ``bad_path`` (leaves the tree), ``wrong_face_count`` (once, at the end:
    the first line counts more or fewer). InputError, with the line: a first line that is no count, another
    header, a line of 1 MiB or more; more than 2,000,000 rows in another order; a scheme of not 5 points.

    Writing
    -------
    A folder with ``list_landmarks_celeba.txt``, and the other three lists when a face has a box, a split or
    a person (a number, as CelebA's are); a face without box has ``0 0 0 0`` there. Numbers are rounded,
    ``floor(x + 0.5)``. Lost, by key of ``WriteReport.lost``: ``sub-pixel`` (a point or box is not whole),
    ``box`` (it rounds to nothing), ``box source``, ``visibility``, ``subject`` (not a number),
    ``subset``, ``dataset``, ``attributes``, ``image name``. Not written at all: ``another face of one
    picture``, ``face with unlabelled points``, ``face with unwritable image name``.
    """

    name = "celeba"
    title = "CelebA landmark lists (5 points)"
    detected_by = REQUIRED
    scheme = "celeba5"
    precision = 1.0
    boxes = True

    def detect(self, tree: FileTree) -> Detection:
        """Any ``*.txt`` (the 200 largest) with the two first lines."""
        return find_lists(tree)

    def accepts(self, tree: FileTree, name: str) -> bool:
        """Whether its first two lines are a count and the header."""
        return name.lower().endswith(".txt") and is_list(tree, name)

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield a face for each line; see the class for what is skipped and what memory holds."""
        check_scheme(scheme)
        for name in files:
            with tree.open(name) as stream:
                yield from _Reader(tree, name).faces(stream)

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a folder of lists; see the class for what is lost."""
        check_scheme(scheme)
        return write(faces, target, scheme)


class _Reader:
    """One landmarks list, and the lists that say more of its pictures."""

    def __init__(self, tree: FileTree, name: str) -> None:
        self._where = tree.where(name)
        self._pictures = ListedPictures(tree, name, picture_folder(name))

        def rows(wanted: str, columns: int, header: int = 0) -> RowLookup | None:
            found = beside(tree, name, wanted)
            if found is None:
                return None
            return RowLookup(tree, found, columns, lambda line: line.rsplit(None, columns), header)

        self._boxes = None if is_aligned(name) else rows(BOXES, 4, header=2)
        self._splits, self._people = rows(PARTITION, 1), rows(IDENTITY, 1)

    def faces(self, stream: BinaryIO) -> Iterator[Face | Skipped]:
        """Every line as a face or skipped, in order."""
        lines = lines_of(stream, self._where)
        number, first = next(lines, (1, ""))
        if not first.isdecimal() or len(first) > 18:
            raise InputError(
                f"the first line is {first[:40]!r}",
                where=f"{self._where}:{number}",
                expected="the number of faces",
            )
        number, header = next(lines, (2, ""))
        if not is_header(header):
            raise InputError(
                f"the second line is {header[:40]!r}",
                where=f"{self._where}:{number}",
                expected=f"the header {HEADER}",
            )
        count = 0
        for number, line in lines:
            count += 1
            yield self._face(line, f"{self._where}:{number}")
        if count != int(first):
            what = f"the first line says {int(first)} faces, {count} follow"
            yield Skipped("wrong_face_count", f"{self._where}:1", what)

    def _face(self, line: str, where: str) -> Face | Skipped:
        written, *cells = line.rsplit(None, COORDINATES)
        where = f"{where} (image {shown(written[:200])})"
        boxes = self._boxes.of(written) if self._boxes else None  # asked for every line: they keep in step
        split = self._splits.of(written) if self._splits else None
        person = self._people.of(written) if self._people else None
        if len(cells) != COORDINATES:
            what = f"{len(cells)} columns after the name, expected {COORDINATES}"
            return Skipped("wrong_point_count", where, what)
        values = numbers(cells)
        if values is None:
            word = cells[first_word(cells) or 0]
            return Skipped("not_a_number", where, f"{word[:40]!r}, expected a number")
        box = None
        if boxes is not None and boxes[0] != ["0"] * 4:
            box = _box(boxes[0])
            if box is None:
                return Skipped("bad_box", where, f"{' '.join(boxes[0])[:80]}, expected x y width height")
        if split is not None and split[0][0] not in _SPLITS:
            return Skipped("bad_split", where, f"{split[0][0][:40]!r}, expected 0, 1 or 2")
        image = self._pictures.find(written)
        if image is None:
            return Skipped("bad_path", where, f"{written[:200]!r} is not a picture in the tree")
        points = values.astype(np.float32).reshape(-1, 2)
        return Face(
            image=image,
            landmarks=points,
            visibility=visibility_of(points),
            box=box,
            box_source="none" if box is None else "annotated",
            subject=photo_of(image) if person is None else person[0][0],
            split="" if split is None else _SPLITS[split[0][0]],
            where=where,
        )


def _box(cells: list[str]) -> NDArray[np.float32] | None:
    values = numbers(cells)
    if values is None:
        return None
    box = values.astype(np.float32)
    return box if min(box[2:]) > 0 else None
