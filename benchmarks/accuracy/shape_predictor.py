"""dlib's shape predictor, trained on a store's faces (Kazemi and Sullivan, CVPR 2014)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import dlib
import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.pictures import Shown, mirrored
from flmd.schemes import Scheme

TREE_DEPTH = 4


def options(seed: int, cascades: int, trees: int | None = None) -> Any:
    """dlib's training options, one thread; its defaults (20 versions of a face, 400 pixels looked at).

    ``trees`` in each cascade; None: dlib's default, 500.
    """
    chosen = dlib.shape_predictor_training_options()
    chosen.tree_depth = TREE_DEPTH
    chosen.cascade_depth = cascades
    if trees is not None:
        chosen.num_trees_per_cascade_level = trees
    chosen.random_seed = str(seed)
    chosen.num_threads = 1
    return chosen


def train(faces: Iterable[Shown], scheme: Scheme, settings: Any, *, mirror: bool) -> tuple[Any, int, int]:
    """Train a predictor.

    dlib takes whole pixels only: points and boxes are rounded to the nearest.

    Returns
    -------
    The predictor; how many faces it saw, mirrored twins included; how many were left out because a point
    is not labelled.
    """
    pictures, objects, left_out = [], [], 0
    for face in faces:
        if np.isnan(face.points).any():
            left_out += 1
            continue
        for one in (face, mirrored(face, scheme)) if mirror else (face,):
            parts = [dlib.point(x, y) for x, y in np.rint(one.points).astype(int).tolist()]
            pictures.append(one.pixels)
            objects.append([dlib.full_object_detection(rectangle(one.box), parts)])
    return dlib.train_shape_predictor(pictures, objects, settings), len(pictures), left_out


def rectangle(box: NDArray[np.floating]) -> Any:
    """dlib's rectangle includes its right and bottom pixels."""
    left, top, width, height = np.rint(box).astype(int).tolist()
    return dlib.rectangle(left, top, left + width - 1, top + height - 1)


def predict(predictor: Any, faces: Iterable[Shown]) -> NDArray[np.float32]:
    """(N, K, 2) points in pixels of the faces' images."""
    found = []
    for face in faces:
        shape = predictor(face.pixels, rectangle(face.box))
        found.append(face.to_image(np.array([(p.x, p.y) for p in shape.parts()], np.float64)))
    return np.array(found, np.float32)


def calls(predictor: Any, faces: Sequence[Shown]) -> list[Any]:
    """For timing: functions that each find the points of one face in its decoded picture."""
    return [partial(predictor, face.pixels, rectangle(face.box)) for face in faces]


def parameters(settings: Any, points: int) -> int:
    """Numbers that training finds: each tree's splits (two pixels and a threshold) and leaves, and the
    mean shape; the places of the pixels looked at (an anchor and x, y) in each cascade."""
    splits, leaves = 2**settings.tree_depth - 1, 2**settings.tree_depth
    trees = settings.cascade_depth * settings.num_trees_per_cascade_level
    pool = settings.cascade_depth * settings.feature_pool_size
    return int(trees * (3 * splits + leaves * 2 * points) + 3 * pool + 2 * points)
