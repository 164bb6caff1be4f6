"""What a row of a mapped table says: one face."""

from __future__ import annotations

import json
import posixpath
import re

from flmd.core.bounded_search import BoundedSearch
from flmd.face import Attribute, Face, SkipFace, Skipped
from flmd.formats.common.picture_sizes import PictureSizes
from flmd.formats.csv_cells import Cells, Header, Row, Values
from flmd.formats.csv_map import CsvMap
from flmd.formats.csv_points import Boxes, Points
from flmd.formats.layout import SPLIT_WORDS, number_in, photo_of, resolve, split_of_path
from flmd.tree import FileTree
from flmd.tree.names import shown

_WHOLE = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,17})")


class RowReader:
    """Reads rows of one table into faces.

    Parameters
    ----------
    header : cells of the first row; names when the map says that there is a header.

    Raises
    ------
    InputError : a column that the table does not have, or has twice.
    """

    def __init__(self, tree: FileTree, table: str, map_name: str, table_map: CsvMap, header: Row) -> None:
        found = Header(
            header, named=table_map.header, where=tree.where(table), map_where=tree.where(map_name)
        )
        self._cells = cells = Cells(found, table_map.missing)
        self._points, self._boxes = Points(cells, table_map), Boxes(cells, table_map)
        self._pictures = _Pictures(tree, table, map_name, table_map, found)
        self._splits = _Splits(cells, table_map, split_of_path(table) or "")
        self._subset, self._dataset = found.find_maybe(table_map.subset), found.find_maybe(table_map.dataset)
        self._subjects = _Subjects(cells, table_map)
        self._attributes = _Attributes(cells, table_map)
        self._size = found.find_all(table_map.size or ())
        self._normalised, self._sizes = table_map.units == "normalised", PictureSizes(tree)
        self._where = [
            (found.find(column), Values(values if isinstance(values, list) else [values]))
            for column, values in table_map.where.items()
        ]

    def is_wanted(self, row: Row) -> bool:
        """Whether a row's cells are as the map's ``where`` says; True for a row without those cells."""
        return all(index >= len(row) or row[index] in values for index, values in self._where)

    def face(self, row: Row, where: str) -> Face | Skipped:
        """The face of a row, or why it is none."""
        width = self._cells.header.width
        if len(row) != width:
            reason = "short_row" if len(row) < width else "long_row"
            return Skipped(reason, where, f"{len(row)} cells, expected {width}")
        name = self._pictures.name(row)
        where = f"{where} (image {shown(name[:200])})"
        try:
            image = self._pictures.find(name)
            size = self._image_size(row)
            if self._normalised and size is None:
                found = self._sizes.of(image, where)
                if isinstance(found, Skipped):
                    return found
                size = found
            landmarks, visibility = self._points.read(row, size)
            box, box_source = self._boxes.read(row, size)
            return Face(
                image=image,
                landmarks=landmarks,
                visibility=visibility,
                box=box,
                box_source=box_source,
                subject=self._subjects.read(row, image),
                split=self._splits.read(row),
                subset="" if self._subset is None else row[self._subset],
                dataset="" if self._dataset is None else row[self._dataset],
                image_size=size,
                attributes=self._attributes.read(row),
                where=where,
            )
        except SkipFace as fault:
            return fault.at(where)

    def _image_size(self, row: Row) -> tuple[int, int] | None:
        if not self._size or self._cells.all_missing(row, self._size):
            return None
        width, height = (self._cells.number(row, i) for i in self._size)
        if not all(1 <= side <= 1e9 and side == int(side) for side in (width, height)):
            label = self._cells.header.label(self._size[0])
            raise SkipFace("bad_value", f"{label} and the next say {width:g}x{height:g} pixels")
        return int(width), int(height)


