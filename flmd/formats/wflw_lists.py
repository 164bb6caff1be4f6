"""Which files of a tree are WFLW lists, of which kind, and which of them repeat the faces of others."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from flmd.formats.base import Detection
from flmd.formats.common.text_list import first_lines, numbers, text_files
from flmd.formats.layout import split_of, without_unions
from flmd.tree import FileTree
from flmd.tree.names import shown

POINTS = 98
COORDINATES = 2 * POINTS
FLAGS = ("pose", "expression", "illumination", "make_up", "occlusion", "blur")
BESIDE_POINTS = 4 + len(FLAGS)
REQUIRED = "*.txt with lines of 196 numbers, perhaps a box and six 0/1 flags, and a picture's path"
_SUBSETS = {
    "largepose": "largepose", "large_pose": "largepose", "expression": "expression",
    "illumination": "illumination", "makeup": "makeup", "make_up": "makeup", "occlusion": "occlusion",
    "blur": "blur",
}  # fmt: skip
_SUBSET = re.compile(rf"_({'|'.join(_SUBSETS)})$")


@dataclass(frozen=True)
class _List:
    """What a list's name and first lines say of it."""

    name: str
    boxes: bool
    split: str | None
    subset: str

    @property
    def folder(self) -> str:
        return posixpath.dirname(self.name)

    def repeats(self, other: _List) -> bool:
        """Whether ``other``, in the same folder or one beside it, has all these faces and says more of them.

        A list with boxes has what the plain one of its split has; either has what a subset's has.
        """
        near = posixpath.dirname(self.folder) == posixpath.dirname(other.folder)
        if self.split != other.split or other.subset or not (near or self.folder == other.folder):
            return False
        return other.boxes >= self.boxes and (bool(self.subset) or other.boxes > self.boxes)


def subset_of(name: str) -> str:
    """The subset that a list's name says: "makeup" for ``list_98pt_test_makeup.txt``; else ""."""
    found = _SUBSET.search(posixpath.splitext(posixpath.basename(name))[0].lower().replace("-", "_"))
    return _SUBSETS[found[1]] if found else ""


def boxes_in(tree: FileTree, name: str) -> bool | None:
    """Whether the lines of a file have a box and flags, from its first good one; None when it is no list."""
    for line in first_lines(tree, name)[:8]:
        cells = line.split(None, COORDINATES + BESIDE_POINTS)
        if len(cells) <= COORDINATES or numbers(cells[:COORDINATES]) is None:
            continue
        if has_box(cells):
            return True
        if numbers(line.rsplit(None, 1)[-1:]) is None:  # else a line of nothing but numbers
            return False
    return None


def has_box(cells: list[str]) -> bool:
    """Whether a box and six flags follow the points of a line, and then something more."""
    beside = cells[COORDINATES:-1]
    return len(beside) == BESIDE_POINTS and numbers(beside) is not None and set(beside[4:]) <= {"0", "1"}


def find_lists(tree: FileTree) -> Detection:
    """The lists to read; those that repeat others are left out, and named."""
    found = {}
    for name in text_files(tree):
        boxes = boxes_in(tree, name)
        if boxes is not None:
            found[name] = _List(name, boxes, split_of(name), subset_of(name))
    if not found:
        return Detection((), f"no {REQUIRED}")
    names, unions = without_unions(found)
    lists = [found[name] for name in names]
    files = [one.name for one in lists if not any(one.repeats(other) for other in lists)]
    repeated = sorted(set(names) - set(files))
    why = f"WFLW lists: {', '.join(map(shown, files))}"
    if unions:
        why += f"; left out as the union of these: {', '.join(map(shown, unions))}"
    if repeated:
        why += f"; left out as they repeat faces of these: {', '.join(map(shown, repeated))}"
    return Detection(tuple(files), why)
