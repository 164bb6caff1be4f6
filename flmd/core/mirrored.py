"""Points of a mirrored crop, back on the crop: what averaging over both needs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def mirror(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Crops (..., S, S) mirrored left to right, in memory of their own."""
    return np.ascontiguousarray(crops[..., ::-1])


def back(points: NDArray[np.floating], side: int, flip_order: ArrayLike) -> NDArray[np.floating]:
    """(N, K, 2) points of mirrored crops of ``side`` pixels as points of the crops: x' = side - 1 - x.

    ``flip_order``: (K,) of ``Scheme.flip_indices``; a left eye is a right one in the mirror.
    """
    turned = points[:, np.asarray(flip_order)].copy()
    turned[..., 0] = side - 1 - turned[..., 0]
    return turned
