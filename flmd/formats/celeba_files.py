"""The files of CelebA's annotations: which list to read, and what the other lists say of its pictures."""

from __future__ import annotations

import posixpath

from flmd.formats.base import Detection
from flmd.formats.common.text_list import first_lines, text_files
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
