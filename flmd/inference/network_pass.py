"""Crops through the network: many at once, mirrored too if wanted, with the spread of heat maps if wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.core import mirrored
from flmd.errors import ParamsError
from flmd.models.checkpoint import ModelInfo
from flmd.models.confidence import Confidence

# (N, S, S) or (N, 3, S, S) uint8 crops -> (N, K, 2) float32 points in pixels of the crop, the first pixel's
# centre being (0, 0). Normalisation of pixels and points is the backend's business. One that can tell the
# spread of heat maps has ``has_spread`` and ``points_and_spread``, as ``flmd.inference.torch_backend`` has.
Backend = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
BATCH = 64  # crops; what the backend gets at once


@dataclass(frozen=True)
class Looked:
    """What the network says of N faces of one picture.

    ``points``: (N, K, 2) float32, stored pixels. ``spread``: (N, K) float32, of their heat maps, shares of
    the face's side; None where that was not asked for.
    """

    points: NDArray[np.float32]
    spread: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class NetworkPass:
    """How crops go through a network.

    Attributes
    ----------
    backend : see ``Backend``. side : S. points : K. zoom : side of a crop over that of the face.
    flip_order : (K,) to average the points of crops and their mirror images; None: crops alone.
    with_spread : ask for the spread of heat maps.
    """

    backend: Backend
    side: int
    points: int
    zoom: float
    flip_order: NDArray[np.intp] | None = None
    with_spread: bool = False

    def __call__(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """(N, K, 2) float32 pixels of the crops; (N, K) float32 spreads in the face's sides, or None."""
        at_crop = np.zeros((len(crops), self.points, 2), np.float32)
        spread = np.zeros(at_crop.shape[:2], np.float32) if self.with_spread else None
        for start in range(0, len(crops), BATCH):
            rows = slice(start, start + BATCH)
            at_crop[rows], wide = self._batch(crops[rows])
            if spread is not None and wide is not None:
                spread[rows] = wide * self.zoom
        return at_crop, spread

    def _batch(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        points, wide = self._once(crops)
        if self.flip_order is None:
            return points, wide
        mirror, mirror_wide = self._once(mirrored.mirror(crops))
        other = mirrored.back(mirror, self.side, self.flip_order)
        points = ((points.astype(np.float64) + other) / 2).astype(np.float32)
        if wide is None or mirror_wide is None:
            return points, None
        return points, np.asarray((wide + mirror_wide[:, self.flip_order]) / 2, np.float32)

    def _once(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        if not self.with_spread:
            return self.backend(crops), None
        backend: Any = self.backend
        points, wide = backend.points_and_spread(crops)
        return points, wide


def confidence_of(backend: Backend, info: ModelInfo) -> Confidence:
    """What a model says of its own errors; ParamsError where it can say nothing."""
    if not getattr(backend, "has_spread", False):
        what = f"network {info.network}" if hasattr(backend, "has_spread") else "an exported model"
        raise ParamsError(
            f"{what} gives points without heat maps, so nothing tells how sure they are",
            hint="leave out the confidence, or use a model file of a network with heat maps",
        )
    if info.confidence is None:
        raise ParamsError(
            "the model was not calibrated, so the spread of its heat maps says nothing yet",
            hint="flmd calibrate MODEL STORE -o CALIBRATED",
        )
    return Confidence.from_dict(info.confidence)
