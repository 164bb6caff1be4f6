"""Pictures that lie inside annotation files, as a tree of encoded pictures."""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from flmd.face import Face
from flmd.formats.base import WriteReport
from flmd.formats.layout import resolve
from flmd.tree import FileTree
from flmd.tree.base import clip


class InnerPictures(FileTree):
    """The pictures inside the annotation files of another tree; each is encoded when it is read.

    ``tree`` is the tree of the annotation files; ``index`` gives, for the name of each picture, what
    :meth:`encode` needs to find it. Closing this one closes ``tree``. Pickles like any tree.
    """

    def __init__(self, tree: FileTree, index: Mapping[str, Any]) -> None:
        super().__init__(tree.origin, index)
        self.kind = tree.kind
        self.passed_over = tree.passed_over
        self._tree = tree
        self._places = index

    @abstractmethod
    def encode(self, place: Any) -> bytes:
        """One picture as a PNG. Raises ImageError when what the file holds there is no picture."""

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        if name not in self._places:
            raise self._missing(name)
        data = self.encode(self._places[name])
        first, end = clip(start, size, len(data))
        return data[first:end]

    def open(self, name: str) -> BinaryIO:
        return io.BytesIO(self.read(name))

    def size(self, name: str) -> int:
        return len(self.read(name))

    def close(self) -> None:
        self._tree.close()


def png(pixels: NDArray[np.uint8]) -> bytes:
    """(H, W) grey or (H, W, 3) RGB uint8 as a PNG, packed fast rather than small."""
    bgr = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1])


def count_picture_name(report: WriteReport, face: Face, image: str) -> None:
    """Count "image name" when reading back will call the picture ``image`` and the face says otherwise.

    Only what :func:`flmd.formats.writing.count_lost` has not counted already.
    """
    if face.image != image and resolve("", face.image) == face.image:
        report.lost["image name"] += 1
