"""From a picture and its boxes to square context crops: one decode, one resampling."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flmd.conversion.settings import BoxPolicy, Color, CropSettings
from flmd.core import geometry, images
from flmd.errors import InputError
from flmd.face import Face, Skipped
from flmd.tree import FileTree

HEADER = 1 << 16  # bytes
SMALLEST_SIDE = 8  # px; a picture smaller than this cannot show a face


@dataclass(frozen=True)
class Cropped:
    """A face with its context crop.

    ``face`` has its box, what made it and the picture's size filled in. ``pixels``: (S, S) or
    (3, S, S) uint8. ``affine``: (2, 3) float64, image pixels -> crop pixels. ``sha256``: of the file.
    """

    face: Face
    pixels: NDArray[np.uint8]
    affine: NDArray[np.float64]
    sha256: str


def crop_image(
    tree: FileTree, settings: CropSettings, box: str, faces: list[Face]
) -> list[Cropped | Skipped]:
    """Crop all faces of one picture; each comes back cropped, or skipped with the reason.

    ``box`` says what the box of a face is, one of :class:`~flmd.conversion.settings.BoxPolicy`.
    """
    name = faces[0].image
    where = tree.where(name)
    if name not in tree:
        return [Skipped("image_missing", face.where or where, f"no picture {name}") for face in faces]
    try:
        data = tree.read(name)
        size = images.probe(data, max_pixels=settings.max_pixels)
        if min(size) < SMALLEST_SIDE:
            raise images.ImageError("image_too_small", f"the picture is {size[0]}x{size[1]} pixels")
        placed = [_place(face, size, box, where) for face in faces]
        usable = [face for face in placed if isinstance(face, Face)]
        if not usable:
            return [item for item in placed if isinstance(item, Skipped)]
        sha256 = hashlib.sha256(data).hexdigest()
        reduction = _reduction(data, usable, settings)
        pixels = images.decode(data, reduction)
    except images.ImageError as error:
        return [Skipped(error.reason, where, error.what) for _ in faces]
    except InputError as error:
        return [Skipped("image_unreadable", where, str(error)) for _ in faces]
    return [
        _crop(face, pixels, reduction, settings, sha256) if isinstance(face, Face) else face
        for face in placed
    ]


def picture_size(tree: FileTree, name: str, *, max_pixels: float = 2e8) -> tuple[int, int]:
    """Width and height of a picture in a tree, from its header; InputError when it has none."""
    head = tree.read(name, 0, HEADER)
    try:
        return images.probe(head, max_pixels=max_pixels)
    except images.ImageError:
        if len(head) < HEADER:
            raise
    return images.probe(tree.read(name), max_pixels=max_pixels)  # long EXIF or ICC before the size


def _place(face: Face, size: tuple[int, int], policy: str, where: str) -> Face | Skipped:
    """The face with the box its policy gives it."""
    if policy == BoxPolicy.IMAGE:
        box = np.array([0, 0, *size], np.float32)
    elif policy == BoxPolicy.LANDMARKS:
        box = geometry.box_of_points(face.landmarks).astype(np.float32)
    elif face.box is not None:
        box = face.box
    else:
        return Skipped("no_box", face.where or where, "the annotation gives no box")
    if np.isnan(box).any() or box[2] <= 0 or box[3] <= 0:
        return Skipped("no_box", face.where or where, f"no box can be made with box: {policy}")
    if box[0] >= size[0] or box[1] >= size[1] or box[0] + box[2] <= 0 or box[1] + box[3] <= 0:
        return Skipped(
            "box_outside", face.where or where, f"box {box.tolist()} lies outside {size[0]}x{size[1]}"
        )
    face.box, face.box_source, face.image_size = box, policy, size
    return face


def _reduction(data: bytes, faces: list[Face], settings: CropSettings) -> int:
    """The largest cheap reduction that keeps every face at or above its size in the crop."""
    if not images.is_jpeg(data):
        return 1
    sides = [settings.margin * float(geometry.box_side(f.box)) for f in faces if f.box is not None]
    return next(n for n in images.REDUCTIONS if n == 1 or min(sides) >= n * settings.size)


def _crop(
    face: Face, pixels: NDArray[np.uint8], reduction: int, settings: CropSettings, sha256: str
) -> Cropped:
    assert face.box is not None
    affine = geometry.square_crop(face.box, settings.margin, settings.size)
    from_reduced = geometry.compose(affine, geometry.invert(geometry.resize_affine(1 / reduction)))
    crop = images.warp(pixels, from_reduced, settings.size)
    planes = images.to_grey(crop) if settings.color == Color.GREY else crop.transpose(2, 0, 1)
    return Cropped(face, np.ascontiguousarray(planes), affine, sha256)
