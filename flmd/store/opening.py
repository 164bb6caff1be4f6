"""Opening an HDF5 file of ours for reading: what it is, its columns, and the digest of its description."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.errors import StoreError
from flmd.store import checks
from flmd.store.hdf5_file import Dataset, Hdf5File
from flmd.store.hdf5_values import Strange

DIGEST = "description_sha256"
"""The root attribute with the first 8 bytes of the digest of a file's description, as a whole number."""
OURS = ("format", "version", "scheme", "made_from", "crop_size", "margin", "color", "crop", "seed")
"""The root attributes that belong to the description."""

Columns = Mapping[str, tuple[tuple[int, ...], str | None]]
"""Name -> shape of a row, and dtype (None: text)."""


def open_checked(path: Path, name: str, version: int) -> Hdf5File:
    """Open a file of ours for reading.

    Raises
    ------
    StoreError : no such file; not HDF5; truncated; damaged; another kind of file; of a later version.
    """
    file = Hdf5File(path)
    try:
        found, where = file.root.attributes.get("format"), str(path)
        if found != name:
            raise StoreError(f"an HDF5 file of kind {found!r:.60}", where=where, expected=f"{name!r}")
        found_version = checks.whole_number(file.root.attributes, "version", where)
        if found_version < 1:
            raise StoreError(f"version is {found_version}", where=where, expected="1 or more")
        if found_version > version:
            raise StoreError(
                f"written by a later flmd (version {found_version} of {name})",
                where=where,
                expected=f"version {version} or earlier",
                hint="update flmd",
            )
    except BaseException:
        file.close()
        raise
    return file


def json_text(file: Hdf5File, name: str, default: str | None = None) -> str:
    """A JSON text as ``flmd.store.h5file.set_header`` writes it, in an attribute or a dataset of its bytes.

    StoreError when it is absent and there is no default.
    """
    where = str(file.path)
    if name in file.root.attributes:
        return checks.text(file.root.attributes, name, where)
    if file.get(name) is None:
        if default is None:
            raise StoreError(f"has no {name!r}", where=where, hint="make it again")
        return default
    dataset = _dataset(file, name)
    count = dataset.shape[0] if dataset is not None and dataset.shape else 0
    checks.check_column(where, name, dataset, "u1", (count,))
    return map_rows(file, name).tobytes().decode("utf-8", "replace")


def map_columns(file: Hdf5File, columns: Columns, group: str = "", *, first: str) -> dict[str, NDArray[Any]]:
    """Read-only memory maps of columns that have a row for each face, after a check of all.

    Parameters
    ----------
    group : the group that they lie in. first : the column that says how many rows there are.

    Raises
    ------
    StoreError : a column that is absent, of another type, shape or layout, or that ends early.
    """
    where, prefix = str(file.path), f"{group}/" if group else ""
    for name in columns:
        if file.get(prefix + name) is None:
            raise StoreError(f"has no {prefix + name!r}", where=where, hint="make it again")
    leading = _dataset(file, prefix + first)
    count = leading.shape[0] if leading is not None and leading.shape else 0
    for name, (shape, dtype) in columns.items():
        checks.check_column(where, prefix + name, _dataset(file, prefix + name), dtype, (count, *shape))
    return {name: map_rows(file, prefix + name) for name in columns}


def _dataset(file: Hdf5File, name: str) -> Dataset | None:
    """What a file says of a dataset; None when there is none of that name, or it is a group."""
    found = file.get(name)
    return None if found is None else found.dataset


def map_rows(file: Hdf5File, name: str) -> NDArray[Any]:
    """A read-only memory map of a dataset; StoreError when its rows do not all lie in the file."""
    rows = _dataset(file, name)
    if rows is None or rows.shape is None or isinstance(rows.kind, Strange):
        raise StoreError(f"{name} has no rows of numbers or texts", where=str(file.path))
    place, size = file.rows(rows, name)
    if not size:
        return np.empty(rows.shape, rows.kind)
    try:
        return np.memmap(file.stream, rows.kind, "r", place, rows.shape)
    except OSError as error:
        if error.errno == errno.EMFILE:
            raise OSError(error.errno, error.strerror, str(file.path)) from None
        raise StoreError(
            f"{name} ({size / 2**20:.1f} MiB) cannot be mapped ({error.strerror})",
            where=str(file.path),
            hint="raise the limit on memory (ulimit -v)",
        ) from None


def description_digest(file: Hdf5File, names: Iterable[str]) -> int:
    """Digest of the root attributes that are ours, and of type, shape and place of the datasets named."""
    attributes = {key: repr(file.root.attributes.get(key)) for key in OURS}
    if file.root.attributes.get("made_from") is None:
        attributes["made_from"] = repr(json_text(file, "made_from", "{}"))
    places = []
    for name in sorted(names):
        rows = _dataset(file, name)
        if rows is not None:
            places.append([name, str(rows.kind), rows.shape, rows.place if rows.nbytes else None])
    text = json.dumps([attributes, places], sort_keys=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def check_description(file: Hdf5File, names: Iterable[str]) -> None:
    """StoreError when parts overlap, or the description is not the one that was written.

    A file of an earlier flmd has no digest: its types, shapes and places alone are checked.
    """
    file.check_places()
    written = file.root.attributes.get(DIGEST)
    if written is not None and written != description_digest(file, names):
        raise StoreError(
            f"its description is not the one that was written: {DIGEST} differs",
            where=str(file.path),
            hint=f"make or copy it again (after a change of your own, delete the root attribute {DIGEST})",
        )


def seal(path: Path) -> None:
    """Write the digest of its description into a new file, in the place kept for it; without one, nothing."""
    file = Hdf5File(path)
    try:
        place = file.root.places.get(DIGEST)
        if place is None:
            return
        digest = description_digest(file, _datasets(file))
    finally:
        file.close()
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(descriptor, digest.to_bytes(8, "little"), place)
    finally:
        os.close(descriptor)


def _datasets(file: Hdf5File) -> list[str]:
    """The columns of a file, in its root and in the groups there."""
    found = []
    for name in file.root.links or ():
        inside = file.get(name)
        assert inside is not None
        if inside.links is None:
            found.append(name)
        else:
            found += [f"{name}/{column}" for column in inside.links]
    return [name for name in found if name != "made_from"]
