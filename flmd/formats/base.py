"""What an annotation format is: it states what it requires, reads faces, and writes them."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Self

from flmd.core.orientation import FRAMES, STORED
from flmd.errors import ParamsError, did_you_mean
from flmd.face import Face, Skipped
from flmd.schemes import Scheme
from flmd.schemes.name_choice import AUTO, PointNames
from flmd.tree import FileTree

AS_FORMAT = "auto"  # the frame that the format says


class Certainty(IntEnum):
    """How sure a detection is. Where several formats fit a tree, only the surest are candidates.

    ``CERTAIN``: a list or data base with a signature of its own. ``LIKELY``: a file for each picture, with
    a signature; such files often lie beside a list that repeats them. ``POSSIBLE``: nothing but the number
    of columns speaks for it.
    """

    POSSIBLE = 1
    LIKELY = 2
    CERTAIN = 3


@dataclass(frozen=True, slots=True)
class Detection:
    """Whether a format fits.

    Attributes
    ----------
    files : the annotation files that would be read, sorted; empty when the format does not fit.
    why : what was found, or the one requirement that was not met
        ("no *.xml whose root element is <dataset>").
    certainty : how sure, when it fits.
    nearly : when it does not fit, ``why`` says what would make it fit; a refusal names it first.
    """

    files: tuple[str, ...]
    why: str
    certainty: Certainty = Certainty.CERTAIN
    nearly: bool = False

    @property
    def fits(self) -> bool:
        """True when there is something to read."""
        return bool(self.files)


@dataclass(slots=True)
class WriteReport:
    """What writing did.

    Attributes
    ----------
    faces : how many were written.
    lost : what the format has no room for -> how many faces lost it ("visibility", "sub-pixel",
        "box", "split", ...). Only faces that had such a thing to lose count.
    """

    faces: int = 0
    lost: Counter[str] = field(default_factory=Counter)


class Format(ABC):
    """One annotation format. Stateless: one instance serves every call.

    Attributes
    ----------
    name : in commands and params ("dlib-xml").
    title : one line for people.
    detected_by : what :meth:`detect` looks for, a phrase for people; docs/formats.md prints it.
    scheme : name of the scheme its points follow, or None when any will do.
    base : pixel coordinate written for the centre of the top-left pixel: 0, 1, or 0.5 where coordinates
        are measured from the picture's corner.
    precision : smallest coordinate step it can hold, pixels; 0 for floats.
    frame : of its coordinates where a picture has an EXIF orientation: "stored", the pixels as they lie in
        the file; "shown", the picture as viewers turn it, for tools that label what they show
        (``flmd.core.orientation``). It is only asked where the two differ.
    boxes, visibility : does it hold them?
    suffix : ending of a file it writes ("" when it always writes a folder); a target without it becomes a
        folder.
    needs : what writing must know of every face besides its points: "image_size", "pixels", "box".
    options : what its files leave open for reading: name -> the values there are, the usual one first.
    chosen : the values that :meth:`with_options` chose, by name.
    named : do its files name the points? Then ``names`` says how reading takes the names.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    detected_by: ClassVar[str] = ""
    scheme: ClassVar[str | None] = None
    base: ClassVar[float] = 0
    precision: ClassVar[float] = 0.0
    frame: str = STORED
    boxes: ClassVar[bool] = False
    visibility: ClassVar[bool] = False
    suffix: ClassVar[str] = ""
    needs: ClassVar[frozenset[str]] = frozenset()
    options: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})
    chosen: Mapping[str, str] = MappingProxyType({})

    def with_options(self, given: Mapping[str, str]) -> Self:
        """This format, reading with some of its ``options``; ParamsError for others, or other values."""
        for name, value in given.items():
            if name not in self.options:
                listed = ", ".join(self.options)
                expected = f"one of {listed}" if listed else "none"
                hint = did_you_mean(name, self.options)
                raise ParamsError(f"{self.name} has no option {name!r}", expected=expected, hint=hint)
            if value not in self.options[name]:
                expected = "one of " + ", ".join(self.options[name])
                raise ParamsError(f"option {name} of {self.name} is {value!r}", expected=expected)
        if not given:
            return self
        other = copy.copy(self)
        other.chosen = MappingProxyType(dict(given))
        return other

    def option(self, name: str) -> str:
        """The value of an option: the chosen one, else the usual one."""
        return self.chosen.get(name, self.options[name][0])

    named: ClassVar[bool] = False
    names: PointNames = AUTO

    def with_names(self, names: PointNames) -> Self:
        """This format, taking the names of points in another way; ParamsError where its files have none."""
        if names == self.names:
            return self
        if not self.named:
            raise ParamsError(f"--names, but {self.name} files do not name their points")
        other = copy.copy(self)
        other.names = names
        return other

    def with_frame(self, frame: str) -> Self:
        """This format, its coordinates being in a frame, "stored" or "shown"; "auto": in its own.

        ParamsError for another word.
        """
        if frame == AS_FORMAT or frame == self.frame:
            return self
        if frame not in FRAMES:
            expected = "one of " + ", ".join((AS_FORMAT, *FRAMES))
            raise ParamsError(f"exif is {frame!r}", expected=expected, hint=did_you_mean(frame, FRAMES))
        other = copy.copy(self)
        other.frame = frame
        return other

    @abstractmethod
    def detect(self, tree: FileTree) -> Detection:
        """Look at names and first bytes only; never raise for content that is merely something else."""

    def accepts(self, tree: FileTree, name: str) -> bool:
        """Whether one file, whatever lies beside it, is an annotation file of this format."""
        return name in self.detect(tree).files

    def scheme_in(self, tree: FileTree, files: tuple[str, ...]) -> str:
        """Name of the scheme that the points of these files follow, from the first face of them.

        The format's own scheme when it has one. Others count the points: ``flmd.schemes.scheme_of_count``
        names the scheme meant by a count where only one is, else ``points<K>``, which has no meaning. Where
        no face can be read, any scheme does: its readers tell what is wrong.
        """
        if self.scheme is None:
            raise NotImplementedError(f"{self.name} has no scheme of its own, and does not count points")
        return self.scheme

    def pictures(self, tree: FileTree) -> FileTree:
        """The tree in which ``Face.image`` is a name; another one where pictures are not files."""
        return tree

    def picture_name(self, face: Face) -> str:
        """Where in the folder of the annotations the picture of a face goes, to be found on reading."""
        return face.image

    @abstractmethod
    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield every face of the annotation files, in file order, streaming.

        Coordinates are converted to 0-based pixel centres. ``Face.image`` is a name in ``tree`` when
        the picture exists there. Splits are set when the layout says so. A face that cannot be used
        is yielded as :class:`Skipped`; a file that cannot be read on raises InputError naming the
        file and line, after the good faces before it were yielded.
        """

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write faces to a file or folder; atomic: whole, or what was there before.

        ``pictures`` holds the pictures the faces name, for formats whose ``needs`` has "pixels". A format
        without this method is read only.
        """
        raise ParamsError(f"format {self.name} is read only", expected="another format with --to")

    @property
    def writes(self) -> bool:
        """Whether it writes, or only reads."""
        return type(self).write is not Format.write
