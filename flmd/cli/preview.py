"""The contact sheet of `flmd-data preview`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flmd import geometry, plots
from flmd.errors import StoreError
from flmd.store import FaceStore


def draw_sheet(store: FaceStore, path: Path, *, count: int, seed: int, numbers: bool) -> int:
    """Draw ``count`` faces of a store, chosen by ``seed``, with boxes and points; returns how many."""
    if not len(store):
        raise StoreError("holds no faces", where=str(store.path))
    count = min(count, len(store))
    rows = np.sort(np.random.default_rng(seed).choice(len(store), count, replace=False))
    affine = store.numbers("affine", rows)
    crops = store.crops[rows]
    box = store.numbers("box", rows).astype(np.float64)
    # A box covers whole pixels: its edges lie half a pixel outside the outermost centres.
    corners = np.stack([box[:, :2] - 0.5, box[:, :2] + box[:, 2:] - 0.5], axis=1)
    placed = geometry.apply(affine, corners)
    boxes = np.concatenate([placed[:, 0] + 0.5, placed[:, 1] - placed[:, 0]], axis=1)
    points = geometry.apply(affine, store.numbers("landmarks", rows))
    titles = [f"{r}  {Path(name).name}" for r, name in zip(rows, store.texts("image", rows), strict=True)]
    if crops.ndim == 4:
        crops = crops.transpose(0, 2, 3, 1)
    plots.contact_sheet(crops, points, boxes, titles, path, numbers=numbers)
    return count
