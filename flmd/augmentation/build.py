"""From a face store to crops at network size: in memory for a few faces, on disk for a training.

The training arrays are written by many processes into one file: each crop's place is known beforehand.
Workers of an executor, which may be on other machines, leave shards instead, and one writer joins them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from flmd.augmentation.arrays import COLUMNS, FORMAT, SPLITS, VERSION, columns
from flmd.augmentation.augmenter import Augmented, Augmenter
from flmd.augmentation.counter_rng import face_keys
from flmd.core.crop_spec import ROUNDING, CropSpec
from flmd.core.params import AugmentParams
from flmd.errors import ParamsError, StoreError
from flmd.parallel import shards
from flmd.parallel.pool import in_order
from flmd.parallel.shards import Shard, Shards
from flmd.store import h5file
from flmd.store.face_store import FaceStore

CROPS_A_TASK, BYTES_A_TASK = 256, 12 << 20  # small enough to be written while still in the cache


@dataclass(frozen=True)
class _Work:
    """What the tasks of one split share.

    ``pixels_at``: file and offset that our own workers write pixels to. ``shards``: where those of an
    executor leave them. ``made_from``: of the store that is meant.
    """

    store: FaceStore
    augmenter: Augmenter
    variants: NDArray[np.int64]
    pixels_at: tuple[Path, int] | None
    shards: Shards | None
    made_from: Mapping[str, Any]

    def check_here(self) -> None:
        """FlmdError where another store lies at the same path."""
        if self.store.made_from != self.made_from:
            raise StoreError("another store", where=str(self.store.path))


def augmenter_for(store: FaceStore, config: AugmentParams, seed: int) -> Augmenter:
    """What makes versions of a store's faces.

    Raises
    ------
    ParamsError : the context crops are too tight for the limits, the scheme cannot be flipped, or
        albumentations has no such transform.
    StoreError : a store without crops.
    """
    context = store.crop_spec
    if config.reach() > context.margin + ROUNDING:
        raise ParamsError(
            f"the augmentation looks as far as {config.reach():.4g} times the box, the crops of {store.path} "
            f"hold {context.margin:g}",
            hint="raise convert.margin and convert again, or tighten augment",
        )
    augmenter = Augmenter(config, store.scheme, seed, context.color)
    augmenter.transforms.check()
    return augmenter


def keys_of(store: FaceStore, rows: NDArray[np.intp]) -> NDArray[np.uint64]:
    """(N,) keys that all draws for these faces are made from."""
    names = zip(store.texts("dataset", rows), store.texts("image", rows), strict=True)
    return face_keys([f"{dataset}\0{image}" for dataset, image in names], store.numbers("landmarks", rows))


def make_faces(
    store: FaceStore,
    rows: NDArray[np.intp],
    augmenter: Augmenter,
    variants: Sequence[int] = (0,),
    boxes: NDArray[np.floating] | None = None,
) -> Augmented:
    """Versions ``variants`` of the faces in ``rows`` of a store, face by face, in memory.

    ``boxes``: (N, 4) image pixels, other ones than the store has.
    """
    crops = np.asarray(store.crops)
    own = store.numbers("box", rows)
    if np.isnan(own).any():
        first = rows[np.isnan(own).any(axis=1)][0]
        raise StoreError(
            "has a crop but no box", where=f"{store.path}: face {first}", hint="convert it again"
        )
    return augmenter(
        [crops[row] for row in rows.tolist()],  # views: pixels are read where they lie
        store.numbers("affine", rows),
        own if boxes is None else np.asarray(boxes, np.float32),
        store.numbers("landmarks", rows),
        store.numbers("visibility", rows),
        keys_of(store, rows),
        np.asarray(variants),
        datasets=store.texts("dataset", rows),
    )


def limits_of(crop: CropSpec) -> AugmentParams:
    """How far each change may go, as a crop of arrays or of a model has kept it."""
    return AugmentParams.model_validate(
        {name: value for name, value in crop.to_dict().items() if name in AugmentParams.model_fields}
    )


def plain_faces(
    store: FaceStore,
    rows: NDArray[np.intp],
    crop: CropSpec,
    boxes: NDArray[np.floating] | None = None,
) -> Augmented:
    """The faces in ``rows`` of a store as a network looks at them: cut out by ``crop``, nothing changed.

    ``boxes``: (N, 4) image pixels, other ones than the store has; black where its crops show nothing.

    Raises
    ------
    StoreError : a store without crops, or with crops that show less than the network looks at.
    """
    context = store.crop_spec
    crop.check_inside(context, str(store.path))
    return make_faces(store, rows, Augmenter(limits_of(crop), store.scheme, 0, context.color), boxes=boxes)


def build(
    store: FaceStore,
    target: Path,
    config: AugmentParams,
    *,
    seed: int,
    made_from: Mapping[str, Any],
    workers: int | None = None,
    executor: Executor | None = None,
) -> dict[str, int]:
    """Write the training arrays of a store.

    Training faces get ``config.variants`` versions each, validation and test faces the plain crop.

    Returns
    -------
    Crops by split.

    Raises
    ------
    ParamsError : the context crops are too tight for the limits, or the scheme cannot be flipped.
    StoreError : no training faces, or a store without crops.
    """
    augmenter = augmenter_for(store, config, seed)
    rows = {split: store.rows_where(split=split) for split in SPLITS}
    if not len(rows["train"]):
        raise StoreError("no face has split train", where=str(store.path), hint="check datasets.*.split")
    variants = {split: np.arange(config.variants if split == "train" else 1) for split in SPLITS}
    counts = {split: len(rows[split]) * len(variants[split]) for split in SPLITS}
    pixels = int(np.prod(augmenter.image_shape))
    need = sum(counts.values()) * (pixels + store.scheme.count * 9 + 60)
    with h5file.creating(target, need=need) as file:
        context = store.crop_spec
        crop = {
            "stored_margin": context.margin,
            "stored_size": context.size,
            "stored_color": context.color,
            **config.model_dump(),
        }
        h5file.set_header(
            file, FORMAT, VERSION, scheme=store.scheme.name, crop=crop, seed=seed, made_from=made_from
        )
        groups = {split: _allocate(file, split, counts[split], augmenter, store) for split in SPLITS}
        file.flush()
        with (
            tqdm(desc="augment", total=sum(counts.values()), unit="crop", disable=None) as bar,
            nullcontext(None) if executor is None else shards.beside(target) as folder,
        ):
            for split in SPLITS:
                place = (Path(file.filename), groups[split]["images"].id.get_offset())
                work = _Work(
                    store,
                    augmenter,
                    variants[split],
                    place if folder is None else None,
                    folder,
                    store.made_from,
                )
                _fill(file, groups[split], work, rows[split], bar, workers, executor)
    return counts


def _allocate(file: h5py.File, split: str, count: int, augmenter: Augmenter, store: FaceStore) -> h5py.Group:
    group = file.create_group(split)
    widest = max((len(h5file.encode_text(t)) for t in store.texts("dataset")), default=1)
    for name, (shape, dtype) in columns(augmenter.scheme.count, augmenter.image_shape).items():
        if dtype is None:
            h5file.add_text(group, name, count, widest)
        else:
            h5file.add_dataset(group, name, (count, *shape), dtype, units=COLUMNS[name])
    return group


def _fill(
    file: h5py.File,
    group: h5py.Group,
    work: _Work,
    rows: NDArray[np.intp],
    bar: tqdm[Any],
    workers: int | None,
    executor: Executor | None,
) -> None:
    """Make one split. Our own workers write pixels into the file themselves; foreign ones leave shards."""
    if not len(rows):
        return
    variants, each = work.variants, len(work.variants)
    crops = min(CROPS_A_TASK, BYTES_A_TASK // int(np.prod(work.augmenter.image_shape)))
    tasks = list(_tasks(rows, max(1, crops // each)))
    start = 0
    for (_, faces), (made, left) in zip(
        tasks, in_order(_make, work, tasks, workers=workers, executor=executor), strict=True
    ):
        count = len(faces) * each
        for name in ("points", "visibility", "affine"):
            h5file.write_rows(file, group[name], start, getattr(made, name))
        h5file.write_rows(file, group["face"], start, np.repeat(faces, each))
        h5file.write_rows(file, group["variant"], start, np.tile(variants, len(faces)))
        names = np.repeat(np.array(work.store.texts("dataset", faces), dtype=object), each).tolist()
        h5file.write_rows(
            file, group["dataset"], start, h5file.encode_texts(names, group["dataset"].dtype.itemsize)
        )
        if work.shards is not None:
            h5file.write_rows(file, group["images"], start, work.shards.take(left))
        start += count
        bar.update(count)


def _tasks(rows: NDArray[np.intp], size: int) -> Iterator[tuple[int, NDArray[np.intp]]]:
    for start in range(0, len(rows), size):
        yield start, rows[start : start + size]


def _make(work: _Work, task: tuple[int, NDArray[np.intp]]) -> tuple[Augmented, Shard | NDArray[np.uint8]]:
    """The versions of some faces, and their pixels, or none where they are written already."""
    start, rows = task
    made = make_faces(work.store, rows, work.augmenter, work.variants.tolist())
    none = made.images[:0]
    if work.shards is not None:
        return replace(made, images=none), work.shards.leave(made.images)
    assert work.pixels_at is not None
    path, offset = work.pixels_at
    row = made.images[0].nbytes
    h5file.write_at(path, offset + start * len(work.variants) * row, made.images)
    return replace(made, images=none), none
