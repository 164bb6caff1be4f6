"""Context crops: the squares around faces that stores keep, and that models in use look through.

One code for both, so that a network meets the pixels it was trained with: a JPEG is decoded at 1/2, 1/4 or
1/8 where its faces are large, and resampled once into the square.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flmd.core import geometry, images
from flmd.core.crop_spec import CropSpec


def reduction_for(data: bytes, boxes: ArrayLike, context: CropSpec) -> int:
    """The largest cheap reduction that keeps every face of a picture at or above its size in the crop.

    Parameters
    ----------
    data : the picture's file; none but a JPEG has a cheap reduction.
    boxes : (N, 4) pixels of the whole picture.

    Returns
    -------
    1, 2, 4 or 8.
    """
    if not images.is_jpeg(data):
        return 1
    least = context.margin * float(np.min(geometry.box_side(boxes)))
    return next(n for n in images.REDUCTIONS if n == 1 or least >= n * context.size)


def cut_context(
    pixels: NDArray[np.uint8], affine: NDArray[np.float64], reduction: int, context: CropSpec
) -> NDArray[np.uint8]:
    """One context crop.

    Parameters
    ----------
    pixels : (H, W, 3) uint8 RGB, the picture at 1/``reduction`` of its size.
    affine : (2, 3) from pixels of the whole picture to the crop's.

    Returns
    -------
    (S, S) grey or (S, S, 3) RGB uint8; black where the picture has nothing.
    """
    from_reduced = geometry.compose(affine, geometry.invert(geometry.resize_affine(1 / reduction)))
    crop = images.warp(pixels, from_reduced, context.size)
    return images.to_grey(crop) if context.color == "grey" else crop
