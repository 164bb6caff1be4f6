"""Whole trainings of the recipes, one after the other, until the time is up."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.gpu.faces import make_store, settings_of
from flmd.augmentation import build
from flmd.augmentation.arrays import TrainingArrays
from flmd.core.params import EvaluateParams
from flmd.evaluation.evaluate import evaluate_store
from flmd.store.face_store import FaceStore
from flmd.training.faces_of import fit_arrays

ORDER = (
    *("accurate", "balanced", "fast", "cnn6-youtube", "naimishnet-youtube", "cnn2-youtube"),
    *("xception-ibug", "resnet152-youtube", "vgg19-youtube"),
)
# A dry run: every recipe is read and checked, and these are trained, smaller than life.
DRY = {"fast": {"network_options": {"width": 4}, "epochs": 2, "batch": 8, "schedule": "constant"}}


def one(
    recipe: str, sources: Mapping[str, Path], folder: Path, device: str, stop_at: float, *, dry: bool
) -> dict[str, Any]:
    """Train a recipe, measure it on its test faces, and return its row.

    ``whole`` is false where the time ended it before its schedule did.
    """
    small = DRY.get(recipe, {}) if dry else {}
    chain: dict[str, Any] = {"albumentations": []}  # they are the CPU's alone, and not on a bare machine
    train = {"device": device, "augmentation": "live", "pretrained": "none", **small}
    settings = settings_of(recipe, augment={**chain, "variants": 1}, train=_unfrozen(recipe, train))
    if dry and recipe not in DRY:
        return {"recipe": recipe, "planned": settings.train.epochs}
    if dry:
        settings = settings_of(
            recipe,
            augment={**chain, "variants": 1, "input_size": 48},
            train={**train, "schedule_options": {}},
        )
    folder.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    store = make_store(settings, sources, folder / "faces.h5")
    arrays = folder / "arrays.h5"
    with FaceStore(store) as faces:
        build.build(faces, arrays, settings.augment, seed=settings.seed, made_from={})
    prepared = time.monotonic()
    with TrainingArrays(arrays) as made:
        result = fit_arrays(
            made,
            store,
            settings.train,
            seed=settings.seed,
            out=folder,
            stop_at=stop_at,
            progress=False,
        )
    trained = time.monotonic()
    with FaceStore(store) as faces:
        measured = evaluate_store(
            faces, folder / "best.pt", folder / "report", EvaluateParams(gallery=1), device=device
        )
    epochs = len(result.history)
    return {
        "recipe": recipe,
        "epochs": epochs,
        "of": settings.train.epochs,
        "whole": epochs == settings.train.epochs,
        "prepare_seconds": prepared - start,
        "train_seconds": trained - prepared,
        "nme": {name: value for name, value in measured.metrics.items() if name.endswith(".nme")},
    }


def _unfrozen(recipe: str, train: dict[str, Any]) -> dict[str, Any]:
    """Features that start from random weights learn too."""
    options = settings_of(recipe).train.network_options
    if not options.get("freeze"):
        return train
    return {**train, "network_options": {**options, "freeze": False, **train.get("network_options", {})}}
