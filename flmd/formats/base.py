"""What an annotation format is: it states what it requires, reads faces, and writes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from flmd.face import Face, Skipped
from flmd.schemes import Scheme
from flmd.tree import FileTree


@dataclass(frozen=True, slots=True)
class Detection:
    """Whether a format fits.

    Attributes
    ----------
    files : the annotation files that would be read, sorted; empty when the format does not fit.
    why : what was found, or the one requirement that was not met
        ("no *.xml whose root element is <dataset>").
    """

    files: tuple[str, ...]
    why: str

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
    scheme : name of the scheme its points follow, or None when any will do.
    base : pixel coordinate written for the centre of the top-left pixel, 0 or 1.
    precision : smallest coordinate step it can hold, pixels; 0 for floats.
    boxes, visibility : does it hold them?
    """

    name: ClassVar[str]
    title: ClassVar[str]
    scheme: ClassVar[str | None] = None
    base: ClassVar[int] = 0
    precision: ClassVar[float] = 0.0
    boxes: ClassVar[bool] = False
    visibility: ClassVar[bool] = False

    @abstractmethod
    def detect(self, tree: FileTree) -> Detection:
        """Look at names and first bytes only; never raise for content that is merely something else."""

    def accepts(self, tree: FileTree, name: str) -> bool:
        """Whether one file, whatever lies beside it, is an annotation file of this format."""
        return name in self.detect(tree).files

    @abstractmethod
    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield every face of the annotation files, in file order, streaming.

        Coordinates are converted to 0-based pixel centres. ``Face.image`` is a name in ``tree`` when
        the picture exists there. Splits are set when the layout says so. A face that cannot be used
        is yielded as :class:`Skipped`; a file that cannot be read on raises InputError naming the
        file and line, after the good faces before it were yielded.
        """

    @abstractmethod
    def write(self, faces: Iterable[Face], target: Path, scheme: Scheme) -> WriteReport:
        """Write faces to a file or folder that does not exist yet; atomic: whole, or not there."""
