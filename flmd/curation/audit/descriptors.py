"""What a face looks like, as a small picture and as a vector: two views of each context crop.

``aligned``: the face and what is around it, laid over the mean shape by its landmarks: the same for two
crops of one picture whatever their boxes. ``crop``: the whole context crop, whatever its landmarks say.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from flmd.core import geometry
from flmd.curation.alignment import Aligned
from flmd.store.face_store import FaceStore

SIDE = 32  # px of the small picture
COARSE = 16  # px of the picture that becomes a vector
HALF_WIDTH = 2.4  # of an aligned view, in radii of the mean shape: from above the hair to the collar
REDUCED = 64  # px; crops are shrunk to this first, since a warp alone would alias
FLATTEST = 4.0  # levels; a view with less contrast shows nothing to compare
GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class View:
    """One view of every face.

    Attributes
    ----------
    name : "aligned" or "crop".
    pictures : (N, 32, 32) uint8 grey. usable : (N,) bool; False where there is nothing to compare.
    """

    name: str
    pictures: NDArray[np.uint8]
    usable: NDArray[np.bool_]

    def vectors(self) -> NDArray[np.float32]:
        """(N, 256) vectors of length 1 whose inner product says how alike two views are; 0 if unusable."""
        return to_vectors(self.pictures, self.usable)


def views_of(store: FaceStore, aligned: Aligned) -> list[View]:
    """Both views of every crop of a store; reads each crop once."""
    count = len(store)
    small = {name: np.zeros((count, SIDE, SIDE), np.uint8) for name in ("aligned", "crop")}
    with tqdm(desc="look at crops", total=count, unit="face", disable=None) as bar:
        for rows in store.blocks():
            shrunk = store.numbers("affine", rows)
            size = store.crops.shape[-1]
            to_view = _to_aligned(aligned, shrunk, size, rows)
            for i, row in enumerate(range(rows.start, rows.stop)):
                picture = _reduced(store.crops[row])
                small["crop"][row] = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
                if aligned.usable[row]:
                    small["aligned"][row] = cv2.warpAffine(
                        picture,
                        to_view[i],
                        (SIDE, SIDE),
                        flags=cv2.INTER_LINEAR,
                        borderMode=cv2.BORDER_REPLICATE,
                    )
            bar.update(rows.stop - rows.start)
    views = []
    for name, pictures in small.items():
        contrast = pictures.std(axis=(1, 2), dtype=np.float32)
        usable = (contrast >= FLATTEST) & (aligned.usable | (name == "crop"))
        views.append(View(name, pictures, usable))
    return views


def to_vectors(pictures: NDArray[np.uint8], usable: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(N, 256) float32 of (N, 32, 32) pictures: shrunk to 16, without the average, length 1."""
    n = len(pictures)
    fold = SIDE // COARSE
    out = pictures.reshape(n, COARSE, fold, COARSE, fold).mean(axis=(2, 4), dtype=np.float32)
    return unit_vectors(out.reshape(n, -1), usable)


def unit_vectors(values: NDArray[np.floating], usable: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(N, D) rows without their average, at length 1; 0 where not usable, so that they match nothing."""
    rows = values.astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    good = usable & (length > 0)
    rows[good] /= length[good, None]
    rows[~good] = 0
    return rows


def _reduced(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A (S, S) or (3, S, S) crop as (64, 64) grey."""
    if crop.ndim == 2:
        return np.asarray(cv2.resize(crop, (REDUCED, REDUCED), interpolation=cv2.INTER_AREA))
    planes = [cv2.resize(plane, (REDUCED, REDUCED), interpolation=cv2.INTER_AREA) for plane in crop]
    grey = sum(w * p.astype(np.float32) for w, p in zip(GREY, planes, strict=True))
    return np.asarray(np.rint(grey).astype(np.uint8))


def _to_aligned(aligned: Aligned, affine: NDArray[np.float64], size: int, rows: slice) -> NDArray[np.float64]:
    """(N, 2, 3) from reduced crops to aligned views; the identity for faces that cannot be aligned."""
    good = aligned.usable[rows]
    turn = np.where(good, aligned.turn[rows], 1)
    shift = np.where(good, aligned.shift[rows], 0)
    zoom = SIDE / (2 * HALF_WIDTH)
    out = np.empty((len(turn), 2, 3))
    out[:, 0] = np.stack([turn.real, -turn.imag, shift.real], axis=1) * zoom
    out[:, 1] = np.stack([turn.imag, turn.real, shift.imag], axis=1) * zoom
    out[:, :, 2] += (SIDE - 1) / 2
    to_reduced = geometry.compose(geometry.resize_affine(REDUCED / size), affine)
    return geometry.compose(out, geometry.invert(to_reduced))
