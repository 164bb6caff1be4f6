"""Stacked hourglasses whose heat maps are read as distributions: the accurate recipe.

Why this network, head and loss, by what is published for 300-W's common subset (NME inter-ocular, 3148
training faces):

- *Hourglasses* (Newell, Yang and Deng, "Stacked Hourglass Networks", ECCV 2016) are what the two best on
  the ladder stand on, STAR (Zhou et al., CVPR 2023, 2.52 %) and SPIGA (Prados-Torreblanca et al., BMVC 2022,
  2.59 %). They learn from random weights; HRNet-W18 (Wang et al., TPAMI 2021, 2.91 %) starts from ImageNet's,
  which cannot be counted on here. Four of them are within 15 M parameters.
- *Heat maps read by their mean* (integral regression, Sun et al., ECCV 2018; DSNT, Nibali et al., 2018) are
  sub-pixel at a quarter of the input's side. SimCC (Li et al., ECCV 2022) and PIP (Jin, Liao and Shao, IJCV
  2021: one small map a point, and offsets) are cheaper heads, made for speed; SimCC keeps the two marginals
  of a map, and the loss below wants the covariance that they lack.
- *STAR* (``flmd.training.losses.star``) spends the error along the direction in which annotators disagree, a
  contour's, on what can be known. Adaptive wing (Wang, Bo and Fuxin, ICCV 2019) shapes whole maps to drawn
  Gaussians, whose width is one more thing to choose and which are read by an arg-max.

What STAR's own network has beyond this one: maps of face edges that gate the points' (from ADNet, Huang et
al., ICCV 2021), coordinate channels, and averaged weights. Its 2.52 % is with those.

Max pools and bilinear resizing have no deterministic gradient on some GPUs; means of 2 x 2 and nearest
neighbours do. Under autocast the maps and all that is read from them stay float32: bfloat16's 8 bits of a
logit would move a point by tenths of a pixel.
"""

from __future__ import annotations

import contextlib
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from flmd.models.options import Count

MAP_STRIDE = 4  # input pixels to a pixel of a heat map
DEPTH = 4  # halvings inside an hourglass


