"""The iBUG 300-W half of the built-in sample: which pictures there are, how one is drawn, the archive."""

from __future__ import annotations

import dataclasses
import io
import struct
import tarfile
import zlib
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from flmd.core import exact
from flmd.schemes import IBUG68
from flmd.sources.sample.camera import Head
from flmd.sources.sample.draws import Draws
from flmd.sources.sample.person import draw_expression, draw_person
from flmd.sources.sample.scene import draw_camera, draw_light, render

TOP_FOLDER = "ibug_300W_large_face_landmark_dataset"
MIRRORED_SHARE = 0.2  # of the training faces
_FOLDERS = {"afw": 0.11, "helen/trainset": 0.63, "lfpw/trainset": 0.26}
_TEST_FOLDERS = {"helen/testset": 0.48, "lfpw/testset": 0.32, "ibug": 0.20}
_NAMES = {
    "afw": lambda i: f"{1051618982 + 70937 * i}_1",
    "helen/trainset": lambda i: f"{100032540 + 204187 * i}_1",
    "helen/testset": lambda i: f"{296814969 + 81031 * i}_1",
    "lfpw/trainset": lambda i: f"image_{i + 1:04d}",
    "lfpw/testset": lambda i: f"image_{i + 1:04d}",
    "ibug": lambda i: f"image_{i + 3:03d}_1",
}


@dataclass(frozen=True)
class Picture:
    """What is asked of one picture. ``index`` keys its random numbers."""

    index: int
    folder: str
    name: str
    heads: int = 1
    mirrored: bool = False
    grey: bool = False
    exif: bool = False
    cut: bool = False

    @property
    def test(self) -> bool:
        return self.folder in _TEST_FOLDERS


@dataclass(frozen=True)
class Entry:
    """One ``<image>``: path in the archive's top folder, JPEG, size, a box and 68 points for each face."""

    file: str
    jpeg: bytes
    width: int
    height: int
    boxes: NDArray[np.int64]  # (N, 4) left, top, width, height
    points: NDArray[np.int64]  # (N, 68, 2)
    test: bool


def random(seed: int, *stream: int) -> Draws:
    """Independent numbers for each of up to three stream indices below 2**32."""
    return Draws([seed, 300], [0, *stream] + [0] * (3 - len(stream)))


def plan(faces: int, seed: int) -> list[Picture]:
    """The pictures that hold ``faces`` boxes, mirrored twins included."""
    test = round(0.25 * faces)
    twins = max(2, round(MIRRORED_SHARE * (faces - test)))
    pictures: list[Picture] = []
    for folders, count in ((_FOLDERS, faces - test - twins), (_TEST_FOLDERS, test)):
        edges = np.round(np.cumsum([0, *folders.values()]) * count).astype(int)
        for folder, begin, end in zip(folders, edges, edges[1:], strict=False):
            left, number = int(end - begin), 0
            while left > 0:
                heads = 2 if left > 1 and number % 19 == 1 and "lfpw" not in folder else 1
                pictures.append(Picture(len(pictures), folder, _NAMES[folder](number), heads))
                left -= heads
                number += 1
    single = [p.index for p in pictures if not p.test and p.heads == 1]
    for index in random(seed, 1).permutation(single)[:twins].tolist():
        pictures[index] = dataclasses.replace(pictures[index], mirrored=True)
    exif = next(p.index for p in pictures if p.folder == "helen/trainset" and p.heads == 1 and not p.mirrored)
    return [
        dataclasses.replace(p, grey=p.index % 17 == 5, cut=p.index % 14 == 3, exif=p.index == exif)
        for p in pictures
    ]


def draw(seed: int, picture: Picture) -> list[Entry]:
    """The picture, and its mirrored twin where it has one."""
    rng = random(seed, 2, picture.index)
    hard = picture.folder == "ibug"
    sizes = (52 * exact.exp(rng.normal(0, 0.2, picture.heads))).clip(36, 80)  # inter-ocular, pixels
    width, height = (int(sizes[0] * rng.uniform(3.6, 4.8)) for _ in range(2))
    if picture.heads == 2:
        width = int(width + 2.4 * sizes.max())
    heads = []
    for number, size in enumerate(sizes.tolist()):
        person = draw_person(rng)
        expression = draw_expression(rng, 1.3 if hard else 1.0)
        spread = 1.5 if hard else 1.0
        yaw = np.clip(rng.normal(0, 15 * spread), -45, 45)
        pitch, roll = np.clip(rng.normal(0, (7 * spread, 8 * spread)), (-20, -25), (20, 25))
        share = (number + 0.5) / picture.heads + rng.normal(0, 0.02)
        x, y = share * width, (0.42 + rng.normal(0, 0.02)) * height
        if picture.cut:  # so near the edge that the box leaves the image
            x, y = (0.75 * size, y) if rng.random() < 0.5 else (x, 0.12 * size)
        heads.append(
            Head(person, expression, float(yaw), float(pitch), float(roll), (float(x), float(y)), size)
        )
    image = render(rng, rng, (width, height), heads, draw_light(rng, hard or rng.random() < 0.12),
                   draw_camera(rng, hard), things=0.3 if hard else 0.12)  # fmt: skip
    faces = [head.landmarks() for head in heads]
    points = np.floor(np.stack(faces) + 0.5).astype(np.int64)
    boxes = np.stack([_detected(face, rng) for face in faces])
    quality = int(rng.integers(60, 96))
    file = f"{picture.folder}/{picture.name}"
    entries = [
        Entry(f"{file}.jpg", _jpeg(image, quality, picture), width, height, boxes, points, picture.test)
    ]
    if picture.mirrored:
        flipped = points[:, IBUG68.flip_indices()] * (-1, 1) + (width - 1, 0)
        left = width - boxes[:, 0] - boxes[:, 2]
        mirrored = np.concatenate([left[:, None], boxes[:, 1:]], axis=1)
        jpeg = _jpeg(np.ascontiguousarray(image[:, ::-1]), quality, picture)
        entries.append(Entry(f"{file}_mirror.jpg", jpeg, width, height, mirrored, flipped, picture.test))
    return entries


