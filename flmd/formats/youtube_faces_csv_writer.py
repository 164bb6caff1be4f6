"""Writing the YouTube Faces CSV: ``youtube_faces_csv.YouTubeFacesCsv`` says what is lost."""

from __future__ import annotations

import contextlib
import posixpath
import re
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from flmd.errors import InputError
from flmd.face import Face
from flmd.formats.base import WriteReport
from flmd.formats.layout import count_description_losses, resolve, split_of, whole_or_nothing

POINTS = 68
COLUMNS = ["", *map(str, range(2 * POINTS))]
PUBLISHED = {"train": "training_frames_keypoints.csv", "test": "test_frames_keypoints.csv"}
FOLDERS = {"train": ("training", "train"), "val": ("val", "validation"), "test": ("test", "testing")}
_FRAME = re.compile(r"_\d+$")


def person_of(image: str) -> str:
    """``Luis_Fonsi`` for ``training/Luis_Fonsi_21.jpg``: folder, ending and frame number taken off."""
    stem = posixpath.splitext(posixpath.basename(image))[0]
    return _FRAME.sub("", stem) or stem


def write(faces: Iterable[Face], target: Path) -> WriteReport:
    """Write one file (``*.csv``), or a folder with the published two; whole, or not there."""
    one_file = target.suffix.lower() == ".csv"
    report = WriteReport()
    with whole_or_nothing(target) as scratch, contextlib.ExitStack() as stack:  # closed, then renamed
        if not one_file:
            scratch.mkdir()
        files: dict[str, tuple[BinaryIO, set[str]]] = {}

        def file_of(split: str) -> tuple[BinaryIO, set[str]]:
            if split not in files:
                path = scratch if one_file else scratch / PUBLISHED[split]
                files[split] = stack.enter_context(path.open("wb")), set()
                files[split][0].write((",".join(COLUMNS) + "\n").encode())
            return files[split]

        for face in faces:
            if face.landmarks.shape != (POINTS, 2):
                what = f"landmarks of shape {face.landmarks.shape}"
                raise InputError(what, where=face.where or face.image, expected=f"({POINTS}, 2)")
            written = split_of(target.name) or "" if one_file else "test" if face.split == "test" else "train"
            file, names = file_of("" if one_file else written)
            name = _name_in(face.image, written)
            if name in names:
                report.lost["another face of one picture"] += 1
                continue
            names.add(name)
            row = ",".join([_quoted(name), *_cells(face)]) + "\n"
            file.write(row.encode("utf-8", "surrogateescape"))
            _count_losses(report, face, written, name)
            report.faces += 1
        if not files:
            file_of("" if one_file else "train")
    return report


def _name_in(image: str, split: str) -> str:
    """How a row names a picture: without its split's folder, as published."""
    folder = FOLDERS[split][0] + "/" if split else ""
    return image[len(folder) :] if folder and image.startswith(folder) else image


def _count_losses(report: WriteReport, face: Face, split: str, name: str) -> None:
    count_description_losses(report, face, person_of(name))
    if face.split != split:
        report.lost["split"] += 1
    if face.box is not None:
        report.lost["box"] += 1
    if face.attributes:
        report.lost["attributes"] += 1
    if resolve("", face.image) != face.image:
        report.lost["image name"] += 1


def _cells(face: Face) -> list[str]:
    """136 numbers as text; blank where a point is not labelled."""
    values = face.landmarks.astype(np.float32).ravel()
    # Python's own repr of whole numbers is as short as numpy's of float32, and ten times as fast.
    if (np.floor(values) == values).all() and (np.abs(values) < 1e7).all():
        return list(map(repr, values.tolist()))
    labelled = np.isfinite(face.landmarks).all(axis=1).repeat(2)
    return [str(v) if known else "" for v, known in zip(values, labelled, strict=True)]


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if re.search('[,"\r\n]|^$', text) else text
