"""The description of an HDF5 file of ours, read without libhdf5.

libhdf5 trusts the addresses, counts and links in a file: one byte of an attribute set to 0 makes it loop for
ever, an external link makes it open any file or pipe, and it cannot be interrupted. This reader knows only
what flmd writes (superblock 0, symbol tables, object headers of version 1, contiguous datasets), takes each
part of a file once, and refuses the rest. Rows are not read here; their place is.

Source: "HDF5 File Format Specification Version 3.0", II.A (superblock), III.A-E (B-trees, symbol tables,
heaps), IV.A.1 (object headers).
"""

from __future__ import annotations

import itertools
import math
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from flmd.errors import StoreError
from flmd.store.hdf5_blocks import Bytes, links, messages
from flmd.store.hdf5_values import (
    UNDEFINED,
    DamagedError,
    Shape,
    Strange,
    Type,
    attribute,
    contiguous,
    shape_of,
    type_of,
    unpack,
)

_SHAPE, _TYPE, _OUTSIDE, _LAYOUT, _FILTERS, _ATTRIBUTE, _TABLE = 1, 3, 7, 8, 11, 12, 17  # kinds of message
_NEVER = {
    2: "a group with links of other kinds (external, or in an order)",
    6: "a group with links of other kinds (external, or in an order)",
    21: "attributes kept apart",
}


@dataclass(frozen=True)
class Dataset:
    """What a file says of one dataset.

    Attributes
    ----------
    kind : of its values. shape : None when it holds nothing.
    place : offset of its rows in the file, None where it has none; Strange where they lie in another manner.
    """

    kind: Type
    shape: Shape
    place: int | Strange | None

    @property
    def nbytes(self) -> int:
        """Of all rows; 0 where the type is not known."""
        if self.shape is None or isinstance(self.kind, Strange):
            return 0
        return math.prod(self.shape) * self.kind.itemsize


@dataclass
class Object:
    """A group or a dataset.

    Attributes
    ----------
    attributes : name -> value. places : name -> offset of the value in the file.
    links : name -> address of what is in a group; None for a dataset. dataset : None for a group.
    """

    attributes: dict[str, Any] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    links: dict[str, int] | None = None
    dataset: Dataset | None = None


