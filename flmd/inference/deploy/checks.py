"""Is a deployed file the model? Its points beside torch's, on faces, one at a time and many at once."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from flmd.errors import FlmdError

TOLERANCE = 1e-4  # pixels of the crop
MANY = 16

Points = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def largest_difference(torch_points: Points, deployed: Points, crops: NDArray[np.uint8]) -> float:
    """The largest distance along x or y between the points of both, in pixels of the crop.

    Parameters
    ----------
    crops : (N, S, S) or (N, 3, S, S) uint8; they go through in batches of 1 and of :data:`MANY`, the last
        batch being shorter.

    Raises
    ------
    FlmdError : points that are not finite, or another shape than torch's.
    """
    wanted = _in_batches(torch_points, crops, MANY)
    largest = 0.0
    for size, some in ((MANY, len(crops)), (1, min(len(crops), MANY))):
        found = _in_batches(deployed, crops[:some], size)
        if found.shape != wanted[:some].shape:
            raise FlmdError(f"points of shape {found.shape}", expected=f"{wanted[:some].shape}, as torch's")
        if not (np.isfinite(found).all() and np.isfinite(wanted).all()):
            raise FlmdError("the network's output is not finite", hint="its training diverged; train again")
        largest = max(largest, float(np.abs(found - wanted[:some]).max()))
    return largest


def require_equal(
    torch_points: Points, deployed: Points, crops: NDArray[np.uint8], tolerance: float, where: str
) -> float:
    """:func:`largest_difference`; FlmdError when it is above ``tolerance`` pixels."""
    found = largest_difference(torch_points, deployed, crops)
    if not found <= tolerance:
        raise FlmdError(
            f"its points differ from torch's by up to {found:.2g} px on {len(crops)} faces; no file was kept",
            where=where,
            expected=f"at most {tolerance:g} px",
            hint=f"torch's own differ by {own_spread(torch_points, crops):.2g} px between its two ways to "
            "convolve; if that is as much, allow more with --tolerance",
        )
    return found


def own_spread(torch_points: Points, crops: NDArray[np.uint8]) -> float:
    """How far torch's points move, px, when it convolves without oneDNN: the same sums in another order.

    A file cannot be nearer to torch than this: a deep network with steep heat maps magnifies rounding.
    """
    usual = _in_batches(torch_points, crops, MANY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the switch speaks of GPUs that are not here
        with torch.backends.mkldnn.flags(enabled=False):
            other = _in_batches(torch_points, crops, MANY)
    return float(np.abs(usual - other).max())


def _in_batches(points: Points, crops: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    return np.concatenate([points(crops[i : i + size]) for i in range(0, len(crops), size)])
