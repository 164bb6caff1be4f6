"""What writers of list formats share: the files of a target, and the account of what was lost."""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from flmd.errors import InputError
from flmd.face import Face
from flmd.formats.base import WriteReport
from flmd.formats.layout import resolve, split_of, whole_or_nothing
from flmd.schemes import Scheme


class ListFiles:
    """The files of one target: a single one, or a folder with ``<stem>_<split>`` for each split.

    Attributes
    ----------
    one : the target is a single file. path : the file, or folder, being filled.
    """

    def __init__(self, path: Path, target: Path, suffix: str, stem: str, header: bytes) -> None:
        self.path, self.one = path, is_file_target(target, suffix)
        self._suffix, self._stem, self._header, self._target = suffix, stem, header, target
        self._open: dict[str, BinaryIO] = {}
        if not self.one:
            path.mkdir()

    def of(self, split: str) -> BinaryIO:
        """The file that takes the faces of a split; opened, and given its header, on first use."""
        key = "" if self.one else split
        if key not in self._open:
            path = self.path if self.one else self.path / f"{self._stem}_{split or 'unsplit'}{self._suffix}"
            self._open[key] = path.open("wb")
            self._open[key].write(self._header)
        return self._open[key]

    def split_read_back(self, split: str) -> str:
        """The split that reading back will give a face of ``split``."""
        return (split_of(self._target.name) or "") if self.one else split

    def close(self) -> None:
        """Close all files; a list of no face at all is written too."""
        if not self._open:
            self.of("")
        for file in self._open.values():
            file.close()
        if not self.one and list(self._open) == [""]:  # beside others, a plain name would mean their union
            (self.path / f"{self._stem}_unsplit{self._suffix}").rename(
                self.path / f"{self._stem}{self._suffix}"
            )


def is_file_target(target: Path, suffix: str) -> bool:
    """Whether a target is one file of that ending, rather than a folder."""
    return bool(suffix) and target.name.lower().endswith(suffix)


@contextlib.contextmanager
def list_files(target: Path, suffix: str, stem: str, header: bytes = b"") -> Iterator[ListFiles]:
    """Open the files of a target; they appear under their names when the block ends without an error."""
    with whole_or_nothing(target) as scratch:
        files = ListFiles(scratch, target, suffix, stem, header)
        try:
            yield files
        finally:
            files.close()


class SidecarNames:
    """Names of annotation files beside their pictures, one for each face: ``a/b.pts``, ``a/b_face2.pts``."""

    def __init__(self, suffix: str) -> None:
        self._suffix = suffix
        self._count: dict[str, int] = {}
        self._taken: set[str] = set()

    def name(self, image: str) -> str | None:
        """A name that was not given out before, or None when it is taken by another picture's."""
        stem = posixpath.splitext(image)[0]
        self._count[stem] = number = self._count.get(stem, 0) + 1
        name = stem + ("" if number == 1 else f"_face{number}") + self._suffix
        if name in self._taken:
            return None
        self._taken.add(name)
        return name


def check_points(face: Face, scheme: Scheme) -> None:
    """InputError unless the face has the scheme's number of points."""
    if face.landmarks.shape != (scheme.count, 2):
        raise InputError(
            f"landmarks of shape {face.landmarks.shape}",
            where=face.where or face.image,
            expected=f"({scheme.count}, 2), as scheme {scheme.name} has",
        )


def usable_box(face: Face) -> bool:
    """Whether the face has a box of finite numbers and a positive size."""
    return face.box is not None and bool(np.isfinite(face.box).all() and (face.box[2:] > 0).all())


def count_lost(
    report: WriteReport,
    face: Face,
    *,
    keeps: Collection[str] = (),
    subject: str = "",
    split: str = "",
    subset: str = "",
    attributes: Collection[str] = (),
) -> None:
    """Count what a face says and the format cannot hold.

    Parameters
    ----------
    keeps : of "box", "box source", "visibility", "unlabelled points", "dataset", "image size": what the
        format holds, whatever its value.
    subject, split, subset : what reading back will say; lost when the face says otherwise.
    attributes : keys of ``Face.attributes`` that are written.
    """
    lost = report.lost
    if face.box is not None and "box" not in keeps:
        lost["box"] += 1
    elif face.box is not None and face.box_source != "annotated" and "box source" not in keeps:
        lost["box source"] += 1
    if "visibility" not in keeps and (face.visibility == 1).any():
        lost["visibility"] += 1
    if "unlabelled points" not in keeps and (face.visibility == 0).any():
        lost["unlabelled points"] += 1
    if face.subject not in ("", subject):
        lost["subject"] += 1
    if face.split != split:
        lost["split"] += 1
    if face.subset != subset:
        lost["subset"] += 1
    if face.dataset and "dataset" not in keeps:
        lost["dataset"] += 1
    if not set(face.attributes) <= set(attributes):
        lost["attributes"] += 1
    if resolve("", face.image) != face.image:
        lost["image name"] += 1


def number_text(value: float) -> str:
    """The shortest text that reads back as the same float64: "45.0", "0.1"."""
    return repr(float(value))
