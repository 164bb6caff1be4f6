"""A model file run by torch, behind the seam of :mod:`flmd.inference.landmarker`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from flmd.inference.landmarker import Backend
from flmd.models.checkpoint import ModelInfo, load_model
from flmd.models.devices import choose_device


def load(path: Path, device: str) -> tuple[Backend, ModelInfo]:
    """The network of a model file on a device; raises as ``flmd.models.checkpoint.load_model`` does."""
    place = choose_device(device)
    network, info = load_model(path, place)

    def points(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            units = network(info.normalisation.pixels(torch.from_numpy(crops).to(place))).float().cpu()
        # In float64, as in evaluation: a coordinate is then rounded once.
        return np.asarray(info.normalisation.denormalise_points(units.numpy().astype(np.float64)), np.float32)

    return points, info
