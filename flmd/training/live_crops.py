"""Faces of a store, augmented anew whenever they are shown."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from flmd.augmentation.augmenter import Plan
from flmd.augmentation.build import augmenter_for, keys_of
from flmd.core.params import AugmentParams
from flmd.errors import ParamsError
from flmd.parallel.pool import quiet, worker_count
from flmd.store.face_store import FaceStore
from flmd.training.crop_source import Labels, ResidentCrops, Rows

# Matrices, boxes, landmarks, visibility, keys.
Annotations = tuple[
    NDArray[np.float64], NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint64]
]


class LiveCrops:
    """A source that shows version ``p + 1`` of a face in pass ``p``, from 0, as the stage `augment` makes it.

    Parameters
    ----------
    store : with context crops.
    rows : the faces, rows of the store; row i of the source is the face ``rows[i]``.
    config : how far each change may go; ``variants`` is not looked at.
    seed : of all changes.

    Raises
    ------
    ParamsError : no faces; the context crops are too tight for the limits; the scheme cannot be flipped.
    StoreError : a store without crops.
    """

    def __init__(self, store: FaceStore, rows: ArrayLike, config: AugmentParams, *, seed: int) -> None:
        self._augmenter = augmenter_for(store, config, seed)
        self.rows = np.array(rows, dtype=np.int64)
        if not len(self.rows):
            raise ParamsError("no faces to augment", where=str(store.path), hint="check datasets.*.split")
        self._crops = np.asarray(store.crops)
        self._affine, self._box, self._landmarks, self._visibility = (
            store.numbers(name, self.rows) for name in ("affine", "box", "landmarks", "visibility")
        )
        self._keys = keys_of(store, self.rows)
        self._datasets = store.texts("dataset", self.rows)
        shape = self._augmenter.image_shape
        self.image_shape: tuple[int, int, int] = (1 if len(shape) == 2 else shape[0], shape[-2], shape[-1])
        self.points = self._landmarks.shape[1]
        self.labelled = (self._visibility > 0).sum(axis=1, dtype=np.int64)
        self.threads = worker_count()
        # Transforms of albumentations are the CPU's alone.
        self.resident_bytes: int | None = None if config.albumentations else self._crops[0].nbytes * len(self)
        quiet()  # our threads are the parallelism, OpenCV's own would fight them

    def __len__(self) -> int:
        return len(self.rows)

    def fill(self, rows: Rows, passes: Rows, out: NDArray[np.uint8]) -> Labels:
        """See :class:`~flmd.training.crop_source.CropSource`."""
        made = [self._fill_pass(rows[piece], number, out[piece]) for piece, number in _each_pass(passes)]
        if len(made) == 1:
            return made[0]
        return Labels(*(np.concatenate(arrays) for arrays in zip(*made, strict=True)))

    def _fill_pass(self, rows: Rows, number: int, out: NDArray[np.uint8]) -> Labels:
        made = self._augmenter(
            [self._crops[face] for face in self.rows[rows].tolist()],
            *self._annotations(rows),
            np.array([number + 1]),
            datasets=self._names(rows),
            out=out.reshape(len(rows), *self._augmenter.image_shape),
        )
        return Labels(made.points, made.visibility)

    def plan(self, rows: Rows, passes: Rows) -> Plan:
        """Points, matrices and changes of the crops that :meth:`fill` would write."""
        parts = [
            self._augmenter.plan(
                *self._annotations(rows[piece]), np.array([number + 1]), datasets=self._names(rows[piece])
            )
            for piece, number in _each_pass(passes)
        ]
        if len(parts) == 1:
            return parts[0]
        return Plan(
            np.concatenate([part.points for part in parts]),
            np.concatenate([part.visibility for part in parts]),
            np.concatenate([part.affine for part in parts]),
            np.concatenate([part.from_crop for part in parts]),
            [change for part in parts for change in part.changes],
        )

    def _annotations(self, rows: Rows) -> Annotations:
        """What the augmenter is told of faces."""
        return (
            self._affine[rows],
            self._box[rows],
            self._landmarks[rows],
            self._visibility[rows],
            self._keys[rows],
        )

    def _names(self, rows: Rows) -> list[str]:
        """Data sets of faces."""
        return [self._datasets[row] for row in rows.tolist()]

    def resident(self, device: torch.device) -> ResidentCrops:
        """The context crops, held on a device that makes the versions there.

        Raises
        ------
        ParamsError : transforms of albumentations, which only the CPU has.
        """
        from flmd.training.resident_live import ResidentLiveCrops

        if self._augmenter.transforms:
            raise ParamsError(
                "augment.albumentations runs on the CPU alone", hint="set it to [] to augment on the device"
            )
        return ResidentLiveCrops(self, self._augmenter, self._crops, device)

    def digest(self) -> str:
        """See :class:`~flmd.training.crop_source.CropSource`: of annotations, matrices, keys and limits."""
        limits = self._augmenter.config.model_dump(exclude={"variants"})
        drawn = (self._crops.shape, self.image_shape, self._augmenter.seed, limits)
        digest = hashlib.sha256(str(drawn).encode())
        for array in (self._affine, self._box, self._landmarks, self._visibility, self._keys):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def _each_pass(passes: Rows) -> list[tuple[slice, int]]:
    """The pieces of a batch that are shown for the same time, and how often they were before.

    There are two where an epoch goes on with the next pass.
    """
    starts = np.flatnonzero(np.diff(passes, prepend=-1)).tolist()
    return [
        (slice(start, stop), int(passes[start]))
        for start, stop in zip(starts, [*starts[1:], len(passes)], strict=True)
    ]
