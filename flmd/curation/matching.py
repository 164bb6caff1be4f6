"""Which faces of two sets belong together: by picture, and within a picture by their points."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import Face, Skipped
from flmd.store.column_buffer import ColumnBuffer

BLOCK = 512
MOST_ASSIGNED = 500  # faces of one picture that are assigned; more are paired in their order
FAR = 1e12  # px, between faces that share no labelled point


class Side:
    """One side on disk: faces in a column buffer, and a number for the picture of each.

    Parameters
    ----------
    folder : an empty folder, which the caller removes. points : K.
    """

    def __init__(self, folder: Path, points: int) -> None:
        self._buffer = ColumnBuffer(folder, points, {}, ("where",))
        self._points = points
        self.skipped = 0
        self.has_datasets = False
        self._keys: dict[bool, list[NDArray[np.uint64]]] = {False: [], True: []}

    def __len__(self) -> int:
        return len(self._buffer)

    def fill(self, faces: Iterable[Face | Skipped], progress: Callable[[int], object]) -> None:
        """Take in all faces; InputError for one with a different number of points."""
        block: list[Face] = []
        for item in faces:
            if isinstance(item, Skipped):
                self.skipped += 1
                continue
            if item.landmarks.shape != (self._points, 2):
                raise InputError(
                    f"{len(item.landmarks)} points", where=item.where, expected=f"{self._points}"
                )
            block.append(item)
            if len(block) == BLOCK:
                self._put(block)
                progress(len(block))
                block = []
        self._put(block)
        progress(len(block))

    def _put(self, block: list[Face]) -> None:
        self._buffer.append(block, where=[f.where for f in block])
        self.has_datasets |= any(f.dataset for f in block)
        for by_dataset, keys in self._keys.items():
            names = (f"{f.dataset}\0{f.image}" if by_dataset else f.image for f in block)
            keys.append(np.array([_digest(name) for name in names], np.uint64))

    def keys(self, by_dataset: bool) -> NDArray[np.uint64]:
        """(N,) a number for the picture of each face."""
        return np.concatenate([np.empty(0, np.uint64), *self._keys[by_dataset]])

    def numbers(self, name: str, rows: NDArray[np.intp]) -> NDArray[Any]:
        """Rows of a numeric column, copied."""
        return np.array(self._buffer.column(name)[rows])

    def texts(self, name: str, rows: NDArray[np.intp]) -> list[str]:
        """Rows of a text column; neighbours are read in one go."""
        found: list[str] = []
        for run in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
            if len(run):
                found += self._buffer.texts(name, slice(int(run[0]), int(run[-1]) + 1))
        return found

    def image(self, row: int) -> str:
        """The picture of a face."""
        return self._buffer.texts("image", slice(row, row + 1))[0]

    def where(self, row: int) -> str:
        """The place of a face."""
        return self._buffer.texts("where", slice(row, row + 1))[0] or f"face {row}"

    def place(self, row: int) -> str:
        """Picture and place of a face."""
        return f"{self.image(row)} ({self.where(row)})"

    def close(self) -> None:
        """Close the files."""
        self._buffer.close()


def _digest(name: str) -> int:
    data = name.encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def match(
    one: Side, two: Side, keys_a: NDArray[np.uint64], keys_b: NDArray[np.uint64]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Which faces of two sides are the same ones.

    Parameters
    ----------
    keys_a, keys_b : (N,) and (M,) a number for the picture of each face, from :meth:`Side.keys`.

    Returns
    -------
    (P, 2) matched rows in the order of A; rows that only A has; rows that only B has.
    """
    order_a, order_b = np.argsort(keys_a, kind="stable"), np.argsort(keys_b, kind="stable")
    pictures = np.union1d(keys_a, keys_b)
    starts = [np.searchsorted(k[o], pictures) for k, o in ((keys_a, order_a), (keys_b, order_b))]
    ends = [np.searchsorted(k[o], pictures, "right") for k, o in ((keys_a, order_a), (keys_b, order_b))]
    count_a, count_b = ends[0] - starts[0], ends[1] - starts[1]
    single = (count_a == 1) & (count_b == 1)
    pairs = [np.stack([order_a[starts[0][single]], order_b[starts[1][single]]], axis=1)]
    removed, added = [], []
    for i in np.flatnonzero(~single).tolist():
        rows_a, rows_b = order_a[starts[0][i] : ends[0][i]], order_b[starts[1][i] : ends[1][i]]
        which_a, which_b = _assign(one, two, rows_a, rows_b)
        pairs.append(np.stack([rows_a[which_a], rows_b[which_b]], axis=1))
        removed.append(np.delete(rows_a, which_a))
        added.append(np.delete(rows_b, which_b))
    matched = np.concatenate(pairs)
    none = np.empty(0, np.intp)
    return (
        matched[np.argsort(matched[:, 0], kind="stable")],
        np.sort(np.concatenate([none, *removed])),
        np.sort(np.concatenate([none, *added])),
    )


def _assign(
    one: Side, two: Side, rows_a: NDArray[np.intp], rows_b: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which faces of one picture belong together: indices into both, of the same length."""
    fewer = min(len(rows_a), len(rows_b))
    if fewer == 0 or max(len(rows_a), len(rows_b)) > MOST_ASSIGNED:
        return np.arange(fewer), np.arange(fewer)
    from scipy.optimize import linear_sum_assignment

    points_a, points_b = (
        side.numbers("landmarks", rows).astype(np.float64) for side, rows in ((one, rows_a), (two, rows_b))
    )
    boxes_a, boxes_b = (
        side.numbers("box", rows).astype(np.float64) for side, rows in ((one, rows_a), (two, rows_b))
    )
    cost = np.empty((len(rows_a), len(rows_b)))
    for i, (points, box) in enumerate(zip(points_a, boxes_a, strict=True)):
        distance = np.linalg.norm(points_b - points, axis=2)
        shared = np.isfinite(distance)
        count = shared.sum(axis=1)
        mean = np.where(shared, distance, 0.0).sum(axis=1) / np.maximum(count, 1)
        apart = np.linalg.norm(boxes_b - box, axis=1)
        # Boxes decide between faces of the same points, and where no point is labelled on both sides.
        near = np.where(np.isfinite(apart), np.minimum(apart, FAR), FAR)
        cost[i] = np.where(count > 0, np.minimum(mean, FAR) + 1e-9 * np.minimum(near, 1e6), FAR + near)
    found = linear_sum_assignment(cost)
    return np.asarray(found[0]), np.asarray(found[1])
