"""Formats with a file for each face, named after its picture: reading and writing a folder of them."""

from __future__ import annotations

import errno
import posixpath
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from flmd.face import Attribute, Face, SkipFace, Skipped
from flmd.formats.base import Format, WriteReport
from flmd.formats.layout import (
    FURTHER_FACE,
    PicturesBeside,
    photo_of,
    resolve,
    split_of_path,
    whole_or_nothing,
)
from flmd.formats.writing import SidecarNames, check_points, count_lost
from flmd.schemes import Scheme
from flmd.tree import FileTree
from flmd.tree.names import is_junk

Points = tuple[NDArray[np.float32], NDArray[np.uint8]]


class SidecarFormat(Format):
    """A file for each face, named after the picture: ``a/b.pts``, ``a/b_face2.pts``.

    A format says what a file's bytes mean (:meth:`points`, :meth:`text`), and where it differs from the
    plainest layout, how pictures are found and what the subject is. The split is that of the deepest folder
    that says one, never of the file's own name.

    Attributes
    ----------
    ending : of the files, ".pts".
    keeps : of the things that ``flmd.formats.writing.count_lost`` counts, those that the file holds.
    """

    ending: ClassVar[str]
    keeps: ClassVar[Collection[str]] = ()

    @abstractmethod
    def points(self, tree: FileTree, name: str, count: int) -> Points:
        """(count, 2) float32 points, 0-based, and (count,) uint8 visibility of a file; or SkipFace."""

    def described(
        self, tree: FileTree, name: str, count: int
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8], dict[str, Attribute]]:
        """Points and visibility of a file as :meth:`points` has them, and the attributes it tells."""
        return (*self.points(tree, name, count), {})

    def held_attributes(self, face: Face) -> Collection[str]:
        """Keys of the face's attributes that its file tells."""
        return ()

    @abstractmethod
    def text(self, face: Face) -> bytes:
        """The file of a face that is not :meth:`unwritable`."""

    def unwritable(self, face: Face) -> str | None:
        """Why a face cannot be written, as a key of ``WriteReport.lost``; None when it can."""
        return None

    def rounded(self, face: Face) -> bool:
        """Whether the file holds the points less exactly than they are."""
        return False

    def picture_finder(self, tree: FileTree) -> Callable[[str], str]:
        """A function from a file's name to that of its picture in the tree, or to the likely one."""
        return PicturesBeside(tree).name_for

    def file_stem(self, image: str) -> str:
        """Name of the file of a picture; its ending is replaced."""
        return image

    def picture_read_back(self, name: str) -> str:
        """The picture that a file names where there are no pictures in the tree."""
        return picture_read_back(name)

    def subject(self, name: str, image: str) -> str:
        """The subject of the face in a file."""
        return photo_of(image)

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield the face of each file in order; see the class for what is skipped."""
        picture_of = self.picture_finder(tree)
        for name in files:
            where = tree.where(name)
            try:
                landmarks, visibility, attributes = self.described(tree, name, scheme.count)
            except SkipFace as fault:
                yield fault.at(where)
                continue
            image = picture_of(name)
            yield Face(
                image=image,
                landmarks=landmarks,
                visibility=visibility,
                subject=self.subject(name, image),
                split=_split(name),
                attributes=attributes,
                where=where,
            )

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a folder of files; see the class for what is lost."""
        report = WriteReport()
        names = SidecarNames(self.ending)
        with whole_or_nothing(target) as folder:
            folder.mkdir()
            for face in faces:
                check_points(face, scheme)
                why = self.unwritable(face)
                image = resolve("", face.image)
                name = None if why or image is None else names.name(self.file_stem(image))
                if name is None or not write_file(folder, name, self.text(face)):
                    report.lost[why or "face with unwritable image name"] += 1
                    continue
                report.faces += 1
                read_back = self.picture_read_back(name)
                if self.rounded(face):
                    report.lost["sub-pixel"] += 1
                if image == face.image != read_back:
                    report.lost["image name"] += 1
                count_lost(
                    report,
                    face,
                    keeps=self.keeps,
                    subject=self.subject(name, read_back),
                    split=_split(name),
                    attributes=self.held_attributes(face),
                )
        return report


def _split(name: str) -> str:
    return split_of_path(posixpath.dirname(name)) or ""


def picture_read_back(name: str) -> str:
    """The picture's name that a file gives where no picture lies beside it: ``<stem>.jpg``."""
    return FURTHER_FACE.sub("", posixpath.splitext(name)[0]) + ".jpg"


def write_file(folder: Path, name: str, data: bytes) -> bool:
    """Write a new file, and the folders it lies in; False for a name that the disk or a tree cannot hold.

    Such names have parts that are too long, name a file that is there, lie in one as if in a folder, or are
    those that a tree leaves out as junk.
    """
    if is_junk(name):
        return False
    path = folder / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(data)
    except OSError as error:
        if not _is_bad_name(error):
            raise
        return False
    except UnicodeEncodeError:
        return False
    return True


def _is_bad_name(error: OSError) -> bool:
    """Whether a file could not be made for its name, rather than for the disk's or its owner's sake."""
    return error.errno in (errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EILSEQ)
