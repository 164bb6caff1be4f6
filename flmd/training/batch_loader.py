"""Batches of faces for a training loop: threads in one process over a memory map, no worker processes.

`flmd train` uses it, and any loop of one's own can::

    arrays = TrainingArrays("data/arrays.h5")
    loader = BatchLoader(StoredCrops(arrays.split("train")), batch=64, seed=7, normalise=(0.5, 0.5))
    for epoch in range(20):
        for batch in loader.epoch(epoch):
            loss = my_loss(network(batch.images), batch.points, batch.visibility > 0)

With ``LiveCrops(store, rows, config, seed=7)`` in place of ``StoredCrops`` every face is augmented anew
whenever it is shown.

What is in a batch is a function of (seed, epoch) and the faces; the number of threads and the device
change nothing, but for crops augmented on a GPU, see :class:`~flmd.training.live_crops.LiveCrops`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flmd.errors import ParamsError
from flmd.parallel.pool import worker_count
from flmd.training import ring
from flmd.training.crop_source import CropSource, Labels, ResidentCrops, Rows
from flmd.training.distributed import Processes, Share
from flmd.training.levels import Numbers, level_tables, look_up, look_up_on_device
from flmd.training.order import cut, draw, passes
from flmd.training.whole_batch import Place

# Of the free memory of a GPU, what the faces may take before they are streamed instead.
RESIDENT_SHARE = 0.5
SPARE_BUFFERS = 2  # one that the consumer holds, one that waits


@dataclass(frozen=True, slots=True)
class Batch:
    """B faces, ready for a network; S is the side of its input.

    Attributes
    ----------
    images : (B, C, S, S) uint8, or float32 when the loader normalises. C is 1 (grey) or 3 (RGB). On the CPU
        **good until the next batch is asked for**: buffers are reused; ``images.clone()`` what must last.
    points : (B, K, 2) float32, pixels of the crop, the centre of the top-left pixel being (0, 0); NaN
        where not labelled.
    visibility : (B, K) uint8: 0 not labelled, 1 hidden, 2 visible.
    share : which rows of the source these are, and where they lie in the batch of all processes.
    """

    images: Tensor
    points: Tensor
    visibility: Tensor
    share: Share

    @property
    def rows(self) -> Rows:
        """(B,) int64, rows of the source."""
        return self.share.rows

    @property
    def labelled(self) -> Tensor:
        """(B, K) bool: the points that count, which have a place; none of a stand-in's."""
        if not self.share.place.count:
            return torch.zeros_like(self.visibility, dtype=torch.bool)
        return self.visibility > 0


