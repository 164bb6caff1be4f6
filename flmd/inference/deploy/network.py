"""A network with the normalisation of pixels and points inside: what a deployed file holds."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flmd.errors import ParamsError
from flmd.models.checkpoint import ModelInfo


class CropsToPoints(nn.Module):
    """(N, S, S) or (N, 3, S, S) uint8 crops -> (N, K, 2) float32 points in pixels of the crop.

    The first pixel's centre is (0, 0), as everywhere. The arithmetic is that of
    :class:`flmd.models.normalisation.Normalisation`.

    Raises
    ------
    ParamsError : the model's means or stds do not fit its channels.
    """

    factor: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, info: ModelInfo) -> None:
        super().__init__()
        n = info.normalisation
        self.network = network
        self.grey = info.channels == 1
        mean, std = (torch.tensor(v, dtype=torch.float32).view(-1, 1, 1) for v in (n.pixel_mean, n.pixel_std))
        for numbers in (mean, std):
            if len(numbers) not in (1, info.channels):
                raise ParamsError(f"{len(numbers)} pixel means or stds for {info.channels} channel(s)")
        self.register_buffer("factor", 1 / (255 * std))
        self.register_buffer("shift", mean / std)
        # points = (units scale + offset) S - 0.5
        self.scale = n.points_scale * n.input_size
        self.offset = n.points_offset * n.input_size - 0.5
        self.eval()

    def forward(self, crops: Tensor) -> Tensor:
        x = crops.unsqueeze(1) if self.grey else crops
        units: Tensor = self.network(x.float() * self.factor - self.shift)
        return units.float() * self.scale + self.offset


def crop_shape(info: ModelInfo) -> tuple[int, ...]:
    """(S, S) grey or (3, S, S) RGB: one crop as a deployed file takes it."""
    side = info.normalisation.input_size
    return (side, side) if info.channels == 1 else (info.channels, side, side)
