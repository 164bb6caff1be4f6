"""Writing a Hugging Face data set: ``hf_dataset.HfDataset`` says what is lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flmd.core.atomic import whole_or_nothing
from flmd.face import Face
from flmd.formats import hf_table
from flmd.formats.base import WriteReport
from flmd.formats.common.face_record import KEEPS, record_of
from flmd.formats.common.json_lists import writable_attributes
from flmd.formats.layout import resolve
from flmd.formats.webdataset_writer import picture_of
from flmd.formats.writing import check_points, count_lost, usable_box
from flmd.schemes import Scheme
from flmd.tree import FileTree

MOST_BYTES = 400 << 20  # of pictures in a file
_GROUP_ROWS, _GROUP_BYTES = 100, 32 << 20  # of a row group, which is what a reader holds
_SPLITS = {"train": "train", "val": "validation", "test": "test", "": "unsplit"}
_NAN = float("nan")
_CARD = """\
---
configs:
- config_name: default
  data_files:
{files}
tags:
- face
- facial-landmarks
- keypoint-detection
---
# Face landmarks

{faces} faces, {points} points each (scheme `{scheme}`){counts}. A row is a face; a picture with several faces
is in several rows.

| column | type | what |
| --- | --- | --- |
| `image` | image | the picture, its bytes as they were |
| `landmarks` | {points} x [x, y], float32 | pixels of the upright picture, from (0, 0); NaN: not labelled |
| `visibility` | {points} x uint8 | 0 not labelled, 1 hidden, 2 visible |
| `box` | [x, y, width, height], float32 | of the face, in pixels; null: none |
| `box_source` | string | what made the box: annotated, detector, landmarks, image, none |
| `width`, `height` | int32 | of the picture; null: not said |
| `file_name` | string | the picture's |
| `subject` | string | whose face, or which photo: rows that share it belong on one side of a split |
| `split` | string | train, val, test or nothing |
| `subset`, `dataset` | string | a named part, and the data set |
| `scheme` | string | names the order of the points |
| `attributes` | string | anything else that was annotated, JSON |

```python
import datasets
faces = datasets.load_dataset("path/to/this/folder")
```

Written by flmd. The licence is that of the pictures and annotations it was made of.
"""


def write(faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None) -> WriteReport:
    """Write a folder with ``data/`` and the card; whole, or not there. Memory holds one row group a split."""
    hf_table.parquet()
    report = WriteReport()
    counts: Counter[str] = Counter()
    with whole_or_nothing(target) as folder:
        (folder / "data").mkdir(parents=True)
        tables = _Tables(folder / "data")
        try:
            for face in faces:
                check_points(face, scheme)
                image = resolve("", face.image)
                if image is None or not _is_text(image):
                    report.lost["face with unwritable image name"] += 1
                    continue
                row, picture = _row(face, scheme, image, pictures)
                tables.add(face.split, row, len(picture or b""))
                counts[face.split] += 1
                report.faces += 1
                if picture is None:
                    report.lost["picture"] += 1
                _count_losses(report, face, row)
        finally:
            tables.close()
        tables.name_files()
        (folder / "README.md").write_text(_card(scheme, counts), encoding="utf-8")
    return report


def _row(
    face: Face, scheme: Scheme, image: str, pictures: FileTree | None
) -> tuple[dict[str, Any], bytes | None]:
    """The row of a face, and its picture."""
    kept = writable_attributes(face.attributes)
    row = record_of(face, scheme, kept)
    picture = picture_of(face, pictures)
    for key in ("subject", "subset", "dataset"):
        if not _is_text(row[key]):
            row[key] = ""
    row |= {
        "landmarks": [[_NAN, _NAN] if point is None else point for point in row["landmarks"]],
        "image": None if picture is None else {"bytes": picture, "path": image},
        "file_name": image,
        "attributes": json.dumps(kept, sort_keys=True) if kept else "",
    }
    return row, picture


def _is_text(text: str) -> bool:
    """Whether Parquet can hold a text: it is UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _count_losses(report: WriteReport, face: Face, row: dict[str, Any]) -> None:
    if face.box is not None and not usable_box(face):
        report.lost["box"] += 1
    count_lost(
        report,
        face,
        keeps=KEEPS if row["dataset"] == face.dataset else [k for k in KEEPS if k != "dataset"],
        subject=row["subject"],
        split=face.split,
        subset=row["subset"],
        attributes=json.loads(row["attributes"] or "{}"),
    )


def _card(scheme: Scheme, counts: Counter[str]) -> str:
    splits = [_SPLITS[split] for split in _SPLITS if counts[split]] or ["unsplit"]
    files = "\n".join(f"  - split: {name}\n    path: data/{name}-*" for name in splits)
    each = ", ".join(f"{counts[split]} {name}" for split, name in _SPLITS.items() if counts[split])
    return _CARD.format(
        files=files,
        faces=sum(counts.values()),
        points=scheme.count,
        scheme=scheme.name,
        counts=f": {each}" if each else "",
    )


class _Tables:
    """The Parquet files of a folder; one for each split is open at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._schema = folder, hf_table.schema()
        self._open: dict[str, Any] = {}
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._bytes: Counter[str] = Counter()  # of pictures that wait for their row group
        self._written: Counter[str] = Counter()  # of pictures in the open file
        self._made: dict[str, list[Path]] = {}

    def add(self, split: str, row: dict[str, Any], size: int) -> None:
        """Append a row whose picture has ``size`` bytes."""
        rows = self._rows.setdefault(split, [])
        rows.append(row)
        self._bytes[split] += size
        if len(rows) >= _GROUP_ROWS or self._bytes[split] >= _GROUP_BYTES:
            self._write(split)

    def close(self) -> None:
        """Write what waits, and close all files; of no face at all, there is one without rows."""
        if not self._rows:
            self._rows[""] = []
        for split in self._rows:
            if self._rows[split] or not self._made:
                self._write(split)
            if split in self._open:
                self._open.pop(split).close()

    def name_files(self) -> None:
        """Give the files their names, which say how many there are."""
        for split, paths in self._made.items():
            for number, path in enumerate(paths):
                name = f"{_SPLITS[split]}-{number:05d}-of-{len(paths):05d}.parquet"
                path.rename(path.with_name(name))

    def _write(self, split: str) -> None:
        import pyarrow as pa

        if split not in self._open:
            paths = self._made.setdefault(split, [])
            path = self._folder / f"{_SPLITS[split]}-{len(paths):05d}.parquet"
            paths.append(path)
            self._open[split] = hf_table.parquet().ParquetWriter(path, self._schema)
        self._open[split].write_table(pa.Table.from_pylist(self._rows[split], self._schema))
        self._written[split] += self._bytes[split]
        self._rows[split], self._bytes[split] = [], 0
        if self._written[split] >= MOST_BYTES:
            self._open.pop(split).close()
            self._written[split] = 0