class _Pictures:
    """The picture of a row: a cell names it, or the table itself does."""

    def __init__(self, tree: FileTree, table: str, map_name: str, table_map: CsvMap, header: Header) -> None:
        self._tree, self._map = tree, table_map.image
        self._column = header.find_maybe(table_map.image.column)
        self._table = posixpath.splitext(posixpath.basename(table))[0]
        self._folders = list(dict.fromkeys((posixpath.dirname(table), posixpath.dirname(map_name))))

    def name(self, row: Row) -> str:
        """As the row writes it."""
        return self._table if self._column is None else row[self._column]

    def find(self, name: str) -> str:
        """The tree's name of a picture; SkipFace for what cannot be one."""
        if not name.strip():
            raise SkipFace("bad_path", "a row without an image name")
        if self._map.digits and name.strip().isdecimal():
            name = name.strip().zfill(self._map.digits)
        file = self._map.prefix + name + self._map.suffix
        found = [resolve(folder, file) for folder in self._folders]
        for path in found:
            if path is not None and path in self._tree:
                return path
        if found[0] is None:
            raise SkipFace("bad_path", f"{file[:200]!r} is not a picture in the tree")
        return found[0]


class _Splits:
    """The split of a row: a cell says it, or the name of the table."""

    def __init__(self, cells: Cells, table_map: CsvMap, otherwise: str) -> None:
        split = table_map.split
        self._header, self._otherwise = cells.header, otherwise
        self._column = cells.header.find_maybe(split.column if split else None)
        self._values: dict[str, str] | None = None
        if split and split.values is not None:
            self._values = {str(k).strip(): v for k, v in split.values.items()}

    def read(self, row: Row) -> str:
        """ "train", "val", "test" or ""; SkipFace for a word that means none of them."""
        if self._column is None:
            return self._otherwise
        text = row[self._column].strip()
        if self._values is not None and text in self._values:
            return self._values[text]
        if not text:
            return ""
        if self._values is None and text.lower() in SPLIT_WORDS:
            return SPLIT_WORDS[text.lower()]
        known = ", ".join(SPLIT_WORDS if self._values is None else self._values)
        label = self._header.label(self._column)
        raise SkipFace("bad_value", f"{label} holds {text[:40]!r}, expected one of {known[:200]}")


class _Subjects:
    """Whose face a row is: a cell says it, or a pattern over the picture's name; else the photo's."""

    def __init__(self, cells: Cells, table_map: CsvMap) -> None:
        subject = table_map.subject
        self._column = cells.header.find_maybe(subject.column if subject else None)
        self._pattern = BoundedSearch(subject.pattern) if subject and subject.pattern else None

    def read(self, row: Row, image: str) -> str:
        if self._column is not None:
            return row[self._column] or photo_of(image)
        found = self._pattern.search(image) if self._pattern else None
        if found is None:
            return photo_of(image)
        return (found[1] if len(found) > 1 else found[0]) or photo_of(image)


class _Attributes:
    """What else a row says: cells of their own, and one of JSON."""

    def __init__(self, cells: Cells, table_map: CsvMap) -> None:
        attributes = table_map.attributes
        self._cells = cells
        self._json = cells.header.find_maybe(attributes.json_column if attributes else None)
        self._columns = {n: cells.header.find(n) for n in (attributes.columns if attributes else ())}

    def read(self, row: Row) -> dict[str, Attribute]:
        """By name; SkipFace when the JSON is no object of plain values."""
        found: dict[str, Attribute] = {}
        for name, index in self._columns.items():
            text = row[index]
            if self._cells.says_missing(text):
                continue
            number = number_in(text)
            found[name] = text if number is None else int(text) if _WHOLE.fullmatch(text.strip()) else number
        if self._json is not None and row[self._json].strip():
            found |= self._object(row[self._json], self._json)
        return found

    def _object(self, text: str, index: int) -> dict[str, Attribute]:
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            said = None
        if isinstance(said, dict) and all(isinstance(v, str | int | float | bool) for v in said.values()):
            return said
        raise SkipFace("bad_value", f"{self._cells.header.label(index)} is no JSON object of plain values")
