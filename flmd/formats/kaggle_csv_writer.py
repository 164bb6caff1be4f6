"""Writing Kaggle's training.csv: ``kaggle_csv.KaggleCsv`` says what is lost."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flmd.core import geometry, images
from flmd.errors import InputError
from flmd.face import Face
from flmd.formats.base import WriteReport
from flmd.formats.common.inner_pictures import count_picture_name
from flmd.formats.kaggle_csv_rows import COLUMNS, SIDE, picture_of
from flmd.formats.layout import photo_of
from flmd.formats.writing import check_points, count_lost, list_files, number_text, usable_box
from flmd.schemes import Scheme
from flmd.tree import FileTree

_MARGIN = 1.25  # side of the crop over the longer side of the box: Kaggle's pictures show whole faces
_FARTHEST = 1e6  # pixels; a box beyond is no place to cut a picture out


def write(faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None) -> WriteReport:
    """Write one file (``*.csv``), or a folder with one for each split; whole, or not there."""
    report = WriteReport()
    rows: dict[str, int] = {}
    with list_files(target, ".csv", "keypoints", (",".join(COLUMNS) + "\n").encode()) as files:
        for face in faces:
            check_points(face, scheme)
            split = files.split_read_back(face.split)
            key = "" if files.one else face.split
            rows[key] = rows.get(key, 0) + 1
            name = target.name if files.one else f"keypoints_{face.split or 'unsplit'}.csv"
            image = picture_of(name, rows[key])
            pixels = _picture(face, pictures)
            points = face.landmarks.astype(np.float64)
            if pixels is None:
                report.lost["picture"] += 1
                if face.image_size is not None:
                    report.lost["image size"] += 1
            else:
                pixels, points = _fitted(face, pixels, points, report)
            files.of(face.split).write(_line(points, pixels))
            count_lost(report, face, keeps={"unlabelled points"}, subject=photo_of(image), split=split)
            count_picture_name(report, face, image)
            report.faces += 1
    return report


def _picture(face: Face, pictures: FileTree | None) -> NDArray[np.uint8] | None:
    """(H, W, 3) RGB, or None when there is no picture to be had."""
    if pictures is None or face.image not in pictures:
        return None
    try:
        data = pictures.read(face.image)
        images.probe(data)
        return images.decode(data)
    except InputError:
        return None


def _fitted(
    face: Face, rgb: NDArray[np.uint8], points: NDArray[np.float64], report: WriteReport
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """(96, 96) grey and the points in it."""
    if (rgb[..., :1] != rgb[..., 1:]).any():
        report.lost["colour"] += 1
    grey = images.to_grey(rgb)
    if grey.shape == (SIDE, SIDE):
        return grey, points
    report.lost["picture resampled to 96x96"] += 1
    affine = geometry.square_crop(_box(face, grey.shape[1], grey.shape[0]), _MARGIN, SIDE)
    return images.warp(grey, affine, SIDE), geometry.apply(affine, points)


def _box(face: Face, width: int, height: int) -> NDArray[np.float64]:
    """The face's box, else that of its points, else the whole picture."""
    choices = [face.box] if usable_box(face) else []
    for box in (*choices, geometry.box_of_points(face.landmarks)):
        if box is not None and np.isfinite(box).all() and np.abs(box).max() < _FARTHEST and max(box[2:]) >= 1:
            return np.asarray(box, np.float64)
    return np.array([0.0, 0, width, height])


def _line(points: NDArray[np.float64], pixels: NDArray[np.uint8] | None) -> bytes:
    # Mapped points are kept as float32, as every reader has them.
    values = points.astype(np.float32).ravel()
    cells = ["" if np.isnan(v) else number_text(v) for v in values.tolist()]
    picture = "" if pixels is None else " ".join(map(str, pixels.ravel().tolist()))
    return (",".join([*cells, picture]) + "\n").encode()
