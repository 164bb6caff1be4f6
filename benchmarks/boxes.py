"""``python -m benchmarks.boxes``: how much a model's points hang on the box it is given.

    python -m benchmarks.boxes labels_test.xml --model fast/best.pt --predictor dlib.dat \
        --detector haar --detector yunet:face_detection_yunet_2023mar.onnx

Each annotated box is moved by a share of its longer side, in each of four directions, and made smaller and
larger about its middle. NME is in % of the inter-ocular distance, the mean over all faces and directions. A
detector's box counts as a face's when their IoU is at least ``--iou``; its NME stands beside that of the
annotated boxes of the same faces. Models have rows of their own with a second look and with the mean of a
crop and its mirror image.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

import flmd
from flmd.conversion.opening import open_faces
from flmd.core.box_rule import BoxRule
from flmd.core.geometry import iou
from flmd.errors import FlmdError, InputError
from flmd.evaluation import metrics
from flmd.face import Face
from flmd.inference import detection
from flmd.inference.landmarker import Landmarker
from flmd.inference.picture import Picture, open_picture
from flmd.schemes import Scheme

SHIFTS = (0.0, 0.05, 0.1, 0.15, 0.2)
SCALES = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4)
DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1))
Points = Callable[[Picture, NDArray[np.float64]], NDArray[np.floating]]  # (N, 4) boxes -> (N, K, 2)


@dataclass(frozen=True)
class Shown:
    """One picture and its annotated faces: (N, 4) boxes and (N, K, 2) landmarks, stored pixels."""

    picture: Picture
    boxes: NDArray[np.float64]
    landmarks: NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.boxes")
    parser.add_argument("source", help="annotations with their pictures, as flmd-data reads them")
    parser.add_argument("--model", type=Path, action="append", default=[])
    parser.add_argument("--predictor", type=Path, help="dlib's, of the same scheme")
    parser.add_argument("--detector", action="append", default=[], help="haar, yunet:FILE.onnx")
    parser.add_argument("--rule-of", help="training faces: the rule of boxes of a model that records none")
    parser.add_argument("--iou", type=float, default=0.3)
    parser.add_argument("--limit", type=int, help="the first so many pictures: a trial")
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    try:
        for line in report(chosen):
            print(line, flush=True)
    except FlmdError as error:
        raise SystemExit(str(error)) from None


def report(chosen: argparse.Namespace) -> Iterator[str]:
    """The lines of all tables."""
    scheme, shown = read(chosen.source, chosen.limit)
    systems = dict(_systems(chosen, scheme))
    if not systems:
        raise InputError("nothing to measure", hint="name a --model or a --predictor")
    faces = sum(len(one.boxes) for one in shown)
    yield f"{faces} faces in {len(shown)} pictures; NME in % of the inter-ocular distance"
    moved = {
        f"{100 * share:g} %": [np.array([x * share, y * share, 0.0]) for x, y in DIRECTIONS]
        for share in SHIFTS
    }
    scaled = {f"x {scale:g}": [np.array([0.0, 0.0, scale - 1])] for scale in SCALES}
    for title, changes in (("box moved by", moved), ("box resized", scaled)):
        yield ""
        yield from _head([title, *changes])
        for name, points in systems.items():
            cells = [f"{_under(points, shown, scheme, each):.2f}" for each in changes.values()]
            yield _row([name, *cells])
    for spec in chosen.detector:
        yield ""
        yield from _detected(spec, systems, shown, scheme, chosen.iou)


def read(source: str, limit: int | None = None) -> tuple[Scheme, list[Shown]]:
    """The annotated faces of a source by picture, and their scheme."""
    by_picture: dict[str, list[Face]] = defaultdict(list)
    with open_faces(source) as faces:
        if faces.pictures is None:
            raise InputError("annotations without pictures", where=source)
        for face in faces:
            if isinstance(face, Face) and face.box is not None:
                by_picture[face.image].append(face)
        shown = [
            Shown(
                open_picture(faces.pictures.read(name), exif=False),
                np.stack([face.box for face in by_picture[name] if face.box is not None]).astype(np.float64),
                np.stack([face.landmarks for face in by_picture[name]]).astype(np.float64),
            )
            for name in list(by_picture)[:limit]
        ]
        return faces.scheme, shown


def changed(boxes: NDArray[np.float64], change: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 4) boxes moved right and down by shares of their longer sides, and grown about their middles."""
    side = boxes[:, 2:].max(axis=1, keepdims=True)
    size = boxes[:, 2:] * (1 + change[2])
    corner = boxes[:, :2] + (boxes[:, 2:] - size) / 2 + side * change[:2]
    return np.concatenate([corner, size], axis=1)


