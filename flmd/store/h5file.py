"""HDF5 files that are whole or not there, and the same bytes for the same content.

Every dataset is contiguous and uncompressed, its space taken when it is created, so that its rows lie at
a known offset of the file: pixels are written with plain ``pwrite`` and read through a memory map.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray

from flmd.core.atomic import whole_or_nothing
from flmd.errors import StoreError, one_line
from flmd.store import opening

ALIGNMENT = 4096
LARGEST_ATTRIBUTE = 60_000  # bytes; HDF5 takes a little less than 64 KiB


def require_space(target: Path, need: int) -> None:
    """StoreError when the disk under ``target`` has less than ``need`` bytes free."""
    target.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(target.parent).free
    if free < need:
        raise StoreError(
            f"the disk is full: {need / 2**20:.1f} MiB are needed, {free / 2**20:.1f} MiB are free",
            where=str(target),
            hint="free some space and run again; nothing half-written was kept",
        )


@contextlib.contextmanager
def creating(target: Path, *, need: int = 0) -> Iterator[h5py.File]:
    """A new HDF5 file, written beside ``target`` and renamed onto it at the end.

    Parameters
    ----------
    need : bytes it will take at least; checked against the free space first.
    """
    require_space(target, need)
    try:
        with (
            whole_or_nothing(target) as new,
            h5py.File(new, "w", alignment_threshold=ALIGNMENT, alignment_interval=ALIGNMENT) as file,
        ):
            yield file
            file.close()
            opening.seal(new)
    except (OSError, RuntimeError) as error:
        # HDF5 reports a full disk as a RuntimeError or an OSError with a long trace in its text.
        if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error):
            raise StoreError(
                "the disk is full", where=str(target), hint="free some space and run again"
            ) from None
        if getattr(error, "errno", None) is None:  # HDF5's own words, often of what happened afterwards
            raise StoreError(
                f"cannot be written ({one_line(error)})",
                where=str(target),
                hint="see that the disk is not full, and run again",
            ) from error
        raise


def add_dataset(
    group: h5py.Group, name: str, shape: tuple[int, ...], dtype: DTypeLike, **attributes: str
) -> h5py.Dataset:
    """A contiguous dataset with its space allocated and no fill values written."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_layout(h5py.h5d.CONTIGUOUS)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    plist.set_obj_track_times(False)
    kind = (
        h5py.h5t.py_create(np.dtype(dtype), logical=True) if not isinstance(dtype, h5py.Datatype) else dtype
    )
    space = h5py.h5s.create_simple(shape)
    dataset = h5py.Dataset(h5py.h5d.create(group.id, name.encode(), kind, space, plist))
    for key, value in attributes.items():
        dataset.attrs[key] = value
    return dataset


def add_text(group: h5py.Group, name: str, count: int, width: int, **attributes: str) -> h5py.Dataset:
    """A dataset of fixed-width UTF-8 texts, padded with zero bytes."""
    return add_dataset(group, name, (count,), h5py.string_dtype("utf-8", max(width, 1)), **attributes)


def encode_texts(texts: list[str], width: int) -> NDArray[np.bytes_]:
    """UTF-8 bytes of a fixed width, for a dataset made by :func:`add_text`."""
    return np.array([encode_text(text) for text in texts], dtype=f"S{max(width, 1)}")


def encode_text(text: str) -> bytes:
    """UTF-8; bytes that were none when the text was read become those bytes again."""
    return text.encode("utf-8", "surrogateescape")


def shown(text: str) -> str:
    """A text of a store for a table, a plot or JSON: bytes that are not UTF-8 become ``\\xff``."""
    return encode_text(text).decode("utf-8", "backslashreplace")


def decode_texts(raw: NDArray[np.bytes_]) -> list[str]:
    """The reverse of :func:`encode_texts`."""
    return [t.decode("utf-8", "surrogateescape") for t in raw.tolist()]


def write_rows(file: h5py.File, dataset: h5py.Dataset, start: int, rows: NDArray[Any]) -> None:
    """Write whole rows at their place in the file, past HDF5's own buffers."""
    if not len(rows):
        return
    data = np.ascontiguousarray(rows, dtype=dataset.dtype)
    offset = dataset.id.get_offset() + start * (data.nbytes // len(data))
    write_at(Path(file.filename), offset, data)


def write_at(path: Path, offset: int, data: NDArray[Any]) -> None:
    """``pwrite`` all bytes of an array at an offset of a file."""
    view = memoryview(data).cast("B")  # type: ignore[arg-type]
    descriptor = os.open(path, os.O_WRONLY)
    try:
        while view:
            written = os.pwrite(descriptor, view, offset)
            view, offset = view[written:], offset + written
    finally:
        os.close(descriptor)


def set_header(file: h5py.File, name: str, version: int, **attributes: object) -> None:
    """Root attributes: what the file is, and what it was made from (mappings are kept as JSON).

    JSON too long for an attribute becomes a dataset of its UTF-8 bytes.
    """
    file.attrs["format"], file.attrs["version"] = name, version
    file.attrs[opening.DIGEST] = np.uint64(0)  # its place; the digest is known when the file is complete
    for key, value in attributes.items():
        if isinstance(value, Mapping | list):
            value = json.dumps(value, sort_keys=True)
            if len(value) > LARGEST_ATTRIBUTE:
                file.create_dataset(key, data=np.frombuffer(value.encode(), np.uint8))
                continue
        file.attrs[key] = value
