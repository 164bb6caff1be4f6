"""Pixels from workers on other machines: a file for each task in a folder that all machines share.

No two machines ever write the same file: on a network file system the pages at the seam of two writers'
parts can be lost. The one writer of the result reads the files in order and removes them, so that the small
columns are all that goes through a scheduler.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flmd.core.atomic import Scratch
from flmd.errors import StoreError


@dataclass(frozen=True)
class Shard:
    """Where a task left its pixels: uint8 of this shape, nothing before or after them."""

    path: Path
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Shards:
    """A folder of shards, absolute. A worker that does not see it sends its pixels back instead."""

    folder: Path

    def leave(self, pixels: NDArray[np.uint8]) -> Shard | NDArray[np.uint8]:
        """Write pixels; in a worker."""
        # A worker that was given up may still be writing when the task is done again elsewhere, so each
        # attempt has a file of its own.
        path = self.folder / uuid.uuid4().hex
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileNotFoundError:
            return pixels
        with os.fdopen(descriptor, "wb") as file:
            file.write(np.ascontiguousarray(pixels).data)
        return Shard(path, pixels.shape)

    def take(self, left: Shard | NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Read pixels and remove their file; in the writer.

        Raises
        ------
        StoreError : the file is not what the worker wrote.
        """
        if not isinstance(left, Shard):
            return left
        try:
            pixels = np.fromfile(left.path, np.uint8).reshape(left.shape)
        except (OSError, ValueError) as error:
            raise StoreError(
                f"a worker's pixels did not arrive ({error})",
                where=str(left.path),
                hint="see to the shared folder and run again",
            ) from None
        left.path.unlink()
        return pixels


@contextmanager
def beside(target: Path) -> Iterator[Shards]:
    """Shards in a folder beside the file they are for; removed at the end, whatever is in it."""
    with Scratch(target.parent.absolute(), target.name) as scratch:
        yield Shards(scratch.folder)
