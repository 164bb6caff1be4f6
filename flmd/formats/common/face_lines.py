"""Lists with a picture's path and all points of a face on each line, perhaps a box: read and written."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import Attribute, Face, SkipFace, Skipped, visibility_of
from flmd.formats.base import Format, WriteReport
from flmd.formats.common.text_list import ListedPictures, corner_texts, lines_of, unlisted
from flmd.formats.layout import photo_of, split_of
from flmd.formats.writing import check_points, count_lost, list_files, number_text
from flmd.schemes import Scheme
from flmd.tree import FileTree


@dataclass(frozen=True, slots=True)
class Row:
    """What a line says of a face.

    ``path``: of the picture, as written. ``points``: (K, 2) float32.
    """

    path: str
    points: NDArray[np.float32]
    box: NDArray[np.float32] | None = None
    attributes: dict[str, Attribute] = field(default_factory=dict)


class FaceLinesFormat(Format):
    """A face on each line of a text, every point labelled; the split comes from the list's name.

    Attributes
    ----------
    points : how many a line has.
    stem : beginning of the names of the lists written into a folder, "<stem>_<split>.txt".
    picture_folder : the folder that pictures of this format are published in, or "".
    attributes : keys of ``Face.attributes`` that a line may hold.
    """

    points: ClassVar[int]
    stem: ClassVar[str]
    picture_folder: ClassVar[str] = ""
    boxes = True
    suffix = ".txt"

    @abstractmethod
    def line_reader(self, tree: FileTree, name: str) -> Callable[[str], Row]:
        """What reads a line of a list, or raises SkipFace; InputError where the list's meaning is open."""

    @abstractmethod
    def cells(self, face: Face, points: list[str], corners: list[str]) -> list[str]:
        """The cells of a face's line: of its points x y x y …, and of its box, left top right bottom."""

    def note(self, line: str) -> str:
        """What messages add to file and number of a line."""
        return ""

    def held_attributes(self, face: Face) -> Collection[str]:
        """Keys of the face's attributes that its line tells."""
        return ()

    def subset(self, name: str) -> str:
        """The subset that a list's name says, or ""."""
        return ""

    def subject(self, image: str) -> str:
        """Whose face it is, as far as a picture's name says."""
        return photo_of(image)

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield a face for each line, in bounded memory; see the class for what is skipped."""
        self._check(scheme)
        for name in files:
            yield from self._read_list(tree, name)

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a ``.txt`` file or a folder of them; see the class for what is lost."""
        self._check(scheme)
        report = WriteReport()
        with list_files(target, self.suffix, self.stem) as out:
            for face in faces:
                check_points(face, scheme)
                why, corners, same_box = self._corners(face)
                if corners is None:
                    report.lost[why or "face with unwritable box"] += 1
                    continue
                points = list(map(number_text, face.landmarks.ravel().tolist()))
                line = " ".join(self.cells(face, points, corners)) + "\n"
                out.of(face.split).write(line.encode("utf-8", "surrogateescape"))
                report.faces += 1
                if not same_box:
                    report.lost["box"] += 1
                count_lost(
                    report,
                    face,
                    keeps=("box",) if self.boxes else (),
                    subject=self.subject(face.image),
                    split=out.split_read_back(face.split),
                    subset=self.subset(target.name) if out.one else "",
                    attributes=self.held_attributes(face),
                )
        return report

    def _corners(self, face: Face) -> tuple[str | None, list[str] | None, bool]:
        """Why a face cannot be in a list; its box as text, if lines have one; and whether it is the same."""
        why = unlisted(face)
        if why is not None:
            return why, None, False
        return (None, *corner_texts(face)) if self.boxes else (None, [], True)

    def _read_list(self, tree: FileTree, name: str) -> Iterator[Face | Skipped]:
        file, row_of = tree.where(name), self.line_reader(tree, name)
        pictures = ListedPictures(tree, name, self.picture_folder)
        split, subset = split_of(name) or "", self.subset(name)
        with tree.open(name) as stream:
            for number, line in lines_of(stream, file):
                where = f"{file}:{number}{self.note(line)}"
                try:
                    row = row_of(line)
                    image = pictures.find(row.path)
                    if image is None:
                        raise SkipFace("bad_path", f"{row.path[:200]!r} is not a picture in the tree")
                except SkipFace as fault:
                    yield fault.at(where)
                    continue
                yield Face(
                    image=image,
                    landmarks=row.points,
                    visibility=visibility_of(row.points),
                    box=row.box,
                    box_source="none" if row.box is None else "annotated",
                    subject=self.subject(image),
                    split=split,
                    subset=subset,
                    attributes=row.attributes,
                    where=where,
                )

    def _check(self, scheme: Scheme) -> None:
        if scheme.count != self.points:
            what = f"scheme {scheme.name} has {scheme.count} points"
            raise InputError(what, expected=f"{self.points}, as {self.name} lists hold")
