"""From a picture and its boxes to square context crops: one decode, one resampling."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flmd.conversion import frames
from flmd.conversion.settings import BoxPolicy, CropSettings
from flmd.core import geometry, images
from flmd.core.context_crop import cut_context, reduction_for
from flmd.core.orientation import SHOWN, STORED, orientation_affine, orientation_of, turned_size
from flmd.errors import InputError
from flmd.face import Face, Skipped
from flmd.tree import FileTree

SMALLEST_SIDE = 8  # px; a picture smaller than this cannot show a face


@dataclass(frozen=True)
class Cropped:
    """A face with its context crop.

    ``face`` has its box, what made it and the picture's size filled in, in the frame of its coordinates,
    which it says where the picture has an EXIF orientation. ``pixels``: (S, S) or (3, S, S) uint8.
    ``affine``: (2, 3) float64, image pixels of that frame -> crop pixels. ``sha256``: of the file.
    """

    face: Face
    pixels: NDArray[np.uint8]
    affine: NDArray[np.float64]
    sha256: str


def crop_image(
    tree: FileTree, settings: CropSettings, box: str, faces: list[Face], frame: str = STORED
) -> list[Cropped | Skipped]:
    """Crop all faces of one picture; each comes back cropped, or skipped with the reason.

    Parameters
    ----------
    box : what the box of a face is, one of :class:`~flmd.conversion.settings.BoxPolicy`.
    frame : of the coordinates of faces that do not say theirs, "stored" or "shown". A face is cut from the
        picture in that frame, so that it is upright where its annotator saw it upright.
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
        looked = _Looked(size, orientation_of(data), frame)
        placed = [_place(face, looked, box, where) for face in faces]
        usable = [face for face in placed if isinstance(face, Face)]
        if not usable:
            return [item for item in placed if isinstance(item, Skipped)]
        sha256 = hashlib.sha256(data).hexdigest()
        boxes = np.stack([face.box for face in usable if face.box is not None])
        reduction = reduction_for(data, boxes, settings.spec)
        pixels = images.decode(data, reduction)
    except images.ImageError as error:
        return [Skipped(error.reason, where, error.what) for _ in faces]
    except InputError as error:
        return [Skipped("image_unreadable", where, str(error)) for _ in faces]
    return [
        _crop(face, pixels, reduction, settings, sha256, looked) if isinstance(face, Face) else face
        for face in placed
    ]


@dataclass(frozen=True)
class _Looked:
    """A picture: the size of its stored pixels, its EXIF orientation, the frame of faces that say none."""

    stored: tuple[int, int]
    orientation: int
    default: str

    def frame(self, face: Face) -> str:
        """Of a face's coordinates."""
        said = frames.said_by(face)
        return self.default if said is None else said[1]

    def size(self, frame: str) -> tuple[int, int]:
        """Width and height in a frame."""
        return self.stored if frame == STORED else turned_size(self.orientation, self.stored)

    def turns(self, face: Face) -> bool:
        """Whether the face is in another frame than the stored pixels."""
        return self.orientation != 1 and self.frame(face) == SHOWN


def _place(face: Face, looked: _Looked, policy: str, where: str) -> Face | Skipped:
    """The face with the box its policy gives it."""
    frame = looked.frame(face)
    size = looked.size(frame)
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
    if _is_outside(box, size):
        what = f"box {box.tolist()} lies outside {size[0]}x{size[1]}{_likely_cause(box, looked, frame)}"
        return Skipped("box_outside", face.where or where, what)
    face.box, face.box_source, face.image_size = box, policy, size
    return frames.noted(face, looked.orientation, frame)


def _is_outside(box: NDArray[np.float32], size: tuple[int, int]) -> bool:
    return bool(box[0] >= size[0] or box[1] >= size[1] or box[0] + box[2] <= 0 or box[1] + box[3] <= 0)


def _likely_cause(box: NDArray[np.float32], looked: _Looked, frame: str) -> str:
    """That the picture has an orientation, and the frame in which the box would lie inside."""
    if looked.orientation == 1:
        return ""
    other = SHOWN if frame == STORED else STORED
    text = f"; the picture has EXIF orientation {looked.orientation}, and its labels are read as {frame}"
    return text if _is_outside(box, looked.size(other)) else f"{text}: they fit --exif {other}"


def _crop(
    face: Face,
    pixels: NDArray[np.uint8],
    reduction: int,
    settings: CropSettings,
    sha256: str,
    looked: _Looked,
) -> Cropped:
    assert face.box is not None
    affine = geometry.square_crop(face.box, settings.margin, settings.size)
    from_stored = affine
    if looked.turns(face):
        from_stored = geometry.compose(affine, orientation_affine(looked.orientation, *looked.stored))
    crop = cut_context(pixels, from_stored, reduction, settings.spec)
    planes = crop if crop.ndim == 2 else crop.transpose(2, 0, 1)
    return Cropped(face, np.ascontiguousarray(planes), affine, sha256)
