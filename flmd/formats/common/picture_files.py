"""Annotation files beside their pictures, one for all the faces of a picture."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flmd.face import Face
from flmd.formats.base import WriteReport
from flmd.formats.common.sidecar_files import picture_read_back, write_file
from flmd.formats.layout import photo_of, resolve, split_of_path, whole_or_nothing
from flmd.formats.writing import check_points, count_lost
from flmd.schemes import Scheme

UNWRITABLE = "face with unwritable image name"
TAKEN = "another picture of this stem"


@dataclass(frozen=True)
class Layout:
    """How the files of a format are made.

    Attributes
    ----------
    suffix : their ending: ``a/b.json`` for the picture ``a/b.jpg``.
    dump : the name of a picture and its items -> the bytes of its file.
    load : the bytes of a file -> its items.
    item : a face -> its item and the keys of the attributes in it; or why it cannot be one, as a key of
        ``WriteReport.lost``.
    keeps : what an item holds, as :func:`~flmd.formats.writing.count_lost` has it; or a face -> that.
    picture : the name of a picture -> what reading back calls it where it is not there.
    described : an item tells subject, split and subset too.
    rounded : whether a face's item holds its points or box less exactly than they are.
    """

    suffix: str
    dump: Callable[[str, list[Any]], bytes]
    load: Callable[[bytes], list[Any]]
    item: Callable[[Face], tuple[Any, Collection[str]] | str]
    keeps: Collection[str] | Callable[[Face], Collection[str]] = ()
    picture: Callable[[str], str] = picture_read_back
    described: bool = False
    rounded: Callable[[Face], bool] | None = None


def write_beside(faces: Iterable[Face], target: Path, scheme: Scheme, layout: Layout) -> WriteReport:
    """Write a folder with a file for each picture; whole, or not there. Memory holds one of the files.

    Lost besides what an item cannot hold: ``image name``, ``subject`` and ``split``, where the picture's name
    does not say them, and the faces for which there can be no file (UNWRITABLE, TAKEN).
    """
    report = WriteReport()
    with whole_or_nothing(target) as folder:
        folder.mkdir()
        files = _Files(folder, layout)
        for face in faces:
            check_points(face, scheme)
            made = layout.item(face)
            why = made if isinstance(made, str) else files.add(face.image, made[0])
            if why is not None or isinstance(made, str):
                report.lost[why or ""] += 1
                continue
            report.faces += 1
            image = resolve("", face.image) or ""
            read_back = layout.picture(image)
            if image == face.image != read_back:
                report.lost["image name"] += 1
            if layout.rounded is not None and layout.rounded(face):
                report.lost["sub-pixel"] += 1
            own = layout.described
            count_lost(
                report,
                face,
                keeps=layout.keeps(face) if callable(layout.keeps) else layout.keeps,
                subject=face.subject if own else photo_of(read_back),
                split=face.split if own else split_of_path(posixpath.dirname(image)) or "",
                subset=face.subset if own else "",
                attributes=made[1],
            )
        files.finish()
    return report


class _Files:
    """The files of a folder, of which one at a time is held.

    Faces of one picture need not follow each other: a file that was left is read again.
    """

    def __init__(self, folder: Path, layout: Layout) -> None:
        self._folder, self._layout = folder, layout
        self._pictures: dict[str, str] = {}
        self._name = self._image = ""
        self._items: list[Any] = []

    def add(self, image: str, item: Any) -> str | None:
        """Put an item into its picture's file; why it cannot be, as a key of ``WriteReport.lost``."""
        if image != self._image or not self._name:
            resolved = resolve("", image)
            if resolved is None:
                return UNWRITABLE
            name = posixpath.splitext(resolved)[0] + self._layout.suffix
            if self._pictures.get(name, image) != image:
                return TAKEN
            self.finish()
            if name in self._pictures:
                self._items = self._layout.load((self._folder / name).read_bytes())
            elif not write_file(self._folder, name, b""):
                return UNWRITABLE
            self._pictures[name] = image
            self._name, self._image = name, image
        self._items.append(item)
        return None

    def finish(self) -> None:
        """Write the file at hand."""
        if self._name:
            (self._folder / self._name).write_bytes(self._layout.dump(self._image, self._items))
        self._name, self._image, self._items = "", "", []
