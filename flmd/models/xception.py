"""A small Xception that regresses coordinates.

After Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions" (CVPR 2017), cut down
for grey 128 px faces: two entry blocks, middle blocks of 256 channels, one exit block, global average
pool, one linear layer.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from flmd.models.options import Count, Share

SLOPE = 0.2


class Separable(nn.Sequential):
    """A 3x3 convolution per channel, then a 1x1 convolution across channels, then batch norm."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )


class Down(nn.Module):
    """Two separable convolutions and a max pool, beside a strided 1x1 shortcut: halves the side."""

    def __init__(self, inputs: int, middle: int, outputs: int, *, activate: bool) -> None:
        super().__init__()
        first: list[nn.Module] = [nn.LeakyReLU(SLOPE)] if activate else []
        self.residual = nn.Sequential(
            *first,
            Separable(inputs, middle),
            nn.LeakyReLU(SLOPE, inplace=True),
            Separable(middle, outputs),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        # The stride of the 1x1 shortcut is taken by a pool of one pixel, which gives the same numbers:
        # oneDNN 3.13's backward pass of a strided 1x1 convolution writes outside its buffer below 16
        # channels. (Slicing does too, but its backward pass costs a quarter of the speed on the CPU.)
        return torch.add(self.residual(x), self.shortcut(avg_pool2d(x, 1, stride=2)))


class Middle(nn.Module):
    """Three separable convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.LeakyReLU(SLOPE),
            Separable(width, width),
            nn.LeakyReLU(SLOPE, inplace=True),
            Separable(width, width),
            nn.LeakyReLU(SLOPE, inplace=True),
            Separable(width, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(self.residual(x), x)


class Xception(nn.Module):
    """(B, C, S, S) float32 -> (B, K, 2) float32. 2,630,888 parameters at the defaults.

    Parameters
    ----------
    points : K. channels : C. input_size : S, at least 16 pixels; any S fits the same weights.
    width : multiplies every channel count (32, 64, 128, 256, 512, 1024).
    middle_blocks : of three separable convolutions each.
    dropout : before the linear layer.
    """

    def __init__(
        self,
        *,
        points: Count = 68,
        channels: Count = 1,
        input_size: Annotated[int, Field(ge=16)] = 128,
        width: Annotated[float, Field(ge=0.0625, le=8)] = 1.0,
        middle_blocks: Annotated[int, Field(ge=0, le=64)] = 6,
        dropout: Share = 0.3,
    ) -> None:
        super().__init__()
        c32, c64, c128, c256, c512, c1024 = (max(1, round(c * width)) for c in (32, 64, 128, 256, 512, 1024))
        self.points = points
        self.stem = nn.Sequential(
            nn.Conv2d(channels, c32, 3, padding=1, bias=False),
            nn.BatchNorm2d(c32),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(c32, c64, 3, padding=1, bias=False),
            nn.BatchNorm2d(c64),
            nn.LeakyReLU(SLOPE, inplace=True),
        )
        self.entry = nn.Sequential(
            Down(c64, c64, c128, activate=False), Down(c128, c128, c256, activate=True)
        )
        self.middle = nn.Sequential(*(Middle(c256) for _ in range(middle_blocks)))
        self.exit = nn.Sequential(
            Down(c256, c256, c512, activate=True),
            Separable(c512, c512),
            nn.LeakyReLU(SLOPE, inplace=True),
            Separable(c512, c1024),
            nn.LeakyReLU(SLOPE, inplace=True),
        )
        self.dropout = nn.Dropout(dropout)
        self.coordinates = nn.Linear(c1024, points * 2)

    def forward(self, x: Tensor) -> Tensor:
        features = self.exit(self.middle(self.entry(self.stem(x)))).mean((2, 3))
        coordinates: Tensor = self.coordinates(self.dropout(features))
        return coordinates.float().view(-1, self.points, 2)
