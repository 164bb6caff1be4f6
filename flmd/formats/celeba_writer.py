"""Writing CelebA's lists: ``celeba.CelebA`` says what is lost."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from flmd.errors import InputError
from flmd.face import Face
from flmd.formats.base import WriteReport
from flmd.formats.celeba_files import BOX_HEADER, BOXES, HEADER, IDENTITY, LANDMARKS, PARTITION
from flmd.formats.common.text_list import unlisted
from flmd.formats.layout import photo_of, whole_or_nothing
from flmd.formats.writing import check_points, count_lost, usable_box
from flmd.schemes import Scheme

POINTS = 5
COORDINATES = 2 * POINTS
_HEADERS = {LANDMARKS: HEADER, BOXES: BOX_HEADER, PARTITION: None, IDENTITY: None}
_NUMBERS = {"train": "0", "val": "1", "test": "2"}
_NO_BOX = (0, 0, 0, 0)


def check_scheme(scheme: Scheme) -> None:
    """InputError unless the scheme has five points."""
    if scheme.count != POINTS:
        what = f"scheme {scheme.name} has {scheme.count} points"
        raise InputError(what, expected=f"{POINTS}, as CelebA's lists hold")


def write(faces: Iterable[Face], target: Path, scheme: Scheme) -> WriteReport:
    """Write a folder with the landmarks list and those of the other three that have something to say."""
    report = WriteReport()
    seen: set[str] = set()
    said = {LANDMARKS}
    with whole_or_nothing(target) as scratch:
        scratch.mkdir()
        with ExitStack() as stack:  # closed before the lists are put together
            files = {name: stack.enter_context((scratch / f"{name}.rows").open("wb")) for name in _HEADERS}
            for face in faces:
                check_points(face, scheme)
                why = "another face of one picture" if face.image in seen else unlisted(face)
                if why is not None:
                    report.lost[why] += 1
                    continue
                seen.add(face.image)
                points, box = [_rounded(v) for v in face.landmarks.ravel()], _box(face)
                rows: dict[str, Iterable[object]] = {LANDMARKS: points, BOXES: box}
                if face.split in _NUMBERS:
                    rows[PARTITION] = [_NUMBERS[face.split]]
                if _is_person(face.subject):
                    rows[IDENTITY] = [face.subject]
                for name, cells in rows.items():
                    row = " ".join([face.image, *map(str, cells)]) + "\n"
                    files[name].write(row.encode("utf-8", "surrogateescape"))
                said.update(name for name in rows if name != BOXES or box != _NO_BOX)
                report.faces += 1
                _count_losses(report, face, points, box)
        for name in _HEADERS:
            _finish(scratch, name, report.faces if name in said else None)
    return report


def _finish(folder: Path, name: str, count: int | None) -> None:
    """Put count and header before the rows of a list, which are known only now; no list without a count."""
    rows = folder / f"{name}.rows"
    header = _HEADERS[name]
    if count is not None and header is None:
        rows.rename(folder / name)
        return
    if count is not None:
        with rows.open("rb") as source, (folder / name).open("wb") as whole:
            whole.write(f"{count}\n{header}\n".encode())
            shutil.copyfileobj(source, whole, 1 << 20)
    rows.unlink()


def _rounded(value: np.floating) -> int:
    return math.floor(float(value) + 0.5)


def _box(face: Face) -> tuple[int, int, int, int]:
    """The box in whole numbers; all zero when there is none, or it rounds to one without size."""
    if face.box is None or not usable_box(face):
        return _NO_BOX
    x, y, width, height = map(_rounded, face.box)
    return (x, y, width, height) if min(width, height) > 0 else _NO_BOX


def _is_person(subject: str) -> bool:
    return subject.isascii() and subject.isdecimal()


def _count_losses(report: WriteReport, face: Face, points: list[int], box: tuple[int, ...]) -> None:
    whole = face.landmarks.ravel().tolist() == points
    if box != _NO_BOX and face.box is not None:
        whole = whole and face.box.tolist() == list(box)
    elif face.box is not None:
        report.lost["box"] += 1
    if not whole:
        report.lost["sub-pixel"] += 1
    subject = face.subject if _is_person(face.subject) else photo_of(face.image)
    keeps = ("box",) if box != _NO_BOX else ("box", "box source")
    count_lost(report, face, keeps=keeps, subject=subject, split=face.split)
