"""Faces of a store on their way to people who correct them, and the names by which they are known again.

A face goes out in its context crop, ``helen/a.crop-0123456789ab.png``, whatever became of its picture. The
digits are made of the picture's name, the box and the place of the crop, so that a program may move the
file, flatten its folders or put something before its name. Or it goes out in its picture, under its name.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from flmd.conversion.face_source import StoredFaces
from flmd.conversion.stored_crops import CroppedFaces
from flmd.face import Attribute, Face, Skipped
from flmd.formats.common.inner_pictures import InnerPictures
from flmd.store.face_store import FaceStore
from flmd.tree import FileTree

_CROP = re.compile(r"\.crop-([0-9a-f]{12})\.png$", re.IGNORECASE)

Notes = Mapping[int, Mapping[str, Attribute]]
"""Row -> attributes that a face gets on its way out, so that its corrector sees what was found."""


def crop_keys(store: FaceStore) -> list[str]:
    """Twelve hexadecimal digits for each crop of a store, none twice."""
    boxes, affines = store.column("box"), store.column("affine")
    seen: Counter[bytes] = Counter()
    keys = []
    names = zip(store.texts("dataset"), store.texts("image"), strict=True)
    for row, (dataset, image) in enumerate(names):
        place = f"{dataset}\0{image}\0".encode("utf-8", "surrogateescape")
        place += boxes[row].tobytes() + affines[row].tobytes()
        number = f"\0{seen[place]}" if seen[place] else ""  # a face that the store has twice
        seen[place] += 1
        keys.append(hashlib.blake2b(place + number.encode(), digest_size=6).hexdigest())
    return keys


def key_in(image: str) -> str | None:
    """The digits in the name of a crop that went out; None for any other picture."""
    found = _CROP.search(image)
    return found[1].lower() if found else None


def crops_of(faces: StoredFaces, notes: Notes) -> tuple[list[Face | Skipped], FileTree]:
    """The faces whose rows are in ``notes``, each in a picture of its own, in the order of the store.

    Returns
    -------
    Faces in the pixels of their crops, and the tree that holds these. StoreError without crops.
    """
    cropped, keys = CroppedFaces.of(faces), crop_keys(faces.store)
    chosen: list[Face | Skipped] = []
    inside: dict[str, str] = {}
    for row, face in enumerate(cropped):
        if row not in notes:
            continue
        if isinstance(face, Face):
            name = f"{posixpath.splitext(faces.store.texts('image', slice(row, row + 1))[0])[0]}"
            name += f".crop-{keys[row]}.png"
            inside[name] = face.image
            face = _noted(face, notes[row], name)
        chosen.append(face)
    return chosen, _Renamed(inside, cropped.pictures)


def originals_of(faces: StoredFaces, notes: Notes) -> list[Face | Skipped]:
    """The faces whose rows are in ``notes``, in their own pictures, in the order of the store."""
    return [
        _noted(face, notes[row], face.image) if isinstance(face, Face) else face
        for row, face in enumerate(faces)
        if row in notes
    ]


def _noted(face: Face, note: Mapping[str, Attribute], image: str) -> Face:
    return replace(face, image=image, attributes={**face.attributes, **note})


class _Renamed(InnerPictures):
    """Pictures of another tree, which is closed with this one, under other names."""

    def __init__(self, names: Mapping[str, str], pictures: FileTree | None) -> None:
        assert pictures is not None
        super().__init__(pictures, names)

    def encode(self, place: str) -> bytes:
        return self._tree.read(place)
