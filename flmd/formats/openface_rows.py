"""The columns and rows of OpenFace's CSV, and which picture a row is about."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

from flmd.errors import InputError
from flmd.face import SkipFace
from flmd.formats.common.text_list import first_lines, lines_of
from flmd.formats.layout import PicturesBeside, is_picture
from flmd.tree import FileTree

POINTS = 68
X = tuple(f"x_{i}" for i in range(POINTS))
Y = tuple(f"y_{i}" for i in range(POINTS))
POSE = ("pose_Tx", "pose_Ty", "pose_Tz", "pose_Rx", "pose_Ry", "pose_Rz")
KEPT = ("timestamp", "confidence", *POSE)  # numbers that become attributes of the same name
FRAME_DIGITS = 6
_MOST_FRAMES = 1_000_000_000


def cells_of(line: str) -> list[str]:
    """The cells of a line; some versions put a space after each comma."""
    return [cell.strip().strip('"') for cell in line.split(",")]


def header_of(tree: FileTree, name: str) -> list[str]:
    """The columns in a file's first line; none when it cannot be read."""
    lines = first_lines(tree, name)[:1]
    return cells_of(lines[0]) if lines else []


def wrong_header(header: list[str]) -> str | None:
    """Why a header is not OpenFace's with landmarks in pixels, in words; None when it is.

    "" for a table that has nothing to do with OpenFace.
    """
    columns = set(header)
    if "confidence" not in columns or not columns & {"frame", "face"}:
        return ""
    missing = next((column for column in (*X, *Y) if column not in columns), None)
    if missing is not None:
        of_openface = columns & {"gaze_0_x", "pose_Tx", "p_scale", "AU01_r", "AU01_c"}
        return f"no column {missing}; run OpenFace with -2Dfp" if of_openface else ""
    return None


def is_sequence(header: list[str]) -> bool:
    """Whether the rows are frames of a video or of a folder of pictures, rather than faces of one picture."""
    return "frame" in header


@dataclass(slots=True, frozen=True)
class Row:
    """A line below the header: its number in the file, from 1; the columns, and its cells."""

    line: int
    header: list[str]
    cells: list[str]

    def by_column(self) -> dict[str, str]:
        """The cells by their columns; SkipFace where there are more or fewer."""
        if len(self.cells) != len(self.header):
            reason = "short_row" if len(self.cells) < len(self.header) else "long_row"
            raise SkipFace(reason, f"{len(self.cells)} cells, expected {len(self.header)}", self.line)
        return dict(zip(self.header, self.cells, strict=True))


def rows_of(tree: FileTree, name: str) -> Iterator[Row]:
    """Every row of a file.

    Raises
    ------
    InputError : a header that is not OpenFace's; a column that occurs twice; a line of 1 MiB or more.
    """
    where = tree.where(name)
    with tree.open(name) as stream:
        lines = lines_of(stream, where)
        header = cells_of(next(lines, (1, ""))[1])
        wrong = wrong_header(header)
        if wrong is not None:
            raise InputError(wrong or "not a header of OpenFace's", where=f"{where}:1")
        repeated = next((column for i, column in enumerate(header) if column in header[:i]), None)
        if repeated is not None:
            raise InputError(f"column {repeated[:40]!r} occurs twice in the header", where=f"{where}:1")
        for number, line in lines:
            yield Row(number, header, cells_of(line))


def frame_in(text: str) -> int | None:
    """The number of a frame; None for what is no whole number from 0."""
    whole = text.isascii() and text.isdecimal() and len(text) < len(str(_MOST_FRAMES))
    return int(text) if whole else None


def frames_of(tree: FileTree, name: str) -> list[int]:
    """The numbers of all frames in a file, as far as it can be read, in order and without repeats."""
    found: dict[int, None] = {}
    try:
        for row in rows_of(tree, name):
            place = row.header.index("frame")
            frame = frame_in(row.cells[place]) if place < len(row.cells) else None
            if frame is not None:
                found[frame] = None
    except InputError:
        pass  # reading the faces says it
    return list(found)


def video_of(tree: FileTree, name: str) -> str | None:
    """The video that lies beside a file under the same stem, of a kind that can be read."""
    video = posixpath.splitext(name)[0] + ".avi"
    return video if video in tree else None


def name_of_frame(tree: FileTree, name: str, frame: int) -> str:
    """``clip/000001.png`` for frame 1 of ``clip.csv``; ``.jpg`` where no video lies beside it."""
    ending = ".png" if video_of(tree, name) else ".jpg"
    return f"{posixpath.splitext(name)[0]}/{frame:0{FRAME_DIGITS}d}{ending}"


class FramePictures:
    """Finds the pictures of the frames of one file in the folder that is named like it.

    OpenFace counts the pictures of a folder from 1 in the order of their names and writes no names. So
    where the folder has as many pictures as the highest frame says, frame n is the n-th of them; else it is
    the one whose name is that number.
    """

    def __init__(self, tree: FileTree, name: str) -> None:
        self._tree, self._name = tree, name
        folder = posixpath.splitext(name)[0] + "/"
        inside = [n for n in tree.names if n.startswith(folder) and "/" not in n[len(folder) :]]
        pictures = [n for n in inside if is_picture(n)]
        whole = bool(pictures) and max(frames_of(tree, name), default=0) == len(pictures)
        self._found: dict[int, str] = {}
        for place, picture in enumerate(pictures, 1):
            stem = posixpath.splitext(posixpath.basename(picture))[0]
            number = place if whole else frame_in(stem)
            if number is not None:
                self._found.setdefault(number, picture)

    def find(self, frame: int) -> str:
        """The picture of a frame; the name it would have where there is none."""
        return self._found.get(frame) or name_of_frame(self._tree, self._name, frame)


def picture_beside(pictures: PicturesBeside, name: str) -> str:
    """The picture of a file about one: beside it, or above the folder ``processed`` that OpenFace makes."""
    above, folder = posixpath.split(posixpath.dirname(name))
    moved = posixpath.join(above, posixpath.basename(name)) if folder == "processed" else name
    return pictures.find(name) or pictures.find(moved) or pictures.name_for(moved)
