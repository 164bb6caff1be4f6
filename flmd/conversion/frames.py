"""The frame of a face's coordinates: that of the stored pixels, or of the picture as EXIF has it shown.

A face is in the frame of its source until something needs the other one; where a picture has no orientation
the two are one. A face that knows better than its source, because it lies in a store or a model found it,
says so in two attributes, ``exif_orientation`` and ``exif_frame``. Only faces of pictures with an orientation
have them. Annotations that are written have none: their format's frame says it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from flmd.core.orientation import (
    FRAME,
    FRAMES,
    MIRRORING,
    ORIENTATION,
    STORED,
    TURNED,
    attributes_of,
    turned_size,
)
from flmd.core.orientation import turned as orientation_turned
from flmd.errors import InputError
from flmd.face import Face, Skipped
from flmd.formats.common.picture_sizes import Header, header_of
from flmd.tree import FileTree


def said_by(face: Face) -> tuple[int, str] | None:
    """Orientation of the picture and frame of the coordinates, where the face itself says them."""
    orientation, frame = face.attributes.get(ORIENTATION), face.attributes.get(FRAME)
    if orientation in TURNED and frame in FRAMES:
        return int(orientation), str(frame)
    return None


def noted(face: Face, orientation: int, frame: str) -> Face:
    """The face, saying its frame; as it is where the picture has no orientation."""
    said = attributes_of(orientation, frame)
    return replace(face, attributes={**face.attributes, **said}) if said else face


def bare(face: Face) -> Face:
    """The face without the attributes that say its frame."""
    if ORIENTATION not in face.attributes and FRAME not in face.attributes:
        return face
    kept = {key: value for key, value in face.attributes.items() if key not in (ORIENTATION, FRAME)}
    return replace(face, attributes=kept)


def turned(face: Face, orientation: int, stored: tuple[int, int], wanted: str) -> Face:
    """A face in the other frame of its picture: ``wanted``. No point is renamed (``flmd.core.orientation``).

    Parameters
    ----------
    orientation : of the picture. stored : width and height of its stored pixels.
    """
    points, box = orientation_turned(orientation, stored, wanted, face.landmarks, face.box)
    size = stored if wanted == STORED else turned_size(orientation, stored)
    return replace(face, landmarks=points, box=box, image_size=None if face.image_size is None else size)


class Turner:
    """Brings faces into one frame.

    Parameters
    ----------
    source : frame of the faces that do not say theirs. wanted : the frame asked for.
    pictures : tree in which ``Face.image`` is a name. A picture that is not there counts as not turned.

    Attributes
    ----------
    turned, mirrored, rounded : faces that were turned; of these, those whose picture is mirrored, and those
        that float32 does not hold as exactly in the other frame.
    """

    def __init__(self, pictures: FileTree | None, source: str, wanted: str) -> None:
        self._pictures, self._source, self.wanted = pictures, source, wanted
        self._last: tuple[str, Header | None] = ("", None)
        self.turned = self.mirrored = self.rounded = 0

    def __call__(self, face: Face) -> Face:
        """The face in the wanted frame, without the attributes that say a frame."""
        said = said_by(face)
        face = bare(face)
        if (self._source if said is None else said[1]) == self.wanted:
            return face
        if said is not None and face.image_size is not None:
            size = face.image_size if said[1] == STORED else turned_size(said[0], face.image_size)
            header: Header | None = Header(size, said[0])
        else:
            header = self.header(face.image)
        if header is None or header.orientation == 1:
            return face
        other = turned(face, header.orientation, header.stored, self.wanted)
        back = turned(other, header.orientation, header.stored, self._other)
        self.turned += 1
        self.mirrored += header.orientation in MIRRORING
        self.rounded += not _same(face, back)
        return other

    @property
    def _other(self) -> str:
        return next(frame for frame in FRAMES if frame != self.wanted)

    def header(self, image: str) -> Header | None:
        """What the header of a picture says; None where it is not there, or cannot be read."""
        if image != self._last[0]:
            self._last = image, header_in(self._pictures, image)
        return self._last[1]

    def each(self, faces: Iterable[Face | Skipped]) -> Iterator[Face | Skipped]:
        """Every face, turned."""
        return (item if isinstance(item, Skipped) else self(item) for item in faces)


def header_in(pictures: FileTree | None, image: str) -> Header | None:
    """What the header of a picture says; None where there is none that can be read."""
    if pictures is None or image not in pictures:
        return None
    try:
        return header_of(pictures, image)
    except InputError:
        return None


def _same(one: Face, two: Face) -> bool:
    boxes = one.box is None or two.box is None or np.array_equal(one.box, two.box, equal_nan=True)
    return boxes and np.array_equal(one.landmarks, two.landmarks, equal_nan=True)
