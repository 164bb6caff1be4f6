"""Faces to convert, from annotations or from a store: one protocol, two classes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from flmd import formats
from flmd.core import provenance
from flmd.core.bounded_search import BoundedSearch
from flmd.core.orientation import FRAMES, STORED
from flmd.errors import masked
from flmd.face import Face, Skipped
from flmd.formats import Detection, Format
from flmd.formats.choosing import blamed
from flmd.schemes import Scheme
from flmd.schemes.mapping import SchemeMapping
from flmd.store.face_store import FaceStore
from flmd.tree import FileTree, is_address

DIGESTED = 1 << 20  # bytes of an annotation file at a time


@dataclass(frozen=True)
class FaceChanges:
    """What happens to every face on its way out of its source.

    Attributes
    ----------
    mapping : to another landmark scheme, or None.
    shift : pixels added to every coordinate, where the source counts from another base than its format.
    subject_from : expression searched in the picture's name; its first group, or all it matches, becomes
        the subject. A picture in which it is not found is skipped ("subject_not_found").
    """

    mapping: SchemeMapping | None = None
    shift: float = 0.0
    subject_from: BoundedSearch | None = None

    def __call__(self, face: Face) -> Face | Skipped:
        """The changed face."""
        if self.shift:
            box = None if face.box is None else face.box.copy()
            if box is not None:
                box[:2] = (box[:2].astype(np.float64) + self.shift).astype(np.float32)
            points = (face.landmarks.astype(np.float64) + self.shift).astype(np.float32)
            face = replace(face, landmarks=points, box=box)
        if self.mapping is not None:
            face = self.mapping.face(face)
        if self.subject_from is not None:
            found = self.subject_from.search(face.image)
            if found is None:
                what = f"{self.subject_from.pattern!r} is not found in {face.image!r}"
                return Skipped("subject_not_found", face.where, what)
            face = replace(face, subject=next((group for group in found[1:] if group), found[0] or ""))
        return face

    def each(self, found: Iterator[Face | Skipped]) -> Iterator[Face | Skipped]:
        """Every face, changed."""
        if self == FaceChanges():
            return found
        return (item if isinstance(item, Skipped) else self(item) for item in found)


class FaceSource(Protocol):
    """An opened source; iterate it, as often as wanted, for faces and what was skipped."""

    @property
    def origin(self) -> str:
        """How messages name it."""

    @property
    def name(self) -> str:
        """What the data set is called unless it is given another name: the last part of its path."""

    @property
    def kind(self) -> str:
        """Name of the format, or "store"."""

    @property
    def scheme(self) -> Scheme:
        """Of the faces that come out."""

    @property
    def detection(self) -> Detection:
        """The files that are read, and why they were chosen."""

    @property
    def boxes(self) -> bool:
        """Whether faces can have boxes of their own."""

    @property
    def frame(self) -> str:
        """Of the coordinates of faces that do not say theirs (``flmd.conversion.frames``)."""

    @property
    def pictures(self) -> FileTree | None:
        """The tree in which ``Face.image`` is a name; None where there are no pictures."""

    def __iter__(self) -> Iterator[Face | Skipped]: ...

    def made_from(self, params: Mapping[str, Any], stage: str) -> dict[str, Any]:
        """The record of what is made of the source with these params (``flmd.core.provenance``)."""


@dataclass(frozen=True)
class AnnotatedFaces:
    """Faces of annotation files; a :class:`FaceSource`.

    Attributes
    ----------
    source : the path or address that was opened.
    tree : its files. pictures : the tree with the pictures, often the same one.
    format, detection, read_as : how the files are read, and the scheme that their points follow.
    changes : made to every face.
    passed_over : how many symbolic links of the folder were not followed, and the first of them, in words;
        "" where there is none.
    """

    source: str
    tree: FileTree
    pictures: FileTree
    format: Format
    detection: Detection
    read_as: Scheme
    changes: FaceChanges = FaceChanges()
    passed_over: str = ""

    @property
    def origin(self) -> str:
        return self.tree.origin

    @property
    def name(self) -> str:
        return _stem(self.source)

    @property
    def kind(self) -> str:
        return self.format.name

    @property
    def scheme(self) -> Scheme:
        return self.read_as if self.changes.mapping is None else self.changes.mapping.target

    @property
    def boxes(self) -> bool:
        return self.format.boxes

    @property
    def frame(self) -> str:
        return self.format.frame

    def __iter__(self) -> Iterator[Face | Skipped]:
        faces = self.changes.each(self._read())
        return faces if self.pictures is self.tree else map(self._by_name_in_pictures, faces)

    def _by_name_in_pictures(self, face: Face | Skipped) -> Face | Skipped:
        """The face, its picture by the name that it has in the folder of pictures.

        A reader that finds a picture among its own files calls it by its name there. The folder that the
        user named for the pictures may be a part of the source, or hold it.
        """
        if isinstance(face, Skipped) or face.image in self.pictures:
            return face
        name = self.tree.name_in(self.pictures, face.image)
        return face if name is None else replace(face, image=name)

    def _read(self) -> Iterator[Face | Skipped]:
        with blamed(self.format, "it reads"):
            yield from self.format.read(self.tree, self.read_as, self.detection.files)

    def made_from(self, params: Mapping[str, Any], stage: str) -> dict[str, Any]:
        """Names the digest of the source's one file, or of all its annotation files."""
        if not is_address(self.source) and Path(self.source).is_file():
            return provenance.made_from([Path(self.source)], params, stage=stage)
        files = {name: _sha256(self.tree.open(name)) for name in self.detection.files}
        params = {**params, "input_digest": f"of the sha256sum lines of {len(files)} annotation files"}
        last = masked(self.source).partition("?")[0].rstrip("/").rpartition("/")[2]
        return provenance.record_of({last: provenance.listing_digest(files)}, params, stage)


def _sha256(stream: BinaryIO) -> str:
    """Of a stream, in pieces: a list of a million faces is gigabytes."""
    digest = hashlib.sha256()
    with stream:
        while piece := stream.read(DIGESTED):
            digest.update(piece)
    return digest.hexdigest()


@dataclass(frozen=True)
class StoredFaces:
    """Faces of a store; a :class:`FaceSource`.

    Attributes
    ----------
    origin : as it was named. store : opened. changes : made to every face.
    pictures : those that the store was made of, or None: it has crops of its own.
    """

    origin: str
    store: FaceStore
    changes: FaceChanges = FaceChanges()
    pictures: FileTree | None = None

    kind = "store"
    boxes = True

    @property
    def name(self) -> str:
        return _stem(self.origin)

    @property
    def scheme(self) -> Scheme:
        return self.store.scheme if self.changes.mapping is None else self.changes.mapping.target

    @property
    def frame(self) -> str:
        """Of rows that do not say it, because nobody looked at the picture: that of what was converted."""
        params = self.store.made_from.get("params")
        params = params if isinstance(params, dict) else {}
        said, fmt = params.get("exif"), params.get("format")
        if said in FRAMES:
            return str(said)
        return formats.get(fmt).frame if fmt in formats.names() else STORED

    @property
    def detection(self) -> Detection:
        return Detection((self.store.path.name,), "a face store")

    def __iter__(self) -> Iterator[Face | Skipped]:
        return self.changes.each(self.store.faces())

    def made_from(self, params: Mapping[str, Any], stage: str) -> dict[str, Any]:
        """Names the store, and what that was made from."""
        return provenance.made_from({self.store.path: self.store.made_from}, params, stage=stage)


def _stem(source: str) -> str:
    return masked(source).rstrip("/").rpartition("/")[2].partition(".")[0]
