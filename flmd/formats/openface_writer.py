"""Writing OpenFace's CSV: ``openface.OpenFace`` says what is lost."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np

from flmd.errors import InputError
from flmd.face import NOT_LABELLED, Face
from flmd.formats.base import WriteReport
from flmd.formats.common.json_lists import shortest
from flmd.formats.common.picture_files import Layout, write_beside
from flmd.formats.layout import LARGEST, resolve, whole_or_nothing
from flmd.formats.openface_rows import FRAME_DIGITS, KEPT, POINTS, POSE, X, Y, frame_in
from flmd.formats.writing import check_points, count_lost, is_file_target, number_text
from flmd.schemes import Scheme

_SEQUENCE = ("frame", "face_id", "timestamp", "confidence", "success", *POSE, *X, *Y)
_PICTURE = ("face", "confidence", *POSE, *X, *Y)
_KEEPS = ("unlabelled points",)
_LARGEST_ID = 1 << 53


def write(faces: Iterable[Face], target: Path, scheme: Scheme) -> WriteReport:
    """Write one file, or a folder with a file for each picture; whole, or not there."""
    if scheme.count != POINTS:
        raise InputError(f"scheme {scheme.name} has {scheme.count} points", expected=str(POINTS))
    if is_file_target(target, ".csv"):
        with whole_or_nothing(target) as scratch:
            return _write_sequence(faces, scratch, target, scheme)
    return write_beside(faces, target, scheme, Layout(".csv", _document, _rows_in, _row, _KEEPS))


def _row(face: Face) -> tuple[str, Collection[str]]:
    """A row of a picture's file, but for its number, and the attributes it holds."""
    kept = _kept(face, ("confidence", *POSE))
    return ",".join([*_described(_PICTURE[1:], kept), *_points(face)]), kept


def _document(image: str, rows: list[str]) -> bytes:
    numbered = (f"{number},{row}" for number, row in enumerate(rows))
    return "\n".join([",".join(_PICTURE), *numbered, ""]).encode()


def _rows_in(document: bytes) -> list[str]:
    return [line.partition(",")[2] for line in document.decode().splitlines()[1:]]


def _write_sequence(faces: Iterable[Face], path: Path, target: Path, scheme: Scheme) -> WriteReport:
    report = WriteReport()
    numbers = _FrameNumbers(target.name[: -len(".csv")])
    with path.open("wb") as file:
        file.write((",".join(_SEQUENCE) + "\n").encode())
        for face in faces:
            check_points(face, scheme)
            kept = _kept(face, (*KEPT, "face_id"))
            frame, further = numbers.of(face.image)
            kept.setdefault("face_id", str(further))
            described = _described(_SEQUENCE[1:], kept | {"success": "1"})
            file.write((",".join([str(frame), *described, *_points(face)]) + "\n").encode())
            report.faces += 1
            if resolve("", face.image) == face.image != numbers.name_of(frame):
                report.lost["image name"] += 1
            count_lost(report, face, keeps=_KEEPS, subject=numbers.folder, attributes=kept)
    return report


class _FrameNumbers:
    """The number of each picture in a sequence; ``folder``: the one that its pictures are looked for in."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._frames: dict[str, int] = {}
        self._faces: dict[int, int] = {}
        self._highest = 0

    def of(self, image: str) -> tuple[int, int]:
        """The frame of a picture, and which of its faces this is, from 0."""
        frame = self._frames.get(image)
        if frame is None:
            frame = self._said(image)
            if frame is None or frame in self._faces:
                frame = self._highest + 1
            self._frames[image] = frame
            self._highest = max(self._highest, frame)
        number = self._faces[frame] = self._faces.get(frame, -1) + 1
        return frame, number

    def name_of(self, frame: int) -> str:
        """What reading back calls the picture of a frame where there is none."""
        return f"{self.folder}/{frame:0{FRAME_DIGITS}d}.jpg"

    def _said(self, image: str) -> int | None:
        stem = posixpath.splitext(image)[0]
        frame = frame_in(posixpath.basename(stem))
        return frame if frame is not None and self.name_of(frame) == stem + ".jpg" else None


def _kept(face: Face, columns: Iterable[str]) -> dict[str, str]:
    """The attributes that have a column, as text that reads back as the same number."""
    kept = {}
    for column in columns:
        value = face.attributes.get(column)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if column == "face_id" and isinstance(value, int) and abs(value) < _LARGEST_ID:
            kept[column] = str(value)
        elif column != "face_id" and abs(value) <= LARGEST:
            kept[column] = number_text(value)
    return kept


def _described(columns: Iterable[str], said: dict[str, str]) -> list[str]:
    """The cells of the columns that are no coordinates."""
    coordinates = {*X, *Y}
    return [said.get(column, "") for column in columns if column not in coordinates]


def _points(face: Face) -> list[str]:
    """All x and then all y, blank where a point is not labelled."""
    values = shortest(face.landmarks.T)
    labelled = (face.visibility != NOT_LABELLED) & np.isfinite(face.landmarks).all(axis=1)
    return [number_text(v) if known else "" for v, known in zip(values, [*labelled, *labelled], strict=True)]
