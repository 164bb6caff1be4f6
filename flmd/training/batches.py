"""From arrays on disk to batches on a device: which rows, in which order, and getting them there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flmd.errors import InputError
from flmd.training import ring

# Of the free memory of a GPU, what the training set may take before it is streamed instead.
RESIDENT_SHARE = 0.5
BUFFERS = 3


class ArraySplit(Protocol):
    """One split of a data set, at network size.

    Attributes
    ----------
    images : (N, S, S) grey or (N, 3, S, S) planar uint8; may be a memory map.
    points : (N, K, 2) float32, pixels of the network's input, the centre of the first pixel being
        (0, 0); NaN where a point is not labelled.
    visibility : (N, K) uint8: 0 not labelled, 1 labelled but hidden, 2 visible.
    """

    @property
    def images(self) -> NDArray[np.uint8]: ...
    @property
    def points(self) -> NDArray[np.float32]: ...
    @property
    def visibility(self) -> NDArray[np.uint8]: ...


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of an :class:`ArraySplit` on the device; good until the next batch is asked for.

    images (B, S, S) or (B, 3, S, S) uint8; points (B, K, 2) float32 pixels; labelled (B, K) bool.
    """

    images: Tensor
    points: Tensor
    labelled: Tensor


def check_split(name: str, split: ArraySplit, points: int) -> None:
    """InputError, naming the split, when its arrays do not belong together."""
    images, count = split.images, len(split.images)
    square = images.shape[-1:] == images.shape[-2:-1]
    if images.dtype != np.uint8 or not square or (images.ndim, *images.shape[1:-2]) not in ((3,), (4, 3)):
        raise InputError(
            f"images are {images.dtype} of shape {images.shape}",
            where=f"{name} split",
            expected="uint8 (N, S, S) or (N, 3, S, S)",
        )
    for what, array, shape in (
        ("points", split.points, (count, points, 2)),
        ("visibility", split.visibility, (count, points)),
    ):
        if array.shape != shape:
            raise InputError(
                f"{what} have shape {array.shape}",
                where=f"{name} split",
                expected=f"{shape} beside the images",
            )
    lost = (split.visibility > 0) & ~np.isfinite(split.points).all(axis=-1)
    if lost.any():
        row, point = np.argwhere(lost)[0]
        raise InputError(
            f"point {point} is labelled but not a number",
            where=f"{name} split, row {row}",
            hint="augment again",
        )


def draw(count: int, faces: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The rows of one epoch, in order.

    Rows come from one endless stream: a random permutation of all ``count`` rows, then another, and so
    on. Epoch ``epoch`` (from 0) is the stream's ``epoch``-th piece of ``faces`` rows (0: ``count``, so
    that every epoch is one permutation). A function of its arguments only.

    Returns
    -------
    (faces,) int64.
    """
    faces = faces or count
    first, last = epoch * faces, (epoch + 1) * faces
    passes = range(first // count, (last - 1) // count + 1)
    stream = np.concatenate([_permutation(count, seed, number) for number in passes])
    start = first - passes[0] * count
    return stream[start : start + faces]


def cut(rows: NDArray[np.int64], batch: int) -> list[NDArray[np.int64]]:
    """Batches of ``batch`` rows, the last one shorter; a lone last row joins the batch before it.

    Batch norm cannot learn from one row, and no row is left out.
    """
    pieces = [rows[i : i + batch] for i in range(0, len(rows), batch)]
    if len(pieces) > 1 and len(pieces[-1]) == 1:
        pieces[-2:] = [np.concatenate(pieces[-2:])]
    return pieces


class Feeder:
    """Hands out batches of a split on a device.

    On a GPU that has room, the whole split is held there and gathered there. Otherwise a thread gathers
    the next batches from the memory map into a few reused buffers while the device works. ``resident``
    True or False decides instead.
    """

    def __init__(self, split: ArraySplit, device: torch.device, *, resident: bool | None = None) -> None:
        self.device = device
        self.images = np.asarray(split.images)
        points = np.array(split.points, dtype=np.float32)  # a copy: the map is read-only
        self.points = torch.from_numpy(points).to(device)
        self.labelled = torch.from_numpy(np.ascontiguousarray(split.visibility > 0)).to(device)
        if resident is None:
            resident = self.images.nbytes < RESIDENT_SHARE * _free_memory(device)
        self.resident = _copy_to(self.images, device) if resident else None

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, pieces: list[NDArray[np.int64]]) -> Iterator[Batch]:
        """One :class:`Batch` for each array of rows, in order."""
        if self.resident is None:
            yield from self._streamed(pieces)
            return
        for piece in pieces:
            rows = torch.from_numpy(piece).to(self.device)
            yield Batch(self.resident[rows], self.points[rows], self.labelled[rows])

    def _streamed(self, pieces: list[NDArray[np.int64]]) -> Iterator[Batch]:
        largest = max((len(piece) for piece in pieces), default=0)
        buffers = [_Gathered(np.empty((largest, *self.images.shape[1:]), np.uint8)) for _ in range(BUFFERS)]

        def fill(buffer: _Gathered, piece: NDArray[np.int64]) -> None:
            buffer.rows = piece
            gather(self.images, piece, buffer.images[: len(piece)])

        with closing(ring.filled(fill, pieces, buffers, threads=1)) as ready:
            for buffer in ready:
                rows = torch.from_numpy(buffer.rows).to(self.device)
                images = torch.from_numpy(buffer.images[: len(buffer.rows)]).to(self.device)
                yield Batch(images, self.points[rows], self.labelled[rows])


@dataclass
class _Gathered:
    """A reused buffer (B, ...) uint8 and the rows that lie in it."""

    images: NDArray[np.uint8]
    rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


def gather(images: NDArray[np.uint8], rows: NDArray[np.integer], out: NDArray[np.uint8]) -> None:
    """Copy rows of a memory map into ``out`` in one go; the rows must be known to exist."""
    # With mode "raise" numpy gathers into a temporary first.
    np.take(images, rows, axis=0, out=out, mode="clip")


def _permutation(count: int, seed: int, number: int) -> NDArray[np.int64]:
    key: Any = np.array([seed, number], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).permutation(count)


def _free_memory(device: torch.device) -> int:
    """Bytes free on a CUDA GPU; 0 elsewhere, where a copy would gain nothing."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


def _copy_to(images: NDArray[np.uint8], device: torch.device, rows: int = 8192) -> Tensor:
    """The array on the device, copied in blocks: a memory map larger than RAM goes through too."""
    whole = torch.empty(images.shape, dtype=torch.uint8, device=device)
    for i in range(0, len(images), rows):
        whole[i : i + rows] = torch.from_numpy(np.array(images[i : i + rows])).to(device)
    return whole
