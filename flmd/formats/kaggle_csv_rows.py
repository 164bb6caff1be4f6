"""The rows of Kaggle's training.csv: header, lines, pixels, and the pictures as a tree."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flmd.core.images import ImageError
from flmd.errors import InputError
from flmd.formats.common.inner_pictures import InnerPictures, png
from flmd.schemes.kaggle import KAGGLE15
from flmd.tree import FileTree

SIDE = 96
PIXELS = SIDE * SIDE
COORDINATES = tuple(f"{point}_{axis}" for point in KAGGLE15.points for axis in "xy")
COLUMNS = (*COORDINATES, "Image")
LONGEST = 1 << 18  # bytes of a line; Kaggle's have 37,000 at most
_NEAR = 6  # columns that may be wrong for a header to be taken for ours, and reported


def header_of(line: bytes) -> list[str]:
    """The column names of a first line."""
    return [cell.strip().strip('"') for cell in line.decode("utf-8-sig", "replace").strip("\r\n").split(",")]


def is_near(header: list[str]) -> bool:
    """Whether a header is Kaggle's, or nearly: reading says what is wrong."""
    return len(set(COLUMNS) ^ set(header)) <= _NEAR


def wrong_header(header: list[str]) -> str | None:
    """What is wrong with a header, in words; None when nothing is. Columns may come in any order."""
    for column in COLUMNS:
        if column not in header:
            return f"column {column!r} is missing from the header"
    for i, column in enumerate(header):
        if column not in COLUMNS:
            return f"column {column[:40]!r} in the header is not known"
        if column in header[:i]:
            return f"column {column!r} occurs twice in the header"
    return None


@dataclass(slots=True, frozen=True)
class Row:
    """A line below the header: its number in the file, its number among the rows, both from 1; its place."""

    line: int
    number: int
    start: int
    cells: list[bytes]


class Rows:
    """The header and the rows of one file, a line at a time.

    Raises InputError for an unfit header and for a line of more than ``LONGEST`` bytes.
    """

    def __init__(self, tree: FileTree, name: str) -> None:
        self._tree, self._name, self._where = tree, name, tree.where(name)
        self.header: list[str] = []

    def __iter__(self) -> Iterator[Row]:
        with self._tree.open(self._name) as stream:
            first = stream.readline(LONGEST)
            self.header = header_of(first)
            if wrong := wrong_header(self.header):
                raise InputError(
                    wrong, where=f"{self._where}:1", expected=f"the 30 columns {COLUMNS[0]} … and Image"
                )
            start, line, number = len(first), 1, 0
            while text := stream.readline(LONGEST):
                line += 1
                if len(text) == LONGEST:
                    raise InputError(f"a line of {LONGEST} bytes or more", where=f"{self._where}:{line}")
                if text.strip():
                    number += 1
                    yield Row(line, number, start, text.strip(b"\r\n").split(b","))
                start += len(text)


def picture_of(name: str, number: int) -> str:
    """``training/00001.png`` for the first row of ``training.csv``."""
    return f"{posixpath.splitext(name)[0]}/{number:05}.png"


def holds_pixels(cell: bytes) -> bool:
    """Whether a cell of the column Image is long enough for a picture."""
    return len(cell) >= 2 * PIXELS - 1


def pixels_in(cell: bytes, where: str) -> NDArray[np.uint8]:
    """(96, 96) uint8 grey from 9216 numbers; ImageError otherwise."""
    try:
        values = np.array(cell.strip(b'" ').split(), dtype=np.int64)
    except (ValueError, OverflowError):
        raise ImageError("image_damaged", "a grey value is not a whole number", where=where) from None
    if len(values) != PIXELS or values.min() < 0 or values.max() > 255:
        what = (
            f"{len(values)} grey values from {values.min()} to {values.max()}" if len(values) else "nothing"
        )
        raise ImageError("image_damaged", f"{what}, expected {PIXELS} from 0 to 255", where=where)
    return values.astype(np.uint8).reshape(SIDE, SIDE)


class RowPictures(InnerPictures):
    """The pictures in the column Image; the place of one is (file, first byte, length, column, line)."""

    def encode(self, place: tuple[str, int, int, int, int]) -> bytes:
        name, start, length, column, line = place
        cells = self._tree.read(name, start, length).split(b",")
        return png(pixels_in(cells[column], f"{self._tree.where(name)}:{line}"))


def row_pictures(tree: FileTree, files: tuple[str, ...]) -> RowPictures:
    """Index the pictures of these files: every line is read once, and its place kept."""
    index: dict[str, tuple[str, int, int, int, int]] = {}
    for name in files:
        rows = Rows(tree, name)
        try:
            for row in rows:
                column = rows.header.index("Image")
                if len(row.cells) == len(rows.header) and holds_pixels(row.cells[column]):
                    length = sum(map(len, row.cells)) + len(row.cells) - 1
                    index[picture_of(name, row.number)] = (name, row.start, length, column, row.line)
        except InputError:
            continue  # reading the faces says it, after the good ones before it
    return RowPictures(tree, index)
