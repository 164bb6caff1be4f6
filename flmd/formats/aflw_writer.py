"""Writing AFLW's data base: ``aflw.Aflw`` says what is lost."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from flmd.face import Face
from flmd.formats.aflw_db import FEATURES, POINTS, TABLES
from flmd.formats.base import WriteReport
from flmd.formats.layout import photo_of, resolve, whole_or_nothing
from flmd.formats.writing import check_points, count_lost, is_file_target, usable_box
from flmd.schemes import Scheme

_KEEPS = frozenset({"box", "unlabelled points"})
_FLAGS, _POSE = ("occluded", "glasses", "bw"), ("roll", "pitch", "yaw")
_IDS = [FEATURES.index(point) + 1 for point in POINTS]


def write(faces: Iterable[Face], target: Path, scheme: Scheme) -> WriteReport:
    """Write one file, or a folder with ``aflw.sqlite``; whole, or not there."""
    report = WriteReport()
    one = is_file_target(target, ".sqlite")
    with whole_or_nothing(target) as scratch:
        if not one:
            scratch.mkdir()
        path = scratch if one else scratch / "aflw.sqlite"
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as base:
            # What is half written is thrown away with its file: no journal is needed.
            base.execute("PRAGMA journal_mode = OFF")
            base.execute("PRAGMA synchronous = OFF")
            base.execute("BEGIN")
            for table, columns in TABLES.items():
                key = " INTEGER PRIMARY KEY" if table in ("Faces", "FaceImages", "FeatureCoordTypes") else ""
                base.execute(f"CREATE TABLE {table} ({columns[0]}{key}, {', '.join(columns[1:])})")
            base.execute("CREATE UNIQUE INDEX FilesOfImages ON FaceImages (file_id)")
            base.executemany(
                "INSERT INTO FeatureCoordTypes (feature_id, descr) VALUES (?, ?)", enumerate(FEATURES, 1)
            )
            for face in faces:
                check_points(face, scheme)
                if not _writable(face.image):
                    report.lost["face with unwritable image name"] += 1
                    continue
                report.faces += 1
                _write_face(base, face, report.faces)
                _count_losses(report, face)
            base.execute("COMMIT")
    return report


def _writable(image: str) -> bool:
    try:
        image.encode()
    except UnicodeEncodeError:
        return False
    return resolve("", image) is not None


def _write_face(base: sqlite3.Connection, face: Face, number: int) -> None:
    base.execute("INSERT INTO Faces VALUES (?, ?, 'aflw')", (number, face.image))
    base.execute(
        "INSERT INTO FaceImages (db_id, file_id, filepath, width, height) VALUES ('aflw', ?1, ?1, ?2, ?3) "
        # another face of the picture; one of them may know its size
        "ON CONFLICT (file_id) DO UPDATE SET "
        "width = coalesce(width, excluded.width), height = coalesce(height, excluded.height)",
        (face.image, *(face.image_size or (None, None))),
    )
    if face.box is not None and usable_box(face):
        x, y, width, height = face.box.astype(np.float64).tolist()
        base.execute("INSERT INTO FaceRect VALUES (?, ?, ?, ?, ?)", (number, x + 1, y + 1, width, height))
    base.executemany(
        "INSERT INTO FeatureCoords VALUES (?, ?, ?, ?)",
        [
            (number, feature, x + 1, y + 1)
            for feature, (x, y) in zip(_IDS, face.landmarks.astype(np.float64).tolist(), strict=True)
            if x == x and y == y  # not labelled is NaN, and has no row
        ],
    )
    said = _said(face)
    if said.keys() & set(_POSE):
        base.execute("INSERT INTO FacePose VALUES (?, ?, ?, ?)", (number, *map(said.get, _POSE)))
    if said.keys() - set(_POSE):
        keys = ("sex", *_FLAGS)
        base.execute("INSERT INTO FaceMetaData VALUES (?, ?, ?, ?, ?)", (number, *map(said.get, keys)))


def _said(face: Face) -> dict[str, str | float | bool]:
    """The attributes that the tables have a column for, and that come back as they were."""
    out: dict[str, str | float | bool] = {}
    for key, value in face.attributes.items():
        text = key == "sex" and isinstance(value, str) and len(value) <= 40 and value.isprintable()
        flag = key in _FLAGS and isinstance(value, bool)
        number = key in _POSE and isinstance(value, float) and abs(value) < 1e30
        if text or flag or number:
            out[key] = value
    return out


def _count_losses(report: WriteReport, face: Face) -> None:
    count_lost(report, face, keeps=_KEEPS, subject=photo_of(face.image), attributes=_said(face))
    if face.box is not None and not usable_box(face):
        report.lost["box"] += 1
