"""Texts with a line `x y` for each point of a face."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import SkipFace
from flmd.formats.common.text_list import first_word, numbers
from flmd.tree import FileTree

LARGEST_FILE = 1 << 20

Line = tuple[int, list[str]]


def lines_in(tree: FileTree, name: str) -> list[Line]:
    """Number, from 1, and cells of every line that is not blank; SkipFace for a file of more than 1 MiB."""
    try:
        data = tree.read(name, 0, LARGEST_FILE + 1)
    except InputError as error:
        raise SkipFace("unreadable_file", error.what) from None
    if len(data) > LARGEST_FILE:
        raise SkipFace("wrong_point_count", f"more than {LARGEST_FILE} bytes")
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    return [(number, line.split()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def points_in(lines: Sequence[Line]) -> NDArray[np.float32]:
    """(N, 2) float32 of N lines; SkipFace where one is not two numbers that float32 can hold."""
    values = numbers([cell for _, cells in lines for cell in cells])  # all at once: several times faster
    if values is None or any(len(cells) != 2 for _, cells in lines):
        raise _fault(lines)
    return values.reshape(-1, 2).astype(np.float32)


def _fault(lines: Sequence[Line]) -> SkipFace:
    """What is wrong with the first line that is no point; one of them is not."""
    number, cells = next((n, c) for n, c in lines if len(c) != 2 or first_word(c) is not None)
    if len(cells) != 2:
        return SkipFace("bad_line", f"{len(cells)} cells, expected x and y", number)
    word = cells[first_word(cells) or 0]
    return SkipFace("not_a_number", f"{word[:40]!r}, expected a number", number)
