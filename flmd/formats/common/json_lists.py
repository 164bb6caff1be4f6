"""What the lists in JSON share: finding the files, their pictures, and numbers that are numbers."""

from __future__ import annotations

import codecs
import json
import math
import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import Attribute, SkipFace
from flmd.formats.layout import LARGEST, is_picture, resolve, split_of_path
from flmd.tree import FileTree

HEAD = 32 << 10  # bytes of a file that detection looks at first
_MOST_PROBED = 300
_PLAIN = 1e30  # numbers up to here, and down to one through it, float32 holds
_NUMBERS = {int, float}  # not bool, which json gives for true


def json_heads(tree: FileTree) -> Iterator[tuple[str, bytes]]:
    """The ``*.json`` files of a tree, the shallowest first, with their first bytes; at most 300 of them."""
    names = [name for name in tree.names if name.lower().endswith(".json")]
    if tree.kind == "file" and not names:
        names = list(tree.names)
    for name in sorted(names, key=lambda n: (n.count("/"), n))[:_MOST_PROBED]:
        try:
            yield name, tree.read(name, 0, HEAD)
        except InputError:
            continue


def text_of(head: bytes, data: bytes | None = None) -> str:
    """``data`` as text, its encoding told by the file's ``head``; for looking at, faults replaced."""
    data = head if data is None else data
    little, big = head.startswith(codecs.BOM_UTF16_LE), head.startswith(codecs.BOM_UTF16_BE)
    encoding = "utf-16-le" if little else "utf-16-be" if big else "utf-8"
    return data.decode(encoding, "replace").removeprefix("\ufeff")


class PicturesByPath:
    """Finds pictures by the paths that a list gives: beside the list, or where the tree has it once.

    A data set's lists often name ``000785.jpg`` where the tree has ``train2017/000785.jpg``, or
    ``images/a.jpg`` from a folder further up.
    """

    def __init__(self, tree: FileTree, listed_in: str, split: str) -> None:
        self._tree, self._folder, self._split = tree, posixpath.dirname(listed_in), split
        self._by_base: dict[str, list[str]] | None = None

    def find(self, path: str) -> str | None:
        """The tree's name of a picture, whether it is there or not; None when it cannot be in the tree."""
        image = resolve(self._folder, path)
        if image is None or image in self._tree:
            return image
        return self.ending_with(path) or image

    def ending_with(self, path: str) -> str | None:
        """The one picture whose name ends with a path; of several, the one in a folder of the split."""
        if self._by_base is None:
            self._by_base = {}
            for name in self._tree.all_names():
                if is_picture(name):
                    self._by_base.setdefault(posixpath.basename(name), []).append(name)
        path = posixpath.normpath(path.replace("\\", "/"))
        while path.startswith("../"):
            path = path[3:]
        same = self._by_base.get(posixpath.basename(path), ())
        found = [name for name in same if name == path or name.endswith("/" + path)]
        if len(found) > 1 and self._split:
            found = [name for name in found if split_of_path(name) == self._split]
        return found[0] if len(found) == 1 else None


def numbers_in(values: Any, what: str) -> NDArray[np.float64]:
    """A flat list of finite numbers that float32 can hold; else SkipFace("not_a_number")."""
    if isinstance(values, list) and set(map(type, values)) <= _NUMBERS:
        try:
            numbers = np.array(values, np.float64)
        except OverflowError:  # a whole number beyond float64
            numbers = np.array([np.inf])
        # The sum of squares is one call where the comparison is three.
        with np.errstate(over="ignore"):
            small = bool(numbers.dot(numbers) <= LARGEST)
        if small or bool((np.abs(numbers) <= LARGEST).all()):
            return numbers
        values = [v for v in values if not abs(v) <= LARGEST]
        raise SkipFace("not_a_number", f"{what} holds {_short(values[0])}, which float32 cannot hold")
    if not isinstance(values, list):
        raise SkipFace("not_a_number", f"{what} is {_short(values)}, expected a list of numbers")
    word = next(v for v in values if type(v) not in _NUMBERS)
    raise SkipFace("not_a_number", f"{what} holds {_short(word)}, expected a number")


