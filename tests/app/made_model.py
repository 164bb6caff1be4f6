"""A model that was never trained, but looks at its picture: five points that can be told apart."""

from __future__ import annotations

from pathlib import Path

import torch

from flmd.core.crop_spec import CropSpec
from flmd.models.checkpoint import ModelInfo, save_model, weights_of
from flmd.models.normalisation import Normalisation
from flmd.schemes import CELEBA5

# Of the crop, whose middle is (0, 0) and whose sides are 1: eyes, nose, corners of the mouth.
PLACES = ((-0.2, -0.15), (0.2, -0.15), (0.0, 0.05), (-0.15, 0.25), (0.15, 0.25))


def make_model(path: Path, seed: int = 0) -> Path:
    """Write a model of 5 points whose points move by a few percent of the crop with the picture."""
    torch.manual_seed(seed)
    info = ModelInfo(
        network="cnn2",
        options={"width": 4, "hidden": 16},
        points=5,
        channels=1,
        scheme=CELEBA5.name,
        normalisation=Normalisation(32),
        crop=CropSpec(32, 1.3, "grey", augmentation={"variants": 1}),
    )
    network = info.build()
    last = network.head[-1]
    with torch.no_grad():
        last.weight.mul_(0.3)
        last.bias.copy_(torch.tensor(PLACES).flatten())
    save_model(path, weights_of(network), info)
    return path
