"""Annotations and pictures in, one face store out, with an account of every face.

Three passes, each streaming, so that memory stays flat: the annotations go to a spool on disk; the
splits are drawn; the pictures are decoded once each, in parallel, and the store is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from flmd.conversion import splits
from flmd.conversion.context_crops import Cropped, CropSettings, crop_image, picture_size
from flmd.conversion.loss_report import LossReport
from flmd.core import geometry
from flmd.errors import InputError
from flmd.face import Face, Skipped
from flmd.formats import Detection, Format
from flmd.parallel import shards
from flmd.parallel.pool import in_order
from flmd.parallel.shards import Shard, Shards
from flmd.schemes import Scheme
from flmd.sources.datasets.rules import DatasetRules
from flmd.store import face_store, h5file
from flmd.store.column_buffer import FaceSpool
from flmd.store.face_store import crop_shape
from flmd.tree import FileTree

ANNOTATIONS, FACES_A_TASK, IMAGES_A_TASK = 512, 64, 8


@dataclass(frozen=True)
class SplitSettings:
    """How faces are split: ``policy`` "published", "standard" or "subject"; shares in 0 ... 1."""

    policy: str
    val: float
    test: float
    seed: int


def convert(
    tree: FileTree,
    fmt: Format,
    detection: Detection,
    target: Path,
    *,
    scheme: Scheme,
    rules: DatasetRules,
    crop: CropSettings,
    split: SplitSettings,
    made_from: Mapping[str, Any],
    report: Path | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    strict: bool = False,
    faces: Iterable[Face | Skipped] | None = None,
    crops: bool = True,
    pictures: FileTree | None = None,
) -> LossReport:
    """Convert a tree of annotations and pictures to a face store.

    Parameters
    ----------
    tree, fmt, detection : where to read, and how (``flmd.formats.choose``).
    target : the store; the old one stays until the new one is whole.
    rules : what is known of this data set: subjects, subsets, its standard split.
    crop, split : how crops and splits are made.
    made_from : digests and params, kept in the store and in the report.
    report : where the loss report goes, JSON.
    workers, executor : as in ``flmd.parallel.pool.in_order``; they never change a byte of the result. The
        workers of an executor leave their pixels beside ``target`` (see ``flmd.parallel.shards``).
    strict : a face that cannot be used is an error, not a counted skip.
    faces : instead of reading the annotations plainly; already in ``scheme``.
    crops : False for a store of annotations alone: pictures are opened for their size at most, and need
        not be there. ``crop.box`` still says where boxes come from.
    pictures : the tree with the pictures; by default where the format says they are.

    Raises
    ------
    InputError : annotations that cannot be read on; no usable face at all; with ``strict``, the first
        face that cannot be used.
    """
    account = LossReport(rules.name, fmt.name, detection, box=crop.box, split=split.policy, strict=strict)
    account.made_from = made_from
    scratch = h5file.temporary_beside(target, "spool")
    scratch.mkdir(parents=True)
    try:
        with closing(FaceSpool(scratch / "annotations", scheme.count)) as read:
            found = fmt.read(tree, scheme, detection.files) if faces is None else iter(faces)
            _read(read, found, rules, split.policy, account)
            sides = _split(read, split)
            pictures = fmt.pictures(tree) if pictures is None else pictures
            if not crops:
                with closing(FaceSpool(scratch / "faces", scheme.count, {}, ("image_sha256",))) as done:
                    _annotations_only(pictures, crop, read, sides, done)
                    _finish(account, done, report, tree.origin)
                    face_store.write_spool(target, done, scheme, None, made_from)
                return account
            size, margin, color = crop.size, crop.margin, crop.color
            extra = {"affine": ((2, 3), "f8"), "crops": (crop_shape(size, color), "u1")}
            with closing(FaceSpool(scratch / "faces", scheme.count, extra, ("image_sha256",))) as done:
                with nullcontext(None) if executor is None else shards.beside(target) as folder:
                    work = _Work(pictures, crop, folder, {} if executor is None else _sample(pictures))
                    _crop_all(work, read, sides, done, account, workers, executor)
                _finish(account, done, report, tree.origin)
                face_store.write_spool(target, done, scheme, (size, margin, color), made_from)
    finally:
        h5file.remove(scratch)
    return account


def _finish(account: LossReport, done: FaceSpool, report: Path | None, origin: str) -> None:
    """The loss report; InputError when there is nothing to make a store of."""
    account.describe(done)
    if report is not None:
        account.write(report)
    if len(done):
        return
    summary = account.summary()
    hint = f"skipped: {summary or 'none found'}"
    if set(account.skipped) == {"image_missing"}:
        hint += "; --images none keeps the annotations alone"
    raise InputError("no usable face", where=origin, hint=hint)


def _annotations_only(
    pictures: FileTree, settings: CropSettings, read: FaceSpool, sides: list[str], done: FaceSpool
) -> None:
    """Third pass without pictures: boxes by their policy, splits, and sizes where a header tells them."""
    sizes: tuple[str, tuple[int, int]] = ("", (0, 0))
    with tqdm(desc="keep annotations", total=len(read), unit="face", disable=None) as bar:
        for start in range(0, len(read), ANNOTATIONS):
            stop = min(start + ANNOTATIONS, len(read))
            columns = {name: np.array(column.rows()[start:stop]) for name, column in read.numeric.items()}
            texts = {name: column.texts(start, stop) for name, column in read.text.items()}
            for i in np.flatnonzero(columns["image_size"][:, 0] == 0):
                name = texts["image"][i]
                if name != sizes[0]:
                    sizes = name, _size(pictures, name, settings.max_pixels)
                columns["image_size"][i] = sizes[1]
            _place(columns, texts, settings.box)
            texts["split"] = sides[start:stop]
            texts["image_sha256"] = [""] * (stop - start)
            done.append_columns(columns, texts)
            bar.update(stop - start)


def _place(columns: dict[str, NDArray[Any]], texts: dict[str, list[str]], policy: str) -> None:
    """Boxes by policy, in place; a box that cannot be made stays none."""
    boxes = columns["box"]
    if policy == "landmarks":
        boxes[:] = geometry.box_of_points(columns["landmarks"])
    elif policy == "image":
        known = columns["image_size"][:, 0] > 0
        boxes[:] = np.where(known[:, None], np.pad(columns["image_size"], ((0, 0), (2, 0))), np.nan)
    else:
        return
    texts["box_source"] = ["none" if none else policy for none in np.isnan(boxes).any(axis=1)]


def _size(pictures: FileTree, name: str, max_pixels: float) -> tuple[int, int]:
    """Width and height of a picture from its header; (0, 0) when it is not there or no picture."""
    if name not in pictures:
        return 0, 0
    try:
        return picture_size(pictures, name, max_pixels=max_pixels)
    except InputError:
        return 0, 0


def _read(
    spool: FaceSpool, found: Iterator[Face | Skipped], rules: DatasetRules, policy: str, account: LossReport
) -> None:
    """First pass: every annotation to the spool."""
    block: list[Face] = []
    with tqdm(desc="read annotations", unit="face", disable=None) as bar:
        for item in found:
            account.read += 1
            checked = item if isinstance(item, Skipped) else rules.describe(item, policy)
            if isinstance(checked, Skipped):
                account.skip(checked)
                continue
            if np.isnan(checked.landmarks).all():
                account.skip(Skipped("no_landmarks", checked.where, "not one point is labelled"))
                continue
            block.append(checked)
            if len(block) == ANNOTATIONS:
                spool.append(block)
                bar.update(len(block))
                block = []
        spool.append(block)
        bar.update(len(block))


def _split(spool: FaceSpool, split: SplitSettings) -> list[str]:
    """Second pass: the split of every face."""
    subjects = spool.text["subject"].texts(0, len(spool))
    if split.policy == "subject":
        return splits.by_subject(subjects, val=split.val, test=split.test, seed=split.seed)
    sides = spool.text["split"].texts(0, len(spool))
    return splits.hold_out(subjects, sides, val=split.val, seed=split.seed)


@dataclass(frozen=True)
class _Work:
    """What the tasks of the third pass share. ``sample``: bytes of some pictures, as the writer sees them."""

    tree: FileTree
    settings: CropSettings
    shards: Shards | None
    sample: dict[str, int]

    def check_here(self) -> None:
        """FlmdError where the pictures are not there: every one of them would be skipped as missing."""
        for name, size in self.sample.items():
            found = self.tree.size(name)
            self.tree.read(name, 0, 1)
            if found != size:
                raise InputError(f"{found} bytes", where=self.tree.where(name), expected=str(size))


def _sample(tree: FileTree) -> dict[str, int]:
    names = tree.names
    return {name: tree.size(name) for name in names[:: max(1, len(names) - 1)]}


def _crop_all(
    work: _Work,
    read: FaceSpool,
    sides: list[str],
    done: FaceSpool,
    account: LossReport,
    workers: int | None,
    executor: Executor | None,
) -> None:
    """Third pass: decode and crop, picture by picture, in the order of their first annotation."""
    tasks = _tasks(read, sides)
    with tqdm(desc="crop faces", total=len(read), unit="face", disable=None) as bar:
        for results, left in in_order(_crop_task, work, tasks, workers=workers, executor=executor):
            good = [item for item in results if isinstance(item, Cropped)]
            for item in results:
                if isinstance(item, Skipped):
                    account.skip(item)
            done.append(
                [item.face for item in good],
                affine=np.array([item.affine for item in good]),
                crops=left if work.shards is None else work.shards.take(left),
                image_sha256=[item.sha256 for item in good],
            )
            bar.update(len(results))


def _crop_task(
    work: _Work, pictures: list[list[Face]]
) -> tuple[list[Cropped | Skipped], Shard | NDArray[np.uint8]]:
    """The faces of some pictures, their pixels apart from them."""
    found = [item for faces in pictures for item in crop_image(work.tree, work.settings, faces)]
    pixels = np.array([item.pixels for item in found if isinstance(item, Cropped)], np.uint8)
    bare = [replace(item, pixels=pixels[:0]) if isinstance(item, Cropped) else item for item in found]
    return bare, pixels if work.shards is None or not len(pixels) else work.shards.leave(pixels)


def _tasks(read: FaceSpool, sides: list[str]) -> Iterator[list[list[Face]]]:
    """Pictures with all their faces, a handful of pictures a task."""
    order, starts = _group_by_image(read)
    ends = [*starts[1:], len(order)]
    first = 0
    for last in range(len(starts)):
        full = ends[last] - starts[first] >= FACES_A_TASK or last + 1 - first >= IMAGES_A_TASK
        if not full and last + 1 < len(starts):
            continue
        begin = starts[first]
        faces = _faces_at(read, order[begin : ends[last]], sides)
        yield [faces[starts[i] - begin : ends[i] - begin] for i in range(first, last + 1)]
        first = last + 1


def _faces_at(read: FaceSpool, rows: NDArray[np.intp], sides: list[str]) -> list[Face]:
    """The faces in these rows with their splits; neighbours are read in one go."""
    faces: list[Face] = []
    for run in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
        faces += read.faces(int(run[0]), int(run[-1]) + 1)
    for face, row in zip(faces, rows.tolist(), strict=True):
        face.split = sides[row]
    return faces


def _group_by_image(read: FaceSpool) -> tuple[NDArray[np.intp], list[int]]:
    """Row numbers ordered so that rows of one picture adjoin, and where each picture begins."""
    first: dict[str, int] = {}
    key = np.empty(len(read), np.int64)
    for start in range(0, len(read), ANNOTATIONS):
        stop = min(start + ANNOTATIONS, len(read))
        for row, name in enumerate(read.text["image"].texts(start, stop), start):
            key[row] = first.setdefault(name, row)
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1)).tolist()
    return order, starts
