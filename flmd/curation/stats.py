"""What a store holds, as numbers: for all faces, and for each data set and split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.core import geometry
from flmd.evaluation import metrics
from flmd.face import BOX_SOURCES
from flmd.schemes import head_pose
from flmd.store.face_store import FaceStore

BLOCK = 2048
PERCENTILES = (5, 25, 50, 75, 95)
ANGLES = ("yaw_deg", "pitch_deg", "roll_deg")
ALL = "*"
Group = dict[str, Any]


def store_stats(store: FaceStore) -> dict[str, Any]:
    """Count and measure the faces of a store.

    Returns
    -------
    ``path``, ``scheme``, ``points``, ``crop_size``, ``margin``, ``color`` and ``groups``, a list of flat
    mappings: the first is of all faces (``dataset`` and ``split`` are "*"), the others of one data set and
    split each, in order of their names. Lengths are image pixels, angles degrees; what cannot be
    known is left out: head poses under a scheme other than ibug68, inter-ocular distances under one
    without eye corners, percentiles of nothing.

    Memory: some 60 bytes a face; points are read block by block.
    """
    columns = _measure(store)
    texts = {name: _codes(_joined(store, name)) for name in ("subset", "box_source")}
    columns["picture"] = _digests(_joined(store, "dataset", "image", "image_sha256"))
    subjects = _digests(_joined(store, "dataset", "subject"))
    named = np.array([bool(subject) for subject in _joined(store, "subject")], bool)
    columns["subject"] = np.where(named, subjects, np.uint64(0))
    crop = store.crop_spec if store.has_crops else None
    codes, labels = _codes(_joined(store, "dataset", "split"))
    groups = [_group(columns, texts, np.ones(len(store), bool), ALL, ALL)]
    for label, code in sorted((label, code) for code, label in enumerate(labels)):
        dataset, _, split = label.partition("\0")
        groups.append(_group(columns, texts, codes == code, dataset, split))
    return {
        "path": str(store.path),
        "scheme": store.scheme.name,
        "points": store.scheme.count,
        "crop_size": crop and crop.size,
        "margin": crop and crop.margin,
        "color": crop and crop.color,
        "groups": groups,
    }


def _joined(store: FaceStore, *names: str) -> Iterator[str]:
    """Text columns of every face, zero bytes between them."""
    for rows in store.blocks(BLOCK):
        yield from map("\0".join, zip(*(store.texts(name, rows) for name in names), strict=True))


def _codes(texts: Iterable[str]) -> tuple[NDArray[np.int64], list[str]]:
    """A number for each text, and the texts by number; for few different ones."""
    numbers: dict[str, int] = {}
    codes = np.fromiter((numbers.setdefault(text, len(numbers)) for text in texts), np.int64)
    return codes, list(numbers)


def _digests(texts: Iterable[str]) -> NDArray[np.uint64]:
    """A number for each text that no other text has; for many different ones."""
    hashed = (blake2b(t.encode("utf-8", "surrogateescape"), digest_size=8).digest() for t in texts)
    return np.fromiter((int.from_bytes(digest, "little") for digest in hashed), np.uint64)


def _measure(store: FaceStore) -> dict[str, NDArray[Any]]:
    """Numbers of every face, (N,) each."""
    found: dict[str, list[NDArray[Any]]] = {}
    for rows in list(store.blocks(BLOCK)) or [slice(0, 0)]:
        for name, values in _measure_block(store, rows).items():
            found.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in found.items()}


def _measure_block(store: FaceStore, rows: slice) -> dict[str, NDArray[Any]]:
    points, visibility = store.numbers("landmarks", rows), store.numbers("visibility", rows)
    size, box = store.numbers("image_size", rows), store.numbers("box", rows)
    sized = np.all(size > 0, axis=1)
    # A pixel covers half a unit to each side of its centre.
    outside = np.any((points < -0.5) | (points > size[:, None] - 0.5), axis=2) & sized[:, None]
    beyond = np.any((box[:, :2] < 0) | (box[:, :2] + box[:, 2:] > size), axis=1) & sized
    columns: dict[str, NDArray[Any]] = {
        "image_width_px": np.where(sized, size[:, 0], np.nan).astype(np.float32),
        "image_height_px": np.where(sized, size[:, 1], np.nan).astype(np.float32),
        "box_side_px": geometry.box_side(box).astype(np.float32),
        "points_not_labelled": np.count_nonzero(visibility == 0, axis=1),
        "points_hidden": np.count_nonzero(visibility == 1, axis=1),
        "points_visible": np.count_nonzero(visibility == 2, axis=1),
        "points_outside_image": np.count_nonzero(outside, axis=1),
        "boxes_outside_image": beyond,
    }
    if store.scheme.outer_eye_corners is not None:
        lengths = metrics.normaliser_lengths("inter_ocular", points, box, store.scheme)
        columns["inter_ocular_px"] = lengths.astype(np.float32)
    if store.scheme.name == "ibug68":
        angles = head_pose.estimate_pose(points, visibility)
        columns |= {name: a.astype(np.float32) for name, a in zip(ANGLES, angles, strict=True)}
    return columns


def _group(
    columns: dict[str, NDArray[Any]],
    texts: dict[str, tuple[NDArray[np.int64], list[str]]],
    here: NDArray[np.bool_],
    dataset: str,
    split: str,
) -> Group:
    """The numbers of one group of faces, flat."""
    unique, first = np.unique(columns["picture"][here], return_index=True)
    group: Group = {
        "dataset": dataset,
        "split": split,
        "faces": int(here.sum()),
        "pictures": len(unique),
        "subjects": int(np.count_nonzero(np.unique(columns["subject"][here]))),
    }
    for name in ("subset", "box_source"):
        codes, names = texts[name]
        counts = Counter({names[code]: n for code, n in zip(*_counted(codes[here]), strict=True)})
        if name == "box_source":
            group |= {f"boxes_{source}": counts[source] for source in BOX_SOURCES}
        else:
            group |= {f"subset_{subset}": counts[subset] for subset in sorted(counts) if subset}
    for name in ("image_width_px", "image_height_px"):
        group |= _spread(name, columns[name][here][first], low_and_high=True)
    for name in ("box_side_px", "inter_ocular_px", *ANGLES):
        if name in columns:
            group |= _spread(name, columns[name][here])
    for name in ("points_not_labelled", "points_hidden", "points_visible", "points_outside_image"):
        values = columns[name][here]
        group[name] = int(values.sum())
        group[f"faces_with_{name}"] = int((values > 0).sum())
    group["boxes_outside_image"] = int(columns["boxes_outside_image"][here].sum())
    if "yaw_deg" in columns:
        pose = metrics.pose_bucket(columns["yaw_deg"][here])
        group |= {f"pose_{name}": int((pose == name).sum()) for name in metrics.POSES}
    return group


def _counted(codes: NDArray[np.int64]) -> tuple[list[int], list[int]]:
    values, counts = np.unique(codes, return_counts=True)
    return values.tolist(), counts.tolist()


def _spread(name: str, values: NDArray[np.float32], *, low_and_high: bool = False) -> dict[str, float]:
    """Percentiles of what is a number, or minimum, median and maximum."""
    known = values[np.isfinite(values)].astype(np.float64)
    if not len(known):
        return {}
    if low_and_high:
        numbers = {"min": known.min(), "median": np.median(known), "max": known.max()}
    else:
        numbers = {"min": known.min(), "max": known.max()}
        numbers |= {f"p{p}": np.percentile(known, p) for p in PERCENTILES}
    return {f"{name}_{what}": round(float(number), 4) for what, number in numbers.items()}
