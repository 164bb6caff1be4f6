"""Measuring what the spread of a model's heat maps says of its errors (``flmd.models.confidence``)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flmd.core import geometry, provenance
from flmd.errors import ParamsError, StoreError
from flmd.inference import torch_backend
from flmd.inference.deploy import crops
from flmd.models import checkpoint
from flmd.models.confidence import Confidence
from flmd.store.face_store import FaceStore

BATCH = 64  # faces


def calibrate(model: Path, store: Path, target: Path, *, split: str = "val", dataset: str = "") -> Confidence:
    """Measure what the spread of a model's heat maps says of its errors, and write the model with it.

    Parameters
    ----------
    model : a model file of a training. target : the model file to write: the same weights.
    split : the faces to measure on: those that the model has not learnt.
    dataset : those of this data set alone; "": all.

    Raises
    ------
    ParamsError : the network has no heat maps; another scheme. StoreError : no such faces, or too few points.
    """
    backend, info = torch_backend.load(model, "cpu")
    if not backend.has_spread:
        raise ParamsError(f"network {info.network} has no heat maps, so nothing tells how sure it is")
    with FaceStore(store) as faces:
        spread, error, rows = measured(backend, info, faces, split, dataset)
        source = {
            "stage": "flmd calibrate",
            "store": store.name,
            "sha256": provenance.sha256_of(store),
            "split": split,
            "datasets": sorted(set(faces.texts("dataset", rows))),
        }
    try:
        found = Confidence.fit(spread, error, source=source)
    except ValueError as problem:
        raise StoreError(
            f"too few labelled points to measure on ({problem})", where=str(store), hint="use more faces"
        ) from None
    weights = checkpoint.weights_of(checkpoint.load_model(model)[0])
    checkpoint.save_model(target, weights, replace(info, confidence=found.to_dict()))
    return found


def measured(
    backend: torch_backend.TorchPoints, info: checkpoint.ModelInfo, store: FaceStore, split: str, dataset: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """Spread and error of the points of a store's faces, (N, K) shares of the face's side; their (N,) rows.

    A point that is not labelled has an error of NaN. Raises as :func:`calibrate`.
    """
    seen = crops.of_store(store, info, (split,), None, dataset=dataset)
    at_crop: list[NDArray[np.float32]] = []
    spread: list[NDArray[np.float32]] = []
    for start in range(0, len(seen.images), BATCH):
        found, spreads = backend.points_and_spread(seen.images[start : start + BATCH])
        at_crop.append(found)
        spread.append(spreads)
    points = geometry.apply(geometry.invert(seen.affine), np.concatenate(at_crop).astype(np.float64))
    away = np.linalg.norm(points - store.numbers("landmarks", seen.rows), axis=-1)
    side = geometry.box_side(store.numbers("box", seen.rows).astype(np.float64))
    wide = np.concatenate(spread).astype(np.float64) * info.crop.zoom
    return wide, np.asarray(away / side[:, None], np.float64), seen.rows
