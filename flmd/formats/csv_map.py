"""The map of a table: which column is what. docs/csv-map.md explains it to people."""

from __future__ import annotations

import posixpath
import re
from fnmatch import fnmatchcase
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from flmd.core.bounded_search import BoundedSearch
from flmd.errors import InputError, ParamsError
from flmd.formats.common.yaml_file import read_yaml, validation_error
from flmd.schemes import get_scheme, scheme_of_count
from flmd.schemes.base import MOST_POINTS
from flmd.tree import FileTree
from flmd.tree.names import shown

ENDING = ".flmd.yaml"
MOST_MAPS = 100
_TABLES = (".csv", ".tsv", ".txt", ".tab", ".dat")

_PLACE = re.compile(r"\{i(?::0([1-9]))?\}")

Column = int | str
Text = int | float | bool | str


def numbered(pattern: str, number: int) -> str:
    """The column that a pattern names: ``x_{i}`` is x_7 for 7, ``x_{i:02}`` is x_07."""
    return _PLACE.sub(lambda found: f"{number:0{found[1] or 1}}", pattern)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class _OneColumn(_Section):
    """A section that may be written as the name of its column alone."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"column": value} if isinstance(value, int | str) else value


class ImageMap(_OneColumn):
    """The picture: a column between prefix and suffix, or the name of the table itself."""

    column: Column | None = None
    file: bool = Field(default=False, description="the picture has the table's name without its ending")
    digits: int = Field(default=0, ge=0, le=20, description="a number is filled up with zeros to so many")
    prefix: str = ""
    suffix: str = ""

    @model_validator(mode="after")
    def _one(self) -> ImageMap:
        if (self.column is None) == (not self.file):
            raise ValueError("give either column or file: true")
        return self


class PointsMap(_Section):
    """Pairs of columns; or a pattern; or a run of columns from ``start``."""

    columns: list[list[Column]] | None = None
    x: str | None = None
    y: str | None = None
    start: Column = 0
    count: int | None = Field(default=None, ge=1, le=MOST_POINTS)
    order: Literal["xyxy", "xxyy"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"columns": value} if isinstance(value, list) else value

    @model_validator(mode="after")
    def _one(self) -> PointsMap:
        ways = [self.columns is not None, self.x is not None or self.y is not None, self.order is not None]
        if sum(ways) != 1:
            raise ValueError('give a list of [x, y], or x: "x_{i}" and y: "y_{i}", or start and order')
        if self.columns is not None and not (self.columns and all(len(pair) == 2 for pair in self.columns)):
            raise ValueError("every entry of the list is [x, y]")
        if ways[1]:
            if not (self.x and self.y and _PLACE.search(self.x) and _PLACE.search(self.y)):
                raise ValueError('both x and y are patterns with {i} in them, such as "x_{i}" or "x{i:02}"')
            if isinstance(self.start, str):
                raise ValueError("start is the first {i}, a whole number")
        return self

    def pairs(self, count: int) -> list[tuple[Column, Column]] | None:
        """The columns of ``count`` points by name or index; None for a run."""
        if self.columns is not None:
            return [(pair[0], pair[1]) for pair in self.columns]
        if self.x is None or self.y is None:
            return None
        numbers = range(int(self.start), int(self.start) + count)
        return [(numbered(self.x, i), numbered(self.y, i)) for i in numbers]


class VisibilityMap(_Section):
    """A column for each point, and what its values mean: 0 not labelled, 1 hidden, 2 visible."""

    columns: str | list[Column]
    start: int = Field(default=0, ge=0)
    values: dict[Text, Literal[0, 1, 2]] = Field(default={0: 0, 1: 1, 2: 2})

    @field_validator("columns")
    @classmethod
    def _pattern(cls, value: str | list[Column]) -> str | list[Column]:
        if isinstance(value, str) and not _PLACE.search(value):
            raise ValueError('a pattern with {i} in it, such as "v_{i}" or "v{i:02}", or a list of columns')
        return value

    def of(self, count: int) -> list[Column]:
        """The columns of ``count`` points."""
        if isinstance(self.columns, list):
            return self.columns
        return [numbered(self.columns, i) for i in range(self.start, self.start + count)]


class BoxMap(_Section):
    """Four columns."""

    columns: list[Column] = Field(min_length=4, max_length=4)
    kind: Literal["xywh", "xyxy", "xxyy", "cxcywh"]
    inclusive: bool = Field(default=False, description="right = left + width - 1: a pixel more is meant")
    base: float | None = Field(default=None, description="of its coordinates; the points', whole")
    source: Column | None = None


class SplitMap(_OneColumn):
    """A column, and which of its values are train, val and test."""

    column: Column
    values: dict[Text, Literal["train", "val", "test", ""]] | None = None


class SubjectMap(_OneColumn):
    """A column, or a regular expression over the picture's name: its first group, or all it matches."""

    column: Column | None = None
    pattern: str | None = None

    @model_validator(mode="after")
    def _one(self) -> SubjectMap:
        if (self.column is None) == (self.pattern is None):
            raise ValueError("give either column or pattern")
        if self.pattern is not None:
            try:
                BoundedSearch(self.pattern)
            except ValueError as error:
                raise ValueError(f"not a regular expression: {error}") from None
        return self


