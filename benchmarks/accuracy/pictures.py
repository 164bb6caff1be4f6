"""Faces of a store in the pictures that a comparator looks at, and the way back to image pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flmd.core import geometry, images
from flmd.errors import StoreError
from flmd.schemes import Scheme
from flmd.store.face_store import FaceStore
from flmd.tree import open_tree

ENLARGED = 3  # times: small crops would cost dlib accuracy, which answers in whole pixels


@dataclass(frozen=True)
class Shown:
    """One face in a picture.

    Attributes
    ----------
    pixels : (H, W) uint8 grey.
    box : (4,) float64 x, y, width, height, pixels of this picture.
    points : (K, 2) float64, likewise; NaN where not labelled.
    affine : (2, 3) float64, pixels of the face's image -> pixels of this picture.
    """

    pixels: NDArray[np.uint8]
    box: NDArray[np.float64]
    points: NDArray[np.float64]
    affine: NDArray[np.float64]

    def to_image(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """(K, 2) points of this picture in pixels of the face's image."""
        return geometry.apply(geometry.invert(self.affine), points)


def shown(store: FaceStore, rows: NDArray[np.intp], tree: Path | None) -> Iterator[Shown]:
    """The faces in these rows, one after the other.

    Parameters
    ----------
    tree : folder or archive with the pictures the store was made of, whole and at their own size; None:
        the store's context crops, enlarged.

    Raises
    ------
    StoreError : a store without crops, and no tree. InputError : a picture is missing or damaged.
    """
    boxes = store.numbers("box", rows).astype(np.float64)
    points = np.where(
        store.numbers("visibility", rows)[..., None] > 0, store.numbers("landmarks", rows), np.nan
    ).astype(np.float64)
    if tree is None:
        if not store.has_crops:
            raise StoreError("holds no crops", where=str(store.path), hint="name its pictures: --pictures")
        for row, box, face, affine in zip(rows, boxes, points, store.numbers("affine", rows), strict=True):
            yield _placed(*_enlarged(_grey(store.crops[row]), affine), box, face)
        return
    with open_tree(tree) as pictures:
        names = store.texts("image", rows)
        for name, box, face in zip(names, boxes, points, strict=True):
            pixels = images.to_grey(images.decode(pictures.read(name)))
            yield _placed(pixels, np.eye(2, 3), box, face)


def mirrored(face: Shown, scheme: Scheme) -> Shown:
    """The twin in the mirror: x' = W - 1 - x, its points in the scheme's flip order."""
    width = face.pixels.shape[1]
    mirror = geometry.mirror_affine(width)
    return Shown(
        np.ascontiguousarray(face.pixels[:, ::-1]),
        geometry.mirror_box(face.box, width),
        geometry.apply(mirror, face.points)[scheme.flip_indices()],
        geometry.compose(mirror, face.affine),
    )


def _placed(
    pixels: NDArray[np.uint8],
    affine: NDArray[np.float64],
    box: NDArray[np.float64],
    points: NDArray[np.float64],
) -> Shown:
    """Points and box taken along; a box covers whole pixels, so its edges lie half a pixel outside."""
    edges = np.array([box[:2] - 0.5, box[:2] + box[2:] - 0.5])
    low, high = geometry.apply(affine, edges)
    return Shown(pixels, np.concatenate([low + 0.5, high - low]), geometry.apply(affine, points), affine)


def _enlarged(
    pixels: NDArray[np.uint8], affine: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    large = cv2.resize(pixels, None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_CUBIC)
    return np.asarray(large, np.uint8), geometry.compose(geometry.resize_affine(ENLARGED), affine)


def _grey(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.array(crop) if crop.ndim == 2 else images.to_grey(np.ascontiguousarray(crop.transpose(1, 2, 0)))
