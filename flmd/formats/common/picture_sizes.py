"""Width and height of pictures in a tree, for formats that divide coordinates by them."""

from __future__ import annotations

from flmd.core.images import ImageError, probe
from flmd.errors import InputError
from flmd.face import Skipped
from flmd.tree import FileTree

HEADER = 1 << 18
WHOLE = 1 << 26  # bytes read of a picture whose first HEADER bytes do not say its size


class PictureSizes:
    """Reads the header of a picture once for all its faces that follow each other."""

    def __init__(self, tree: FileTree) -> None:
        self._tree = tree
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
            try:
                return probe(self._tree.read(image, 0, HEADER))
            except ImageError as error:
                if error.reason == "image_too_large" or self._tree.size(image) <= HEADER:
                    return error
                return probe(self._tree.read(image, 0, WHOLE))
        except InputError as error:  # an ImageError, or a file that cannot be read
            return error
