"""Annotation files beside their pictures, one for all the faces of a picture."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flmd.formats.common.sidecar_files import write_file
from flmd.formats.layout import resolve

UNWRITABLE = "face with unwritable image name"
TAKEN = "another picture of this stem"


class PictureFiles:
    """The files of a folder being written, of which one at a time is held in memory.

    Faces of one picture need not follow each other: a file that was left is read again.

    Parameters
    ----------
    folder : which takes the files: ``a/b.json`` for the picture ``a/b.jpg``.
    suffix : their ending.
    dump, load : a picture's name and its items as the bytes of a file, and the items back from them.
    """

    def __init__(
        self,
        folder: Path,
        suffix: str,
        dump: Callable[[str, list[Any]], bytes],
        load: Callable[[bytes], list[Any]],
    ) -> None:
        self._folder, self._suffix, self._dump, self._load = folder, suffix, dump, load
        self._pictures: dict[str, str] = {}
        self._name = self._image = ""
        self._items: list[Any] = []

    def add(self, image: str, item: Any) -> str | None:
        """Put an item into its picture's file; why it cannot be, as a key of ``WriteReport.lost``."""
        if image != self._image or not self._name:
            name = self._file_of(image)
            if name is None:
                return UNWRITABLE
            if self._pictures.get(name, image) != image:
                return TAKEN
            self.finish()
            if name in self._pictures:
                self._items = self._load((self._folder / name).read_bytes())
            elif not write_file(self._folder, name, b""):
                return UNWRITABLE
            self._pictures[name] = image
            self._name, self._image = name, image
        self._items.append(item)
        return None

    def finish(self) -> None:
        """Write the file at hand."""
        if self._name:
            (self._folder / self._name).write_bytes(self._dump(self._image, self._items))
        self._name, self._image, self._items = "", "", []

    def _file_of(self, image: str) -> str | None:
        resolved = resolve("", image)
        return None if resolved is None else posixpath.splitext(resolved)[0] + self._suffix
