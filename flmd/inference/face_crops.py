"""From a whole picture to what a network sees of its faces: through the crop of a store, or directly.

A network is trained on crops that were resampled twice, from the picture to the store's context crop and
from that to its input. :func:`cut_through_context` does the same with the same code, so that a network in use
meets the pixels it was trained with. :func:`cut` resamples once, which leaves about 7 % more gradient; it is
for models that do not say how their store's crops were made, and for who prefers it (``resample="direct"``).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from flmd.core import geometry, images
from flmd.core.context_crop import cut_context, reduction_for
from flmd.core.crop_spec import CropSpec
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


def cut_through_context(
    picture: Picture, boxes: NDArray[np.floating], crop: CropSpec
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Cut crops as training does: first the store's crop, then the network's from it.

    Parameters
    ----------
    boxes : (N, 4) stored pixels, all faces of the picture: a JPEG is decoded at one size for all of them.
    crop : of the network; its ``context`` says how the store's crops were made.

    Returns
    -------
    (N, S, S) or (N, 3, S, S) uint8; (N, 2, 3) from stored pixels to pixels of the crops.
    """
    context = crop.context
    assert context is not None
    affine = crop_affines(picture, boxes, crop.zoom, crop.size)
    out = np.zeros((len(boxes), *crop.shape), np.uint8)
    if not len(boxes):
        return out, affine
    to_context = crop_affines(picture, boxes, context.zoom, context.size)
    from_context = geometry.compose(affine, geometry.invert(to_context))
    reduction = reduction_for(picture.encoded, boxes, context)
    pixels = picture.reduced(reduction)
    grey = crop.color == "grey"
    for row in range(len(boxes)):
        source = cut_context(pixels, to_context[row], reduction, context)
        if source.ndim == 3 and crop.grey_first:
            source = images.to_grey(source)
        seen = images.warp(source, from_context[row], crop.size)
        if seen.ndim == 3:
            out[row] = images.to_grey(seen) if grey else seen.transpose(2, 0, 1)
        else:
            out[row] = seen
    return out, affine


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
    """The part of a picture that a crop shows, reduced where it is far too large; its affine to the crop.

    A face that shrinks by 2 or more is first averaged over blocks of 2, 4 or 8 pixels, as JPEG decoders do.
    """
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
