"""A model file run by torch, behind the seam of :mod:`flmd.inference.landmarker`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from flmd.models.checkpoint import ModelInfo, load_model
from flmd.models.devices import choose_device


class TorchPoints:
    """Crops in, points out, on a device.

    Parameters
    ----------
    network : in eval mode, on the device ``place``. info : what it is.
    """

    def __init__(self, network: nn.Module, info: ModelInfo, place: torch.device) -> None:
        self._network, self._info, self._place = network, info, place
        self._both: Callable[[Tensor], Tensor] | None = getattr(network, "points_and_spread", None)

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, S, S) or (N, 3, S, S) uint8 crops -> (N, K, 2) float32 pixels of the crop."""
        return self._points(self._units(self._network, crops))

    @property
    def has_spread(self) -> bool:
        """Whether the network has heat maps, whose spread can be told."""
        return self._both is not None

    def points_and_spread(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The points of a call, and (N, K) float32: how far their maps spread, shares of the crop's side."""
        assert self._both is not None
        units = self._units(self._both, crops)
        spread = units[..., 2] * self._info.normalisation.points_scale
        return self._points(units[..., :2]), spread.astype(np.float32)

    def _units(self, network: Callable[[Tensor], Tensor], crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        with torch.inference_mode():
            seen = self._info.normalisation.pixels(torch.from_numpy(crops).to(self._place))
            return np.asarray(network(seen).float().cpu().numpy().astype(np.float64))

    def _points(self, units: NDArray[np.float64]) -> NDArray[np.float32]:
        # In float64, as in evaluation: a coordinate is then rounded once.
        return np.asarray(self._info.normalisation.denormalise_points(units), np.float32)


def load(path: Path, device: str) -> tuple[TorchPoints, ModelInfo]:
    """The network of a model file on a device; raises as ``flmd.models.checkpoint.load_model`` does."""
    place = choose_device(device)
    network, info = load_model(path, place)
    return TorchPoints(network, info, place), info