class BatchLoader:
    """Makes batches of a source of faces, an epoch at a time.

    Parameters
    ----------
    source : ``StoredCrops`` or ``LiveCrops``; anything else with the methods of ``CropSource``.
    batch : faces in a batch. The last one is shorter; a lone last face joins the batch before it.
    seed : of the order.
    epoch_faces : how many faces an epoch shows; 0: each one once. Fewer or more walk on, epoch by epoch,
        through one random order of all faces after another.
    shuffle : False shows faces as they lie. drop_last : leaves out a last, shorter batch.
    normalise : (mean, std) of pixels in 0 ... 1, a number each or one for each channel: images become
        float32, ``(level / 255 - mean) / std``. None leaves them uint8.
    device : where batches are wanted.
    resident : hold all faces on the device and make batches there; by default on a GPU that has room.
    threads : how many make batches ahead, in this process, where faces are not resident; by default as
        the source says: 1 for stored crops, FLMD_WORKERS or all CPUs for live ones.
    processes : those of torchrun (``distributed.current()``): each gets its share of every batch.

    Raises
    ------
    ParamsError : a batch below 1, or larger than all faces with ``drop_last``; no faces; means or stds that
        fit no pixel.
    """

    def __init__(
        self,
        source: CropSource,
        *,
        batch: int,
        seed: int = 0,
        epoch_faces: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        normalise: tuple[Numbers, Numbers] | None = None,
        device: torch.device | str = "cpu",
        resident: bool | None = None,
        threads: int | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.source, self.device = source, torch.device(device)
        self.faces = epoch_faces or len(source)
        if batch < 1:
            raise ParamsError(f"batch is {batch}", expected="1 or more")
        if self.faces < 1 or (drop_last and self.faces < batch):
            raise ParamsError(f"{self.faces} faces make no batch of {batch}", hint="add faces or lower batch")
        self._batch, self._seed, self._shuffle, self._drop_last = batch, seed, shuffle, drop_last
        self._tables = None if normalise is None else level_tables(*normalise, source.image_shape[0])
        self._processes = processes or Processes()
        self._threads = worker_count(source.threads if threads is None else threads)
        self._resident = self._on_device(resident)
        self._ring: list[_Buffer] = []
        self._busy = False

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(cut(np.arange(self.faces), self._batch, drop_last=self._drop_last))

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of epoch ``number``, from 0. Leaving the loop early ends the threads.

        Raises
        ------
        ParamsError : a number below 0.
        RuntimeError : another iteration is under way; it would share the buffers.
        """
        if number < 0:
            raise ParamsError(f"epoch is {number}", expected="0 or more")
        count = len(self.source)
        rows = draw(count, self.faces, self._seed, number, shuffle=self._shuffle)
        shown = passes(count, self.faces, number)
        tasks = [
            _Task(self._processes.share(rows[piece]), self._processes.share(shown[piece]).rows)
            for piece in cut(np.arange(self.faces), self._batch, drop_last=self._drop_last)
        ]
        return self._streamed(tasks) if self._resident is None else self._made_there(tasks)

    def _streamed(self, tasks: list[_Task]) -> Iterator[Batch]:
        """Batches that threads make ahead, in the ring of buffers."""
        if self._busy:
            raise RuntimeError("this loader is being iterated already, and its batches share their buffers")
        self._busy = True
        try:
            with closing(ring.filled(self._fill, tasks, self._buffers(), self._threads)) as buffers:
                for buffer in buffers:
                    yield self._batch_of(buffer)
        finally:
            self._busy = False

    def _buffers(self) -> list[_Buffer]:
        if not self._ring:
            largest = min(self._batch + 1, self.faces)  # a lone last face joins a whole batch
            shape = (largest, *self.source.image_shape)
            floats = self._tables is not None and self.device.type == "cpu"
            self._ring = [_Buffer.of(shape, floats) for _ in range(self._threads + SPARE_BUFFERS)]
        return self._ring

    def _fill(self, buffer: _Buffer, task: _Task) -> None:
        """What a thread does."""
        count = len(task.share.rows)
        buffer.share = task.share
        buffer.labels = self.source.fill(task.share.rows, task.passes, buffer.levels[:count])
        if self._tables is not None and buffer.images is not buffer.levels:
            look_up(buffer.levels[:count], self._tables, buffer.images[:count])

    def _batch_of(self, buffer: _Buffer) -> Batch:
        count = len(buffer.share.rows)
        images, points, visibility = (
            torch.from_numpy(array).to(self.device) for array in (buffer.images[:count], *buffer.labels)
        )
        return Batch(self._normalised(images), points, visibility, buffer.share)

    def _made_there(self, tasks: list[_Task]) -> Iterator[Batch]:
        """Batches that the device makes of the faces it holds."""
        assert self._resident is not None
        for task in tasks:
            images, points, visibility = self._resident.make(task.share.rows, task.passes)
            yield Batch(self._normalised(images), points, visibility, task.share)

    def _normalised(self, images: Tensor) -> Tensor:
        """Floats of levels, where floats are wanted and not made yet."""
        if self._tables is None or images.dtype != torch.uint8:
            return images
        return look_up_on_device(images, torch.from_numpy(self._tables).to(images.device))

    def _on_device(self, wanted: bool | None) -> ResidentCrops | None:
        need = self.source.resident_bytes
        if wanted is None:
            wanted = need is not None and need < RESIDENT_SHARE * _free_memory(self.device)
        return self.source.resident(self.device) if wanted else None


@dataclass(frozen=True, slots=True)
class _Task:
    """A batch to be made: its rows, and how often each was shown before."""

    share: Share
    passes: Rows


@dataclass(slots=True)
class _Buffer:
    """A part of the ring: ``levels`` as made, ``images`` as the batch shows them; both (largest, C, S, S)."""

    levels: NDArray[np.uint8]
    images: NDArray[Any]
    share: Share
    labels: Labels

    @classmethod
    def of(cls, shape: tuple[int, ...], floats: bool) -> _Buffer:
        """An empty one."""
        levels = np.empty(shape, np.uint8)
        nobody, nothing = np.empty(0, np.int64), np.empty((0, 0, 2), np.float32)
        images = np.empty(shape, np.float32) if floats else levels
        return cls(
            levels, images, Share(nobody, Place(), nobody), Labels(nothing, np.empty((0, 0), np.uint8))
        )


def _free_memory(device: torch.device) -> int:
    """Bytes free on a CUDA GPU; 0 elsewhere, where a copy would gain nothing."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
