"""Any table, with a small YAML file beside it that says which column is what."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from flmd.errors import InputError
from flmd.face import Face, Skipped
from flmd.formats.base import Detection, Format, WriteReport
from flmd.formats.common.named_points import Layout
from flmd.formats.csv_draft import draft
from flmd.formats.csv_map import ENDING, CsvMap, maps_of, own_map, read_map
from flmd.formats.csv_names import layout_of_header
from flmd.formats.csv_rows import RowReader
from flmd.formats.mapped_csv_writer import write
from flmd.schemes import Scheme
from flmd.schemes.name_choice import PointOrders
from flmd.tree import FileTree
from flmd.tree.names import shown

_LONGEST = 1 << 20
_NO_MAP = "no *.flmd.yaml that says which column is what; see docs/csv-map.md"


class MappedCsv(Format):
    """A CSV, TSV or other table, a face in a row, and ``<name>.flmd.yaml``: docs/csv-map.md.

    The map says base (0, 0.5 or 1), units (pixels, or shares of the picture's size), delimiter, and the
    columns of image, points, visibility, box, split, subset, dataset, subject, attributes and size. A
    box's corner is taken relative to the whole part of the base; ``xyxy`` means width = x2 - x1, and a
    pixel more where the map says ``inclusive``.

    Reading
    -------
    Row by row with Python's csv module, in UTF-8. Of a run of columns the header's names tell the order of
    the points, of a list of columns only the scheme's own words (``flmd.schemes.point_names``). Both
    coordinates missing (the map's ``missing`` markers, as text or as number): the point is not labelled, and
    so it is where its visibility is 0. A box of which all four cells are missing is none. Pictures are looked
    for beside the table, then beside the map; a name found nowhere is kept. Sizes of pictures, for normalised
    units, come from columns or from the pictures' headers. Without a split column the split comes from the
    table's path; without a subject, or where the cell is blank, the subject is the picture's path without
    ending.

    Skipped reasons: ``short_row``, ``long_row``, ``not_a_number`` (naming the column; also nan, inf, one
    of two coordinates missing), ``bad_path``, ``bad_box``, ``bad_value`` (visibility, split, size, box
    source or JSON that the map does not know), ``image_missing`` and ImageError's reasons (normalised
    units only). InputError: a map that is not right (naming the key, with the nearest known one), a
    column of the map that the header lacks or has twice, an empty table, a quote that is never closed, a
    line above 1 MiB, a scheme with a different number of points.

    Writing
    -------
    ``x.csv`` with ``x.flmd.yaml`` beside it, or a folder with ``faces.csv`` and its map. Everything a
    face says is written, every number exactly. Lost, by key of ``WriteReport.lost``: ``box`` (not finite
    or not positive), ``image name`` (comes back otherwise: back-slashes, ``//``), ``subject`` (blank
    ones come back as the picture's; not counted). Not written: ``face with unwritable text`` (not UTF-8,
    a cell above 131,072 characters).
    """

    name = "csv"
    title = "any table, with a map of its columns (*.flmd.yaml)"
    detected_by = "*.flmd.yaml, a map of the columns of a table beside it"
    suffix = ".csv"
    boxes = True
    visibility = True
    named = True

    def detect(self, tree: FileTree) -> Detection:
        """Tables that a ``*.flmd.yaml`` is for; an error in the map is the reason when it cannot be used."""
        try:
            tables, faults = maps_of(tree)
        except InputError as error:
            return Detection((), str(error))
        wrong = "; ".join(map(str, faults.values()))
        if not tables:
            drafted = "" if wrong else draft(tree)
            return Detection((), wrong or drafted or _NO_MAP, nearly=bool(drafted))
        files = sorted(tables)
        why = f"tables with a map: {', '.join(map(shown, files[:20]))}"
        if not faults:
            return Detection(tuple(files), why)
        # A map that cannot be used is among the files: reading ends with what is wrong with it.
        return Detection((*sorted(faults), *files), f"{why}; not usable: {wrong}")

    def accepts(self, tree: FileTree, name: str) -> bool:
        """Whether it is a map, or a table that has one, whatever other maps say."""
        if name.lower().endswith(ENDING):
            return True
        tables, faults = maps_of(tree)
        return name in tables or own_map(name) in faults

    def scheme_in(self, tree: FileTree, files: tuple[str, ...]) -> str:
        """What the map of the first table says."""
        if not files:
            return "ibug68"
        named = self.names.scheme_of(()) if self.names.points is not None else None
        own = files[0] if files[0].lower().endswith(ENDING) else _map_of(tree, files[0])
        return named or read_map(tree, own).scheme_name()

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield the faces of every table in order; memory holds one row."""
        orders = self.names.orders(scheme)
        for name in (table for file in files for table in _tables_in(tree, file)):
            map_name = _map_of(tree, name)
            table_map = read_map(tree, map_name)
            if table_map.count() != scheme.count and self.names.points is None:
                raise InputError(
                    f"a map of {table_map.count()} points",
                    where=tree.where(map_name),
                    expected=f"{scheme.count}, as scheme {scheme.name} has",
                )
            with (
                tree.open(name) as stream,
                io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline="") as text,
            ):
                yield from _Table(tree, name, map_name, table_map, text).faces(scheme, orders)

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a ``.csv`` and its map, or a folder with both; see the class for what is lost."""
        return write(faces, target, scheme)


def _map_of(tree: FileTree, table: str) -> str:
    tables, faults = maps_of(tree)
    if table in tables:
        return tables[table]
    if (fault := faults.get(own_map(table))) is not None:
        raise fault
    raise next(iter(faults.values()), InputError(_NO_MAP, where=tree.where(table)))


def _tables_in(tree: FileTree, name: str) -> list[str]:
    """The tables of a map; a table itself."""
    if not name.lower().endswith(ENDING):
        return [name]
    tables, faults = maps_of(tree)
    if name in faults:
        raise faults[name]
    return sorted(table for table, its_map in tables.items() if its_map == name)


def _lines(text: TextIO, where: str) -> Iterator[str]:
    number = 0
    while line := text.readline(_LONGEST):
        number += 1
        if len(line) == _LONGEST:
            raise InputError(f"a line of {_LONGEST} characters or more", where=f"{where}:{number}")
        yield line


@dataclass(frozen=True)
class _Table:
    """One table, opened as text."""

    tree: FileTree
    name: str
    map_name: str
    map: CsvMap
    text: TextIO

    def faces(self, scheme: Scheme, orders: PointOrders) -> Iterator[Face | Skipped]:
        """Every row as a face or skipped, its points in the scheme's order."""
        where = self.tree.where(self.name)
        rows = csv.reader(_lines(self.text, where), strict=True, delimiter=self.map.delimiter)
        reader: RowReader | None = None
        layout: Layout | None = None
        line = 1
        try:
            for row in rows:
                if reader is None:
                    reader = RowReader(self.tree, self.name, self.map_name, self.map, row)
                    layout = layout_of_header(self.map, row, scheme, orders, f"{where}:1")
                    if self.map.header:
                        line = rows.line_num + 1
                        continue
                if row and reader.is_wanted(row):
                    yield _placed(reader.face(row, f"{where}:{line}"), layout)
                line = rows.line_num + 1
        except csv.Error as error:
            hint = "look for a quote that is never closed"
            raise InputError(f"broken CSV ({error})", where=f"{where}:{line}", hint=hint) from None
        if reader is None:
            raise InputError("the table is empty", where=f"{where}:1", expected="a face in every row")


def _placed(face: Face | Skipped, layout: Layout | None) -> Face | Skipped:
    if layout is None or isinstance(face, Skipped):
        return face
    landmarks, visibility = layout.points(face.landmarks, face.visibility)
    return replace(face, landmarks=landmarks, visibility=visibility)
