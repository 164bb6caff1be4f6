"""The third pass over annotations alone: boxes by their policy, splits, and the sizes that headers tell."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from flmd.conversion import frames
from flmd.conversion.settings import BoxPolicy
from flmd.core import geometry
from flmd.core.orientation import FRAME, SHOWN, STORED, attributes_of
from flmd.formats.common.picture_sizes import Header
from flmd.store.column_buffer import NUMBERS, TEXTS, ColumnBuffer, attributes_text
from flmd.store.values import attributes_of as read_attributes
from flmd.tree import FileTree

ROWS_A_BLOCK = 512


def keep_annotations(
    annotated: ColumnBuffer,
    splits: list[str],
    pictures: FileTree | None,
    box: str,
    done: ColumnBuffer,
    frame: str = STORED,
) -> None:
    """Append every annotated face to ``done``; of pictures, only headers are read.

    They are read where a size is not known, or coordinates are those of the picture as it is shown.

    Parameters
    ----------
    annotated, splits : the faces, and the split of each.
    pictures : the tree in which ``Face.image`` is a name; what is not there has size (0, 0).
    box : what the box of a face is (``BoxPolicy``). A box that cannot be made stays none.
    frame : of the coordinates of faces that do not say theirs (``flmd.conversion.frames``).
    """
    last: tuple[str, Header | None] = ("", None)
    with tqdm(desc="keep annotations", total=len(annotated), unit="face", disable=None) as bar:
        for start in range(0, len(annotated), ROWS_A_BLOCK):
            stop = min(start + ROWS_A_BLOCK, len(annotated))
            columns = {name: np.array(annotated.column(name)[start:stop]) for name in NUMBERS}
            texts = {name: annotated.texts(name, slice(start, stop)) for name in TEXTS}
            for i in np.flatnonzero((columns["image_size"][:, 0] == 0) | (frame == SHOWN)).tolist():
                name = texts["image"][i]
                if name != last[0]:
                    last = name, frames.header_in(pictures, name)
                if last[1] is not None:
                    _look(columns["image_size"], texts["attributes"], i, last[1], frame)
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


def _look(sizes: NDArray[np.int32], attributes: list[str], row: int, header: Header, frame: str) -> None:
    """Fill in what the header of a picture says of a face, in place."""
    said = read_attributes(attributes[row])
    if header.orientation != 1 and FRAME not in said:
        said |= attributes_of(header.orientation, frame)
        attributes[row] = attributes_text(said)
    if sizes[row, 0] == 0:
        sizes[row] = header.size(str(said.get(FRAME, frame)))
