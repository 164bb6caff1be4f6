"""The third pass over annotations alone: boxes by their policy, splits, and the sizes that headers tell."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from flmd.conversion.context_crops import picture_size
from flmd.conversion.settings import BoxPolicy
from flmd.core import geometry
from flmd.errors import InputError
from flmd.store.column_buffer import NUMBERS, TEXTS, ColumnBuffer
from flmd.tree import FileTree

ROWS_A_BLOCK = 512


def keep_annotations(
    annotated: ColumnBuffer, splits: list[str], pictures: FileTree | None, box: str, done: ColumnBuffer
) -> None:
    """Append every annotated face to ``done``; pictures are opened for their size at most.

    Parameters
    ----------
    annotated, splits : the faces, and the split of each.
    pictures : the tree in which ``Face.image`` is a name; what is not there has size (0, 0).
    box : what the box of a face is (``BoxPolicy``). A box that cannot be made stays none.
    """
    last: tuple[str, tuple[int, int]] = ("", (0, 0))
    with tqdm(desc="keep annotations", total=len(annotated), unit="face", disable=None) as bar:
        for start in range(0, len(annotated), ROWS_A_BLOCK):
            stop = min(start + ROWS_A_BLOCK, len(annotated))
            columns = {name: np.array(annotated.column(name)[start:stop]) for name in NUMBERS}
            texts = {name: annotated.texts(name, slice(start, stop)) for name in TEXTS}
            for i in np.flatnonzero(columns["image_size"][:, 0] == 0):
                name = texts["image"][i]
                if name != last[0]:
                    last = name, _size(pictures, name)
                columns["image_size"][i] = last[1]
            _place(columns, texts, box)
            texts["split"] = splits[start:stop]
            texts["image_sha256"] = [""] * (stop - start)
            done.append_columns(columns, texts)
            bar.update(stop - start)


def _place(columns: dict[str, NDArray[Any]], texts: dict[str, list[str]], policy: str) -> None:
    """Boxes by policy, in place."""
    boxes = columns["box"]
    if policy == BoxPolicy.LANDMARKS:
        boxes[:] = geometry.box_of_points(columns["landmarks"])
    elif policy == BoxPolicy.IMAGE:
        known = columns["image_size"][:, 0] > 0
        boxes[:] = np.where(known[:, None], np.pad(columns["image_size"], ((0, 0), (2, 0))), np.nan)
    else:
        return
    texts["box_source"] = ["none" if none else policy for none in np.isnan(boxes).any(axis=1)]


def _size(pictures: FileTree | None, name: str) -> tuple[int, int]:
    """Width and height of a picture from its header; (0, 0) when it is not there or no picture."""
    if pictures is None or name not in pictures:
        return 0, 0
    try:
        return picture_size(pictures, name)
    except InputError:
        return 0, 0
