"""One face, everywhere: the record that every format reads into and writes from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

NOT_LABELLED, HIDDEN, VISIBLE = 0, 1, 2
SPLITS = ("train", "val", "test", "")
BOX_SOURCES = ("annotated", "landmarks", "image", "detector", "none")

Attribute = str | int | float | bool


@dataclass(slots=True)
class Face:
    """One annotated face.

    Attributes
    ----------
    image : relative POSIX path of the picture.
    landmarks : (K, 2) float32 x, y in image pixels, the centre of the top-left pixel being (0, 0);
        NaN where a point is not labelled; may lie outside the image.
    visibility : (K,) uint8: 0 not labelled, 1 labelled but hidden, 2 visible. 0 exactly where NaN.
    box : (4,) float32 x, y, width, height in image pixels, or None when the source gives none.
    box_source : what made the box, one of BOX_SOURCES.
    subject : whose face, or which photo; faces that share it never land in two splits.
    split : "train", "val", "test" or "" when the source does not say.
    subset : a named part of the data set ("common", "challenging"), or "".
    dataset : the data set's name, or "".
    image_size : (width, height) in pixels, or None when only the picture itself can tell.
    attributes : anything else the source says of this face.
    where : file and line, element or row, for messages.
    """

    image: str
    landmarks: NDArray[np.float32]
    visibility: NDArray[np.uint8]
    box: NDArray[np.float32] | None = None
    box_source: str = "none"
    subject: str = ""
    split: str = ""
    subset: str = ""
    dataset: str = ""
    image_size: tuple[int, int] | None = None
    attributes: dict[str, Attribute] = field(default_factory=dict)
    where: str = ""


@dataclass(slots=True, frozen=True)
class Skipped:
    """A face, or a picture, that could not be used: yielded among the faces, counted in the loss report.

    Attributes
    ----------
    reason : a short stable key, e.g. "wrong_point_count"; the loss report counts by it.
    where : file and line, element or row.
    what : the finding in words, naming the value that was found.
    """

    reason: str
    where: str
    what: str


class SkipFace(Exception):  # noqa: N818  # no failure: the face is left out and the next one is read
    """Raised inside a reader where the face at hand cannot be used; the reader yields it as Skipped.

    Parameters
    ----------
    reason, what : as in :class:`Skipped`.
    line : of the file, from 1, where the raiser knows it and the reader does not.
    """

    def __init__(self, reason: str, what: str, line: int | None = None) -> None:
        super().__init__(reason, what, line)
        self.reason, self.what, self.line = reason, what, line

    def __str__(self) -> str:
        return self.what

    def at(self, where: str) -> Skipped:
        """What a reader yields: the place is ``where``, followed by the line where that is known."""
        return Skipped(self.reason, where if self.line is None else f"{where}:{self.line}", self.what)


def visibility_of(landmarks: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(K,) uint8 for points of which nothing is known but where they are: 2 where labelled, 0 at NaN."""
    return np.where(np.isnan(landmarks).any(axis=-1), NOT_LABELLED, VISIBLE).astype(np.uint8)