class AttributesMap(_Section):
    """Columns kept as attributes under their names; or one column that holds a JSON object."""

    columns: list[str] = Field(default_factory=list)
    json_column: Column | None = Field(default=None, alias="json")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"columns": value} if isinstance(value, list) else value


class CsvMap(_Section):
    """All of a map."""

    files: str | list[str] | None = None
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    header: bool = True
    scheme: str | None = None
    base: float = Field(default=0, description="0, 1, or 0.5 where the picture's corner is (0, 0)")
    units: Literal["pixels", "normalised"] = "pixels"
    missing: list[Text] = Field(default=[""])
    where: dict[Column, Text | list[Text]] = Field(default_factory=dict)
    image: ImageMap
    points: PointsMap
    visibility: VisibilityMap | None = None
    box: BoxMap | None = None
    split: SplitMap | None = None
    subset: Column | None = None
    dataset: Column | None = None
    subject: SubjectMap | None = None
    attributes: AttributesMap | None = None
    size: list[Column] | None = Field(default=None, min_length=2, max_length=2)

    @model_validator(mode="after")
    def _agree(self) -> CsvMap:
        if self.base not in (0, 0.5, 1) or (self.box and self.box.base not in (None, 0, 0.5, 1)):
            raise ValueError("base is 0, 0.5 or 1")
        if self.delimiter in '"\r\n\0':
            raise ValueError(f"delimiter is {self.delimiter!r}, expected a character like , ; or tab")
        count = self.count()
        if self.scheme is not None and count != get_scheme(self.scheme).count:
            raise ValueError(f"points: {count} of them, scheme {self.scheme} has another number")
        if self.visibility and len(self.visibility.of(count)) != count:
            raise ValueError(f"visibility: {len(self.visibility.of(count))} columns for {count} points")
        return self

    def count(self) -> int:
        """K, the number of points; ValueError where the map does not say it."""
        if self.points.columns is not None:
            return len(self.points.columns)
        if self.points.count is not None:
            return self.points.count
        if self.scheme is None:
            raise ValueError("give points.count, or a scheme")
        try:
            return get_scheme(self.scheme).count
        except ParamsError as error:
            raise ValueError(str(error)) from None

    def scheme_name(self) -> str:
        """The scheme it names, or the one its number of points means."""
        return self.scheme or scheme_of_count(self.count())


def read_map(tree: FileTree, name: str) -> CsvMap:
    """A map, checked; InputError that names the file and the key."""
    where = tree.where(name)
    try:
        return CsvMap.model_validate(dict(read_yaml(tree, name)))
    except ValidationError as error:
        raise validation_error(error, CsvMap, where) from None
    except ParamsError as error:
        raise InputError(str(error), where=where) from None


def maps_of(tree: FileTree) -> tuple[dict[str, str], dict[str, InputError]]:
    """The map of each table in a tree: table -> map; and the maps that cannot be used, with the error.

    A map's ``files`` are looked for in its own folder and below. Without them it is for the tables of its
    own name beside it, or, as the only map of the tree, for every ``*.csv`` in its folder and below.
    """
    names = [name for name in tree.names if name.lower().endswith(ENDING)][:MOST_MAPS]
    tables: dict[str, str] = {}
    faults: dict[str, InputError] = {}
    for name in names:
        try:
            found = _tables_of(tree, name, read_map(tree, name), only=len(names) == 1)
            twice = next((table for table in found if table in tables), None)
            if not found:
                raise InputError("no table that it could be for", where=tree.where(name), hint="say files:")
            if twice is not None:
                what = f"{shown(twice)} is the table of {shown(tables[twice])} as well"
                raise InputError(what, where=tree.where(name), hint="say files: in both")
        except InputError as error:
            faults[name] = error
            continue
        tables |= dict.fromkeys(found, name)
    return tables, faults


def own_map(table: str) -> str:
    """The name of the map that is for a table alone, beside it: ``a.flmd.yaml`` for ``a.csv``."""
    return posixpath.splitext(table)[0] + ENDING


def _tables_of(tree: FileTree, name: str, table_map: CsvMap, *, only: bool) -> list[str]:
    folder, base = posixpath.split(name)
    inside = folder + "/" if folder else ""
    stem = base[: -len(ENDING)]
    globs = [table_map.files] if isinstance(table_map.files, str) else table_map.files
    beside, below = [], []
    for table in tree.names if globs is None else tree.all_names():
        if not table.startswith(inside) or table.lower().endswith(ENDING):
            continue
        rest = table[len(inside) :]
        if globs is not None:
            if any(fnmatchcase(rest, glob) for glob in globs):
                below.append(table)
        elif "/" not in rest and posixpath.splitext(rest)[0] == stem and rest.lower().endswith(_TABLES):
            beside.append(table)
        elif rest.lower().endswith(".csv"):
            below.append(table)
    return beside or (below if globs is not None or only else [])