class Residual(nn.Module):
    """Batch norm, ReLU, convolution, of 1x1, 3x3 and 1x1, beside the identity or a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.residual = nn.Sequential(
            *_norm_then_convolution(inputs, half, 1),
            *_norm_then_convolution(half, half, 3),
            *_norm_then_convolution(half, outputs, 1),
        )
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(self.residual(x), self.shortcut(x))


class OneHourglass(nn.Module):
    """Down to a sixteenth of the side and up again; each level adds what it saw at its own side."""

    def __init__(self, width: int, depth: int = DEPTH) -> None:
        super().__init__()
        self.beside = Residual(width, width)
        self.down = Residual(width, width)
        self.inside = OneHourglass(width, depth - 1) if depth > 1 else Residual(width, width)
        self.up = Residual(width, width)

    def forward(self, x: Tensor) -> Tensor:
        deeper = self.up(self.inside(self.down(avg_pool2d(x, 2))))
        return torch.add(self.beside(x), interpolate(deeper, scale_factor=2.0, mode="nearest"))


class Stack(nn.Module):
    """An hourglass, its heat maps, and what it hands on to the next."""

    def __init__(self, width: int, points: int, *, last: bool) -> None:
        super().__init__()
        self.hourglass = OneHourglass(width)
        self.features = nn.Sequential(
            Residual(width, width),
            *_norm_then_convolution(width, width, 1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        self.maps = nn.Conv2d(width, points, 1)
        self.on = None if last else nn.Conv2d(width, width, 1)
        self.maps_on = None if last else nn.Conv2d(points, width, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(self.hourglass(x))
        with _in_float32(x):
            maps = self.maps(features.float())
        if self.on is not None and self.maps_on is not None:
            x = x + self.on(features) + self.maps_on(maps)
        return x, maps


class Hourglass(nn.Module):
    """(B, C, S, S) float32 -> (B, K, 2) float32. 12,922,576 parameters at the defaults.

    The coordinates' middle is 0 and their sides -0.5 and 0.5: points_offset 0.5 and points_scale 1 in
    :mod:`flmd.models.normalisation`.

    Parameters
    ----------
    points : K. channels : C. input_size : S, a multiple of 64 pixels; any such S fits the same weights.
    stacks : M, hourglasses one after another, each with maps of its own.
    width : channels of all of them.
    """

    convention = (0.5, 1.0)  # points_offset and points_scale that its places are in

    def __init__(
        self,
        *,
        points: Count = 68,
        channels: Count = 3,
        input_size: Annotated[int, Field(ge=64, multiple_of=MAP_STRIDE * 2**DEPTH)] = 256,
        stacks: Annotated[int, Field(ge=1, le=16)] = 4,
        width: Annotated[int, Field(ge=8, multiple_of=8)] = 256,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width // 4, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(width // 4),
            nn.ReLU(inplace=True),
            Residual(width // 4, width // 2),
            nn.AvgPool2d(2),
            Residual(width // 2, width // 2),
            Residual(width // 2, width),
        )
        self.stacks = nn.ModuleList(Stack(width, points, last=i + 1 == stacks) for i in range(stacks))

    def forward(self, x: Tensor) -> Tensor:
        return self.distributions(x)[-1, ..., :2]

    def points_and_spread(self, x: Tensor) -> Tensor:
        """(B, K, 3): the coordinates of :meth:`forward`, and each map's standard deviation about them."""
        found = self.distributions(x)[-1]
        spread = (found[..., 2] + found[..., 4]).sqrt()
        return torch.cat([found[..., :2], spread[..., None]], dim=2)

    def distributions(self, x: Tensor) -> Tensor:
        """What a loss of distributions looks at (``flmd.training.losses.OF_DISTRIBUTIONS``).

        Returns
        -------
        (M, B, K, 5) float32, the last stack last: of each heat map its mean x and y, then the variance of
        x, the covariance of x and y, and the variance of y, in units of the input's side (squared).
        """
        found, x = [], self.stem(x)
        for stack in self.stacks:
            x, maps = stack(x)
            with _in_float32(maps):
                found.append(moments(maps))
        return torch.stack(found)


def moments(maps: Tensor) -> Tensor:
    """Mean and covariance of soft-maxed heat maps: (B, K, H, H) float32 -> (B, K, 5).

    The middle of map pixel i is at (i + 0.5) / H - 0.5.
    """
    side = maps.shape[-1]
    place = (torch.arange(side, dtype=maps.dtype, device=maps.device) + 0.5) / side - 0.5
    weight = maps.flatten(2).softmax(2).view_as(maps)
    across, down = weight.sum(2), weight.sum(3)
    mean_x, mean_y = across @ place, down @ place
    # Centred before they are squared: the difference of two large squares would lose a small variance.
    from_x, from_y = place - mean_x[..., None], place - mean_y[..., None]
    variance_x = (across * from_x.square()).sum(2)
    variance_y = (down * from_y.square()).sum(2)
    covariance = ((weight @ from_x[..., None]).squeeze(-1) * from_y).sum(2)
    return torch.stack([mean_x, mean_y, variance_x, covariance, variance_y], dim=2)


def _norm_then_convolution(inputs: int, outputs: int, kernel: int) -> tuple[nn.Module, ...]:
    return (
        nn.BatchNorm2d(inputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
    )


def _in_float32(x: Tensor) -> contextlib.AbstractContextManager[object]:
    """Autocast switched off where it is on; nothing where it is off, so that exporters see plain code."""
    if torch.is_autocast_enabled(x.device.type):
        return torch.autocast(x.device.type, enabled=False)
    return contextlib.nullcontext()