def _systems(chosen: argparse.Namespace, scheme: Scheme) -> Iterator[tuple[str, Points]]:
    rule = _rule_of(chosen.rule_of) if chosen.rule_of else None
    for path in chosen.model:
        plain = flmd.load(path, "cpu")
        if plain.scheme.name != scheme.name:
            raise InputError(f"a model of {plain.scheme.name}", where=str(path), expected=scheme.name)
        name = path.parent.name if path.stem in ("best", "last") else path.stem
        info = plain.info if plain.info.box_rule else replace(plain.info, box_rule=rule)
        yield name, plain.points_of
        yield f"{name}, flip average", Landmarker(plain.backend, info, flip_average=True).points_of
        if info.box_rule is None:
            continue
        yield f"{name}, second look", Landmarker(plain.backend, info, second_look=True).points_of
        both = Landmarker(plain.backend, info, second_look=True, flip_average=True)
        yield f"{name}, second look, flip average", both.points_of
    if chosen.predictor:
        yield "dlib", _dlib(chosen.predictor)


def _rule_of(source: str) -> list[float]:
    with open_faces(source) as faces:
        found = [f for f in faces if isinstance(f, Face) and f.box is not None]
    boxes = np.stack([face.box for face in found if face.box is not None])
    rule = BoxRule.fit(np.stack([face.landmarks for face in found]), boxes)
    if rule is None:
        raise InputError("no face with all of its points", where=source)
    return [rule.right, rule.down, rule.size]


def _dlib(path: Path) -> Points:
    import dlib

    from benchmarks.accuracy.shape_predictor import rectangle
    from flmd.core import images

    predictor = dlib.shape_predictor(str(path))

    def points(picture: Picture, boxes: NDArray[np.float64]) -> NDArray[np.floating]:
        grey: Any = images.to_grey(picture.pixels)
        shapes = [predictor(grey, rectangle(box)) for box in boxes]
        return np.array([[(p.x, p.y) for p in shape.parts()] for shape in shapes], np.float64)

    return points


def _errors(points: Points, one: Shown, boxes: NDArray[np.float64], scheme: Scheme) -> NDArray[np.float64]:
    """(N,) NME in %; the length is that of the annotated face, whatever the box."""
    lengths = metrics.normaliser_lengths("inter_ocular", one.landmarks, one.boxes, scheme)
    return 100 * metrics.nme(points(one.picture, boxes), one.landmarks, lengths)


def _under(points: Points, shown: list[Shown], scheme: Scheme, changes: list[NDArray[np.float64]]) -> float:
    errors = []
    for one in tqdm(shown, desc="predict", unit="picture", disable=None, leave=False):
        times = len(changes)  # all changes of a picture's boxes in one call: a network is quicker in batches
        many = Shown(one.picture, np.tile(one.boxes, (times, 1)), np.tile(one.landmarks, (times, 1, 1)))
        boxes = np.concatenate([changed(one.boxes, change) for change in changes])
        errors.append(_errors(points, many, boxes, scheme))
    return float(np.nanmean(np.concatenate(errors)))


def _detected(
    spec: str, systems: dict[str, Points], shown: list[Shown], scheme: Scheme, least: float
) -> Iterator[str]:
    """The table of one detector's boxes."""
    find = detection.get(spec)
    pairs = []
    for one in shown:
        found = find(one.picture).boxes.astype(np.float64)
        overlap = iou(one.boxes, found)
        best = overlap.argmax(axis=1) if len(found) else np.zeros(len(one.boxes), np.intp)
        kept = np.flatnonzero(overlap.max(axis=1, initial=0.0) >= least)
        if len(kept):
            pairs.append((Shown(one.picture, one.boxes[kept], one.landmarks[kept]), found[best[kept]]))
    faces, count = sum(len(one.boxes) for one in shown), sum(len(one.boxes) for one, _ in pairs)
    name = spec.partition(":")[0]
    yield f"{name}: {count} of {faces} faces found ({100 * count / max(1, faces):.1f} %)"
    yield from _head([name, "annotated boxes", "detected boxes"])
    for system, points in systems.items():
        both: list[list[NDArray[np.float64]]] = [[], []]
        for one, boxes in pairs:
            both[0].append(_errors(points, one, one.boxes, scheme))
            both[1].append(_errors(points, one, boxes, scheme))
        cells = [f"{np.nanmean(np.concatenate(each)):.2f}" if each else "-" for each in both]
        yield _row([system, *cells])


def _head(titles: list[str]) -> Iterator[str]:
    yield _row(titles)
    yield "|---|" + "---:|" * (len(titles) - 1)


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
