"""Context crops to augmented crops at network size: the whole stage, file to file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from benchmarks.peers import Peer
from benchmarks.timer import Timed, Timer


def flmd(source: str, target: str, limits: dict[str, Any], workers: int | None = None) -> Timed:
    """``flmd.augmentation.build.build``: pool start-up, all versions, training arrays on the disk."""
    from flmd.augmentation import build
    from flmd.core.params import AugmentParams
    from flmd.store.face_store import FaceStore

    timer = Timer()
    with FaceStore(source) as store:
        counts = build.build(
            store, Path(target), AugmentParams(**limits), seed=1, made_from={}, workers=workers
        )
    return sum(counts.values()), timer.read()


def albumentations(source: str, target: str, limits: dict[str, Any]) -> Timed:
    """A loop over faces and versions, one Compose, images and then points written to a file."""
    import cv2
    import numpy as np

    from flmd.store.face_store import FaceStore

    cv2.setNumThreads(0)
    with FaceStore(source) as store:
        crops, affine = np.asarray(store.crops), store.numbers("affine")
        points = (
            np.einsum("nij,nkj->nki", affine[:, :, :2], store.numbers("landmarks")) + affine[:, None, :, 2]
        )
        context = store.crop_spec
    each = limits["variants"]
    peer = Peer(limits, context)
    timer = Timer()
    made_points = np.empty((len(crops) * each, points.shape[1], 2), np.float32)
    with Path(target).open("wb") as out:
        for row, crop in enumerate(crops):
            picture = crop if context.color == "grey" else np.ascontiguousarray(crop.transpose(1, 2, 0))
            for version in range(row * each, (row + 1) * each):
                image, made_points[version] = peer(picture, points[row], version == row * each)
                out.write(image.data)
        out.write(made_points.data)
        out.flush()
        os.fsync(out.fileno())
    return len(made_points), timer.read()
