"""The files of CelebA's annotations: which list to read, and what the other lists say of its pictures."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from flmd.errors import InputError
from flmd.formats.base import Detection
from flmd.formats.common.text_list import first_lines, lines_of, text_files
from flmd.formats.layout import without_unions
from flmd.tree import FileTree
from flmd.tree.names import shown

HEADER = " ".join(
    f"{part}_{axis}" for part in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for axis in "xy"
)
LANDMARKS = "list_landmarks_celeba.txt"
BOXES, BOX_HEADER = "list_bbox_celeba.txt", "image_id x_1 y_1 width height"
PARTITION, IDENTITY = "list_eval_partition.txt", "identity_CelebA.txt"
REQUIRED = "*.txt with a count in its first line and lefteye_x lefteye_y … in its second"
MOST_ROWS = 2_000_000


def is_list(tree: FileTree, name: str) -> bool:
    """Whether the first two lines are those of a landmarks list; the second one says it."""
    lines = first_lines(tree, name)[:2]
    return len(lines) == 2 and lines[0].strip().isdecimal() and is_header(lines[1])


def is_header(line: str) -> bool:
    """Whether a line names the ten columns, perhaps after a name for the first."""
    return line.split()[-10:] == HEADER.split() and len(line.split()) <= 11


def is_aligned(name: str) -> bool:
    """Whether a list is about the aligned and cropped pictures, to which the boxes do not belong."""
    return "align" in posixpath.basename(name).lower()


def picture_folder(name: str) -> str:
    """The folder that the pictures of a list are published in."""
    return "img_align_celeba" if is_aligned(name) else "img_celeba"


def find_lists(tree: FileTree) -> Detection:
    """The landmarks list to read; where both are there, the one whose pictures are, else the aligned one."""
    found, unions = without_unions(name for name in text_files(tree) if is_list(tree, name))
    if not found:
        return Detection((), f"no {REQUIRED}")
    kept = found
    if len({is_aligned(name) for name in found}) == 2:
        there = [name for name in found if _has_folder(tree, picture_folder(name))]
        kept = there if len({is_aligned(name) for name in there}) == 1 else list(filter(is_aligned, found))
    left_out = sorted(set(found) - set(kept))
    why = f"CelebA landmarks: {', '.join(map(shown, kept))}"
    if unions:
        why += f"; left out as the union of these: {', '.join(map(shown, unions))}"
    if left_out:
        why += f"; left out as the same faces in other pictures: {', '.join(map(shown, left_out))}"
    return Detection(tuple(kept), why)


def _has_folder(tree: FileTree, folder: str) -> bool:
    return any(name.startswith(folder + "/") or f"/{folder}/" in name for name in tree.names)


def beside(tree: FileTree, name: str, wanted: str) -> str | None:
    """The file named ``wanted`` (in any case) that lies nearest to a list: in its folder, or else the one
    that shares most folders with it; of several as near, the first in name order.
    """
    candidates = [n for n in tree.names if posixpath.basename(n).lower() == wanted.lower()]
    own = posixpath.dirname(name).split("/")

    def distance(other: str) -> tuple[int, int]:
        folders = posixpath.dirname(other).split("/")
        shared = 0
        while shared < min(len(own), len(folders)) and own[shared] == folders[shared]:
            shared += 1
        return -shared, len(folders)

    return min(candidates, key=distance, default=None)


class Rows:
    """What a list says of each picture: rows of a name and ``columns`` cells, looked up by name.

    Read in step with the landmarks as long as both are in the same order; else all of its rows are kept,
    at most 2,000,000 of them.
    """

    def __init__(self, tree: FileTree, name: str, columns: int, header: int = 0) -> None:
        self.where = tree.where(name)
        self._tree, self._name, self._columns, self._header = tree, name, columns, header
        self._in_step: Iterator[tuple[str, str, int]] | None = self._rows()
        self._all: dict[str, tuple[str, int]] = {}

    def of(self, image: str) -> tuple[list[str], int] | None:
        """The cells and line of a picture's row; None when it has none.

        Raises InputError for a line of 1 MiB or more, and for more than 2,000,000 rows out of order.
        """
        if self._in_step is not None:
            row = next(self._in_step, None)
            if row is not None and row[0] == image:
                return row[1].split(), row[2]
            self._in_step = None
            self._index()
        found = self._all.get(image)
        return None if found is None else (found[0].split(), found[1])

    def _index(self) -> None:
        for image, cells, line in self._rows():
            self._all.setdefault(image, (cells, line))
            if len(self._all) > MOST_ROWS:
                raise InputError(
                    f"more than {MOST_ROWS} rows in another order than the landmarks",
                    where=f"{self.where}:{line}",
                    hint="sort both by name",
                )

    def _rows(self) -> Iterator[tuple[str, str, int]]:
        with self._tree.open(self._name) as stream:
            for number, line in lines_of(stream, self.where):
                cells = line.rsplit(None, self._columns)
                if number > self._header and len(cells) == self._columns + 1:
                    yield cells[0], " ".join(cells[1:]), number
