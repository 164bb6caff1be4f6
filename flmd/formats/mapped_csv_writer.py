"""Writing a table and its map: :class:`flmd.formats.mapped_csv.MappedCsv` says what is lost."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

from flmd.face import Face
from flmd.formats.base import WriteReport
from flmd.formats.csv_map import ENDING
from flmd.formats.layout import whole_or_nothing
from flmd.formats.writing import check_points, count_lost, is_file_target, number_text, usable_box
from flmd.schemes import Scheme

_LONGEST_CELL = 131_072  # what Python's own csv reader takes
_SPECIAL = re.compile('[,"\r\n]')
_BOX = ("box_x", "box_y", "box_width", "box_height")
_LAST = ("box_source", "split", "subject", "subset", "dataset", "attributes")
_MAP = """\
# Which column of the table beside this file is what: docs/csv-map.md of flmd.
header: true
scheme: {scheme}
base: 0
units: pixels
missing: [""]
image: image
size: [image_width, image_height]
points: {{x: "x_{{i}}", y: "y_{{i}}", start: 0, count: {count}}}
visibility: {{columns: "v_{{i}}", start: 0, values: {{0: 0, 1: 1, 2: 2}}}}
box: {{columns: [box_x, box_y, box_width, box_height], kind: xywh, source: box_source}}
split: split
subject: subject
subset: subset
dataset: dataset
attributes: {{json: attributes}}
"""


def write(faces: Iterable[Face], target: Path, scheme: Scheme) -> WriteReport:
    """Write ``x.csv`` and ``x.flmd.yaml``, or a folder with both; whole, or not there."""
    text = _MAP.format(scheme=scheme.name, count=scheme.count)
    with contextlib.ExitStack() as stack:  # the map, entered last, is in its place first
        if is_file_target(target, ".csv"):
            table = stack.enter_context(whole_or_nothing(target))
            beside = target.with_name(target.name[: -len(".csv")] + ENDING)
            map_path = stack.enter_context(whole_or_nothing(beside))
        else:
            folder = stack.enter_context(whole_or_nothing(target))
            folder.mkdir()
            table, map_path = folder / "faces.csv", folder / f"faces{ENDING}"
        map_path.write_text(text, "utf-8")
        return _write_table(faces, table, scheme)


def _write_table(faces: Iterable[Face], path: Path, scheme: Scheme) -> WriteReport:
    report = WriteReport()
    points = [f"{axis}_{i}" for i in range(scheme.count) for axis in "xy"]
    seen = [f"v_{i}" for i in range(scheme.count)]
    with path.open("wb") as file:
        file.write(_line(["image", "image_width", "image_height", *points, *seen, *_BOX, *_LAST]))
        for face in faces:
            check_points(face, scheme)
            try:
                cells = _cells(face)
                line = _line(cells)
            except UnicodeEncodeError:
                line = b""
            if not line or not face.image.strip() or max(map(len, cells)) > _LONGEST_CELL:
                report.lost["face with unwritable text"] += 1
                continue
            file.write(line)
            if face.box is not None and not usable_box(face):
                report.lost["box"] += 1
            count_lost(
                report,
                face,
                keeps=("box", "box source", "visibility", "unlabelled points", "dataset", "image size"),
                subject=face.subject,
                split=face.split,
                subset=face.subset,
                attributes=face.attributes,
            )
            report.faces += 1
    return report


def _cells(face: Face) -> list[str]:
    labelled = (face.visibility > 0).repeat(2).tolist()
    values = face.landmarks.astype("float64").ravel().tolist()
    return [
        face.image,
        *(map(str, face.image_size) if face.image_size else ("", "")),
        *(number_text(v) if known else "" for v, known in zip(values, labelled, strict=True)),
        *map(str, face.visibility.tolist()),
        *(map(number_text, face.box.tolist()) if face.box is not None and usable_box(face) else [""] * 4),
        face.box_source,
        face.split,
        face.subject,
        face.subset,
        face.dataset,
        json.dumps(face.attributes) if face.attributes else "",
    ]


def _line(cells: list[str]) -> bytes:
    return (",".join(map(_quoted, cells)) + "\n").encode("utf-8", "surrogateescape")


def _quoted(text: str) -> str:
    """Quoted where it must be; csv.writer leaves a lone carriage return bare."""
    return '"' + text.replace('"', '""') + '"' if _SPECIAL.search(text) else text
