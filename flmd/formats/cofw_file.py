"""COFW's MATLAB 7.3 files: what is safe to read of an HDF5 file that somebody else made, and its pictures."""

from __future__ import annotations

import contextlib
import os
import posixpath
import threading
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from flmd.core.images import ImageError
from flmd.errors import InputError, one_line
from flmd.face import SkipFace
from flmd.formats.common.inner_pictures import InnerPictures, png
from flmd.tree import FileTree

USERBLOCK = 512
SIGNATURE = b"\x89HDF\r\n\x1a\n"
SETS = {"train": ("IsTr", "bboxesTr", "phisTr"), "test": ("IsT", "bboxesT", "phisT")}
FAILURES = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError, OverflowError)  # of h5py
_MOST_PIXELS = 1 << 26
_LARGEST_CHUNK = 1 << 26  # bytes
_INFLATION = 1100  # deflate's largest
_SMALLEST_FACE = 64  # bytes a face takes at least: its picture's header alone has more
_PLAIN_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}


class CofwFile:
    """One file, open for reading. Raises InputError when it is not HDF5, or damaged.

    Nothing outside the file is ever read: links other than hard ones, virtual datasets, data kept in
    other files and filters that would load a plugin are refused.
    """

    def __init__(self, tree: FileTree, name: str) -> None:
        self.where = tree.where(name)
        self._bytes = tree.size(name)
        self._stream = tree.open(name)
        try:
            self._file = h5py.File(self._stream, "r")
        except FAILURES as error:
            self._stream.close()
            raise InputError(f"not an HDF5 file, or damaged ({one_line(error)})", where=self.where) from None

    def close(self) -> None:
        """Let go of the file."""
        with contextlib.suppress(*FAILURES):
            self._file.close()
        self._stream.close()

    def __enter__(self) -> CofwFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def names(self) -> set[str]:
        """What the root group holds."""
        try:
            return set(self._file)
        except FAILURES as error:
            raise InputError(f"damaged ({one_line(error)})", where=self.where) from None

    def rows(self, name: str, width: int) -> h5py.Dataset:
        """A variable of ``width`` columns: a dataset (width, N) of numbers; InputError."""
        data = self._dataset(name)
        if data.ndim != 2 or data.shape[0] != width or data.dtype.kind not in "fiu":
            raise self._refused(f"{name} is {data.dtype} {data.shape}, expected numbers ({width}, N)")
        self._check_count(name, data.shape[1])
        return data

    def references(self, name: str) -> h5py.Dataset:
        """A cell array of N cells: a dataset (1, N) or (N, 1) of references; InputError."""
        data = self._dataset(name)
        if h5py.check_ref_dtype(data.dtype) is not h5py.Reference or data.ndim != 2 or 1 not in data.shape:
            raise self._refused(f"{name} is {data.dtype} {data.shape}, expected references (1, N)")
        self._check_count(name, data.size)
        return data

    def picture(self, reference: h5py.Reference) -> h5py.Dataset | None:
        """The dataset of a picture, (W, H) or (3, W, H) uint8; None for an empty cell; SkipFace."""
        if not reference:
            return None
        try:
            data = self._file[reference]
        except FAILURES as error:
            raise SkipFace("bad_picture", f"a picture that is not there ({one_line(error)})") from None
        try:
            data = self._checked("a picture", data)
        except InputError as error:
            raise SkipFace("bad_picture", error.what) from None
        if "MATLAB_empty" in data.attrs:
            return None
        if data.dtype != np.uint8 or data.ndim not in (2, 3) or (data.ndim == 3 and data.shape[0] != 3):
            what = f"a picture of {data.dtype} {data.shape}, expected uint8 (W, H) or (3, W, H)"
            raise SkipFace("bad_picture", what)
        if not 0 < data.size <= _MOST_PIXELS or data.size > _INFLATION * data.id.get_storage_size():
            what = f"a picture of shape {data.shape} in {data.id.get_storage_size()} bytes"
            raise SkipFace("bad_picture", what)
        return data

    def _dataset(self, name: str) -> h5py.Dataset:
        try:
            if not isinstance(self._file.get(name, getlink=True), h5py.HardLink):
                raise self._refused(f"{name} is a link")
            data = self._file[name]
        except FAILURES as error:
            raise self._refused(f"{name} cannot be read ({one_line(error)})") from None
        return self._checked(name, data)

    def _checked(self, name: str, data: Any) -> h5py.Dataset:
        if not isinstance(data, h5py.Dataset) or data.file != self._file:
            raise self._refused(f"{name} is no dataset of the file")
        plist = data.id.get_create_plist()
        if plist.get_layout() == h5py.h5d.VIRTUAL or plist.get_external_count():
            raise self._refused(f"{name} lies in another file")
        filters = {plist.get_filter(i)[0] for i in range(plist.get_nfilters())}
        if not filters <= _PLAIN_FILTERS:
            raise self._refused(f"{name} has the filters {sorted(filters)}, MATLAB uses deflate")
        if data.chunks and np.prod(data.chunks, dtype=float) * data.dtype.itemsize > _LARGEST_CHUNK:
            raise self._refused(f"{name} has chunks of shape {data.chunks}")
        return data

    def _check_count(self, name: str, count: int) -> None:
        if count * _SMALLEST_FACE > self._bytes:
            raise self._refused(f"{name} is of {count} faces, for which the file has no room")

    def _refused(self, what: str) -> InputError:
        return InputError(what, where=self.where)