class _Gzip(io.RawIOBase):
    """A gzip file of blocks that are stored as they are: zlib's bytes differ from one build to the next."""

    BLOCK = 0xFFFF

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._held = file, bytearray()
        self._check = self._size = 0
        file.write(bytes.fromhex("1f8b08000000000000ff"))

    def write(self, data: Any) -> int:
        self._check, self._size = zlib.crc32(data, self._check), self._size + len(data)
        self._held += data
        while len(self._held) > self.BLOCK:
            self._block(bytes(self._held[: self.BLOCK]), last=False)
            del self._held[: self.BLOCK]
        return len(data)

    def close(self) -> None:
        if self.closed:
            return
        self._block(bytes(self._held), last=True)
        self._file.write(struct.pack("<II", self._check, self._size & 0xFFFFFFFF))
        super().close()

    def _block(self, data: bytes, *, last: bool) -> None:
        size = len(data)
        self._file.write(
            bytes([last]) + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little") + data
        )


def write(path: Path, drawn: Iterable[list[Entry]]) -> None:
    """The archive; the same entries give the same bytes."""
    entries = [entry for group in drawn for entry in group]
    train = [entry for entry in entries if not entry.test]
    test = [entry for entry in entries if entry.test]
    lists = {"": (entries, "All images"), "_train": (train, "train subset"), "_test": (test, "test subset")}
    members = {entry.file: entry.jpeg for entry in entries}
    for suffix, (chosen, title) in lists.items():
        members[f"labels_ibug_300W{suffix}.xml"] = _xml(chosen, title)
    folders = {str(parent) for name in members for parent in Path(name).parents}
    with (
        path.open("wb") as raw,
        closing(_Gzip(raw)) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name in sorted(members.keys() | folders):
            info = tarfile.TarInfo(TOP_FOLDER if name == "." else f"{TOP_FOLDER}/{name}")
            if name in members:
                info.size, info.mode = len(members[name]), 0o644
                archive.addfile(info, io.BytesIO(members[name]))
            else:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(info)


def _detected(points: NDArray[np.float64], rng: Draws) -> NDArray[np.int64]:
    """The inclusive box a face detector might draw: left, top, width, height."""
    low, high = points.min(axis=0), points.max(axis=0)
    wide, tall = (high - low).tolist()
    size = 1.03 * np.sqrt(wide * tall) * exact.exp(rng.normal(0, 0.05))
    sides = size * (1 + rng.normal(0, 0.015, 2))
    middle = (low + high) / 2 + size * rng.normal(0, 0.03, 2)
    return np.concatenate([np.round(middle - sides / 2), np.round(sides)]).astype(np.int64)


def _jpeg(image: NDArray[np.uint8], quality: int, picture: Picture) -> bytes:
    stored = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY if picture.grey else cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    return data[:2] + _orientation(6) + data[2:] if picture.exif else data


def _orientation(value: int) -> bytes:
    """An EXIF segment that holds nothing but an orientation."""
    entry = (0x0112).to_bytes(2) + (3).to_bytes(2) + (1).to_bytes(4) + value.to_bytes(2) + bytes(2)
    tiff = b"MM\0*" + (8).to_bytes(4) + (1).to_bytes(2) + entry + bytes(4)
    body = b"Exif\0\0" + tiff
    return b"\xff\xe1" + (len(body) + 2).to_bytes(2) + body


def _xml(entries: list[Entry], title: str) -> bytes:
    lines = [
        "<?xml version='1.0' encoding='ISO-8859-1'?>",
        "<?xml-stylesheet type='text/xsl' href='image_metadata_stylesheet.xsl'?>",
        "<dataset>",
        f"<name>iBUG face point dataset - {title}</name>",
        "<comment>Landmarks are 0-based pixel coordinates. Drawn by flmd: nobody is shown.</comment>",
        "<images>",
    ]
    for entry in entries:
        lines.append(f"  <image file=\"{entry.file}\" width='{entry.width}' height='{entry.height}'>")
        for (left, top, width, height), points in zip(
            entry.boxes.tolist(), entry.points.tolist(), strict=True
        ):
            lines.append(f"    <box top='{top}' left='{left}' width='{width}' height='{height}'>")
            lines += [f"      <part name='{i:02d}' x='{x}' y='{y}'/>" for i, (x, y) in enumerate(points)]
            lines.append("    </box>")
        lines.append("  </image>")
    return "\n".join([*lines, "</images>", "</dataset>", ""]).encode("iso-8859-1")
