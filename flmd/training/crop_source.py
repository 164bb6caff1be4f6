"""What a :class:`~flmd.training.batch_loader.BatchLoader` makes batches of: faces that become crops.

A source knows N faces by row. Its crops are functions of row and pass alone, so that neither the order of
batches nor the number of threads that make them can change a pixel.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Rows = NDArray[np.int64]


class Labels(NamedTuple):
    """Of B crops.

    points : (B, K, 2) float32, pixels of the crop, the centre of the top-left pixel being (0, 0); NaN
        where not labelled. visibility : (B, K) uint8: 0 not labelled, 1 hidden, 2 visible.
    """

    points: NDArray[np.float32]
    visibility: NDArray[np.uint8]


class CropSource(Protocol):
    """N faces that become crops at network size.

    Attributes
    ----------
    image_shape : (C, S, S), C 1 or 3. points : K of each face.
    labelled : (N,) int64, labelled points of each face; the same in every pass.
    threads : how many should make crops where nobody says it.
    resident_bytes : what :meth:`resident` would take on a device; None: it cannot be held there.
    """

    image_shape: tuple[int, int, int]
    points: int
    labelled: NDArray[np.int64]
    threads: int
    resident_bytes: int | None

    def __len__(self) -> int: ...

    def fill(self, rows: Rows, passes: Rows, out: NDArray[np.uint8]) -> Labels:
        """Write the crops of (B,) ``rows`` into ``out``, (B, C, S, S); several threads call it at a time.

        ``passes``: (B,) ascending, how often each face was shown before.
        """

    def resident(self, device: torch.device) -> ResidentCrops:
        """The same faces, held on a device."""

    def digest(self) -> str:
        """Hexadecimal: another one for other faces, so that no training goes on with others."""


class ResidentCrops(Protocol):
    """Faces of a source that lie on a device, where batches of them are made."""

    def make(self, rows: Rows, passes: Rows) -> tuple[Tensor, Tensor, Tensor]:
        """(B, C, S, S) uint8 crops, (B, K, 2) float32 points and (B, K) uint8 visibility, on the device."""
