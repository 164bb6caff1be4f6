"""Writing WebDataset shards: ``webdataset.WebDataset`` says what is lost."""

from __future__ import annotations

import io
import posixpath
import tarfile
from collections.abc import Iterable
from pathlib import Path

from flmd.core.atomic import whole_or_nothing
from flmd.errors import InputError
from flmd.face import Face
from flmd.formats.base import WriteReport
from flmd.formats.common.face_record import KEEPS, record_of
from flmd.formats.common.json_file import json_text
from flmd.formats.common.json_lists import writable_attributes
from flmd.formats.common.text_list import listable
from flmd.formats.layout import PICTURE_ENDINGS, resolve
from flmd.formats.writing import check_points, count_lost, usable_box
from flmd.schemes import Scheme
from flmd.tree import FileTree
from flmd.tree.names import is_junk

MOST_FACES, MOST_BYTES = 10_000, 256 << 20  # of a shard


def write(faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None) -> WriteReport:
    """Write a folder with shards for each split; whole, or not there. Memory holds the keys given out."""
    report = WriteReport()
    with whole_or_nothing(target) as folder:
        folder.mkdir()
        shards = _Shards(folder)
        keys = _Keys()
        try:
            for face in faces:
                check_points(face, scheme)
                image = resolve("", face.image) if listable(face.image) else None
                if image is None or is_junk(image):
                    report.lost["face with unwritable image name"] += 1
                    continue
                key = keys.of(image)
                kept = writable_attributes(face.attributes)
                picture = picture_of(face, pictures)
                sample = {f"{key}.json": json_text(record_of(face, scheme, kept))}
                read_back = image
                if picture is not None:
                    named = f"{key}{_ending(image)}"
                    sample = {named: picture, **sample}
                    read_back = keys.read_back(image, named)
                shards.add(face.split, sample)
                report.faces += 1
                _count_losses(report, face, picture is None, image, read_back, kept)
        finally:
            shards.close()
    return report


def picture_of(face: Face, pictures: FileTree | None) -> bytes | None:
    """The bytes of a face's picture, None when there is none that can be read."""
    if pictures is None or face.image not in pictures:
        return None
    try:
        return pictures.read(face.image)
    except InputError:
        return None


def _ending(image: str) -> str:
    ending = posixpath.splitext(image)[1]
    return ending if ending.lower() in PICTURE_ENDINGS else ".jpg"


def _count_losses(
    report: WriteReport, face: Face, no_picture: bool, image: str, read_back: str, kept: Iterable[str]
) -> None:
    if no_picture:
        report.lost["picture"] += 1
    if face.box is not None and not usable_box(face):
        report.lost["box"] += 1
    if image == face.image != read_back:
        report.lost["image name"] += 1
    count_lost(
        report,
        face,
        keeps=KEEPS,
        subject=face.subject,
        split=face.split,
        subset=face.subset,
        attributes=list(kept),
    )


class _Keys:
    """The key of each face, given out once, and the names of pictures that they make."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._pictures: set[str] = set()

    def of(self, image: str) -> str:
        """The key of a face in a picture: its stem, with ``_face2`` and so on where that is taken."""
        folder, base = posixpath.split(posixpath.splitext(image)[0])
        stem = posixpath.join(folder, base.replace(".", "_") or "_")
        key, number = stem, 1
        while key in self._taken:
            number += 1
            key = f"{stem}_face{number}"
        self._taken.add(key)
        return key

    def read_back(self, image: str, named: str) -> str:
        """What reading back calls the picture of a face that was written as ``named``."""
        self._pictures.add(named)
        return image if image in self._pictures else named


class _Shards:
    """The shards of a folder; one for each split is open at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, tarfile.TarFile] = {}
        self._made: dict[str, int] = {}
        self._faces: dict[str, int] = {}

    def add(self, split: str, sample: dict[str, bytes]) -> None:
        """Put the files of a sample, which share a key, into the split's shard; begin the next when full."""
        tar = self._open.get(split) or self._begin(split)
        for name, data in sample.items():
            member = tarfile.TarInfo(name)  # mtime, uid, gid 0, mode 0644 and no owner's name
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        self._faces[split] += 1
        if self._faces[split] >= MOST_FACES or tar.offset >= MOST_BYTES:
            tar.close()
            del self._open[split]

    def close(self) -> None:
        """Close all shards; of no face at all, there is one that is empty."""
        if not self._made:
            self._begin("")
        for tar in self._open.values():
            tar.close()
        self._open.clear()

    def _begin(self, split: str) -> tarfile.TarFile:
        number = self._made.get(split, 0)
        path = self._folder / f"{split or 'unsplit'}-{number:06d}.tar"
        self._made[split], self._faces[split] = number + 1, 0
        tar = tarfile.TarFile(
            path, "w", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape"
        )
        self._open[split] = tar
        return tar
