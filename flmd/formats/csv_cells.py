"""The cells of one table: which column a map means, and the number that a cell holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError, did_you_mean
from flmd.face import SkipFace
from flmd.formats.csv_map import Column, Text
from flmd.formats.layout import LARGEST, number_in

Row = Sequence[str]


class Header:
    """The columns of one table.

    Parameters
    ----------
    cells : of its first row. named : whether they are names.
    where, map_where : the table and its map, for messages.
    """

    def __init__(self, cells: Row, *, named: bool, where: str, map_where: str) -> None:
        self._names = [name.strip() for name in cells]
        self._named, self._where, self._map_where = named, where, map_where
        self.width = len(cells)

    def find(self, column: Column) -> int:
        """Index of a column given by name or index; InputError when there is none, or several."""
        if isinstance(column, int):
            if 0 <= column < self.width:
                return column
            what = f"there is no column {column}"
            raise InputError(what, where=f"{self._where}:1", expected=f"{self.width} columns, from 0")
        if not self._named:
            what = f"column {column[:60]!r} is a name, but header is false"
            raise InputError(what, where=self._map_where, expected="numbers, from 0")
        found = self._names.count(column.strip())
        if found == 1:
            return self._names.index(column.strip())
        what = "is missing from the header" if not found else f"stands {found} times in the header"
        hint = None if found else did_you_mean(column, self._names)
        hint = hint or f"it is named in {self._map_where}"
        raise InputError(f"column {column[:60]!r} {what}", where=f"{self._where}:1", hint=hint)

    def find_all(self, columns: Iterable[Column]) -> list[int]:
        """Indices of several columns."""
        return [self.find(column) for column in columns]

    def find_maybe(self, column: Column | None) -> int | None:
        """Index of a column that the map need not have."""
        return None if column is None else self.find(column)

    def label(self, index: int) -> str:
        """A column in words: by its name, where it has one."""
        named = self._named and self._names[index]
        return f"column {self._names[index][:60]!r}" if named else f"column {index}"


class Values:
    """Some values of cells; a number among them counts however it is written: 1, 1.0, 1e0."""

    def __init__(self, values: Iterable[Text]) -> None:
        self._words = {str(value).strip() for value in values}
        self.numbers = {n for n in map(number_in, self._words) if n is not None}

    def __contains__(self, text: str) -> bool:
        return text.strip() in self._words or number_in(text) in self.numbers

    def has_word(self, text: str) -> bool:
        """Whether a text is one of those values that are no numbers."""
        return number_in(text) is None and text.strip() in self._words


class Cells:
    """What the cells of a row hold: a number, or nothing.

    Parameters
    ----------
    missing : what a cell says that holds nothing.
    """

    def __init__(self, header: Header, missing: Iterable[Text]) -> None:
        self.header = header
        self._missing = Values(missing)

    def says_missing(self, text: str) -> bool:
        """Whether a cell of anything is blank, or says in a word that it holds nothing."""
        return not text.strip() or self._missing.has_word(text)

    def is_missing(self, text: str) -> bool:
        """Whether a cell of a coordinate, a box or a visibility holds nothing, by a word or a number."""
        return text in self._missing

    def all_missing(self, row: Row, columns: Iterable[int]) -> bool:
        """Whether none of some cells holds anything."""
        return all(self.is_missing(row[i]) for i in columns)

    def number(self, row: Row, index: int) -> float:
        """The number in a cell; SkipFace when there is none."""
        value = number_in(row[index])
        if value is None:
            what = f"{self.header.label(index)} holds {row[index][:40]!r}, expected a number"
            raise SkipFace("not_a_number", what)
        return value

    def numbers(self, row: Row, columns: Sequence[int]) -> NDArray[np.float64]:
        """(n,) numbers of n cells, NaN where one holds nothing; SkipFace when one holds no number."""
        plain = self._plain([row[i] for i in columns])
        if plain is not None:
            return plain
        return np.array([math.nan if self.is_missing(row[i]) else self.number(row, i) for i in columns])

    def _plain(self, cells: list[str]) -> NDArray[np.float64] | None:
        """The numbers of cells when all of them are, and none may mean a missing one; fast."""
        try:
            values = np.array(list(map(float, cells)))
        except ValueError:
            return None
        if not (np.abs(values) <= LARGEST).all() or "_" in "".join(cells):
            return None
        if self._missing.numbers and np.isin(values, list(self._missing.numbers)).any():
            return None
        return values


def to_float32(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Coordinates as faces keep them; SkipFace when one is too large."""
    if (np.abs(values) > LARGEST).any():
        raise SkipFace("not_a_number", "a coordinate beyond what float32 holds")
    return values.astype(np.float32)
