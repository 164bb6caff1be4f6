"""The points, their visibility and the box of a row."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from flmd.face import BOX_SOURCES, NOT_LABELLED, VISIBLE, SkipFace
from flmd.formats.csv_cells import Cells, Header, Row, to_float32
from flmd.formats.csv_map import CsvMap
from flmd.formats.layout import number_in

Size = tuple[int, int]


class Points:
    """Reads landmarks and their visibility. InputError for a column that the table does not have."""

    def __init__(self, cells: Cells, table_map: CsvMap) -> None:
        self._cells = cells
        self._base, self._normalised = table_map.base, table_map.units == "normalised"
        self._columns = point_columns(cells.header, table_map)
        self._visibility: list[int] = []
        self._meanings: dict[str, int] = {}
        if table_map.visibility:
            self._visibility = cells.header.find_all(table_map.visibility.of(table_map.count()))
            self._meanings = {str(k): v for k, v in table_map.visibility.values.items()}

    def read(self, row: Row, size: Size | None) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """(K, 2) landmarks in image pixels and (K,) visibility; SkipFace when the row says neither."""
        values = self._cells.numbers(row, self._columns).reshape(2, -1)
        blank = np.isnan(values)
        if (blank[0] != blank[1]).any():
            at = int(np.flatnonzero(blank[0] != blank[1])[0])
            label = self._cells.header.label(self._columns[at + (0 if blank[0, at] else values.shape[1])])
            raise SkipFace("not_a_number", f"{label} is missing, but not the other coordinate of its point")
        visibility = np.where(blank[0], NOT_LABELLED, VISIBLE).astype(np.uint8)
        for point, index in enumerate(self._visibility):
            said = self._meaning(row, index)
            if said is not None and not blank[0, point]:
                visibility[point] = said
        values[:, visibility == NOT_LABELLED] = np.nan
        if size is not None and self._normalised:
            values *= np.array(size, np.float64)[:, None]
        return to_float32(values - self._base).T.copy(), visibility

    def _meaning(self, row: Row, index: int) -> int | None:
        """What a cell of visibility means; None when it says nothing."""
        text = row[index].strip()
        value = self._meanings.get(text)
        if value is None:
            if self._cells.is_missing(text):
                return None
            number = number_in(text)
            whole = number is not None and number == math.floor(number)
            value = self._meanings.get(str(int(number))) if whole and number is not None else None
        if value is None:
            said = ", ".join(self._meanings)
            label = self._cells.header.label(index)
            raise SkipFace("bad_value", f"{label} holds {text[:40]!r}, expected one of {said[:200]}")
        return value


class Boxes:
    """Reads boxes and what made them. InputError for a column that the table does not have."""

    def __init__(self, cells: Cells, table_map: CsvMap) -> None:
        self._cells, self._map = cells, table_map.box
        self._normalised = table_map.units == "normalised"
        base = table_map.base
        self._columns: list[int] = []
        if table_map.box:
            self._columns = cells.header.find_all(table_map.box.columns)
            base = base if table_map.box.base is None else table_map.box.base
        self._base = math.floor(base)
        self._source = cells.header.find_maybe(table_map.box.source if table_map.box else None)

    def read(self, row: Row, size: Size | None) -> tuple[NDArray[np.float32] | None, str]:
        """(4,) box in image pixels, or None, and what made it; SkipFace when the row says neither."""
        box = self._box(row, size)
        if self._source is None or not row[self._source].strip():
            return box, "none" if box is None else "annotated"
        source = row[self._source].strip()
        if source not in BOX_SOURCES:
            what = f"{self._cells.header.label(self._source)} holds {source[:40]!r}, expected one of "
            raise SkipFace("bad_value", what + ", ".join(BOX_SOURCES))
        return box, source

    def _box(self, row: Row, size: Size | None) -> NDArray[np.float32] | None:
        if self._map is None or self._cells.all_missing(row, self._columns):
            return None
        try:
            a, b, c, d = (self._cells.number(row, i) for i in self._columns)
            if self._map.kind == "xxyy":
                b, c = c, b
            low, far = np.array([a, b]), np.array([c, d])
            if size is not None and self._normalised:
                low, far = low * size, far * size
            if self._map.kind in ("xyxy", "xxyy"):
                far = far - low
            far = far + self._map.inclusive
            if self._map.kind == "cxcywh":
                low = low - far / 2
            box = to_float32(np.concatenate([low - self._base, far]))
        except SkipFace as fault:
            raise SkipFace("bad_box", fault.what) from None
        if not (box[2:] > 0).all():
            label = self._cells.header.label(self._columns[0])
            raise SkipFace("bad_box", f"{label} and the next make a box {far[0]:g} wide and {far[1]:g} high")
        return box


def point_columns(header: Header, table_map: CsvMap) -> list[int]:
    """Indices of all x columns, then of all y columns."""
    count = table_map.count()
    pairs = table_map.points.pairs(count)
    if pairs is not None:
        return [header.find(pair[axis]) for axis in (0, 1) for pair in pairs]
    first = header.find(table_map.points.start)
    last = first + 2 * count - 1
    header.find(last)
    if table_map.points.order == "xxyy":
        return list(range(first, last + 1))
    return [*range(first, last + 1, 2), *range(first + 1, last + 1, 2)]