def pixels_of(data: h5py.Dataset) -> NDArray[np.uint8]:
    """(H, W) or (H, W, 3) uint8 of a picture as MATLAB lays it out: with its axes reversed."""
    return np.ascontiguousarray(data[()].T)


def picture_of(name: str, number: int) -> str:
    """``COFW_train_color/00001.png`` for the first face of ``COFW_train_color.mat``."""
    return f"{posixpath.splitext(name)[0]}/{number:05}.png"


def sets_in(file: CofwFile) -> Iterator[tuple[str, tuple[str, str, str]]]:
    """The splits in a file, with the names of their variables."""
    names = file.names()
    return ((split, keys) for split, keys in SETS.items() if set(keys) & names)


class CofwPictures(InnerPictures):
    """The pictures in COFW files; the place of one is (file, variable, number of the cell from 0)."""

    def __init__(self, tree: FileTree, index: dict[str, tuple[str, str, int]]) -> None:
        super().__init__(tree, index)
        self._reset()

    def _reset(self) -> None:
        self._open: dict[str, CofwFile] = {}
        self._pid = os.getpid()
        self._lock = threading.Lock()

    def encode(self, place: tuple[str, str, int]) -> bytes:
        name, variable, cell = place
        where = f"{self._tree.where(name)} ({variable} {cell + 1})"
        if os.getpid() != self._pid:  # a forked child: the parent's streams share their positions
            self._reset()
        with self._lock:
            try:
                if name not in self._open:
                    self._open[name] = CofwFile(self._tree, name)
                file = self._open[name]
                references = file.references(variable)
                data = file.picture(references[np.unravel_index(cell, references.shape)])
                if data is not None:
                    return png(pixels_of(data))
            except (SkipFace, *FAILURES) as error:
                raise ImageError("image_damaged", one_line(error), where=where) from None
            except InputError as error:
                raise ImageError("image_damaged", error.what, where=where) from None
        raise ImageError("image_empty", "the cell of the picture is empty", where=where)

    def close(self) -> None:
        for file in self._open.values():
            file.close()
        self._open.clear()
        super().close()

    def __getstate__(self) -> dict[str, object]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_open", "_lock", "_pid")}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._reset()


def cofw_pictures(tree: FileTree, files: tuple[str, ...]) -> CofwPictures:
    """Index the pictures of these files, without reading one."""
    index: dict[str, tuple[str, str, int]] = {}
    for name in files:
        try:
            with CofwFile(tree, name) as file:
                number = 0
                for _, (images, _, _) in sets_in(file):
                    for cell, reference in enumerate(file.references(images)[()].ravel()):
                        number += 1
                        if reference and not _is_empty(file, reference):
                            index[picture_of(name, number)] = (name, images, cell)
        except (InputError, SkipFace, *FAILURES):
            continue  # reading the faces says it
    return CofwPictures(tree, index)


def _is_empty(file: CofwFile, reference: h5py.Reference) -> bool:
    try:
        return file.picture(reference) is None
    except (SkipFace, *FAILURES):
        return False
