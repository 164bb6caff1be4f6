"""WFLW's lists: a face on each line, 98 points, perhaps a box and six flags, and the picture's path."""

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
from flmd.formats.writing import check_points, count_lost, list_files, number_text
from flmd.schemes import Scheme
from flmd.tree import FileTree


class Wflw(Format):
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
    boxes = True
    suffix = ".txt"

    def detect(self, tree: FileTree) -> Detection:
        """Any ``*.txt`` (the 200 largest) of which one of the first lines is a face."""
        return find_lists(tree)

    def accepts(self, tree: FileTree, name: str) -> bool:
        """Whether one of its first lines is a face."""
        return name.lower().endswith(".txt") and boxes_in(tree, name) is not None

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield a face for each line, in bounded memory; see the class for what is skipped."""
        _check_scheme(scheme)
        for name in files:
            with tree.open(name) as stream:
                yield from _read(tree, name, stream)

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a ``.txt`` file or a folder of them; see the class for what is lost."""
        _check_scheme(scheme)
        report = WriteReport()
        with list_files(target, self.suffix, "list_98pt_rect_attr") as out:
            for face in faces:
                check_points(face, scheme)
                corners, same_box = corner_texts(face) if (why := unlisted(face)) is None else (None, False)
                if corners is None:
                    report.lost[why or "face with unwritable box"] += 1
                    continue
                flags = {flag: face.attributes.get(flag) for flag in FLAGS}
                cells = [
                    *map(number_text, face.landmarks.ravel().tolist()),
                    *corners,
                    *("1" if _says(value) else "0" for value in flags.values()),
                    face.image,
                ]
                out.of(face.split).write((" ".join(cells) + "\n").encode("utf-8", "surrogateescape"))
                report.faces += 1
                if not same_box:
                    report.lost["box"] += 1
                count_lost(
                    report,
                    face,
                    keeps=("box",),
                    subject=photo_of(face.image),
                    split=out.split_read_back(face.split),
                    subset=subset_of(target.name) if out.one else "",
                    attributes=[flag for flag, value in flags.items() if _says(value) is not None],
                )
        return report


def _check_scheme(scheme: Scheme) -> None:
    if scheme.count != POINTS:
        what = f"scheme {scheme.name} has {scheme.count} points"
        raise InputError(what, expected=f"{POINTS}, as WFLW's lists hold")


def _says(value: Attribute | None) -> bool | None:
    """What a flag holds of an attribute's value: True, False, or None for what it has no room for."""
    return bool(value) if isinstance(value, bool) or value in (0, 1) else None


def _read(tree: FileTree, name: str, stream: BinaryIO) -> Iterator[Face | Skipped]:
    where = tree.where(name)
    pictures = ListedPictures(tree, name, "WFLW_images")
    beside = BESIDE_POINTS if boxes_in(tree, name) else 0
    split, subset = split_of(name) or "", subset_of(name)
    for number, line in lines_of(stream, where):
        here = f"{where}:{number}"
        cells = line.split(None, COORDINATES + beside)
        points = _points(cells, here)
        if isinstance(points, Skipped):
            yield points
            continue
        described = _box_and_flags(cells[COORDINATES:], here) if beside else (None, {})
        if isinstance(described, Skipped):
            yield described
            continue
        box, attributes = described
        image = pictures.find(cells[-1])
        if image is None:
            yield Skipped("bad_path", here, f"{cells[-1][:200]!r} is not a picture in the tree")
            continue
        yield Face(
            image=image,
            landmarks=points,
            visibility=visibility_of(points),
            box=box,
            box_source="none" if box is None else "annotated",
            subject=photo_of(image),
            split=split,
            subset=subset,
            attributes=attributes,
            where=here,
        )


def _points(cells: list[str], where: str) -> NDArray[np.float32] | Skipped:
    """(98, 2) float32 from the first cells of a line; there must be more after them."""
    values = numbers(cells[:COORDINATES])
    word = None if values is not None else first_word(cells[:COORDINATES])
    if word is not None and word < len(cells) - 1:
        return Skipped("not_a_number", where, f"column {word} holds {cells[word][:40]!r}, expected a number")
    if values is None or len(values) < COORDINATES:
        found = len(cells) if word is None else word
        return Skipped("wrong_point_count", where, f"{found} numbers, expected {COORDINATES}")
    if len(cells) == COORDINATES:
        return Skipped("bad_path", where, f"nothing after {COORDINATES} numbers, expected a picture's path")
    return values.astype(np.float32).reshape(POINTS, 2)


def _box_and_flags(
    cells: list[str], where: str
) -> tuple[NDArray[np.float32] | None, dict[str, Attribute]] | Skipped:
    """Box and attributes from what follows the points: four corners, six flags and the path."""
    if len(cells) <= BESIDE_POINTS:
        what = f"{len(cells)} columns after the points, expected a box, {len(FLAGS)} flags and a path"
        return Skipped("bad_line", where, what)
    corners = numbers(cells[:4])
    box = None if corners is None else box_of_corners(*map(float, corners))
    if box is None:
        what = f"{' '.join(cell[:40] for cell in cells[:4])}, expected xmin ymin xmax ymax"
        return Skipped("bad_box", where, what)
    attributes: dict[str, Attribute] = {}
    for flag, cell in zip(FLAGS, cells[4:], strict=False):
        if cell not in ("0", "1"):
            return Skipped("bad_flag", where, f"{flag} is {cell[:40]!r}, expected 0 or 1")
        attributes[flag] = cell == "1"
    return box, attributes
