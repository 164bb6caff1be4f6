"""What the headers of pictures in a tree say: their size, in either frame, and their EXIF orientation."""

from __future__ import annotations

from dataclasses import dataclass

from flmd.core.images import ImageError, probe
from flmd.core.orientation import SHOWN, STORED, holds_header, orientation_of, turned_size
from flmd.errors import InputError
from flmd.face import Skipped
from flmd.tree import FileTree

HEADER = 1 << 18
WHOLE = 1 << 26  # bytes read of a picture whose first HEADER bytes do not say its size


@dataclass(frozen=True)
class Header:
    """``stored`` : width and height of the stored pixels. ``orientation`` : EXIF's, 1 to 8."""

    stored: tuple[int, int]
    orientation: int

    def size(self, frame: str) -> tuple[int, int]:
        """Width and height in a frame, "stored" or "shown" (``flmd.core.orientation``)."""
        return turned_size(self.orientation, self.stored) if frame == SHOWN else self.stored


def header_of(tree: FileTree, image: str) -> Header:
    """What the header of a picture says; InputError when it is none, or cannot be read."""
    head = tree.read(image, 0, HEADER)
    if len(head) == HEADER and not holds_header(head):
        head = tree.read(image)
    try:
        return Header(probe(head), orientation_of(head))
    except ImageError as error:
        if error.reason == "image_too_large" or len(head) != HEADER:
            raise
        return Header(probe(tree.read(image, 0, WHOLE)), orientation_of(head))


class PictureSizes:
    """Reads the header of a picture once for all its faces that follow each other.

    Parameters
    ----------
    tree : that holds the pictures. frame : "stored" or "shown", of the sizes.
    """

    def __init__(self, tree: FileTree, frame: str = STORED) -> None:
        self._tree, self._frame = tree, frame
        self._name: str | None = None
        self._size: tuple[int, int] | ImageError | InputError | None = None

    def of(self, image: str, where: str) -> tuple[int, int] | Skipped:
        """(width, height), or the Skipped of a face whose picture is missing or no picture.

        Reasons: "image_missing", or those of :class:`flmd.core.images.ImageError`.
        """
        if image != self._name:
            self._name, self._size = image, self._probe(image)
        size = self._size
        if isinstance(size, ImageError):
            return Skipped(size.reason, where, size.what)
        if isinstance(size, InputError):
            return Skipped("image_damaged", where, size.what)
        if size is None:
            return Skipped("image_missing", where, f"no picture {image[:200]!r}, whose size is needed")
        return size

    def _probe(self, image: str) -> tuple[int, int] | ImageError | InputError | None:
        if image not in self._tree:
            return None
        try:
            if self._frame == SHOWN:
                return header_of(self._tree, image).size(SHOWN)
            try:
                return probe(self._tree.read(image, 0, HEADER))
            except ImageError as error:
                if error.reason == "image_too_large" or self._tree.size(image) <= HEADER:
                    return error
                return probe(self._tree.read(image, 0, WHOLE))
        except InputError as error:  # an ImageError, or a file that cannot be read
            return error
