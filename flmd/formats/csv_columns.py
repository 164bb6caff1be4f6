"""The columns of one table, found by a map, and what a row of them says."""

from __future__ import annotations

import json
import math
import posixpath
import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError, did_you_mean
from flmd.face import BOX_SOURCES, NOT_LABELLED, VISIBLE, Attribute, Face, SkipFace, Skipped
from flmd.formats.common.picture_sizes import PictureSizes
from flmd.formats.csv_map import Column, CsvMap
from flmd.formats.layout import LARGEST, SPLIT_WORDS, number_in, photo_of, resolve, split_of_path
from flmd.tree import FileTree
from flmd.tree.names import shown

_WHOLE = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,17})")


class Columns:
    """Reads rows of one table into faces.

    Parameters
    ----------
    header : cells of the first row; names when the map says that there is a header.

    Raises
    ------
    InputError : a column that the table does not have, or has twice.
    """

    def __init__(
        self, tree: FileTree, table: str, map_name: str, table_map: CsvMap, header: Sequence[str]
    ) -> None:
        self._tree, self._map = tree, table_map
        self._where, self._map_where = tree.where(table), tree.where(map_name)
        self._stem = posixpath.splitext(posixpath.basename(table))[0]
        self._folders = list(dict.fromkeys((posixpath.dirname(table), posixpath.dirname(map_name))))
        self._split = split_of_path(table) or ""
        self._names = [name.strip() for name in header]
        self._sizes = PictureSizes(tree)
        self.width = len(header)
        self._missing = {str(text).strip() for text in table_map.missing}
        self._missing_numbers = {n for n in map(number_in, self._missing) if n is not None}
        self._box_base = math.floor(table_map.base)
        image, split, subject, attributes = (
            table_map.image, table_map.split, table_map.subject, table_map.attributes,
        )  # fmt: skip
        self._points = self._point_columns()
        self._visibility: list[int] = []
        self._visible_values: dict[str, int] = {}
        if table_map.visibility:
            self._visibility = self._all(table_map.visibility.of(table_map.count()))
            self._visible_values = {str(k): v for k, v in table_map.visibility.values.items()}
        self._box: list[int] = []
        if table_map.box:
            self._box = self._all(table_map.box.columns)
            if table_map.box.base is not None:
                self._box_base = math.floor(table_map.box.base)
        self._box_source = self._maybe(table_map.box.source if table_map.box else None)
        self._image = self._maybe(image.column)
        self._split_column = self._maybe(split.column if split else None)
        self._split_values: dict[str, str] | None = None
        if split and split.values is not None:
            self._split_values = {str(k).strip(): v for k, v in split.values.items()}
        self._subset, self._dataset = self._maybe(table_map.subset), self._maybe(table_map.dataset)
        self._subject = self._maybe(subject.column if subject else None)
        self._subject_pattern = re.compile(subject.pattern) if subject and subject.pattern else None
        self._json = self._maybe(attributes.json_column if attributes else None)
        self._attributes = {n: self._find(n) for n in (attributes.columns if attributes else ())}
        self._size = self._all(table_map.size or ())

    def face(self, row: Sequence[str], where: str) -> Face | Skipped:
        """The face of a row, or why it is none."""
        if len(row) != self.width:
            reason = "short_row" if len(row) < self.width else "long_row"
            return Skipped(reason, where, f"{len(row)} cells, expected {self.width}")
        name = self._stem if self._image is None else row[self._image]
        where = f"{where} (image {shown(name[:200])})"
        try:
            image = self._picture(name)
            size = self._image_size(row)
            if self._map.units == "normalised" and size is None:
                found = self._sizes.of(image, where)
                if isinstance(found, Skipped):
                    return found
                size = found
            landmarks, visibility = self._landmarks(row, size)
            box = self._box_of(row, size)
            box_source = "none" if box is None else "annotated"
            if self._box_source is not None and row[self._box_source].strip():
                box_source = row[self._box_source].strip()
                if box_source not in BOX_SOURCES:
                    what = f"{self._label(self._box_source)} holds {box_source[:40]!r}"
                    raise SkipFace("bad_value", what + ", expected one of " + ", ".join(BOX_SOURCES))
            return Face(
                image=image,
                landmarks=landmarks,
                visibility=visibility,
                box=box,
                box_source=box_source,
                subject=self._subject_of(row, image),
                split=self._split_of(row),
                subset="" if self._subset is None else row[self._subset],
                dataset="" if self._dataset is None else row[self._dataset],
                image_size=size,
                attributes=self._attributes_of(row),
                where=where,
            )
        except SkipFace as fault:
            return fault.at(where)

    def _picture(self, name: str) -> str:
        image = self._map.image
        if not name.strip():
            raise SkipFace("bad_path", "a row without an image name")
        if image.digits and name.strip().isdecimal():
            name = name.strip().zfill(image.digits)
        file = image.prefix + name + image.suffix
        found = [resolve(folder, file) for folder in self._folders]
        for path in found:
            if path is not None and path in self._tree:
                return path
        if found[0] is None:
            raise SkipFace("bad_path", f"{file[:200]!r} is not a picture in the tree")
        return found[0]

    def _image_size(self, row: Sequence[str]) -> tuple[int, int] | None:
        if not self._size or all(self._is_missing(row[i]) for i in self._size):
            return None
        sides = [self._number(row, i) for i in self._size]
        if not all(1 <= side <= 1e9 and side == int(side) for side in sides):
            what = f"{self._label(self._size[0])} and the next say {sides[0]:g}x{sides[1]:g} pixels"
            raise SkipFace("bad_value", what)
        return int(sides[0]), int(sides[1])

    def _landmarks(
        self, row: Sequence[str], size: tuple[int, int] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        cells = [row[i] for i in self._points]
        values = self._plain(cells)
        if values is None:
            values = np.array([self._maybe_number(row, i) for i in self._points])
        values = values.reshape(2, -1)
        blank = np.isnan(values)
        if (blank[0] != blank[1]).any():
            at = int(np.flatnonzero(blank[0] != blank[1])[0])
            i = self._points[at + (0 if blank[0, at] else values.shape[1])]
            what = f"{self._label(i)} is missing, but not the other coordinate of its point"
            raise SkipFace("not_a_number", what)
        visibility = np.where(blank[0], NOT_LABELLED, VISIBLE).astype(np.uint8)
        for point, i in enumerate(self._visibility):
            said = self._seen(row, i)
            if said is not None and not blank[0, point]:
                visibility[point] = said
        values[:, visibility == NOT_LABELLED] = np.nan
        if size is not None and self._map.units == "normalised":
            values *= np.array(size, np.float64)[:, None]
        return self._float32(values - self._map.base).T.copy(), visibility

    def _plain(self, cells: list[str]) -> NDArray[np.float64] | None:
        """The numbers of cells when all of them are, and none may mean a missing one; fast."""
        try:
            values = np.array(list(map(float, cells)))
        except ValueError:
            return None
        if not (np.abs(values) <= LARGEST).all() or "_" in "".join(cells):
            return None
        if self._missing_numbers and np.isin(values, list(self._missing_numbers)).any():
            return None
        return values

    def _seen(self, row: Sequence[str], i: int) -> int | None:
        text = row[i].strip()
        value = self._visible_values.get(text)
        if value is None:
            if self._is_missing(text):
                return None
            number = number_in(text)
            whole = number is not None and number == math.floor(number)
            value = self._visible_values.get(str(int(number))) if whole and number is not None else None
        if value is None:
            said = ", ".join(self._visible_values)
            raise SkipFace("bad_value", f"{self._label(i)} holds {text[:40]!r}, expected one of {said[:200]}")
        return value

    def _box_of(self, row: Sequence[str], size: tuple[int, int] | None) -> NDArray[np.float32] | None:
        if not self._box or all(self._is_missing(row[i]) for i in self._box):
            return None
        assert self._map.box is not None
        try:
            a, b, c, d = (self._number(row, i) for i in self._box)
        except SkipFace as fault:
            raise SkipFace("bad_box", fault.what) from None
        if self._map.box.kind == "xxyy":
            b, c = c, b
        low, far = np.array([a, b]), np.array([c, d])
        if size is not None and self._map.units == "normalised":
            low, far = low * size, far * size
        if self._map.box.kind in ("xyxy", "xxyy"):
            far = far - low
        far = far + self._map.box.inclusive
        if self._map.box.kind == "cxcywh":
            low = low - far / 2
        try:
            box = self._float32(np.concatenate([low - self._box_base, far]))
        except SkipFace as fault:
            raise SkipFace("bad_box", fault.what) from None
        if not (box[2:] > 0).all():
            what = f"{self._label(self._box[0])} and the next make a box {far[0]:g} wide and {far[1]:g} high"
            raise SkipFace("bad_box", what)
        return box

    def _split_of(self, row: Sequence[str]) -> str:
        if self._split_column is None:
            return self._split
        text = row[self._split_column].strip()
        if self._split_values is not None and text in self._split_values:
            return self._split_values[text]
        if not text:
            return ""
        if self._split_values is None and text.lower() in SPLIT_WORDS:
            return SPLIT_WORDS[text.lower()]
        known = ", ".join(SPLIT_WORDS if self._split_values is None else self._split_values)
        what = f"{self._label(self._split_column)} holds {text[:40]!r}, expected one of {known[:200]}"
        raise SkipFace("bad_value", what)

    def _subject_of(self, row: Sequence[str], image: str) -> str:
        if self._subject is not None:
            return row[self._subject] or photo_of(image)
        match = self._subject_pattern.search(image) if self._subject_pattern else None
        if match is None:
            return photo_of(image)
        return (match[1] if match.re.groups else match[0]) or photo_of(image)

    def _attributes_of(self, row: Sequence[str]) -> dict[str, Attribute]:
        found: dict[str, Attribute] = {}
        for name, i in self._attributes.items():
            text = row[i]
            if text == "" or text.strip() in self._missing:
                continue
            number = number_in(text)
            found[name] = text if number is None else int(text) if _WHOLE.fullmatch(text.strip()) else number
        if self._json is not None and row[self._json].strip():
            try:
                said = json.loads(row[self._json])
            except (ValueError, RecursionError):
                said = None
            if not isinstance(said, dict) or not all(
                isinstance(v, str | int | float | bool) for v in said.values()
            ):
                what = f"{self._label(self._json)} is no JSON object of plain values"
                raise SkipFace("bad_value", what)
            found |= said
        return found

    def _is_missing(self, text: str) -> bool:
        text = text.strip()
        return text in self._missing or number_in(text) in self._missing_numbers

    def _maybe_number(self, row: Sequence[str], i: int) -> float:
        return math.nan if self._is_missing(row[i]) else self._number(row, i)

    def _number(self, row: Sequence[str], i: int) -> float:
        value = number_in(row[i])
        if value is None:
            what = f"{self._label(i)} holds {row[i][:40]!r}, expected a number"
            raise SkipFace("not_a_number", what)
        return value

    def _float32(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        if (np.abs(values) > LARGEST).any():
            raise SkipFace("not_a_number", "a coordinate beyond what float32 holds")
        return values.astype(np.float32)

    def _label(self, i: int) -> str:
        named = self._map.header and self._names[i]
        return f"column {self._names[i][:60]!r}" if named else f"column {i}"

    def _point_columns(self) -> list[int]:
        """All x columns, then all y columns."""
        count = self._map.count()
        pairs = self._map.points.pairs(count)
        if pairs is not None:
            return [self._find(pair[axis]) for axis in (0, 1) for pair in pairs]
        first = self._find(self._map.points.start)
        last = first + 2 * count - 1
        self._find(last)
        if self._map.points.order == "xxyy":
            return list(range(first, last + 1))
        return [*range(first, last + 1, 2), *range(first + 1, last + 1, 2)]

    def _all(self, columns: Iterable[Column]) -> list[int]:
        return [self._find(column) for column in columns]

    def _maybe(self, column: Column | None) -> int | None:
        return None if column is None else self._find(column)

    def _find(self, column: Column) -> int:
        """Index of a column given by name or index; InputError when there is none."""
        if isinstance(column, int):
            if 0 <= column < self.width:
                return column
            what = f"there is no column {column}"
            raise InputError(what, where=f"{self._where}:1", expected=f"{self.width} columns, from 0")
        if not self._map.header:
            what = f"column {column[:60]!r} is a name, but header is false"
            raise InputError(what, where=self._map_where, expected="numbers, from 0")
        found = self._names.count(column.strip())
        if found == 1:
            return self._names.index(column.strip())
        what = "is missing from the header" if not found else f"stands {found} times in the header"
        hint = None if found else did_you_mean(column, self._names)
        hint = hint or f"it is named in {self._map_where}"
        raise InputError(f"column {column[:60]!r} {what}", where=f"{self._where}:1", hint=hint)
