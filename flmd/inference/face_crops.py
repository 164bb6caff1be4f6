"""From a whole picture to what a network sees of its faces, with one resampling.

Training cuts faces from context crops, which come from JPEGs decoded at 1/2, 1/4 or 1/8 where the face is
large (:mod:`flmd.conversion.context_crops`). Here a face that shrinks by 2 or more is first averaged over
blocks of 2, 4 or 8 pixels, which is what such a decoder does, so that the network meets the sharpness it was
trained with.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from flmd.core import geometry, images
from flmd.inference.picture import Picture

_BORDER = 2  # pixels beyond the square that the last bilinear look-up needs


def crop_affines(
    picture: Picture, boxes: NDArray[np.floating], zoom: float, size: int
) -> NDArray[np.float64]:
    """(N, 2, 3) from stored pixels to square crops around (N, 4) boxes, the crops being upright.

    Parameters
    ----------
    boxes : x, y, width, height, stored pixels. zoom : side of the crop over the box's longer side.
    size : side of the crop, its own pixels.
    """
    upright = picture.to_upright
    side = geometry.box_side(boxes)[:, None]
    centre = geometry.apply(upright, geometry.box_centre(boxes))
    squares = np.concatenate([centre - (side - 1) / 2, side, side], axis=1)
    return geometry.compose(geometry.square_crop(squares, zoom, size), upright)


def cut(
    picture: Picture, affine: NDArray[np.float64], size: int, color: str, *, grey_first: bool
) -> NDArray[np.uint8]:
    """Cut crops out of a picture.

    Parameters
    ----------
    affine : (N, 2, 3) from stored pixels to pixels of the crops. size : S, side of the crops.
    color : "grey" or "rgb". grey_first : make grey before resampling, not after, as training does where
        no change of colour comes between.

    Returns
    -------
    (N, S, S) or (N, 3, S, S) uint8; black where the picture has nothing.
    """
    grey = color == "grey"
    out = np.zeros((len(affine), size, size) if grey else (len(affine), 3, size, size), np.uint8)
    for row, matrix in enumerate(affine):
        part, from_part = _part_in_use(picture.pixels, matrix, size)
        if part.size:
            source = images.to_grey(part) if grey and grey_first else part
            pixels = images.warp(source, from_part, size)
            if grey:
                out[row] = pixels if pixels.ndim == 2 else images.to_grey(pixels)
            else:
                out[row] = pixels.transpose(2, 0, 1)
    return out


def _part_in_use(
    pixels: NDArray[np.uint8], affine: NDArray[np.float64], size: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The part of a picture that a crop shows, reduced where it is far too large; its affine to the crop."""
    height, width = pixels.shape[:2]
    shrink = 1 / float(geometry.scale_of(affine))
    block = next(n for n in images.REDUCTIONS if n == 1 or shrink >= n - 1e-6)
    corners = np.array([[0.0, 0], [size - 1, 0], [0, size - 1], [size - 1, size - 1]])
    seen = geometry.apply(geometry.invert(affine), corners)
    reach = _BORDER * block
    x0, y0 = (int(max(0, v)) // block * block for v in np.floor(seen.min(axis=0)) - reach)
    ends = np.ceil(seen.max(axis=0)) + reach + 1
    x1, y1 = int(min(width, ends[0])), int(min(height, ends[1]))
    if x1 <= x0 or y1 <= y0:
        return pixels[:0, :0], affine
    part = pixels[y0:y1, x0:x1]
    to_part = np.array([[1.0, 0, -x0], [0, 1.0, -y0]])
    if block > 1:
        # Whole blocks only, so that the scale is exact; the last one repeats the picture's edge.
        part = np.pad(part, ((0, -(y1 - y0) % block), (0, -(x1 - x0) % block), (0, 0)), mode="edge")
        reduced = part.shape[1] // block, part.shape[0] // block
        part = cv2.resize(part, reduced, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        to_part = geometry.compose(geometry.resize_affine(1 / block), to_part)
    return part, geometry.compose(affine, geometry.invert(to_part))
