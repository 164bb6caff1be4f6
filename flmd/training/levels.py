"""From levels 0-255 to normalised floats: one table a channel, looked up."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flmd.errors import ParamsError

Numbers = float | Sequence[float]


def level_tables(mean: Numbers, std: Numbers, channels: int) -> NDArray[np.float32]:
    """(C, 256) float32: what each level of each channel becomes, ``(level / 255 - mean) / std``.

    Raises
    ------
    ParamsError : neither one number nor one a channel; a std that is not above 0.
    """
    for name, value in (("mean", mean), ("std", std)):
        if np.size(value) not in (1, channels):
            raise ParamsError(
                f"{np.size(value)} pixel {name}s for {channels} channels", expected="1 or one each"
            )
    if not np.all(np.asarray(std) > 0):
        raise ParamsError(f"pixel std is {std}", expected="above 0")
    levels = np.arange(256) / 255
    rows = (levels - np.reshape(mean, (-1, 1))) / np.reshape(std, (-1, 1))
    return np.ascontiguousarray(np.broadcast_to(rows, (channels, 256)), dtype=np.float32)


def look_up(pixels: NDArray[np.uint8], tables: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Turn levels into numbers, one table a channel.

    Parameters
    ----------
    pixels : (B, C, S, S) uint8. tables : (C, 256). out : (B, C, S, S) float32.
    """
    if (tables == tables[0]).all():
        # One call for the whole batch: threads hand the GIL to each other less often.
        rows = (-1, out.shape[-1])
        cv2.LUT(pixels.reshape(rows), tables[:1], out.reshape(rows))
        return
    for channel, table in enumerate(tables[:, None]):
        for image, target in zip(pixels[:, channel], out[:, channel], strict=True):
            cv2.LUT(image, table, target)


def look_up_on_device(pixels: Tensor, tables: Tensor) -> Tensor:
    """:func:`look_up` on any device: (B, C, S, S) uint8 and (C, 256) float32 to (B, C, S, S) float32."""
    channels = torch.arange(len(tables), device=pixels.device).view(-1, 1, 1)
    return tables[channels, pixels.long()]
