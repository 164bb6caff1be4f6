"""Writing Label Studio tasks: :class:`flmd.formats.label_studio.LabelStudio` says what is lost."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import numpy as np

from flmd.core.geometry import box_of_points
from flmd.face import Face
from flmd.formats.base import WriteReport
from flmd.formats.layout import photo_of, resolve
from flmd.formats.writing import check_points, count_lost, list_files, usable_box
from flmd.schemes import Scheme

LOCAL = "/data/local-files/?d="
_POINT_SIZE = 0.5  # percent, as it is drawn


def write(faces: Iterable[Face], target: Path, scheme: Scheme) -> WriteReport:
    """Write one file (``*.json``), or a folder with a file for each split; whole, or not there."""
    report = WriteReport()
    with list_files(target, ".json", "tasks") as files:
        lists: dict[str, _List] = {}
        for face in faces:
            check_points(face, scheme)
            reason = _unwritable(face)
            if reason:
                report.lost[reason] += 1
                continue
            key = "" if files.one else face.split
            if key not in lists:
                lists[key] = _List(files.of(key), scheme)
            lists[key].add(face)
            _count_losses(report, face, files.split_read_back(face.split))
            report.faces += 1
        for tasks in lists.values():
            tasks.close()
        if not lists:
            files.of("").write(b"[]\n")
    return report


def _unwritable(face: Face) -> str | None:
    if resolve("", face.image) is None:
        return "face with unwritable image name"
    if face.image_size is None:
        return "face without image size"
    if not usable_box(face) and not (face.visibility > 0).any():
        return "face without box and points"
    return None


def _count_losses(report: WriteReport, face: Face, split: str) -> None:
    if not usable_box(face):
        report.lost["box"] += 1
    elif face.box_source != "annotated":
        report.lost["box source"] += 1
    count_lost(
        report,
        face,
        keeps=("box", "box source", "unlabelled points"),
        subject=photo_of(face.image),
        split=split,
    )


class _List:
    """One file being written; faces of one picture that follow each other share its task."""

    def __init__(self, file: BinaryIO, scheme: Scheme) -> None:
        self._file, self._points = file, scheme.points
        self._image: tuple[str, tuple[int, int] | None] | None = None
        self._tasks = self._faces = 0

    def add(self, face: Face) -> None:
        """Append the regions of a face."""
        image = face.image, face.image_size
        text = ",\n"
        if image != self._image:
            text = ("]}]},\n" if self._tasks else "[\n") + self._head(face.image)
            self._image = image
        regions = regions_of_face(face, f"face{self._faces}", self._points)
        self._faces += 1
        self._file.write((text + json.dumps(regions, allow_nan=False)[1:-1]).encode())

    def close(self) -> None:
        """End the document."""
        self._file.write(b"]}]}\n]\n")

    def _head(self, image: str) -> str:
        self._tasks += 1
        data = json.dumps({"image": LOCAL + quote(image, errors="surrogateescape")})
        annotation = f'{{"id": {self._tasks}, "was_cancelled": false, "result": ['
        return f'{{"id": {self._tasks}, "data": {data}, "annotations": [{annotation}'


def regions_of_face(face: Face, name: str, points: tuple[str, ...]) -> list[dict[str, Any]]:
    """A rectangle, and a child of it for each labelled point; the face has an ``image_size``."""
    assert face.image_size is not None
    width, height = map(int, face.image_size)
    labelled = np.isfinite(face.landmarks).all(axis=1) & (face.visibility > 0)
    box = face.box if usable_box(face) else box_of_points(face.landmarks[labelled])
    assert box is not None
    per_pixel = 100 / np.array([width, height], np.float64)
    corner, sides = (box[:2].astype(np.float64) + 0.5) * per_pixel, box[2:].astype(np.float64) * per_pixel
    values = ((face.landmarks.astype(np.float64) + 0.5) * per_pixel).tolist()
    common = {
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
    }
    x_y = dict(zip(("x", "y", "width", "height"), [*corner.tolist(), *sides.tolist()], strict=True))
    rectangle = {
        "id": name,
        "type": "rectanglelabels",
        "from_name": "box",
        **common,
        "value": {**x_y, "rotation": 0, "rectanglelabels": ["face"]},
    }
    children = [
        {
            "id": f"{name}_{i}",
            "parentID": name,
            "type": "keypointlabels",
            "from_name": "points",
            **common,
            "value": {
                "x": values[i][0],
                "y": values[i][1],
                "width": _POINT_SIZE,
                "keypointlabels": [points[i]],
            },
        }
        for i in np.flatnonzero(labelled)
    ]
    return [rectangle, *children]
