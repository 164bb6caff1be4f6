"""The crops of a store as pictures, for formats that hold pictures where the store's own are not at hand."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from flmd.conversion.face_source import StoredFaces
from flmd.conversion.frames import bare
from flmd.core import geometry
from flmd.core.orientation import STORED
from flmd.face import Face, Skipped
from flmd.formats.common.inner_pictures import InnerPictures, png
from flmd.store.face_store import FaceStore
from flmd.tree import open_tree


@dataclass(frozen=True)
class CroppedFaces(StoredFaces):
    """The faces of a store in the pixels of their crops, each in a picture of its own: a PNG of the crop.

    ``a/b.jpg`` becomes ``a/b.png``, ``a/b_face2.png`` for the second face in it.
    """

    @classmethod
    def of(cls, faces: StoredFaces) -> CroppedFaces:
        """Those of a store that has crops."""
        return cls(faces.origin, faces.store, faces.changes, _Crops(faces.store))

    frame = STORED

    def __iter__(self) -> Iterator[Face | Skipped]:
        affines = self.store.numbers("affine")
        size = self.store.crop_spec.size
        for row, (face, name) in enumerate(zip(self.store.faces(), _names(self.store), strict=True)):
            changed = self.changes(face)
            yield changed if isinstance(changed, Skipped) else _in_crop(changed, name, affines[row], size)


class _Crops(InnerPictures):
    """The crops of a store; the place of one is its row."""

    def __init__(self, store: FaceStore) -> None:
        super().__init__(open_tree(store.path), {name: row for row, name in enumerate(_names(store))})
        self._store = store

    def encode(self, place: int) -> bytes:
        crop = self._store.crops[place]
        return png(crop if crop.ndim == 2 else np.ascontiguousarray(crop.transpose(1, 2, 0)))


def _names(store: FaceStore) -> Iterator[str]:
    """The picture of each face, none twice."""
    taken: set[str] = set()
    for block in store.blocks():
        for image in store.texts("image", block):
            stem = posixpath.splitext(image)[0]
            name, number = f"{stem}.png", 1
            while name in taken:
                number += 1
                name = f"{stem}_face{number}.png"
            taken.add(name)
            yield name


def _in_crop(face: Face, name: str, affine: geometry.Array, size: int) -> Face:
    """A face in the pixels of its crop, which is upright and square."""
    box = None
    if face.box is not None:
        x, y, width, height = face.box.astype(np.float64)
        corner = geometry.apply(affine, np.array([x - 0.5, y - 0.5])) + 0.5  # pixels' edges, not centres
        box = np.array([*corner, width * affine[0, 0], height * affine[1, 1]]).astype(np.float32)
    points = geometry.apply(affine, face.landmarks).astype(np.float32)
    face = bare(face)  # the crop is upright, and its picture has no orientation
    return replace(face, image=name, landmarks=points, box=box, image_size=(size, size))
