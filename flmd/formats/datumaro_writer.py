"""Writing Datumaro's JSON: ``datumaro.Datumaro`` says what is lost."""

from __future__ import annotations

import contextlib
import json
import posixpath
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from flmd.core.atomic import whole_or_nothing
from flmd.face import NOT_LABELLED, Face
from flmd.formats.base import WriteReport
from flmd.formats.common.json_lists import shortest, writable_attributes
from flmd.formats.layout import photo_of, resolve
from flmd.formats.writing import check_points, count_lost, usable_box
from flmd.schemes import Scheme

_KEEPS = ("box", "box source", "visibility", "unlabelled points", "dataset", "image size")
_IMAGE = 2  # Datumaro's number for data sets of pictures


def picture_name(image: str, split: str) -> str:
    """Where the picture of a face belongs: ``images/<split>/<path>``, which stays what it is."""
    folder = f"images/{split or 'default'}/"
    return image if image.startswith(folder) else folder + image


def write(faces: Iterable[Face], target: Path, scheme: Scheme) -> WriteReport:
    """Write a folder with ``annotations/``; whole, or not there. Memory holds one item a split."""
    report = WriteReport()
    with whole_or_nothing(target) as folder, contextlib.ExitStack() as stack:
        (folder / "annotations").mkdir(parents=True)
        files: dict[str, _File] = {}

        def file_of(split: str) -> _File:
            if split not in files:
                path = folder / "annotations" / f"{split or 'default'}.json"
                files[split] = _File(stack.enter_context(path.open("wb")), scheme, split)
            return files[split]

        for face in faces:
            check_points(face, scheme)
            image = resolve("", face.image)
            if image is None:
                report.lost["face with unwritable image name"] += 1
                continue
            kept = writable_attributes(face.attributes)
            file_of(face.split).add(face, image, kept)
            report.faces += 1
            if face.box is not None and not usable_box(face):
                report.lost["box"] += 1
            read_back = picture_name(image, face.split)
            if image == face.image != read_back:
                report.lost["image name"] += 1
            count_lost(report, face, keeps=_KEEPS, subject=face.subject, split=face.split, attributes=kept)
        if not files:
            file_of("")
        for file in files.values():
            file.close()
    return report


class _File:
    """One file of items; faces of a picture that follow each other share an item."""

    def __init__(self, file: BinaryIO, scheme: Scheme, split: str) -> None:
        self._file, self._folder = file, f"images/{split or 'default'}/"
        self._ids: set[str] = set()
        self._image: tuple[str, object] | None = None
        self._annotations: list[dict[str, Any]] = []
        self._count = self._group = 0
        self._put(f'{{"dm_format_version": "1.0", "media_type": {_IMAGE}, "infos": {{}},\n"categories": ')
        self._put(json.dumps(_categories(scheme)) + ',\n"items": [')

    def add(self, face: Face, image: str, attributes: dict[str, Any]) -> None:
        """Append the annotations of a face."""
        if (image, face.image_size) != self._image:
            self._end_item()
            self._image = image, face.image_size
        self._group += 1
        self._annotations += _annotations(face, attributes, self._group, self._count)
        self._count += 2

    def close(self) -> None:
        """Write the last item and the end."""
        self._end_item()
        self._put("\n]}\n")

    def _end_item(self) -> None:
        if self._image is None:
            return
        image, size = self._image
        path = image.removeprefix(self._folder)
        stem = posixpath.splitext(path)[0] or path
        key, number = stem, 1
        while key in self._ids:  # ids tell items apart, where pictures share a stem or come back
            number += 1
            key = f"{stem}_{number}"
        media: dict[str, Any] = {"path": path}
        if isinstance(size, tuple):
            media["size"] = [int(size[1]), int(size[0])]
        item = {"id": key, "annotations": self._annotations, "attr": {}, "image": media}
        self._put(("," if self._ids else "") + "\n" + json.dumps(item, allow_nan=False))
        self._ids.add(key)
        self._annotations = []

    def _put(self, text: str) -> None:
        self._file.write(text.encode())


def _categories(scheme: Scheme) -> dict[str, Any]:
    joints = [[a + 1, b + 1] for a, b in scheme.skeleton]
    return {
        "label": {"labels": [{"name": "face", "parent": "", "attributes": []}], "attributes": []},
        "points": {"items": [{"label_id": 0, "labels": list(scheme.points), "joints": joints}]},
    }


def _annotations(face: Face, attributes: dict[str, Any], group: int, number: int) -> list[dict[str, Any]]:
    """The points of a face and, where it has one, its box, which share a group."""
    labelled = (face.visibility != NOT_LABELLED) & np.isfinite(face.landmarks).all(axis=1)
    said = {
        "subject": "" if face.subject in ("", photo_of(face.image)) else face.subject,
        "dataset": face.dataset,
        "box_source": "" if face.box_source in ("annotated", "none") else face.box_source,
    }
    own = {key: value for key, value in said.items() if value}
    common = {"label_id": 0, "group": group, "z_order": 0}
    points = {
        "id": number,
        "type": "points",
        "attributes": attributes,
        **common,
        "points": shortest(np.where(labelled[:, None], face.landmarks, np.float32(0))),
        "visibility": np.where(labelled, face.visibility, 0).tolist(),
        **({"flmd": own} if own else {}),
    }
    if face.box is None or not usable_box(face):
        return [points]
    box = {"id": number + 1, "type": "bbox", "attributes": {}, **common, "bbox": shortest(face.box)}
    return [points, box]
