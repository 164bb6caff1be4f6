"""A small residual network whose heat maps are read by their mean: what a real-time application wants.

Heat maps keep the place of a point through the network, where a linear head over pooled features must
remember it; the mean of a soft-maxed map (integral regression, Sun et al., ECCV 2018; DSNT, Nibali et al.,
2018) is sub-pixel and trains with a plain loss of coordinates. Ordinary 3x3 convolutions: on CPUs they
reach several times the arithmetic rate of depthwise ones.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import interpolate

from flmd.models.options import Count

Blocks = Annotated[int, Field(ge=0)]
STRIDE = 16  # input pixels to a pixel of the deepest map
MAP_STRIDE = 4  # input pixels to a pixel of a heat map


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """Two 3x3 convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _convolution(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(self.second(self.first(x)) + x)


class Integral(nn.Module):
    """Residual blocks at strides 4, 8 and 16, joined again at stride 4, and a heat map for each point.

    Parameters
    ----------
    points : K. channels : of the input. input_size : S, a multiple of 16, pixels.
    width : channels at stride 4; 2 and 4 times that at strides 8 and 16.
    fine_blocks, middle_blocks, coarse_blocks : residual blocks at strides 4, 8, 16.

    Maps (B, C, S, S) to (B, K, 2) coordinates: 0 in the middle of the input, its sides at -0.5 and 0.5.
    """

    place: Tensor
    convention = (0.5, 1.0)  # points_offset and points_scale that its places are in

    def __init__(
        self,
        *,
        points: Count = 68,
        channels: Annotated[int, Field(ge=1, le=3)] = 1,
        input_size: Annotated[int, Field(ge=32, multiple_of=STRIDE)] = 96,
        width: Count = 32,
        fine_blocks: Blocks = 1,
        middle_blocks: Blocks = 1,
        coarse_blocks: Blocks = 1,
    ) -> None:
        super().__init__()
        half = width * 3 // 4
        self.stem = nn.Sequential(_convolution(channels, half, 2), _convolution(half, width, 2))
        widths = (width, 2 * width, 4 * width)
        self.fine = nn.Sequential(*(Residual(widths[0]) for _ in range(fine_blocks)))
        self.middle = nn.Sequential(
            _convolution(widths[0], widths[1], 2), *(Residual(widths[1]) for _ in range(middle_blocks))
        )
        self.coarse = nn.Sequential(
            _convolution(widths[1], widths[2], 2), *(Residual(widths[2]) for _ in range(coarse_blocks))
        )
        self.from_coarse = nn.Conv2d(widths[2], widths[1], 1)
        self.from_middle = nn.Conv2d(widths[1], widths[1], 1)
        self.from_fine = nn.Conv2d(widths[0], widths[1], 1)
        self.maps = nn.Conv2d(widths[1], points, 1)
        side = input_size // MAP_STRIDE
        # The middle of map pixel i is that of input pixels 4 i ... 4 i + 3, in units of the input's side.
        # By numpy: on the device "meta" (load_model), torch would import its compiler for these sums.
        place = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(side) - np.float32(0.5)
        self.register_buffer("place", torch.tensor(place), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        across, down = self._shares(x)
        return torch.stack([across @ self.place, down @ self.place], dim=2)

    def points_and_spread(self, x: Tensor) -> Tensor:
        """(B, K, 3): the coordinates of :meth:`forward`, and each map's standard deviation about them."""
        across, down = self._shares(x)
        mean = torch.stack([across @ self.place, down @ self.place], dim=2)
        away = (self.place - mean[..., None]).square()  # (B, K, 2, H)
        variance = (torch.stack([across, down], dim=2) * away).sum((2, 3))
        return torch.cat([mean, variance.sqrt()[..., None]], dim=2)

    def _shares(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, K, H) each: how much of the soft-maxed map of a point lies in each column, and in each row."""
        fine = self.fine(self.stem(x))
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        joined = torch.relu(
            self.from_middle(middle) + interpolate(self.from_coarse(coarse), scale_factor=2.0, mode="nearest")
        )
        joined = torch.relu(self.from_fine(fine) + interpolate(joined, scale_factor=2.0, mode="nearest"))
        maps = self.maps(joined).float()
        side = maps.shape[-1]
        weight = maps.flatten(2).softmax(2).unflatten(2, (side, side))
        return weight.sum(2), weight.sum(3)
