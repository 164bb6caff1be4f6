"""Writing COFW-68: ``cofw68.Cofw68`` says what is lost."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from flmd.errors import InputError
from flmd.face import HIDDEN, Face
from flmd.formats.base import WriteReport
from flmd.formats.common.inner_pictures import count_picture_name
from flmd.formats.common.mat5 import mat5_bytes
from flmd.formats.layout import photo_of, whole_or_nothing
from flmd.formats.writing import check_points, count_lost, usable_box
from flmd.schemes import Scheme

POINTS = 68
BOXES = re.compile(r"cofw68.*_bboxes\.mat")
_KEEPS = frozenset({"box", "visibility", "unlabelled points"})


def write(faces: Iterable[Face], target: Path, scheme: Scheme) -> WriteReport:
    """Write a folder with a folder for each split; whole, or not there. Memory holds the boxes."""
    if scheme.count != POINTS:
        raise InputError(f"scheme {scheme.name} has {scheme.count} points", expected=str(POINTS))
    report = WriteReport()
    boxes: dict[str, array[float]] = {}
    with whole_or_nothing(target) as scratch:
        scratch.mkdir()
        for face in faces:
            check_points(face, scheme)
            folder = scratch / (face.split or "unsplit")
            if face.split not in boxes:
                boxes[face.split] = array("d")
                folder.mkdir()
            rows = boxes[face.split]
            number = len(rows) // 4 + 1
            content = {
                "Points": face.landmarks.astype(np.float64) + 1,
                "Occ": (face.visibility == HIDDEN).astype(np.uint8)[None],
            }
            (folder / f"{number}_points.mat").write_bytes(mat5_bytes(content))
            box = face.box if face.box is not None and usable_box(face) else np.full(4, np.nan)
            rows.extend((np.asarray(box, np.float64) + np.array([1, 1, 0, 0])).tolist())
            image = f"{folder.name}/{number}.png"
            count_lost(report, face, keeps=_KEEPS, subject=photo_of(image), split=face.split)
            count_picture_name(report, face, image)
            if face.box is not None and not usable_box(face):
                report.lost["box"] += 1
            report.faces += 1
        for split, rows in boxes.items():
            path = scratch / (split or "unsplit") / f"cofw68_{split or 'unsplit'}_bboxes.mat"
            path.write_bytes(mat5_bytes({"bboxes": np.array(rows).reshape(-1, 4)}))
    return report
