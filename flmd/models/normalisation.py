"""Pixels and coordinates to the network's units and back: the one place where this is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flmd.errors import ParamsError

Points = TypeVar("Points", Tensor, NDArray[Any])


@dataclass(frozen=True)
class Normalisation:
    """A recipe's conventions.

    Parameters
    ----------
    input_size : S, side of the network's input, pixels.
    pixel_mean, pixel_std : of pixel values in 0..1; one number for all channels or one for each.
    points_offset, points_scale : in units of S: a coordinate px becomes
        ``((px + 0.5) / S - offset) / scale``. The default puts the input's middle at 0 and its sides
        at -0.5 and 0.5. NaimishNet's ``(px - 100) / 50`` at S = 224 is offset 100.5 / 224, scale 50 / 224.

    Raises
    ------
    ParamsError : a std or scale that is not above 0, or neither 1 nor 3 means or stds.
    """

    input_size: int
    pixel_mean: float | tuple[float, ...] = 0.5
    pixel_std: float | tuple[float, ...] = 0.5
    points_offset: float = 0.5
    points_scale: float = 1.0

    def __post_init__(self) -> None:
        for name in ("pixel_mean", "pixel_std"):
            value = getattr(self, name)
            numbers = tuple(float(v) for v in value) if isinstance(value, (list, tuple)) else float(value)
            if isinstance(numbers, tuple) and len(numbers) not in (1, 3):
                raise ParamsError(
                    f"{name} has {len(numbers)} numbers", expected="one, or one for each of 3 channels"
                )
            object.__setattr__(self, name, numbers)
        if not np.all(np.asarray(self.pixel_std) > 0):
            raise ParamsError(f"pixel_std is {self.pixel_std}", expected="above 0")
        if not self.points_scale > 0:
            raise ParamsError(f"points_scale is {self.points_scale}", expected="above 0")
        if self.input_size < 1:
            raise ParamsError(f"input_size is {self.input_size}", expected="at least 1 pixel")

    def pixels(self, images: Tensor) -> Tensor:
        """``(x / 255 - mean) / std``.

        Parameters
        ----------
        images : (B, S, S) grey or (B, 3, S, S) planar, uint8.

        Returns
        -------
        (B, 1, S, S) or (B, 3, S, S) float32 on the same device. ParamsError when there are three
        means or stds for one channel.
        """
        x = images.unsqueeze(1) if images.ndim == 3 else images
        mean, std = self._channels(self.pixel_mean, x), self._channels(self.pixel_std, x)
        return x.to(torch.float32).mul_(1 / (255 * std)).sub_(mean / std)

    def points(self, px: Points) -> Points:
        """(..., 2) float pixels of the input, the first pixel's centre being 0, to the network's units."""
        return ((px + 0.5) / self.input_size - self.points_offset) / self.points_scale

    def denormalise_points(self, units: Points) -> Points:
        """The inverse of :meth:`points`."""
        return (units * self.points_scale + self.points_offset) * self.input_size - 0.5

    def to_dict(self) -> dict[str, Any]:
        """Numbers and lists, for JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Normalisation:
        """The inverse of :meth:`to_dict`."""
        return cls(**dict(fields))

    @staticmethod
    def _channels(value: float | tuple[float, ...], x: Tensor) -> Tensor:
        numbers = value if isinstance(value, tuple) else (value,)
        if len(numbers) not in (1, x.shape[1]):
            raise ParamsError(
                f"{len(numbers)} pixel means or stds for {x.shape[1]} channel(s)",
                hint="set train.pixel_mean and train.pixel_std to one number, or augment.color: rgb",
            )
        return torch.tensor(numbers, dtype=torch.float32, device=x.device).view(1, -1, 1, 1)
