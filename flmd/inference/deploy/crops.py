"""Crops as a network sees them, to check and to time with: of a store, or of drawn faces."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from flmd.augmentation import build
from flmd.core.geometry import box_side
from flmd.errors import ParamsError, StoreError
from flmd.inference.landmarker import Landmarker
from flmd.inference.picture import Picture, open_picture
from flmd.models.checkpoint import ModelInfo
from flmd.sources.sample import ibug300w
from flmd.store.face_store import FaceStore

DRAWN_SEED = 6
DRAWN_PICTURES = 4  # each takes about a second
SHIFTS = ((0.0, 0.0), (0.04, -0.03), (-0.05, 0.02), (0.02, 0.06))  # of the box, in its sides


@dataclass(frozen=True)
class Crops:
    """N faces.

    Attributes
    ----------
    images : (N, S, S) or (N, 3, S, S) uint8.
    affine : (N, 2, 3) float64, image -> crop pixels.
    rows : (N,) their rows in the store; empty for drawn faces.
    """

    images: NDArray[np.uint8]
    affine: NDArray[np.float64]
    rows: NDArray[np.intp]


def of_store(
    store: FaceStore, info: ModelInfo, splits: tuple[str, ...], count: int | None, *, dataset: str = ""
) -> Crops:
    """Plain crops of faces of the first of these splits that has any, spread evenly over it.

    Parameters
    ----------
    count : faces at most; None: all. dataset : of this data set alone; "": of any.

    Raises
    ------
    ParamsError : the store has another scheme or too little context. StoreError : no crops, or no faces.
    """
    if store.scheme.name != info.scheme:
        raise ParamsError(
            f"the model predicts {info.scheme}, the faces have {store.scheme.name}", where=str(store.path)
        )
    of_set = {"dataset": dataset} if dataset else {}
    found = next((rows for rows in (store.rows_where(split=s, **of_set) for s in splits) if len(rows)), None)
    if found is None:
        of = f" of data set {dataset}" if dataset else ""
        raise StoreError(f"no face{of} has split {' or '.join(splits)}", where=str(store.path))
    if count is not None and len(found) > count:
        found = found[np.linspace(0, len(found) - 1, count).round().astype(np.intp)]
    made = build.plain_faces(store, found, info.crop)
    return Crops(made.images, made.affine, found)


def drawn(landmarker: Landmarker) -> Crops:
    """Crops of the built-in sample's faces, cut as the model was trained: where there is no store."""
    images, affines = [], []
    for picture, boxes in tqdm(
        drawn_pictures(), desc="draw faces", unit="picture", disable=None, leave=False
    ):
        for dx, dy in SHIFTS:
            side = box_side(boxes)
            moved = boxes + np.stack([dx * side, dy * side, 0 * side, 0 * side], axis=1)
            crops, affine = landmarker.crops(picture, moved)
            images.append(crops)
            affines.append(affine)
    return Crops(np.concatenate(images), np.concatenate(affines), np.empty(0, np.intp))


@cache
def drawn_pictures(count: int = DRAWN_PICTURES) -> list[tuple[Picture, NDArray[np.float64]]]:
    """Pictures of the built-in sample with (N, 4) boxes of their faces; the same every time."""
    plan = ibug300w.plan(24, DRAWN_SEED)[:count]
    entries = [ibug300w.draw(DRAWN_SEED, one)[0] for one in plan]
    return [(open_picture(e.jpeg, name=e.file, exif=False), e.boxes.astype(np.float64)) for e in entries]
