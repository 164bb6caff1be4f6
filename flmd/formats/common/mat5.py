"""MATLAB's .mat files of version 5, as annotations use them: arrays of numbers, texts, cells of texts.

Nothing else is looked at: no structs, objects or function handles. Every size a file announces is checked
against the bytes that are there, so a forged one costs no memory, and compressed variables are inflated up
to a limit. Layout: "MAT-File Format", The MathWorks.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError

HEADER = 128
TEXT = b"MATLAB 5.0 MAT-file"
_MATRIX, _COMPRESSED = 14, 15
_CELL, _CHAR = 1, 4
_NUMERIC = range(6, 16)
_COMPLEX = 0x0800
_MOST_VALUES = 1 << 40
_DTYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {1: "latin-1", 2: "latin-1", 16: "utf-8"}

Variable = NDArray[Any] | str | list[str]


def is_mat5(head: bytes) -> bool:
    """Whether the first 128 bytes are the header of such a file."""
    return len(head) >= HEADER and head.startswith(TEXT) and head[126:128] in (b"IM", b"MI")


def read_mat5(data: bytes, where: str, *, limit: int) -> dict[str, Variable]:
    """The variables of a file, by name.

    Parameters
    ----------
    data : all bytes of the file.
    where : how messages name it.
    limit : bytes that the compressed variables may expand to, together.

    Returns
    -------
    Arrays with the shape they have in MATLAB; a text as str; a cell array of texts as a list, column by
    column. Variables of other kinds are left out.

    Raises
    ------
    InputError : not such a file, truncated, or damaged.
    """
    if not is_mat5(data):
        raise InputError("not a MATLAB 5.0 .mat file", where=where)
    try:
        return dict(_variables(data, "<" if data[126:128] == b"IM" else ">", limit))
    except _DamagedError as error:
        raise InputError(f"a damaged .mat file: {error}", where=where) from None


class _DamagedError(Exception):
    """The bytes are not what the format says."""


class _Part:
    """Elements that follow each other in some bytes."""

    def __init__(self, data: memoryview, order: str) -> None:
        self._data, self._order, self._at = data, order, 0

    def __bool__(self) -> bool:
        return self._at + 8 <= len(self._data)

    def next(self) -> tuple[int, memoryview]:
        """Type and bytes of the next element."""
        if not self:
            raise _DamagedError("it ends early")
        kind, size = struct.unpack_from(self._order + "II", self._data, self._at)
        if kind >> 16:  # a small element: up to four bytes right in the tag
            kind, size, start = kind & 0xFFFF, kind >> 16, self._at + 4
            after = self._at + 8
            if size > 4:
                raise _DamagedError(f"a small element of {size} bytes")
        else:
            start = self._at + 8
            after = start + size + (0 if kind == _COMPRESSED else -size % 8)
        if start + size > len(self._data):
            raise _DamagedError("it ends early")
        self._at = after
        return kind, self._data[start : start + size]


def _variables(data: bytes, order: str, limit: int) -> Iterator[tuple[str, Variable]]:
    part = _Part(memoryview(data)[HEADER:], order)
    left = limit
    while part:
        kind, inside = part.next()
        if kind == _COMPRESSED:
            expanded = _inflate(inside, left, limit)
            left -= len(expanded)
            kind, inside = _Part(memoryview(expanded), order).next()
        if kind == _MATRIX:
            name, value = _matrix(_Part(inside, order), order)
            if value is not None:
                yield name, value


def _inflate(data: memoryview, left: int, limit: int) -> bytes:
    try:
        out = zlib.decompressobj().decompress(data, left + 1)
    except zlib.error:
        raise _DamagedError("a compressed variable cannot be unpacked") from None
    if len(out) > left:
        raise _DamagedError(f"it expands to more than {limit} bytes")
    return out


def _matrix(part: _Part, order: str) -> tuple[str, Variable | None]:
    """Name and value of a variable; None for a kind that is not read."""
    flags = _numbers(*part.next(), order)
    shape = tuple(_numbers(*part.next(), order).tolist())
    name = bytes(part.next()[1]).decode("latin-1")
    if len(flags) < 1 or not 2 <= len(shape) <= 32 or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise _DamagedError("a variable without shape")
    if (
        math.prod(n for n in shape if n) > _MOST_VALUES
    ):  # no array can have such a shape, not even an empty one
        raise _DamagedError("a variable of a shape beyond all bounds")
    kind, count = int(flags[0]) & 0xFF, math.prod(shape)
    if kind == _CELL:
        return name, _cells(part, order, count)
    if kind == _CHAR:
        return name, _text(*part.next(), order) if count and part else ""
    if kind not in _NUMERIC or int(flags[0]) & _COMPLEX:
        return name, None
    values = _numbers(*part.next(), order) if count and part else np.empty(0)
    if len(values) != count:
        raise _DamagedError(f"{len(values)} values of {name[:40]!r}, expected {count}")
    return name, values.reshape(shape, order="F")


def _numbers(kind: int, data: memoryview, order: str) -> NDArray[Any]:
    dtype = np.dtype(order + _DTYPES[kind]) if kind in _DTYPES else None
    if dtype is None or len(data) % dtype.itemsize:
        raise _DamagedError(f"{len(data)} bytes of type {kind}")
    return np.frombuffer(data, dtype)


def _cells(part: _Part, order: str, count: int) -> list[str] | None:
    """The texts of a cell array; None when it holds anything else."""
    texts: list[str] = []
    while part and len(texts) < count:
        kind, inside = part.next()
        value = _cell(_Part(inside, order), order) if kind == _MATRIX else None
        if value is None:
            return None
        texts.append(value)
    if len(texts) != count:
        raise _DamagedError(f"{len(texts)} cells, expected {count}")
    return texts


def _cell(part: _Part, order: str) -> str | None:
    flags = _numbers(*part.next(), order)
    if len(flags) < 1 or int(flags[0]) & 0xFF == _CELL:  # nested cells could be nested without end
        return None
    for _ in ("shape", "name"):
        part.next()
    return (_text(*part.next(), order) if part else "") if int(flags[0]) & 0xFF == _CHAR else None


def _text(kind: int, data: memoryview, order: str) -> str:
    if kind in (4, 17):
        return bytes(data).decode("utf-16-le" if order == "<" else "utf-16-be", "replace")
    if kind not in _TEXTS:
        raise _DamagedError(f"a text of type {kind}")
    return bytes(data).decode(_TEXTS[kind], "replace")


def mat5_bytes(variables: Mapping[str, object]) -> bytes:
    """A compressed .mat file of version 5; the same variables give the same bytes."""
    import scipy.io

    file = io.BytesIO()
    scipy.io.savemat(file, dict(variables), do_compression=True)
    # scipy puts the date into the 116 bytes of free text at the start.
    return (TEXT + b", written by flmd").ljust(116) + file.getvalue()[116:]
