"""Writing COCO keypoints: :class:`flmd.formats.coco.Coco` says what is kept and what is lost."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from flmd.core.geometry import box_of_points
from flmd.face import Face
from flmd.formats.base import WriteReport
from flmd.formats.common.json_lists import shortest, writable_attributes
from flmd.formats.layout import photo_of, resolve, split_of
from flmd.formats.writing import check_points, count_lost, list_files, usable_box
from flmd.schemes import Scheme

_KEEPS = ("box", "box source", "visibility", "unlabelled points", "dataset", "image size")


def write(faces: Iterable[Face], target: Path, scheme: Scheme) -> WriteReport:
    """Write one file (``*.json``), or a folder with a file for each split; whole, or not there."""
    report = WriteReport()
    with list_files(target, ".json", "annotations") as files, contextlib.ExitStack() as stack:
        lists: dict[str, _List] = {}

        def list_of(split: str) -> _List:
            key = "" if files.one else split
            if key not in lists:
                # Pictures stand before the annotations, so that reading need not go through all twice.
                held = stack.enter_context(tempfile.TemporaryFile(dir=target.parent))
                lists[key] = _List(held)
            return lists[key]

        for face in faces:
            check_points(face, scheme)
            if resolve("", face.image) is None:
                report.lost["face with unwritable image name"] += 1
                continue
            # A folder's files are named after the split, so it need not be repeated for each face.
            said = (split_of(target.name) or "") if files.one else face.split
            list_of(face.split).add(face, said, report)
            report.faces += 1
        if not lists:
            list_of("")
        for split, entries in lists.items():
            entries.copy_to(files.of(split), scheme)
    return report


class _List:
    """The annotations of one file, held until its pictures are known, and these."""

    def __init__(self, held: BinaryIO) -> None:
        self._held = held
        self._images: dict[tuple[str, tuple[int, int] | None], int] = {}
        self._count = 0

    def add(self, face: Face, said: str, report: WriteReport) -> None:
        """Append the annotation of a face; ``said`` is the split that the file's name says."""
        image_id = self._images.setdefault((face.image, face.image_size), len(self._images) + 1)
        self._count += 1
        kept = writable_attributes(face.attributes)
        if face.box is not None and not usable_box(face):
            report.lost["box"] += 1
        count_lost(
            report,
            face,
            keeps=_KEEPS,
            subject=face.subject,
            split=face.split,
            subset=face.subset,
            attributes=kept,
        )
        line = json.dumps(_annotation(face, said, kept, self._count, image_id), allow_nan=False)
        self._held.write(((",\n" if self._count > 1 else "") + line).encode())

    def copy_to(self, file: BinaryIO, scheme: Scheme) -> None:
        """Write the whole document."""
        info = {"description": "Face landmarks", "flmd": {"scheme": scheme.name, "visibility": "coco"}}
        category = {
            "supercategory": "person",
            "id": 1,
            "name": "face",
            "keypoints": list(scheme.points),
            "skeleton": [[a + 1, b + 1] for a, b in scheme.skeleton],
        }
        file.write(f'{{"info": {json.dumps(info)},\n"categories": [{json.dumps(category)}],\n'.encode())
        file.write(b'"images": [')
        for (name, size), number in self._images.items():
            image: dict[str, Any] = {"id": number, "file_name": name}
            if size is not None:
                image |= {"width": int(size[0]), "height": int(size[1])}
            file.write(((",\n" if number > 1 else "\n") + json.dumps(image)).encode())
        file.write(b'\n],\n"annotations": [\n')
        self._held.seek(0)
        shutil.copyfileobj(self._held, file, 1 << 20)
        file.write(b"\n]}\n")


def _annotation(
    face: Face, said: str, attributes: dict[str, Any], number: int, image_id: int
) -> dict[str, Any]:
    labelled = np.isfinite(face.landmarks).all(axis=1) & (face.visibility > 0)
    values = shortest(np.where(labelled[:, None], face.landmarks, np.float32(0)))
    keypoints: list[float] = [0] * (3 * len(labelled))
    keypoints[0::3], keypoints[1::3] = values[0::2], values[1::2]
    keypoints[2::3] = np.where(labelled, face.visibility, 0).tolist()
    has_box = usable_box(face)
    box = shortest(face.box) if has_box and face.box is not None else _box_of(face.landmarks[labelled])
    own = {
        "subject": face.subject if face.subject not in ("", photo_of(face.image)) else "",
        "subset": face.subset,
        "dataset": face.dataset,
        "box_source": "none" if not has_box else face.box_source if face.box_source != "annotated" else "",
    }
    own = {key: value for key, value in own.items() if value}
    if face.split != said:
        own["split"] = face.split
    crowd = attributes.get("iscrowd") is True
    others = {key: value for key, value in attributes.items() if not (crowd and key == "iscrowd")}
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "num_keypoints": int(labelled.sum()),
        "bbox": box,
        "area": min(box[2] * box[3], 1e300),
        "iscrowd": int(crowd),
        "keypoints": keypoints,
        **({"attributes": others} if others else {}),
        **({"flmd": own} if own else {}),
    }


def _box_of(points: NDArray[np.float32]) -> list[float]:
    """x, y, width, height around points; zeros without any."""
    if not len(points):
        return [0.0, 0.0, 0.0, 0.0]
    box: list[float] = box_of_points(points).tolist()
    return box
