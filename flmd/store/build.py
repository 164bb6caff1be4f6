"""Writing a face store: from rows that are put in one by one, or copied from where they are."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from flmd.core.crop_spec import CropSpec
from flmd.schemes import Scheme
from flmd.store import h5file, values
from flmd.store.layout import BLOCK, FORMAT, TEXTS, UNITS, VERSION, numeric_columns


class Rows(Protocol):
    """Faces on disk, column by column: a store, a column buffer, or :class:`Replaced` columns of one."""

    @property
    def origin(self) -> str:
        """The file that the rows are from, for messages; "" for rows that flmd has just made."""
        ...

    def __len__(self) -> int: ...

    def column(self, name: str) -> NDArray[Any]:
        """All rows of a numeric column, as a read-only memory map."""
        ...

    def texts(self, name: str, rows: slice) -> list[str]:
        """Rows of a text column."""
        ...

    def text_width(self, name: str) -> int:
        """Bytes of UTF-8 that hold each text of a column."""
        ...


class Replaced:
    """The rows of ``rows``, with some columns taken from elsewhere: name -> all its rows."""

    def __init__(
        self,
        rows: Rows,
        *,
        numbers: Mapping[str, NDArray[Any]] | None = None,
        texts: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._rows, self._numbers, self._texts = rows, numbers or {}, texts or {}
        self.origin = rows.origin

    def __len__(self) -> int:
        return len(self._rows)

    def column(self, name: str) -> NDArray[Any]:
        return self._numbers[name] if name in self._numbers else self._rows.column(name)

    def texts(self, name: str, rows: slice) -> list[str]:
        return list(self._texts[name][rows]) if name in self._texts else self._rows.texts(name, rows)

    def text_width(self, name: str) -> int:
        if name not in self._texts:
            return self._rows.text_width(name)
        return max((len(h5file.encode_text(text)) for text in self._texts[name]), default=0)


class StoreBuilder:
    """The datasets of a store of N faces, being filled.

    Made by :func:`building`; every row of every dataset must be put before the block ends.
    """

    def __init__(
        self, file: h5py.File, numeric: dict[str, h5py.Dataset], text: dict[str, h5py.Dataset]
    ) -> None:
        self._file, self._numeric, self._text = file, numeric, text

    def put(self, name: str, start: int, rows: NDArray[Any]) -> None:
        """Write rows ``start ...`` of a numeric dataset."""
        h5file.write_rows(self._file, self._numeric[name], start, rows)

    def put_texts(self, name: str, start: int, texts: list[str]) -> None:
        """Write rows ``start ...`` of a text dataset."""
        dataset = self._text[name]
        h5file.write_rows(self._file, dataset, start, h5file.encode_texts(texts, dataset.dtype.itemsize))


@contextlib.contextmanager
def building(
    target: Path,
    count: int,
    widths: Mapping[str, int],
    scheme: Scheme,
    crop: CropSpec | None,
    made_from: Mapping[str, Any],
) -> Iterator[StoreBuilder]:
    """Create a store of ``count`` faces, whole or not: ``with building(...) as builder: builder.put(...)``.

    Parameters
    ----------
    target : path of the store.
    count : N. widths : text column -> longest text in UTF-8 bytes.
    scheme : of the landmarks. crop : of the context crops; None: without them.
    made_from : digests and params, kept as JSON.

    Raises
    ------
    StoreError : the disk is full; what was at ``target`` stays.
    """
    columns = numeric_columns(scheme.count, crop)
    row = sum(int(np.prod(shape)) * np.dtype(dtype).itemsize for shape, dtype in columns.values())
    row += sum(max(widths[name], 1) for name in TEXTS)
    with h5file.creating(target, need=count * row) as file:
        h5file.set_header(file, FORMAT, VERSION, scheme=scheme.name, made_from=made_from)
        if crop:
            file.attrs["crop_size"], file.attrs["margin"] = crop.size, crop.margin
            file.attrs["color"] = crop.color
        numeric = {
            name: h5file.add_dataset(file, name, (count, *shape), dtype, units=UNITS[name])
            for name, (shape, dtype) in columns.items()
        }
        text = {name: h5file.add_text(file, name, count, widths[name]) for name in TEXTS}
        file.flush()
        yield StoreBuilder(file, numeric, text)


def copy_rows(
    sources: Sequence[Rows],
    target: Path,
    scheme: Scheme,
    crop: CropSpec | None,
    made_from: Mapping[str, Any],
    progress: Callable[[int], object] = lambda n: None,
) -> None:
    """Write the rows of all sources, in the order given, as one store.

    Parameters
    ----------
    sources : each with all columns of such a store; ``target`` may be the file that one of them reads.
    scheme, crop, made_from : as for :func:`building`.
    progress : called with the number of rows whenever some are written.

    Raises
    ------
    StoreError : a value that its column does not promise; the disk is full; what was at ``target`` stays.
    """
    widths = {name: max((source.text_width(name) for source in sources), default=0) for name in TEXTS}
    count = sum(map(len, sources))
    with building(target, count, widths, scheme, crop, made_from) as builder:
        first = 0
        for source in sources:
            for start in range(0, len(source), BLOCK):
                rows = slice(start, min(start + BLOCK, len(source)))
                numbers, texts = _checked(source, rows, list(numeric_columns(scheme.count, crop)))
                for name, block in numbers.items():
                    builder.put(name, first + start, block)
                for name, words in texts.items():
                    builder.put_texts(name, first + start, words)
                progress(rows.stop - start)
            first += len(source)


def _checked(
    source: Rows, rows: slice, columns: Sequence[str]
) -> tuple[dict[str, NDArray[Any]], dict[str, list[str]]]:
    """Numbers and texts of some rows; StoreError when those of a file are not what its columns promise."""
    numbers = {name: source.column(name)[rows] for name in columns}
    texts = {name: source.texts(name, rows) for name in TEXTS}
    if source.origin:
        for name, block in numbers.items():
            values.check(source.origin, name, block, rows)
        values.check_faces(source.origin, numbers, texts, rows.start)
    return numbers, texts
