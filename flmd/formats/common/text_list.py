"""Lists of text with a face on each line: their lines, numbers, pictures, and finding them in a tree."""

from __future__ import annotations

import heapq
import posixpath
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
import orjson
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import Face
from flmd.formats.layout import LARGEST, number_in, resolve
from flmd.formats.writing import number_text, usable_box
from flmd.tree import FileTree

PROBED_FILES, PROBED_BYTES = 200, 1 << 14
LONGEST = 1 << 20
_NUMBERS = {int, float}
MOST_ALIKE = 1000  # files of one name, in as many folders, among which a picture is looked for


def text_files(tree: FileTree) -> list[str]:
    """Names of the ``*.txt`` in a tree, in name order; the 200 largest where there are more.

    A list is larger than the many small files that may lie beside pictures.
    """
    names = [name for name in tree.names if name.lower().endswith(".txt")]
    if len(names) > PROBED_FILES:
        names = sorted(heapq.nlargest(PROBED_FILES, names, key=lambda name: _size(tree, name)))
    return names


def _size(tree: FileTree, name: str) -> int:
    try:
        return tree.size(name)
    except InputError:
        return 0


def first_lines(tree: FileTree, name: str) -> list[str]:
    """The lines that are whole within a file's first 16 KiB; none when it cannot be read. Never raises."""
    try:
        head = tree.read(name, 0, PROBED_BYTES)
    except InputError:
        return []
    if b"\0" in head:
        return []
    whole = head if len(head) < PROBED_BYTES else head[: head.rfind(b"\n") + 1]
    lines = whole.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").split("\n")
    return [line for line in lines if line.strip()]


def lines_of(stream: BinaryIO, where: str) -> Iterator[tuple[int, str]]:
    """Number, from 1, and text of every line that is not blank, without white space at its ends.

    UTF-8; other bytes are kept as surrogate escapes. Lines end in ``\\n`` or ``\\r\\n``.

    Raises
    ------
    InputError : a line of 1 MiB or more.
    """
    number = 0
    while line := stream.readline(LONGEST):
        number += 1
        if len(line) == LONGEST:
            raise InputError(f"a line of {LONGEST} bytes or more", where=f"{where}:{number}")
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if text := line.decode("utf-8", "surrogateescape").strip():
            yield number, text


def numbers(texts: Sequence[str]) -> NDArray[np.float64] | None:
    """``(N,)`` float64 of texts that are numbers float32 can hold; None when one of them is not."""
    values = _json_numbers(texts)
    if values is None:
        try:
            values = np.array(list(map(float, texts)), np.float64)
        except ValueError:
            return None
        if "_" in "".join(texts):
            return None
    return values if bool((np.abs(values) <= LARGEST).all()) else None


def _json_numbers(texts: Sequence[str]) -> NDArray[np.float64] | None:
    """Texts that JSON too has for numbers, as most are, read three times as fast; None for others."""
    joined = ",".join(texts)
    try:
        values = orjson.loads(f"[{joined}]")
    except ValueError:
        return None
    types = {*map(type, values)}
    # A text may hold several numbers, or half a list; and JSON has no -0 among whole numbers.
    if len(values) != len(texts) or not types <= _NUMBERS or (int in types and "-0" in joined):
        return None
    return np.array(values, np.float64)


def first_word(texts: Sequence[str]) -> int | None:
    """Index of the first text that is no number float32 can hold, or None."""
    return next((i for i, text in enumerate(texts) if number_in(text) is None), None)


class ListedPictures:
    """Finds the pictures that a list names, wherever in the tree their folder lies.

    Parameters
    ----------
    tree : where the pictures are.
    name : the list.
    folder : name of the folder that pictures of this format are published in, such as "WFLW_images".
    """

    def __init__(self, tree: FileTree, name: str, folder: str = "") -> None:
        self._tree, self._beside, self._folder = tree, posixpath.dirname(name), folder
        self._named: dict[str, list[str]] | None = None

    def find(self, written: str) -> str | None:
        """The tree's name of a picture written in the list; None for what cannot be in the tree.

        Taken relative to the list's folder where such a file is there. Else the file whose name ends in
        what is written; of several, those in ``folder``, then those that share the most folders with the
        list. Where that leaves none, or more than one, the name relative to the list's folder.
        """
        image = resolve(self._beside, written)
        if image is None or image in self._tree:
            return image
        ending = resolve("", written)
        if ending is None:
            return image
        found = [
            name
            for name in self._names().get(_last_two(ending), ())
            if name == ending or name.endswith("/" + ending)
        ]
        if len(found) > 1:
            rank = {name: self._nearness(name) for name in found}
            best = max(rank.values())
            found = [name for name in found if rank[name] == best]
        return found[0] if len(found) == 1 else image

    def _nearness(self, name: str) -> tuple[bool, int]:
        folders = posixpath.dirname(name).split("/")
        shared = 0
        for one, two in zip(folders, self._beside.split("/"), strict=False):
            if one != two:
                break
            shared += 1
        return self._folder in folders, shared

    def _names(self) -> dict[str, list[str]]:
        if self._named is None:
            named: dict[str, list[str]] = defaultdict(list)
            for name in self._tree.all_names():
                for key in {_last_two(name), posixpath.basename(name)}:
                    if len(named[key]) < MOST_ALIKE:
                        named[key].append(name)
            self._named = named
        return self._named


def _last_two(name: str) -> str:
    """A file's name and that of the folder it lies in: of such there are few alike."""
    return "/".join(name.split("/")[-2:])


def unlisted(face: Face) -> str | None:
    """Why a face cannot stand in a list, as a key of ``WriteReport.lost``; None when it can."""
    if not listable(face.image):
        return "face with unwritable image name"
    labelled = face.visibility.all() and np.isfinite(face.landmarks).all()
    return None if labelled else "face with unlabelled points"


def listable(image: str) -> bool:
    """Whether a picture's name can stand at an end of a line of UTF-8, and means a file of the tree."""
    try:
        image.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    whole = image == image.strip() and "\n" not in image and not image.startswith("\ufeff")
    return whole and resolve("", image) is not None


def corner_texts(face: Face) -> tuple[list[str] | None, bool]:
    """Left, top, right and bottom of a face's box as text, and whether reading back gives the same box.

    The box of the points for a face without one. None where width = right - left has no float32.
    """
    if usable_box(face) and face.box is not None:
        x, y, width, height = map(float, face.box)
        corners = [x, y, x + width, y + height]
        back = box_of_corners(*corners)
        if back is not None:
            return list(map(number_text, corners)), bool((back == face.box).all())
    points = face.landmarks.astype(np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    high = np.where(high > low, high, low + np.maximum(1, np.spacing(np.abs(low))))  # a box has a size
    corners = [*map(float, low), *map(float, high)]
    return (None if box_of_corners(*corners) is None else list(map(number_text, corners))), False


def box_of_corners(left: float, top: float, right: float, bottom: float) -> NDArray[np.float32] | None:
    """(4,) float32 x, y, width, height, width being right - left; None when it is not positive."""
    with np.errstate(over="ignore"):
        box = np.array([left, top, right - left, bottom - top], np.float64).astype(np.float32)
    return box if bool(np.isfinite(box).all() and (box[2:] > 0).all()) else None
