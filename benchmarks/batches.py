"""Batches of 64 for a training loop, float32 and normalised: made anew from context crops, or gathered.

Each contender yields one epoch to warm up (workers start, caches fill), then three epochs are timed; the
consumer takes each batch and does nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from benchmarks.timer import Timed, Timer

if TYPE_CHECKING:
    from flmd.training.batch_loader import BatchLoader

BATCH, EPOCHS = 64, 3


def _warm_epochs(batches: Callable[[int], Iterable[Any]]) -> Timed:
    for _ in batches(0):
        pass
    timer, count = Timer(), 0
    for number in range(1, 1 + EPOCHS):
        for images, *_ in batches(number):
            count += len(images)
            assert images.shape[1] in (1, 3)
    return count, timer.read()


def flmd(source: str, limits: dict[str, Any], threads: int = 2) -> Timed:
    """``flmd.training.batch_loader.BatchLoader`` of live crops."""
    import cv2
    import torch

    from flmd.core.params import AugmentParams
    from flmd.store.face_store import FaceStore
    from flmd.training.batch_loader import BatchLoader
    from flmd.training.live_crops import LiveCrops

    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    store = FaceStore(source)
    faces = LiveCrops(store, range(len(store)), AugmentParams(**limits), seed=1)
    return _warm_epochs(
        _images(BatchLoader(faces, batch=BATCH, seed=1, normalise=(0.5, 0.5), threads=threads))
    )


def _images(loader: BatchLoader) -> Callable[[int], Iterable[Any]]:
    """Epochs as the other contenders yield them: images first."""
    return lambda number: ((batch.images, batch.points) for batch in loader.epoch(number))


def _peer_dataset(source: str, limits: dict[str, Any], floats: bool):  # type: ignore[no-untyped-def]
    import numpy as np
    import torch

    from benchmarks.peers import Peer
    from flmd.store.face_store import FaceStore

    class Faces(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __init__(self) -> None:
            with FaceStore(source) as store:
                self.crops, affine = np.asarray(store.crops), store.numbers("affine")
                self.points = (
                    np.einsum("nij,nkj->nki", affine[:, :, :2], store.numbers("landmarks"))
                    + affine[:, None, :, 2]
                )
                self.peer = Peer(limits, store.crop_spec, floats=floats)

        def __len__(self) -> int:
            return len(self.crops)

        def __getitem__(self, row: int):  # type: ignore[no-untyped-def]
            crop = self.crops[row]
            picture = crop if crop.ndim == 2 else np.ascontiguousarray(crop.transpose(1, 2, 0))
            image, points = self.peer(picture, self.points[row])
            if floats:
                return image, torch.from_numpy(points)  # ToTensorV2 made it a tensor
            planes = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
            return torch.from_numpy(np.ascontiguousarray(planes)), torch.from_numpy(points)

    return Faces()


def _as_floats(loader: Iterable[Any]) -> Iterable[Any]:
    """uint8 from the workers, floats made by the consumer: sending floats would be slower."""
    for images, points in loader:
        yield images.float().mul_(1 / 127.5).sub_(1), points


def albumentations(source: str, limits: dict[str, Any], floats: bool) -> Timed:
    """A map-style Dataset with a Compose, in a DataLoader with two workers.

    ``floats``: the Compose ends in Normalize and ToTensorV2, as in albumentations' own examples; else
    the workers send uint8 and the consumer makes floats of whole batches.
    """
    import cv2
    import torch

    torch.set_num_threads(1)
    loader = torch.utils.data.DataLoader(
        _peer_dataset(source, limits, floats),
        batch_size=BATCH,
        shuffle=True,
        num_workers=2,
        persistent_workers=True,
        prefetch_factor=4,
        worker_init_fn=lambda _: cv2.setNumThreads(0),
    )
    return _warm_epochs(lambda _: loader if floats else _as_floats(loader))


def litdata(source: str, chunks: str, limits: dict[str, Any]) -> Timed:
    """StreamingDataset over optimized chunks, the same Compose in its ``__getitem__``, two workers."""
    import cv2
    import numpy as np
    import torch
    from litdata import StreamingDataLoader, StreamingDataset

    from benchmarks.peers import Peer
    from flmd.store.face_store import FaceStore

    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    with FaceStore(source) as store:
        context = store.crop_spec

    class Faces(StreamingDataset):  # type: ignore[misc]
        peer = Peer(limits, context)

        def __getitem__(self, index):  # type: ignore[no-untyped-def]
            row = super().__getitem__(index)
            crop = row["crop"]
            picture = crop if crop.ndim == 2 else np.ascontiguousarray(crop.transpose(1, 2, 0))
            image, points = self.peer(picture, row["points"])
            planes = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
            return torch.from_numpy(np.ascontiguousarray(planes)), torch.from_numpy(points)

    loader = StreamingDataLoader(
        Faces(input_dir=chunks, shuffle=True), batch_size=BATCH, num_workers=2, persistent_workers=True,
        prefetch_factor=4,
    )  # fmt: skip
    return _warm_epochs(lambda _: _as_floats(loader))


def precomputed(arrays: str, normalise: bool) -> Timed:
    """``BatchLoader`` of stored crops on one core; uint8 as stored, or normalised float32."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import cv2
    import torch

    from flmd.augmentation.arrays import TrainingArrays
    from flmd.training.batch_loader import BatchLoader
    from flmd.training.stored_crops import StoredCrops

    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    faces = StoredCrops(TrainingArrays(arrays).split("train"))
    floats = (0.5, 0.5) if normalise else None
    return _warm_epochs(_images(BatchLoader(faces, batch=BATCH, seed=1, normalise=floats)))


def h5py_gather(arrays: str) -> Timed:
    """The same file through h5py's own indexing with a sorted list of rows, on one core, uint8."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import h5py
    import numpy as np

    with h5py.File(arrays) as file:
        images, points = file["train/images"], file["train/points"]
        count = min(len(images), 4096)

        def epoch(number: int):  # type: ignore[no-untyped-def]
            order = np.random.default_rng(number).permutation(count)
            for start in range(0, count, BATCH):
                rows = np.sort(order[start : start + BATCH])
                yield images[rows][:, None], points[rows]

        return _warm_epochs(epoch)


def memmap_loader(arrays: str) -> Timed:
    """A Dataset over the same memory map in a DataLoader with two workers (on all cores), uint8."""
    import numpy as np
    import torch

    from flmd.augmentation.arrays import TrainingArrays

    torch.set_num_threads(1)
    split = TrainingArrays(arrays).split("train")

    class Rows(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(split)

        def __getitem__(self, row: int):  # type: ignore[no-untyped-def]
            return torch.from_numpy(np.array(split.images[row]))[None], torch.from_numpy(
                np.array(split.points[row])
            )

    loader = torch.utils.data.DataLoader(
        Rows(), batch_size=BATCH, shuffle=True, num_workers=2, persistent_workers=True, prefetch_factor=4
    )
    return _warm_epochs(lambda _: loader)
