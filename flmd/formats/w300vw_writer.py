"""Writing 300-VW: ``w300vw.W300Vw`` says what is lost."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import NOT_LABELLED, Face
from flmd.formats.base import WriteReport
from flmd.formats.common.sidecar_files import write_file
from flmd.formats.layout import photo_of, resolve, split_of_path, whole_or_nothing
from flmd.formats.pts_file import rounds, text_of, to_base_1
from flmd.formats.writing import check_points, count_lost
from flmd.schemes import Scheme
from flmd.tree import FileTree

FRAMES_A_SECOND = 25.0
CODECS = ("FFV1", "MJPG")
_FRAME = re.compile(r"(?P<id>.+)/vid/(?P<number>[0-9]{6,9})\.png", re.DOTALL)


def write(faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None) -> WriteReport:
    """Write the folder; memory holds one picture, and the id and last frame of each video."""
    report = WriteReport()
    with whole_or_nothing(target) as scratch:
        scratch.mkdir()
        folder = _Annotations(scratch) if pictures is None else _Videos(scratch, pictures)
        try:
            for face in faces:
                check_points(face, scheme)
                image = resolve("", face.image)
                if image is None:
                    report.lost["face with unwritable image name"] += 1
                    continue
                try:
                    video, number, lost = folder.add(face, image)
                except _UnreadableError:
                    report.lost["face without readable picture"] += 1
                    continue
                except _BadNameError:
                    report.lost["face with unwritable image name"] += 1
                    continue
                report.faces += 1
                read_back = f"{video}/vid/{number:06}.png"
                report.lost.update(lost)
                if rounds(face):
                    report.lost["sub-pixel"] += 1
                if image == face.image != read_back:
                    report.lost["image name"] += 1
                count_lost(
                    report,
                    face,
                    keeps=("unlabelled points",),
                    subject=posixpath.basename(video),
                    split=split_of_path(video) or "",
                )
        finally:
            folder.close()
    return report


class _BadNameError(Exception):
    """No file can be made under this name."""


class _UnreadableError(Exception):
    """There is no such picture, or it cannot be decoded."""


class _Annotations:
    """Annotations only: frames are numbered as the pictures' names say, or in turn."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last: dict[str, int] = {}

    def add(self, face: Face, image: str) -> tuple[str, int, list[str]]:
        """Write a face; its video, its frame, and what was lost."""
        video = _id_of(face, image)
        said = _FRAME.fullmatch(image)
        number = self._last.get(video, 0) + 1
        if said and int(said["number"]) > number:
            number = int(said["number"])
        _write_points(self._folder, video, number, face)
        self._last[video] = number
        return video, number, ["pictures"]

    def close(self) -> None:
        """Nothing is open."""


class _Videos:
    """Videos with their annotations, one open at a time."""

    def __init__(self, folder: Path, pictures: FileTree) -> None:
        self._folder, self._pictures = folder, pictures
        self._taken: set[str] = set()
        self._wanted: tuple[str, tuple[int, ...]] | None = None
        self._video, self._number = "", 0
        self._writer: Any = None
        self._codec = CODECS[0]

    def add(self, face: Face, image: str) -> tuple[str, int, list[str]]:
        """Write a face and its picture; its video, its frame, and what was lost.

        _UnreadableError when the picture cannot be had, _BadNameError when its video cannot be named so.
        """
        pixels = self._decode(image)
        height, width = pixels.shape[:2]
        lost = []
        if width % 2 or height % 2:  # OpenCV would cut the last column or row off
            lost.append("picture size")
            pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        wanted = _id_of(face, image), pixels.shape
        if wanted != self._wanted:
            self._begin(*wanted)
        _write_points(self._folder, self._video, self._number + 1, face)
        self._writer.write(np.ascontiguousarray(pixels[:, :, ::-1]))
        self._number += 1
        if self._codec != CODECS[0]:
            lost.append("pixels")
        return self._video, self._number, lost

    def close(self) -> None:
        """Finish the open video and put it in its place."""
        if self._writer is not None:
            self._writer.release()
            self._writer, self._wanted = None, None
            self._part.replace(self._folder / self._video / "vid.avi")

    @property
    def _part(self) -> Path:
        # FFmpeg need not understand the names of pictures.
        return self._folder / ".part.avi"

    def _decode(self, image: str) -> NDArray[np.uint8]:
        from flmd.core import images

        try:
            data = self._pictures.read(image)
            images.probe(data)
            return images.decode(data)
        except InputError:
            raise _UnreadableError from None

    def _begin(self, video: str, shape: tuple[int, ...]) -> None:
        import cv2

        self.close()
        name, number = video, 1
        while name in self._taken:
            number += 1
            name = f"{video}_{number}"
        if not write_file(self._folder, f"{name}/vid.avi", b""):
            raise _BadNameError
        for self._codec in CODECS:
            code = cv2.VideoWriter_fourcc(*self._codec)  # type: ignore[attr-defined]
            size = shape[1], shape[0]
            writer = cv2.VideoWriter(str(self._part), cv2.CAP_FFMPEG, code, FRAMES_A_SECOND, size)
            if writer.isOpened():
                break
        else:
            raise InputError(f"this OpenCV cannot write videos of {shape[1]}x{shape[0]} pixels")
        self._taken.add(name)
        self._video, self._number, self._writer, self._wanted = name, 0, writer, (video, shape)


def _id_of(face: Face, image: str) -> str:
    """The video that a face goes to: the one its picture is a frame of, its person's, or its folder's."""
    said = _FRAME.fullmatch(image)
    if said:
        return said["id"]
    person = "" if face.subject == photo_of(face.image) else resolve("", face.subject)
    return person or posixpath.dirname(image) or "video"


def _write_points(folder: Path, video: str, number: int, face: Face) -> None:
    points = np.where(face.visibility[:, None] == NOT_LABELLED, np.nan, to_base_1(face.landmarks))
    if not write_file(folder, f"{video}/annot/{number:06}.pts", text_of(points)):
        raise _BadNameError
