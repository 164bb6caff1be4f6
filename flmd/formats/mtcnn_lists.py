"""Which files of a tree are lists of a path and 14 numbers, and what the numbers mean in each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from flmd.formats.base import Detection
from flmd.formats.common.text_list import first_lines, numbers, text_files
from flmd.formats.layout import is_picture, without_unions
from flmd.tree import FileTree
from flmd.tree.names import shown

Kind = Literal["box", "attributes"]

COLUMNS = 14
REQUIRED = (
    "*.txt with lines of a picture's path and 14 numbers: left right top bottom of a box that holds most of "
    "five points x y, or five x, five y and gender, smile, glasses, pose"
)
HIGHEST = (2, 2, 2, 5)  # of gender, smile, glasses and head pose; each begins at 1


def cells_of(line: str) -> tuple[str, list[str]]:
    """The path, which may hold spaces, and up to 14 cells after it."""
    path, *cells = line.strip().rsplit(None, COLUMNS)
    return path, cells


def attributes_of(values: NDArray[np.float64]) -> tuple[int, int, int, int] | None:
    """MTFL's gender, smile, glasses and pose from the last four of 14 numbers; None when they are not."""
    last = values[10:]
    if not all(value in range(1, highest + 1) for value, highest in zip(last, HIGHEST, strict=True)):
        return None
    gender, smile, glasses, pose = map(int, last)
    return gender, smile, glasses, pose


def kind_of(tree: FileTree, name: str) -> Kind | None:
    """What the numbers of a list mean, from its first lines; None when it is no list, or none can tell."""
    rows = np.array(list(_rows(first_lines(tree, name)))).reshape(-1, COLUMNS)
    if not len(rows):
        return None
    attributes = np.mean([attributes_of(row) is not None for row in rows])
    left, right, top, bottom = rows[:, :4].T
    holds = np.mean(_holds(rows, left, right, top, bottom))
    if (attributes > 0.5) != (holds > 0.5):
        return "attributes" if attributes > 0.5 else "box"
    # No line can be MTFL's, and every one has a box, which lies elsewhere than the points: still a box list,
    # unless the columns are the corners x y x y, which this list does not have.
    boxes = bool(((left < right) & (top < bottom)).all())
    corners = np.mean(_holds(rows, left, top, right, bottom))
    return "box" if attributes == 0 and boxes and corners <= 0.5 else None


def _holds(
    rows: NDArray[np.float64],
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    top: NDArray[np.float64],
    bottom: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """(N,) whether a box holds at least three of the five points in columns 4 to 13."""
    x, y = rows[:, 4::2].T, rows[:, 5::2].T
    inside = (left <= x) & (x <= right) & (top <= y) & (y <= bottom)
    return np.asarray(inside.sum(axis=0) >= 3)


def _rows(lines: list[str]) -> Iterator[NDArray[np.float64]]:
    """The 14 numbers of each line that begins with the path of a picture."""
    for line in lines:
        path, cells = cells_of(line)
        values = numbers(cells) if len(cells) == COLUMNS else None
        if values is not None and is_picture(path):
            yield values


def find_lists(tree: FileTree) -> Detection:
    """The lists to read; those that say no split beside others that do are left out."""
    files, unions = without_unions(name for name in text_files(tree) if kind_of(tree, name))
    if not files:
        return Detection((), f"no {REQUIRED}")
    why = f"lists of five points: {', '.join(map(shown, files))}"
    if unions:
        why += f"; left out as the union of these: {', '.join(map(shown, unions))}"
    return Detection(tuple(files), why)
