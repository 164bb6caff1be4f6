"""The faces of a training: crops made beforehand, or a new version of every face whenever it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.augmentation.arrays import ArraySplit, TrainingArrays
from flmd.augmentation.build import limits_of
from flmd.core import geometry
from flmd.core.box_rule import BoxRule
from flmd.core.params import TrainParams
from flmd.errors import StoreError
from flmd.store.face_store import FaceStore
from flmd.training import loop
from flmd.training.crop_source import CropSource
from flmd.training.live_crops import LiveCrops
from flmd.training.stored_crops import StoredCrops


def fit_arrays(
    arrays: TrainingArrays,
    store: Path,
    settings: TrainParams,
    *,
    seed: int,
    datasets: Sequence[str] | None = None,
    **how: Any,
) -> loop.FitResult:
    """Train on the faces of training arrays, or live on those of the store that they were made of.

    Parameters
    ----------
    arrays, store, datasets : as :func:`training_faces` has them. settings, seed : of the training; the seed
        is that of live versions too.
    how : what else :func:`flmd.training.loop.fit` takes: ``out``, ``resume_dir``, ``made_from`` and so on.

    Raises
    ------
    What :func:`training_faces` and :func:`flmd.training.loop.fit` raise.
    """
    return loop.fit(
        training_faces(arrays, store, settings.augmentation, seed=seed, datasets=datasets),
        validation_faces(arrays, datasets),
        settings,
        scheme=arrays.scheme,
        seed=seed,
        crop=arrays.crop,
        rule=rule_of_boxes(arrays, datasets),
        **how,
    )


def training_faces(
    arrays: TrainingArrays,
    store: Path,
    augmentation: str,
    *,
    seed: int,
    datasets: Sequence[str] | None = None,
) -> CropSource:
    """What a network learns from.

    Parameters
    ----------
    arrays : of the stage `augment`; they say which faces train, and how far each change may go.
    store : the face store that the arrays were made of; opened for ``live`` alone.
    augmentation : ``stored``: the versions that lie in the arrays; ``live``: in epoch e, from 0, version
        e + 1 of every face, drawn from its context crop, see :class:`LiveCrops`.
    seed : of the versions. datasets : only faces of these; None: all.

    Raises
    ------
    StoreError : a data set that is not there; a store that is not the one of the arrays.
    ParamsError : the context crops are too tight for the changes.
    """
    split = arrays.split("train", datasets)
    if augmentation == "stored":
        return StoredCrops(split, "train")
    plain = np.flatnonzero(split.variant == 0)
    with FaceStore(store) as faces:
        _check_same(faces, split, plain)
        return LiveCrops(faces, split.face[plain], limits_of(arrays.crop), seed=seed)


def validation_faces(arrays: TrainingArrays, datasets: Sequence[str] | None = None) -> CropSource:
    """What it is measured on while it learns: plain crops, however training faces are changed."""
    return StoredCrops(arrays.split("val", datasets), "val")


def rule_of_boxes(arrays: TrainingArrays, datasets: Sequence[str] | None = None) -> BoxRule | None:
    """How the boxes of the training faces lie around their points; None when no face says it."""
    split = arrays.split("train", datasets)
    points = split.points[split.variant == 0]
    size = arrays.crop.size
    side = size / arrays.crop.zoom
    box = np.array([(size - side) / 2, (size - side) / 2, side, side])  # in each plain crop
    return BoxRule.fit(points, np.broadcast_to(box, (len(points), 4)))


def _check_same(store: FaceStore, split: ArraySplit, plain: NDArray[np.intp]) -> None:
    """StoreError unless each plain crop's points are where the store's landmarks are."""
    rows = split.face[plain]
    same = not len(rows) or int(rows.max()) < len(store)
    if same:
        points = geometry.apply(split.affine[plain], store.numbers("landmarks", rows))
        same = points.shape == split.points[plain].shape and np.allclose(
            points, split.points[plain], atol=0.01, rtol=0, equal_nan=True
        )
    if not same:
        raise StoreError(
            "is not the store that the training arrays were made of",
            where=str(store.path),
            hint="run augment again",
        )
