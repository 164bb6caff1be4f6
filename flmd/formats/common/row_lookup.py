"""What a list beside another says of the same pictures, looked up in step with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flmd.errors import InputError
from flmd.formats.common.text_list import lines_of
from flmd.tree import FileTree

MOST_ROWS = 2_000_000

Split = Callable[[str], list[str]]


class RowLookup:
    """The rows of a list, each a name and ``columns`` cells, looked up by name.

    Read in step with the other list as long as both are in the same order; else all of its rows are kept,
    at most 2,000,000 of them.

    Parameters
    ----------
    tree, name : the list.
    columns : how many cells follow the name; rows with others are passed over.
    split : a line -> the name and the cells.
    header : lines at the start that are no rows.
    """

    def __init__(self, tree: FileTree, name: str, columns: int, split: Split, header: int = 0) -> None:
        self.where = tree.where(name)
        self._tree, self._name, self._columns, self._split = tree, name, columns, split
        self._header = header
        self._in_step: Iterator[tuple[str, list[str], int]] | None = self._rows()
        self._all: dict[str, tuple[str, int]] = {}

    def of(self, key: str) -> tuple[list[str], int] | None:
        """The cells and line of a name's row; None when it has none.

        Raises InputError for a line of 1 MiB or more, and for more than 2,000,000 rows out of order.
        """
        if self._in_step is not None:
            row = next(self._in_step, None)
            if row is not None and row[0] == key:
                return row[1], row[2]
            self._in_step = None
            self._index()
        found = self._all.get(key)
        return None if found is None else (found[0].split("\t"), found[1])

    def _index(self) -> None:
        for key, cells, line in self._rows():
            self._all.setdefault(key, ("\t".join(cells), line))
            if len(self._all) > MOST_ROWS:
                raise InputError(
                    f"more than {MOST_ROWS} rows in another order than the landmarks",
                    where=f"{self.where}:{line}",
                    hint="sort both by name",
                )

    def _rows(self) -> Iterator[tuple[str, list[str], int]]:
        with self._tree.open(self._name) as stream:
            for number, line in lines_of(stream, self.where):
                if number > self._header:
                    key, *cells = self._split(line)
                    if len(cells) == self._columns:
                        yield key, cells, number
