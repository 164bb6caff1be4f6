"""AFLWinfo_release.mat: the 19 points, the mask and the split that AFLW-19 is measured with."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import HIDDEN, NOT_LABELLED, VISIBLE, Face, Skipped
from flmd.formats.common.mat5 import HEADER, Variable, is_mat5, read_mat5
from flmd.formats.layout import LARGEST, photo_of
from flmd.tree import FileTree

POINTS = 19
TRAINING = 20_000  # faces that AFLW-19 trains with: the first of its permutation
_LARGEST_FILE = 64 << 20  # bytes; the published one has 7 million
_EXPANDED = 128 << 20
_WIDTHS = {"bbox": 4, "data": 2 * POINTS, "mask_new": POINTS}


def is_list(tree: FileTree, name: str) -> bool:
    """Whether a file is a MATLAB 5 file; what is in it is seen on reading."""
    try:
        return is_mat5(tree.read(name, 0, HEADER))
    except InputError:
        return False


def read_list(tree: FileTree, name: str, picture: Callable[[str], str | None]) -> Iterator[Face | Skipped]:
    """The faces of a list, in its order; ``picture`` says what a picture's path is in the tree."""
    where = tree.where(name)
    if tree.size(name) > _LARGEST_FILE:
        raise InputError(f"{tree.size(name)} bytes", where=where, expected=f"{_LARGEST_FILE} or less")
    variables = read_mat5(tree.read(name), where, limit=_EXPANDED)
    names = variables.get("nameList")
    if not isinstance(names, list):
        raise InputError("no cell array nameList of texts", where=where, expected="AFLWinfo_release.mat")
    boxes, data, mask = (_array(variables, key, len(names), where) for key in _WIDTHS)
    splits = _splits(variables.get("ra"), len(names), where)
    for i, path in enumerate(names):
        here = f"{where} (row {i + 1})"
        image = picture(path)
        if image is None:
            yield Skipped("bad_path", here, f"{path[:200]!r} is not a picture in the tree")
        else:
            yield _face(image, data[i], boxes[i], mask[i], splits[i], here)


def _array(variables: dict[str, Variable], key: str, count: int, where: str) -> NDArray[np.float64]:
    value = variables.get(key)
    if not isinstance(value, np.ndarray) or value.shape != (count, _WIDTHS[key]):
        found = value.shape if isinstance(value, np.ndarray) else "missing"
        raise InputError(f"{key} is {found}", where=where, expected=f"({count}, {_WIDTHS[key]})")
    return value.astype(np.float64)


def _splits(permutation: Variable | None, count: int, where: str) -> list[str]:
    if permutation is None:
        return [""] * count
    order = np.asarray(permutation).ravel() if isinstance(permutation, np.ndarray) else np.empty(0)
    if sorted(order.tolist()) != list(range(1, count + 1)):
        raise InputError("ra is no permutation", where=where, expected=f"the numbers 1 to {count}")
    splits = ["test"] * count
    for row in order[:TRAINING].tolist():
        splits[int(row) - 1] = "train"
    return splits


def _face(
    image: str,
    values: NDArray[np.float64],
    sides: NDArray[np.float64],
    mask: NDArray[np.float64],
    split: str,
    where: str,
) -> Face | Skipped:
    points = values.reshape(2, POINTS).T
    missing = np.isnan(points).any(axis=1) | (points == 0).all(axis=1)
    if not (np.abs(points[~missing]) <= LARGEST).all():
        return Skipped("not_a_number", where, "a coordinate is not finite, or beyond float32")
    if not np.isfinite(mask).all():
        return Skipped("not_a_number", where, "a number of the mask is not finite")
    with np.errstate(invalid="ignore", over="ignore"):
        left, right, top, bottom = sides
        box = np.array([left - 1, top - 1, right - left, bottom - top])
        small = box.astype(np.float32)
    if not ((np.abs(box) <= LARGEST).all() and (small[2:] > 0).all()):
        return Skipped("bad_box", where, f"width {box[2]}, height {box[3]}, expected above 0")
    return Face(
        image=image,
        landmarks=np.where(missing[:, None], np.nan, points - 1).astype(np.float32),
        visibility=np.where(missing, NOT_LABELLED, np.where(mask != 0, VISIBLE, HIDDEN)).astype(np.uint8),
        box=small,
        box_source="annotated",
        subject=photo_of(image),
        split=split,
        where=where,
    )
