"""From a face store, or training arrays, to batches of tensors: threads over the memory map, no processes.

Both kinds of batches live in a small ring of reused buffers: **a batch's images are good until the next
batch is asked for**; copy what must last (``batch.images.clone()``). Points, visibility and faces are the
batch's own. The order and every change of a face depend on the seed and the epoch only, never on the
number of threads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from flmd.augmentation.arrays import ArraySplit
from flmd.augmentation.build import augmenter_for, keys_of
from flmd.core.params import AugmentParams
from flmd.errors import ParamsError
from flmd.parallel.pool import quiet, worker_count
from flmd.store.face_store import FaceStore
from flmd.training import ring
from flmd.training.batches import draw, gather

Numbers = float | Sequence[float]


class FaceBatch(NamedTuple):
    """B faces, ready for a network; S is the side of its input.

    images : (B, C, S, S) float32, or uint8 when nothing is normalised. C is 1 (grey) or 3 (RGB). Good
        until the next batch is asked for.
    points : (B, K, 2) float32, pixels of the crop, the centre of the top-left pixel being (0, 0); NaN
        where not labelled.
    visibility : (B, K) uint8: 0 not labelled, 1 hidden, 2 visible.
    faces : (B,) int64, rows of the face store.
    """

    images: Tensor
    points: Tensor
    visibility: Tensor
    faces: Tensor


@dataclass
class _Slot:
    """One buffer of the ring: ``pixels`` as made, ``images`` (B, C, S, S) as the batch shows them."""

    pixels: NDArray[np.uint8]
    images: NDArray[Any]
    batch: FaceBatch | None = None


class _Batches(ABC):
    """Batches of N things, an epoch an iteration."""

    def __init__(
        self,
        count: int,
        image_shape: tuple[int, ...],
        *,
        seed: int,
        batch: int,
        threads: int | None,
        normalise: tuple[Numbers, Numbers] | None,
        shuffle: bool,
        drop_last: bool,
    ) -> None:
        if batch < 1:
            raise ParamsError(f"batch is {batch}", expected="1 or more")
        if count < 1 or (drop_last and count < batch):
            raise ParamsError(f"{count} faces make no batch of {batch}", hint="add faces or lower batch")
        self._count, self._batch, self._seed = count, min(batch, count), seed
        self._shape = image_shape
        self._threads = worker_count(threads)
        self._shuffle, self._drop_last = shuffle, drop_last
        channels = image_shape[0] if len(image_shape) == 3 else 1
        self._tables = None if normalise is None else level_tables(*normalise, channels)
        self._slots: list[_Slot] = []
        self._busy = False
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch that the next iteration yields, from 0; it decides the order and the changes."""
        if epoch < 0:
            raise ParamsError(f"epoch is {epoch}", expected="0 or more")
        self.epoch = epoch

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self._count // self._batch if self._drop_last else -(-self._count // self._batch)

    def __iter__(self) -> Iterator[FaceBatch]:
        """One epoch. Leaving the loop early ends the threads; one iteration at a time."""
        if self._busy:
            raise RuntimeError("these batches are being iterated already, and share their buffers")
        order = draw(self._count, 0, self._seed, self.epoch) if self._shuffle else np.arange(self._count)
        starts = range(0, len(self) * self._batch, self._batch)
        tasks = [(order[start : start + self._batch], self.epoch) for start in starts]
        quiet()  # our threads are the parallelism, OpenCV's own would fight them
        self._busy = True
        try:
            with closing(ring.filled(self._fill, tasks, self._ring(), self._threads)) as slots:
                for slot in slots:
                    assert slot.batch is not None
                    yield slot.batch
        finally:
            self._busy = False

    @abstractmethod
    def _make(
        self, rows: NDArray[np.intp], epoch: int, out: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.int64]]:
        """Write the images of ``rows`` (0 ... N - 1) into ``out``; their points, visibility and faces."""

    def _ring(self) -> list[_Slot]:
        if not self._slots:
            self._slots = [self._slot() for _ in range(self._threads + 2)]
        return self._slots

    def _slot(self) -> _Slot:
        channels = self._shape[:-2] or (1,)
        pixels = np.empty((self._batch, *self._shape), np.uint8)
        images: NDArray[Any] = pixels.reshape(self._batch, *channels, *self._shape[-2:])
        return _Slot(pixels, images if self._tables is None else np.empty(images.shape, np.float32))

    def _fill(self, slot: _Slot, task: tuple[NDArray[np.intp], int]) -> None:
        rows, epoch = task
        count = len(rows)
        points, visibility, faces = self._make(rows, epoch, slot.pixels[:count])
        if self._tables is not None:
            look_up(slot.pixels[:count], self._tables, slot.images[:count])
        slot.batch = FaceBatch(
            torch.from_numpy(slot.images[:count]),
            torch.from_numpy(points),
            torch.from_numpy(visibility),
            torch.from_numpy(faces),
        )


