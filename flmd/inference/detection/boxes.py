"""Boxes from a table instead of a detector: a CSV with a row for each face."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import ClassVar, Self

import numpy as np

from flmd.errors import InputError, ParamsError
from flmd.inference.detection.base import Detector, Found
from flmd.inference.picture import Picture

COLUMNS = ("image", "x", "y", "width", "height")
_ALSO = {"box_x": "x", "box_y": "y", "box_width": "width", "box_height": "height"}


class Boxes(Detector):
    """The boxes that a table gives for each picture.

    Parameters
    ----------
    file : CSV with a header that names ``image, x, y, width, height`` (or ``box_x, box_y, box_width,
        box_height``, as ``--to csv`` writes) and perhaps ``score``; pixels of the stored picture. Other
        columns are ignored. A picture is looked up by its name as the table gives it, else by its file name
        alone where only one picture of the table has that.

    Raises
    ------
    InputError : no such file, a missing column, or a row that is no box; the line is named.
    """

    name: ClassVar[str] = "boxes"

    def __init__(self, file: Path | str) -> None:
        self._file = Path(file)
        if not self._file.is_file():
            raise InputError("no such file", where=str(file), expected="a CSV of boxes")
        self._rows = _read(self._file)
        self._by_file_name: dict[str, list[str]] = defaultdict(list)
        for image in self._rows:
            self._by_file_name[PurePosixPath(image).name].append(image)

    @classmethod
    def from_spec(cls, file: str) -> Self:
        """Of "boxes:FILE" or "FILE.csv"."""
        if not file:
            raise ParamsError("detector boxes needs a file", expected="boxes:FILE.csv")
        return cls(file)

    def __call__(self, picture: Picture) -> Found:
        """The boxes of a picture, in the order of the table."""
        rows = self._rows.get(self._name_of(picture), [])
        if not rows:
            return Found(source="annotated")
        numbers = np.array(rows, np.float32)
        return Found(numbers[:, :4], numbers[:, 4], "annotated")

    def _name_of(self, picture: Picture) -> str:
        name = picture.name.replace("\\", "/")
        if name in self._rows:
            return name
        same = self._by_file_name.get(PurePosixPath(name).name, [])
        return same[0] if len(same) == 1 else name


def _read(path: Path) -> dict[str, list[list[float]]]:
    rows: dict[str, list[list[float]]] = defaultdict(list)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            table = csv.reader(stream)
            header = [_ALSO.get(cell.strip().lower(), cell.strip().lower()) for cell in next(table, [])]
            missing = [column for column in COLUMNS if column not in header]
            if missing:
                raise InputError(
                    f"the header has no {' and no '.join(missing)}",
                    where=f"{path}:1",
                    expected=", ".join(COLUMNS),
                )
            for cells in table:
                if cells:
                    row = dict(zip(header, cells, strict=False))
                    where = f"{path}:{table.line_num}"
                    rows[row.get("image", "").strip().replace("\\", "/")].append(_numbers(row, where))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"not a CSV table ({error})", where=str(path)) from None
    return dict(rows)


def _numbers(row: dict[str, str], where: str) -> list[float]:
    score = row.get("score", "").strip()
    try:
        box = [float(row[column]) for column in COLUMNS[1:]]
        number = float(score) if score else float("nan")
    except (KeyError, ValueError):
        shown = ",".join(row.get(column, "") for column in COLUMNS[1:])
        raise InputError(
            f"box {shown!r}", where=where, expected="four numbers: x, y, width, height"
        ) from None
    if not np.isfinite(box).all() or box[2] <= 0 or box[3] <= 0:
        raise InputError(f"box {box}", where=where, expected="finite numbers and a size above 0")
    return [*box, number]
