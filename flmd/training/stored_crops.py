"""Crops of training arrays, made once by the stage `augment` and read through a memory map."""

from __future__ import annotations

import hashlib
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flmd.errors import InputError
from flmd.training.crop_source import Labels, Rows


class ArraySplit(Protocol):
    """One split of a data set, at network size: of ``TrainingArrays``, or arrays of one's own.

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


class StoredCrops:
    """A source whose every pass shows the same crops; several versions of a face count as so many faces.

    Parameters
    ----------
    split : the arrays. name : of the split, for errors.

    Raises
    ------
    InputError : arrays that do not belong together; a labelled point that is not a number.
    """

    threads = 1  # one copies as fast as memory allows

    def __init__(self, split: ArraySplit, name: str = "training") -> None:
        _check(name, split)
        self._images, self._visibility = np.asarray(split.images), np.asarray(split.visibility)
        self._points = np.asarray(split.points, dtype=np.float32)
        channels = 1 if self._images.ndim == 3 else self._images.shape[1]
        self.image_shape = (channels, *self._images.shape[-2:])
        self.points = self._points.shape[1]
        self.labelled = (self._visibility > 0).sum(axis=1, dtype=np.int64)
        self.resident_bytes: int | None = self._images.nbytes

    def __len__(self) -> int:
        return len(self._images)

    def fill(self, rows: Rows, passes: Rows, out: NDArray[np.uint8]) -> Labels:
        """See :class:`~flmd.training.crop_source.CropSource`: one gather from the memory map."""
        # With mode "raise" numpy gathers into a temporary first. The rows are known to exist.
        target = out.reshape(len(rows), *self._images.shape[1:])
        np.take(self._images, rows, axis=0, out=target, mode="clip")
        return Labels(self._points[rows], self._visibility[rows])

    def resident(self, device: torch.device) -> ResidentStoredCrops:
        """See :class:`~flmd.training.crop_source.CropSource`."""
        images = self._images.reshape(len(self), *self.image_shape)
        return ResidentStoredCrops(images, self._points, self._visibility, device)

    def digest(self) -> str:
        """See :class:`~flmd.training.crop_source.CropSource`: of shapes, points and visibility."""
        digest = hashlib.sha256(str(self._images.shape).encode())
        for array in (self._points, self._visibility):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


class ResidentStoredCrops:
    """The same crops on a device, gathered there."""

    def __init__(
        self,
        images: NDArray[np.uint8],
        points: NDArray[np.float32],
        visibility: NDArray[np.uint8],
        device: torch.device,
    ) -> None:
        self._device = device
        self._images = _copied(images, device)
        self._points = torch.from_numpy(np.array(points)).to(device)  # a copy: the map is read-only
        self._visibility = torch.from_numpy(np.array(visibility)).to(device)

    def make(self, rows: Rows, passes: Rows) -> tuple[Tensor, Tensor, Tensor]:
        """See :class:`~flmd.training.crop_source.ResidentCrops`."""
        which = torch.from_numpy(rows).to(self._device)
        return self._images[which], self._points[which], self._visibility[which]


def _copied(images: NDArray[np.uint8], device: torch.device, rows: int = 8192) -> Tensor:
    """The array on the device, copied in blocks: a memory map larger than RAM goes through too."""
    whole = torch.empty(images.shape, dtype=torch.uint8, device=device)
    for i in range(0, len(images), rows):
        whole[i : i + rows] = torch.from_numpy(np.array(images[i : i + rows])).to(device)
    return whole


def _check(name: str, split: ArraySplit) -> None:
    images, count = split.images, len(split.images)
    square = images.shape[-1:] == images.shape[-2:-1]
    if images.dtype != np.uint8 or not square or (images.ndim, *images.shape[1:-2]) not in ((3,), (4, 3)):
        raise InputError(
            f"images are {images.dtype} of shape {images.shape}",
            where=f"{name} split",
            expected="uint8 (N, S, S) or (N, 3, S, S)",
        )
    points = split.visibility.shape[-1]
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