def points_in(values: Any, what: str) -> NDArray[np.float64]:
    """(n, 2) of a list of pairs; SkipFace("not_a_number") for anything else in it."""
    pairs = isinstance(values, list) and all(type(p) is list and len(p) == 2 for p in values)
    if not pairs:
        raise SkipFace("not_a_number", f"{what} is {_short(values)}, expected a list of [x, y]")
    return numbers_in([v for pair in values for v in pair], what).reshape(-1, 2)


def box_in(value: Any, what: str) -> NDArray[np.float32] | None:
    """(4,) x, y, width, height, or None where there is none; SkipFace("bad_box") for a wrong one."""
    if value is None:
        return None
    if type(value) is list and len(value) == 4 and set(map(type, value)) <= _NUMBERS:
        x, y, width, height = value
        if max(-x, x, -y, y, width, height) < _PLAIN and width > 1 / _PLAIN and height > 1 / _PLAIN:
            return np.array(value, np.float64).astype(np.float32)
    try:
        box = numbers_in(value, what).astype(np.float32)
    except SkipFace as fault:
        raise SkipFace("bad_box", fault.what) from None
    if box.shape != (4,):
        raise SkipFace("bad_box", f"{what} has {len(box)} numbers, expected 4")
    if not (box[2:] > 0).all():
        wrong = f"{what} has width {box[2]}, height {box[3]}"
        raise SkipFace("bad_box", f"{wrong}, expected above 0")
    return box


def size_in(value: Mapping[str, Any], width: str = "width", height: str = "height") -> tuple[int, int] | None:
    """(width, height) where both are whole positive numbers."""
    size = value.get(width), value.get(height)
    if all(isinstance(side, int) and not isinstance(side, bool) and 0 < side < 1 << 31 for side in size):
        return size  # type: ignore[return-value]
    return None


def attributes_in(value: Any) -> dict[str, Attribute]:
    """A dictionary's words, numbers and truths; null is left out, anything nested becomes its JSON text."""
    out: dict[str, Attribute] = {}
    for key, entry in value.items() if isinstance(value, dict) else ():
        if isinstance(entry, str | int | float):
            out[key] = entry
        elif entry is not None:
            out[key] = json.dumps(entry)
    return out


def writable_attributes(given: Mapping[str, Attribute]) -> dict[str, Attribute]:
    """The attributes that JSON can hold: all but numbers that are not finite, or too long to read back."""
    return {k: v for k, v in given.items() if isinstance(v, str | bool) or _plain(v)}


def shortest(values: NDArray[np.floating]) -> list[float]:
    """Float64 numbers of the fewest decimals whose float32 is the given one, of any shape, flattened.

    ``json.dumps`` writes 45.1 for them, where the float64 of the same float32 is 45.099998474121094.
    """
    single = values.astype(np.float32).ravel()
    exact = single.astype(np.float64)
    out = exact.copy()
    left = exact != np.rint(exact)
    with np.errstate(over="ignore", invalid="ignore"):
        for decimals in range(1, 10):
            if not left.any():
                break
            rounded = np.round(exact, decimals)
            fits = left & (rounded.astype(np.float32) == single)
            out[fits] = rounded[fits]
            left &= ~fits
    numbers: list[float] = out.tolist()
    return numbers


def _plain(number: float) -> bool:
    return math.isfinite(number) if isinstance(number, float) else abs(number) < 1 << 64


def _short(value: Any) -> str:
    if isinstance(value, int) and abs(value) > 1 << 64:
        return "a whole number beyond 64 bits"
    if isinstance(value, list | dict):
        return f"a {'list' if isinstance(value, list) else 'dictionary'} of {len(value)}"
    return repr(value)[:40]
