"""The third pass over faces with pictures: each picture is decoded once, and its faces are cropped from it.

A task is a handful of pictures with all their faces. Tasks run anywhere; their results are taken in order.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from flmd.conversion.context_crops import Cropped, crop_image
from flmd.conversion.loss_report import LossReport
from flmd.conversion.settings import CropSettings, Workers
from flmd.core.orientation import STORED
from flmd.errors import InputError
from flmd.face import Face, Skipped
from flmd.parallel import shards
from flmd.parallel.pool import in_order
from flmd.parallel.shards import Shard, Shards
from flmd.store.column_buffer import ColumnBuffer
from flmd.tree import FileTree

ROWS_A_BLOCK, FACES_A_TASK, IMAGES_A_TASK = 512, 64, 8


def columns(settings: CropSettings) -> dict[str, tuple[tuple[int, ...], str]]:
    """What a cropped face has besides the columns of its annotation: name -> shape of a row, dtype."""
    return {"affine": ((2, 3), "f8"), "crops": (settings.spec.shape, "u1")}


@dataclass(frozen=True)
class CropWork:
    """What all tasks share.

    Attributes
    ----------
    pictures : the tree in which ``Face.image`` is a name.
    settings, box : how to crop, and what the box of a face is (``BoxPolicy``).
    shards : where workers leave their pixels; None: they hand them back.
    sample : bytes of some pictures, as the writer sees them.
    frame : of the coordinates of faces that do not say theirs (``flmd.conversion.frames``).
    """

    pictures: FileTree
    settings: CropSettings
    box: str
    shards: Shards | None
    sample: dict[str, int]
    frame: str = STORED

    def check_here(self) -> None:
        """FlmdError where the pictures are not there: every one of them would be skipped as missing."""
        for name, size in self.sample.items():
            found = self.pictures.size(name)
            self.pictures.read(name, 0, 1)
            if found != size:
                raise InputError(f"{found} bytes", where=self.pictures.where(name), expected=str(size))


@contextmanager
def shared_work(
    pictures: FileTree,
    settings: CropSettings,
    box: str,
    executor: Executor | None,
    target: Path,
    frame: str = STORED,
) -> Iterator[CropWork]:
    """What tasks share; workers of an executor may leave their pixels beside ``target`` meanwhile."""
    if executor is None:
        yield CropWork(pictures, settings, box, None, {}, frame)
        return
    with shards.beside(target) as folder:
        yield CropWork(pictures, settings, box, folder, sample_of(pictures), frame)


def sample_of(tree: FileTree) -> dict[str, int]:
    """The first and the last file of a tree, with their bytes."""
    names = tree.names
    return {name: tree.size(name) for name in names[:: max(1, len(names) - 1)]}


def crop_faces(
    work: CropWork,
    annotated: ColumnBuffer,
    splits: list[str],
    workers: Workers,
    done: ColumnBuffer,
    report: LossReport,
) -> None:
    """Crop every annotated face, in the order of the first annotation of its picture.

    Parameters
    ----------
    annotated, splits : the faces, and the split of each.
    done : gets the faces that could be cropped, with :func:`columns`; the others are counted in ``report``.
    """
    tasks = _tasks(annotated, splits)
    with tqdm(desc="crop faces", total=len(annotated), unit="face", disable=None) as bar:
        for results, left in in_order(
            _crop_task, work, tasks, workers=workers.processes, executor=workers.executor
        ):
            good = [item for item in results if isinstance(item, Cropped)]
            for item in results:
                if isinstance(item, Skipped):
                    report.skip(item)
            done.append(
                [item.face for item in good],
                affine=np.array([item.affine for item in good]),
                crops=left if work.shards is None else work.shards.take(left),
                image_sha256=[item.sha256 for item in good],
            )
            bar.update(len(results))


def _crop_task(
    work: CropWork, pictures: list[list[Face]]
) -> tuple[list[Cropped | Skipped], Shard | NDArray[np.uint8]]:
    """The faces of some pictures, their pixels apart from them."""
    found = [
        item
        for faces in pictures
        for item in crop_image(work.pictures, work.settings, work.box, faces, work.frame)
    ]
    pixels = np.array([item.pixels for item in found if isinstance(item, Cropped)], np.uint8)
    bare = [replace(item, pixels=pixels[:0]) if isinstance(item, Cropped) else item for item in found]
    return bare, pixels if work.shards is None or not len(pixels) else work.shards.leave(pixels)


def _tasks(annotated: ColumnBuffer, splits: list[str]) -> Iterator[list[list[Face]]]:
    """Pictures with all their faces, a handful of pictures a task."""
    order, starts = _group_by_image(annotated)
    ends = [*starts[1:], len(order)]
    first = 0
    for last in range(len(starts)):
        full = ends[last] - starts[first] >= FACES_A_TASK or last + 1 - first >= IMAGES_A_TASK
        if not full and last + 1 < len(starts):
            continue
        begin = starts[first]
        faces = _faces_at(annotated, order[begin : ends[last]], splits)
        yield [faces[starts[i] - begin : ends[i] - begin] for i in range(first, last + 1)]
        first = last + 1


def _faces_at(annotated: ColumnBuffer, rows: NDArray[np.intp], splits: list[str]) -> list[Face]:
    """The faces in these rows with their splits; neighbours are read in one go."""
    faces: list[Face] = []
    for run in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
        faces += annotated.faces(int(run[0]), int(run[-1]) + 1)
    for face, row in zip(faces, rows.tolist(), strict=True):
        face.split = splits[row]
    return faces


def _group_by_image(annotated: ColumnBuffer) -> tuple[NDArray[np.intp], list[int]]:
    """Row numbers ordered so that rows of one picture adjoin, and where each picture begins."""
    first: dict[str, int] = {}
    key = np.empty(len(annotated), np.int64)
    for start in range(0, len(annotated), ROWS_A_BLOCK):
        stop = min(start + ROWS_A_BLOCK, len(annotated))
        for row, name in enumerate(annotated.texts("image", slice(start, stop)), start):
            key[row] = first.setdefault(name, row)
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1)).tolist()
    return order, starts