class AugmentedBatches(_Batches):
    """Faces of a store, augmented anew in every epoch: epoch ``e`` shows variant ``e + 1`` of each face.

    Parameters
    ----------
    store : with context crops. rows : the faces, rows of the store.
    config : how far each change may go; ``variants`` is not looked at.
    seed : of the order and of all changes. batch : faces in a batch; the last may be shorter.
    threads : that make batches, all in this process; FLMD_WORKERS or the CPUs by default.
    normalise : (mean, std) of pixels in 0 ... 1, a number each or one for each channel: images become
        ``(x / 255 - mean) / std``; None leaves them uint8.
    shuffle : False keeps the order of ``rows``. drop_last : leaves out a last, shorter batch.

    Raises
    ------
    ParamsError : no faces; the context crops are too tight for the limits; the scheme cannot be flipped.
    StoreError : a store without crops.

    Example
    -------
        batches = AugmentedBatches(store, store.rows_where(split="train"), config, seed=7, batch=64)
        for epoch in range(20):
            batches.set_epoch(epoch)
            for images, points, visibility, faces in batches:
                ...
    """

    def __init__(
        self,
        store: FaceStore,
        rows: ArrayLike,
        config: AugmentParams,
        *,
        seed: int,
        batch: int,
        threads: int | None = None,
        normalise: tuple[Numbers, Numbers] | None = (0.5, 0.5),
        shuffle: bool = True,
        drop_last: bool = False,
    ) -> None:
        self._augmenter = augmenter_for(store, config, seed)
        self._faces = np.array(rows, dtype=np.int64)
        self._crops = np.asarray(store.crops)
        self._numbers = {
            name: store.numbers(name, self._faces) for name in ("affine", "box", "landmarks", "visibility")
        }
        self._keys = keys_of(store, self._faces)
        self._datasets = store.texts("dataset", self._faces)
        super().__init__(
            len(self._faces),
            self._augmenter.image_shape,
            seed=seed,
            batch=batch,
            threads=threads,
            normalise=normalise,
            shuffle=shuffle,
            drop_last=drop_last,
        )

    def _make(
        self, rows: NDArray[np.intp], epoch: int, out: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.int64]]:
        faces = self._faces[rows]
        made = self._augmenter(
            [self._crops[face] for face in faces.tolist()],
            self._numbers["affine"][rows],
            self._numbers["box"][rows],
            self._numbers["landmarks"][rows],
            self._numbers["visibility"][rows],
            self._keys[rows],
            np.array([epoch + 1]),
            datasets=[self._datasets[row] for row in rows.tolist()],
            out=out,
        )
        return made.points, made.visibility, faces


class PrecomputedBatches(_Batches):
    """Crops of training arrays, in a new order every epoch: one gather from the memory map a batch.

    Parameters
    ----------
    split : of ``TrainingArrays``; several versions of a face count as so many crops.
    seed, batch, threads, normalise, shuffle, drop_last : as in :class:`AugmentedBatches`, but nothing is
        normalised unless asked for.
    """

    def __init__(
        self,
        split: ArraySplit,
        *,
        batch: int,
        seed: int,
        threads: int | None = 1,
        normalise: tuple[Numbers, Numbers] | None = None,
        shuffle: bool = True,
        drop_last: bool = False,
    ) -> None:
        self._split = split
        self._images = np.asarray(split.images)
        super().__init__(
            len(split),
            split.images.shape[1:],
            seed=seed,
            batch=batch,
            threads=threads,
            normalise=normalise,
            shuffle=shuffle,
            drop_last=drop_last,
        )

    def _make(
        self, rows: NDArray[np.intp], epoch: int, out: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.int64]]:
        gather(self._images, rows, out)
        split = self._split
        return (
            np.asarray(split.points[rows]),
            np.asarray(split.visibility[rows]),
            np.asarray(split.face[rows]),
        )


def level_tables(mean: Numbers, std: Numbers, channels: int) -> NDArray[np.float32]:
    """(C, 256) float32: what each level of each channel becomes, ``(level / 255 - mean) / std``.

    Raises
    ------
    ParamsError : neither one number nor one a channel; a std that is not above 0.
    """
    for name, value in (("mean", mean), ("std", std)):
        if np.size(value) not in (1, channels):
            raise ParamsError(
                f"{np.size(value)} pixel {name}s for {channels} channels", expected="1 or one each"
            )
    if not np.all(np.asarray(std) > 0):
        raise ParamsError(f"pixel std is {std}", expected="above 0")
    levels = np.arange(256) / 255
    rows = (levels - np.reshape(mean, (-1, 1))) / np.reshape(std, (-1, 1))
    return np.ascontiguousarray(np.broadcast_to(rows, (channels, 256)), dtype=np.float32)


def look_up(pixels: NDArray[np.uint8], tables: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Turn levels into numbers, one table a channel.

    Parameters
    ----------
    pixels : (B, S, S) or (B, C, S, S) uint8. tables : (C, 256). out : (B, C, S, S) float32.
    """
    levels = pixels.reshape(out.shape)
    if (tables == tables[0]).all():
        # One call for the whole batch: threads hand the GIL to each other less often.
        rows = (-1, out.shape[-1])
        cv2.LUT(levels.reshape(rows), tables[:1], out.reshape(rows))
        return
    for channel, table in enumerate(tables[:, None]):
        for image, target in zip(levels[:, channel], out[:, channel], strict=True):
            cv2.LUT(image, table, target)
