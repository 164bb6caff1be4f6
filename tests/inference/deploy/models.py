"""Small model files whose networks behave as trained ones do, and a store of faces to check them on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from flmd import models
from flmd.core.crop_spec import CropSpec
from flmd.models import checkpoint
from flmd.models.checkpoint import ModelInfo
from flmd.models.normalisation import Normalisation
from tests.factories import convert_list, make_face, write_picture

# As small as each may be; tests/models checks that no network is forgotten.
SMALL: dict[str, dict[str, object]] = {
    "cnn2": {"input_size": 32},
    "cnn6": {"input_size": 190},
    "hourglass": {"input_size": 64, "stacks": 2, "width": 16},
    "integral": {"input_size": 32, "width": 8},
    "naimishnet": {"input_size": 64, "hidden": 32},
    "resnet152": {"input_size": 32},
    "vgg19": {"input_size": 32},
    "xception": {"input_size": 32, "width": 0.125, "middle_blocks": 1},
}
NAIMISHNET = (100.5 / 224, 50 / 224)  # points_offset and points_scale of the course's convention


def settled(network: nn.Module, crops: torch.Tensor) -> nn.Module:
    """The network with flat heat maps and batch norms that have seen data, so that nothing explodes."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = None  # the plain mean of all batches
    with torch.no_grad():
        network.train()(crops)
        # Heat maps as flat, and points as near to the crop, as after a training: steep maps of noise, and
        # points far outside, magnify the rounding of float32.
        for name, weights in network.named_parameters():
            if "maps.weight" in name:
                weights *= 0.03
        last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1:]
        for layer in last:
            layer.weight *= 0.15 / network.eval()(crops).std()
    return network.eval()


def model_file(path: Path, name: str = "integral", *, channels: int = 1, seed: int = 0) -> Path:
    """A model file of 68 points, with its own numbers for every convention."""
    torch.manual_seed(seed)
    options = dict(SMALL[name])
    side = int(options.pop("input_size"))  # type: ignore[call-overload]
    network = models.build(name, points=68, channels=channels, input_size=side, **options)
    own = getattr(type(network), "convention", NAIMISHNET)
    mean, std = (0.4, 0.25) if channels == 1 else ((0.5, 0.4, 0.3), (0.3, 0.25, 0.2))
    info = ModelInfo(
        network=name,
        options=models.resolved_options(name, **options),
        points=68,
        channels=channels,
        scheme="ibug68",
        normalisation=Normalisation(side, mean, std, *own),
        crop=CropSpec(side, 1.3, "grey" if channels == 1 else "rgb", augmentation={"variants": 1}),
        epoch=3,
        made_from={"inputs": {"faces.h5": "0" * 64}},
    )
    shape = (16, side, side) if channels == 1 else (16, channels, side, side)
    seen = info.normalisation.pixels(torch.from_numpy(noise(*shape, seed=99)))
    checkpoint.save_model(path, checkpoint.weights_of(settled(network, seen)), info)
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 faces of structured noise: 16 to train, 8 to test."""
    folder = tmp_path_factory.mktemp("store")
    faces = []
    for i in range(24):
        rng = np.random.default_rng(i)
        coarse = rng.integers(0, 255, (10, 12, 3), dtype=np.uint8)
        write_picture(folder / f"{i}.png", np.kron(coarse, np.ones((10, 10, 1), np.uint8)))
        faces.append(make_face(f"{i}.png", seed=i, subject=f"s{i}", split="test" if i % 3 == 0 else "train"))
    convert_list(folder, faces, folder / "faces.h5")[1].close()
    return folder / "faces.h5"


def noise(count: int, *shape: int, seed: int = 0) -> np.ndarray:
    """(count, *shape) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)
