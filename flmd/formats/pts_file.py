"""The text of one .pts file: points in, points out."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import Face, SkipFace
from flmd.formats.layout import LARGEST, number_in
from flmd.formats.writing import number_text
from flmd.schemes import scheme_of_count
from flmd.schemes.base import MOST_POINTS
from flmd.tree import FileTree

LARGEST_FILE = 1 << 20  # bytes; room for MOST_POINTS lines
HEAD = 1 << 12
LOOKED_AT = 64  # files that a detection opens
_WORD = re.compile(r"(?:version|n_points)\s*:|\{", re.IGNORECASE)
_KEY = re.compile(r"(version|n_points)\s*:\s*(\S*)", re.IGNORECASE)


def pts_names(tree: FileTree) -> list[str]:
    """All ``*.pts`` of a tree, in name order."""
    return [name for name in tree.names if name.lower().endswith(".pts")]


def spread(names: list[str], most: int = LOOKED_AT) -> list[str]:
    """At most ``most`` of the names, evenly spread, the first among them."""
    return names[:: -(-len(names) // most)] if names else []


def looks_like_pts(head: bytes) -> bool:
    """Whether the first bytes of a file are a .pts header, or a line of two numbers."""
    first = next((line for line in _lines(head) if line.strip()), "")
    if _WORD.match(first.strip()):
        return True
    cells = first.split()
    return len(cells) == 2 and all(number_in(cell) is not None for cell in cells)


def head_of(tree: FileTree, name: str) -> bytes:
    """The first bytes of a file, none when it cannot be read."""
    try:
        return tree.read(name, 0, HEAD)
    except InputError:
        return b""


def data_of(tree: FileTree, name: str, most: int = LARGEST_FILE) -> bytes:
    """A whole .pts file; SkipFace when it cannot be read, or has more than ``most`` bytes."""
    try:
        data = tree.read(name, 0, most + 1)
    except InputError as error:
        raise SkipFace("unreadable_file", error.what, 1) from None
    if len(data) > most:
        raise SkipFace("wrong_point_count", f"more than {most} bytes in a .pts file", 1)
    return data


def points_of(tree: FileTree, name: str, count: int) -> NDArray[np.float64]:
    """(count, 2) float64 of a file, as :func:`points_in`; SkipFace also when there are more or fewer."""
    points = points_in(data_of(tree, name))
    if len(points) != count:
        raise SkipFace("wrong_point_count", f"{len(points)} points, expected {count}", 1)
    return points


def scheme_of(tree: FileTree, files: tuple[str, ...]) -> str:
    """The scheme meant by the number of points of the first file that can be read."""
    for name in spread(list(files)):
        try:
            return scheme_of_count(len(points_in(data_of(tree, name))))
        except SkipFace:
            continue
    return "ibug68"


def points_in(data: bytes) -> NDArray[np.float64]:
    """(N, 2) float64, the coordinates as they are written; NaN where a line says ``nan nan``.

    Raises
    ------
    SkipFace : ``bad_header`` (a version other than 1, no ``{``), ``truncated_file`` (no ``}``),
        ``bad_line`` (not two cells, or text after ``}``), ``not_a_number``, ``wrong_point_count`` (another
        number of lines than ``n_points`` says, or none).
    """
    lines = _lines(data)
    first, last, announced = _body(lines)
    cells: list[str] = []
    at: list[int] = []
    for number in range(first, last):
        words = lines[number].split()
        if not words:
            continue
        if len(words) != 2:
            what = f"{lines[number].strip()[:40]!r}, expected two numbers"
            raise SkipFace("bad_line", what, number + 1)
        cells += words
        at.append(number + 1)
    count = len(at)
    if announced is not None and announced != count:
        raise SkipFace("wrong_point_count", f"{count} points, n_points says {announced}", last + 1)
    if not 0 < count <= MOST_POINTS:
        raise SkipFace("wrong_point_count", f"{count} points, expected 1 to {MOST_POINTS}", last + 1)
    return _numbers(cells, at)


def text_of(points: NDArray[np.float64]) -> bytes:
    """The .pts file of (N, 2) coordinates, as they are to be written; ``nan nan`` for NaN."""
    lines = [" ".join(map(number_text, point)) for point in points.tolist()]
    return "\n".join(["version: 1", f"n_points:  {len(lines)}", "{", *lines, "}\n"]).encode()


def to_base_1(landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, 2) coordinates of pixel centres, counted from 1."""
    return landmarks.astype(np.float64) + 1


def from_base_1(points: NDArray[np.float64]) -> NDArray[np.float32]:
    """(N, 2) 0-based pixel centres of coordinates counted from 1."""
    return (points - 1).astype(np.float32)


def rounds(face: Face) -> bool:
    """Whether counting from 1 costs a coordinate its last bits: one nearer to 0 than about 1e-8."""
    return not np.array_equal(from_base_1(to_base_1(face.landmarks)), face.landmarks, equal_nan=True)


def _lines(data: bytes) -> list[str]:
    text = data.decode("utf-8-sig", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _filled(lines: list[str]) -> Iterator[tuple[int, str]]:
    return ((number, line.strip()) for number, line in enumerate(lines) if line.strip())


def _body(lines: list[str]) -> tuple[int, int, int | None]:
    """First line of points, the one after the last, and how many are announced, if any."""
    number, line = next(_filled(lines), (0, ""))
    if not _WORD.match(line):
        return 0, len(lines), None
    announced = None
    for number, line in _filled(lines):
        if line == "{":
            break
        found = _KEY.fullmatch(line)
        if not found:
            raise SkipFace("bad_header", f"{line[:40]!r}, expected version:, n_points: or {{", number + 1)
        key, value = found[1].lower(), found[2]
        if key == "version" and number_in(value) != 1:
            raise SkipFace("bad_header", f"version {value[:40]!r}, expected 1", number + 1)
        if key == "n_points":
            if not (value.isascii() and value.isdigit() and len(value) < 10):
                raise SkipFace("bad_header", f"n_points is {value[:40]!r}, expected a number", number + 1)
            announced = int(value)
    else:
        raise SkipFace("bad_header", "no { after the header", number + 1)
    first = number + 1
    for number, line in _filled(lines[first:]):
        if line == "}":
            after = next(_filled(lines[first + number + 1 :]), None)
            if after is not None:
                raise SkipFace("bad_line", f"{after[1][:40]!r} after }}", first + number + after[0] + 2)
            return first, first + number, announced
    raise SkipFace("truncated_file", "no } at the end", len(lines))


def _numbers(cells: list[str], at: list[int]) -> NDArray[np.float64]:
    try:
        values = np.array(list(map(float, cells)))
        if (np.abs(values) <= LARGEST).all() and "_" not in "".join(cells):
            return values.reshape(-1, 2)
    except ValueError:
        pass
    values = np.full(len(cells), np.nan)
    for i, cell in enumerate(cells):
        value = number_in(cell)
        if value is not None:
            values[i] = value
        elif not cell.lower() == cells[i ^ 1].lower() == "nan":
            raise SkipFace("not_a_number", f"{cell[:40]!r}, expected a number", at[i // 2])
    return values.reshape(-1, 2)
