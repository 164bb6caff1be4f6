"""Writing COFW's MATLAB 7.3 files: ``cofw.Cofw`` says what is lost."""

from __future__ import annotations

import contextlib
import struct
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from flmd.core import images
from flmd.errors import InputError
from flmd.face import HIDDEN, Face
from flmd.formats.base import WriteReport
from flmd.formats.cofw_file import SETS, USERBLOCK, picture_of
from flmd.formats.common.inner_pictures import count_picture_name
from flmd.formats.layout import photo_of, whole_or_nothing
from flmd.formats.writing import check_points, count_lost, is_file_target, usable_box
from flmd.schemes import Scheme
from flmd.tree import FileTree

_WIDTH = 4 + 3 * 29
_BLOCK = 1024  # faces
_KEEPS = frozenset({"box", "visibility", "unlabelled points"})


class _MatFile:
    """One file being written: pictures as they come, the numbers of faces at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = h5py.File(path, "w", userblock_size=USERBLOCK, libver="earliest")
        self._held = self._file.create_group("#refs#")
        self._numbers: dict[str, BinaryIO] = {}
        self.count: dict[str, int] = {}

    def add(self, split: str, numbers: NDArray[np.float64], pixels: NDArray[np.uint8] | None) -> None:
        """``numbers`` (91,): box and phi. ``pixels`` (H, W, 3), or None for an empty cell."""
        if split not in self._numbers:
            self._numbers[split] = tempfile.TemporaryFile()  # noqa: SIM115
            self.count[split] = 0
        self._numbers[split].write(numbers.astype("<f8").tobytes())
        number = self.count[split] = self.count[split] + 1
        if pixels is None:
            # As MATLAB keeps an empty array: its size as the data.
            cell = self._held.create_dataset(f"{split}{number}", data=np.zeros(2, np.uint64))
            cell.attrs["MATLAB_empty"] = np.uint8(1)
        else:
            cell = self._held.create_dataset(f"{split}{number}", data=pixels.T)
        cell.attrs["MATLAB_class"] = np.bytes_("uint8")

    def finish(self) -> None:
        """Write the variables, then MATLAB's header."""
        for split, count in self.count.items():
            self._variables(split, count)
        if not self.count:
            self._variables("train", 0)
        self._file.close()
        text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, written by flmd HDF5 schema 1.00 ."
        with self._path.open("rb+") as raw:
            raw.write(text.ljust(116) + bytes(8) + struct.pack("<H", 0x0200) + b"IM")

    def _variables(self, split: str, count: int) -> None:
        names = dict(zip(("cells", "boxes", "phis"), SETS[split], strict=True))
        cells = self._file.create_dataset(names["cells"], (1, count), h5py.ref_dtype)
        boxes = self._file.create_dataset(names["boxes"], (4, count), "<f8")
        phis = self._file.create_dataset(names["phis"], (_WIDTH - 4, count), "<f8")
        if count:
            self._numbers[split].seek(0)
        for start in range(0, count, _BLOCK):
            end = min(start + _BLOCK, count)
            data = self._numbers[split].read((end - start) * _WIDTH * 8)
            block = np.frombuffer(data, "<f8").reshape(-1, _WIDTH)
            boxes[:, start:end], phis[:, start:end] = block[:, :4].T, block[:, 4:].T
            references = np.empty(end - start, h5py.ref_dtype)
            references[:] = [self._held[f"{split}{n}"].ref for n in range(start + 1, end + 1)]
            cells[0, start:end] = references
        cells.attrs["MATLAB_class"] = np.bytes_("cell")
        for data in (boxes, phis):
            data.attrs["MATLAB_class"] = np.bytes_("double")

    def close(self) -> None:
        """Let go of the files."""
        self._file.close()
        for numbers in self._numbers.values():
            numbers.close()


def write(faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None) -> WriteReport:
    """Write one file, or a folder with one for training and one for testing; whole, or not there."""
    report = WriteReport()
    one = is_file_target(target, ".mat")
    with whole_or_nothing(target) as scratch, contextlib.ExitStack() as stack:
        if not one:
            scratch.mkdir()
        files: dict[str, _MatFile] = {}

        def file_of(split: str) -> _MatFile:
            key = "" if one else split
            if key not in files:
                files[key] = _MatFile(scratch if one else scratch / _name(split))
                stack.callback(files[key].close)
            return files[key]

        for face in faces:
            check_points(face, scheme)
            split = "test" if face.split == "test" else "train"
            file = file_of(split)
            pixels = _pixels(face, pictures)
            file.add(split, _numbers(face, report), pixels)
            if pixels is None:
                report.lost["picture"] += 1
                report.lost["image size"] += face.image_size is not None
            image = picture_of(target.name if one else _name(split), file.count[split])
            count_lost(report, face, keeps=_KEEPS, subject=photo_of(image), split=split)
            count_picture_name(report, face, image)
            report.faces += 1
        if not files:
            file_of("train")
        for file in files.values():
            file.finish()
    report.lost = +report.lost
    return report


def _name(split: str) -> str:
    return f"COFW_{split}_color.mat"


def _pixels(face: Face, pictures: FileTree | None) -> NDArray[np.uint8] | None:
    """(H, W, 3) RGB, or None when there is no picture to be had."""
    if pictures is None or face.image not in pictures:
        return None
    try:
        data = pictures.read(face.image)
        images.probe(data)
        return images.decode(data)
    except InputError:
        return None


def _numbers(face: Face, report: WriteReport) -> NDArray[np.float64]:
    """(91,) box, x, y and flags of a face, 1-based."""
    box = np.full(4, np.nan)
    if face.box is not None and usable_box(face):
        box = face.box.astype(np.float64) + np.array([1, 1, 0, 0])
    elif face.box is not None:
        report.lost["box"] += 1
    points = face.landmarks.astype(np.float64) + 1
    return np.concatenate([box, points[:, 0], points[:, 1], face.visibility == HIDDEN])
