"""A landmarker without a network: its one point is the middle of what is bright."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.core.crop_spec import CropSpec
from flmd.inference.landmarker import Landmarker
from flmd.models.checkpoint import ModelInfo, save_model, weights_of
from flmd.models.normalisation import Normalisation
from tests.factories import centroid

_CHANGES = ("rotation", "scale", "shift", "flip", "brightness", "contrast", "saturation", "hue")
_MORE = ("grey", "blur", "noise", "occlusion")
CROP: dict[str, Any] = {
    **dict.fromkeys((*_CHANGES, *_MORE), 0.0),
    "input_size": 64,
    "padding": 1.3,
    "crop": 1.0,
    "color": "grey",
    "variants": 1,
    "albumentations": [],
}


def info(scheme: str = "points1", *, size: int = 64, color: str = "grey", network: str = "cnn2") -> ModelInfo:
    """A model of that scheme; ``options`` are the network's defaults."""
    points = {"points1": 1, "ibug68": 68}[scheme]
    crop = {**CROP, "input_size": size, "color": color}
    channels = 1 if color == "grey" else 3
    return ModelInfo(network, {}, points, channels, scheme, Normalisation(size), CropSpec.from_dict(crop))


def find_blob(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, 1, 2) centroid of each crop's brightness: a backend."""
    grey = crops if crops.ndim == 3 else crops.mean(axis=1)
    return np.array([[centroid(crop, 8.0) if crop.max() > 8 else (0.0, 0.0)] for crop in grey], np.float32)


def blob_landmarker(size: int = 64, color: str = "grey") -> Landmarker:
    return Landmarker(find_blob, info(size=size, color=color))


def random_model(path: Path, *, seed: int = 0, network: str = "cnn2") -> Path:
    """A model file with 68 points of no meaning, small and quick."""
    import torch

    torch.manual_seed(seed)
    described = info("ibug68", size=32, network=network)
    save_model(path, weights_of(described.build()), described)
    return path