class Hdf5File:
    """An HDF5 file opened for its description.

    Attributes
    ----------
    path : the file. stream : it, opened. root : its root group.

    Raises
    ------
    StoreError : no such file; a pipe or a device; not HDF5; truncated; damaged; of another layout than ours.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stream = open_regular(path)
        self._objects: dict[str, Object] = {}
        try:
            self._bytes = Bytes(self.stream)
            self.root = self._objects[""] = self._object(self._superblock())
            if self.root.links is None:
                raise DamagedError("its root is no group")
        except DamagedError as error:
            self.close()
            raise self._refused(error) from None
        except BaseException:
            self.close()
            raise

    def get(self, name: str) -> Object | None:
        """A dataset or group by its path (``a`` or ``a/b``); None when there is none of that name."""
        if name not in self._objects:
            above, _, last = name.rpartition("/")
            parent = self.get(above)
            if parent is None or parent.links is None or last not in parent.links:
                return None
            try:
                self._objects[name] = self._object(parent.links[last])
            except DamagedError as error:
                raise self._refused(error, name) from None
        return self._objects[name]

    def check_places(self) -> None:
        """StoreError when parts of the description, or the rows of the datasets that were got, overlap."""
        parts = [(start, start + size, "its description") for start, size in self._bytes.taken.items()]
        for name, found in self._objects.items():
            rows = found.dataset
            if rows is not None and isinstance(rows.place, int) and rows.nbytes:
                parts.append((rows.place, rows.place + rows.nbytes, name))
        for (_, end, first), (start, _, second) in itertools.pairwise(sorted(parts)):
            if start < end:
                raise self._refused(DamagedError(f"{first} and {second} overlap"))

    def rows(self, dataset: Dataset, name: str) -> tuple[int, int]:
        """Offset and bytes of the rows of a dataset; StoreError unless they all lie in this file."""
        where, place, size = str(self.path), dataset.place, dataset.nbytes
        if isinstance(place, Strange):
            what, how = f"the rows of {name} lie {place}", "all in this file, one after the other"
            raise StoreError(what, where=where, expected=how, hint="convert it again")
        if place is None and size:
            raise StoreError(f"{name} has no rows in this file", where=where, hint="convert it again")
        if size and (place or 0) + size > self._bytes.size:
            raise StoreError(f"{name} ends early: the file is truncated", where=where)
        return place or 0, size

    def close(self) -> None:
        """Close the file."""
        self.stream.close()

    def _refused(self, error: DamagedError, name: str = "") -> StoreError:
        return StoreError(
            f"damaged, or not written by flmd: {f'{name}: ' if name else ''}{error}",
            where=str(self.path),
            expected="an HDF5 file as flmd writes it",
            hint="make it again",
        )

    def _superblock(self) -> int:
        """Address of the root group."""
        head = self._bytes.take(0, 96)
        version, free, table, _, messages, offsets, lengths = unpack("7B", head, 8)
        if version != 0:
            raise DamagedError(f"HDF5's layout of version {version}; flmd writes and reads version 0")
        base, _, end, driver, _, root = unpack("6Q", head, 24)
        if (free, table, messages, offsets, lengths, base, driver) != (0, 0, 0, 8, 8, 0, UNDEFINED):
            raise DamagedError("its first block is of another kind")
        if end > self._bytes.size:
            raise StoreError(
                f"truncated: {self._bytes.size} bytes of {end}",
                where=str(self.path),
                hint="copy or make it again",
            )
        address: int = root
        return address

    def _object(self, address: int) -> Object:
        """What the header at an address describes."""
        found, parts = Object(), dict[int, bytes]()
        for kind, flags, message, place in messages(self._bytes, address):
            if kind == _ATTRIBUTE:
                name, value, at = attribute(message, self._bytes.text)
                if name in found.attributes:
                    raise DamagedError(f"two attributes {name!r}")
                found.attributes[name], found.places[name] = value, place + at
            elif kind in _NEVER:
                raise DamagedError(_NEVER[kind])
            elif kind in (_SHAPE, _TYPE, _LAYOUT, _TABLE, _OUTSIDE, _FILTERS):
                if kind in parts:
                    raise DamagedError("a part is there twice")
                parts[kind] = message
                if flags & 2:
                    raise DamagedError("a type that lies elsewhere")
        if _TABLE in parts:
            found.links = links(self._bytes, *unpack("QQ", parts[_TABLE]))
        elif {_SHAPE, _TYPE, _LAYOUT} <= parts.keys():
            found.dataset = _dataset(parts)
        else:
            raise DamagedError("neither a group nor a dataset")
        return found


def _dataset(parts: dict[int, bytes]) -> Dataset:
    kind, shape, layout = type_of(parts[_TYPE]), shape_of(parts[_SHAPE]), contiguous(parts[_LAYOUT])
    if _OUTSIDE in parts:
        return Dataset(kind, shape, Strange("in other files (external)"))
    if _FILTERS in parts:
        return Dataset(kind, shape, Strange("there compressed"))
    if isinstance(layout, Strange):
        return Dataset(kind, shape, layout)
    place, size = layout
    made = Dataset(kind, shape, None if place == UNDEFINED else place)
    if not isinstance(kind, Strange) and size != made.nbytes:
        raise DamagedError(f"{size} bytes for {made.nbytes} of rows")
    return made


def open_regular(path: Path) -> BinaryIO:
    """A file opened for reading; StoreError when there is none, or a folder, pipe, socket or device."""
    where = str(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise StoreError("no regular file (a folder, pipe, socket or device)", where=where)
        # Without O_NONBLOCK, a pipe that took its place meanwhile would wait for a writer.
        stream = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError("no such file", where=where) from None
    except (OSError, ValueError) as error:
        raise StoreError(
            f"cannot be opened ({getattr(error, 'strerror', None) or error})", where=where
        ) from None
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise StoreError("no regular file (a folder, pipe, socket or device)", where=where)
    return stream
