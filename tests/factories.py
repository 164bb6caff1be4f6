"""Faces, pictures and stores made for a test."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from flmd.conversion.converter import convert
from flmd.conversion.face_source import AnnotatedFaces
from flmd.conversion.loss_report import LossReport
from flmd.conversion.settings import CropSettings, Reporting, SplitSettings, Workers
from flmd.face import Face, Skipped, visibility_of
from flmd.formats.base import Detection, Format, WriteReport
from flmd.schemes import IBUG68, Scheme
from flmd.sources.datasets.rules import DatasetRules
from flmd.store.face_store import FaceStore
from flmd.tree import FileTree, open_tree


def blob_picture(
    width: int, height: int, point: tuple[float, float], sigma: float = 3.0, peak: float = 200.0
) -> NDArray[np.uint8]:
    """A dark (H, W, 3) picture with one Gaussian blob whose centre is ``point``, sub-pixel."""
    y, x = np.mgrid[:height, :width]
    blob = np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / (2 * sigma**2))
    return np.repeat(np.rint(peak * blob).astype(np.uint8)[:, :, None], 3, axis=2)


def centroid(grey: NDArray[np.floating] | NDArray[np.uint8], floor: float = 4.0) -> tuple[float, float]:
    """Intensity centroid (x, y) of an (H, W) picture, levels up to ``floor`` counted as dark."""
    weight = np.clip(grey.astype(np.float64) - floor, 0, None)
    y, x = np.mgrid[: grey.shape[0], : grey.shape[1]]
    return float((x * weight).sum() / weight.sum()), float((y * weight).sum() / weight.sum())


def make_face(
    image: str,
    *,
    centre: tuple[float, float] = (60.0, 50.0),
    radius: float = 20.0,
    box: tuple[float, float, float, float] | None = (40, 30, 41, 41),
    subject: str = "",
    split: str = "train",
    seed: int = 0,
) -> Face:
    """68 points scattered around ``centre``."""
    rng = np.random.default_rng(seed)
    points = (np.array(centre) + rng.uniform(-radius, radius, (68, 2))).astype(np.float32)
    return Face(
        image=image,
        landmarks=points,
        visibility=visibility_of(points),
        box=None if box is None else np.array(box, np.float32),
        box_source="none" if box is None else "annotated",
        subject=subject or image,
        split=split,
    )


class ListFormat(Format):
    """A format that hands out the faces it was given."""

    name = "list"
    title = "faces in memory"
    boxes = visibility = True

    def __init__(self, faces: Iterable[Face | Skipped]) -> None:
        self.faces = list(faces)

    def detect(self, tree: FileTree) -> Detection:
        return Detection(("list",), "in memory")

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        yield from self.faces

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        raise NotImplementedError


def write_picture(path: Path, rgb: NDArray[np.uint8], **options: int) -> None:
    """Write an RGB picture; JPEGs at quality 100 and full colour resolution unless told otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = [cv2.IMWRITE_JPEG_QUALITY, options.get("quality", 100)]
    flags += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    ok, data = cv2.imencode(path.suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), flags)
    assert ok
    path.write_bytes(data.tobytes())


def convert_list(
    folder: Path,
    faces: Iterable[Face | Skipped],
    target: Path,
    *,
    size: int = 64,
    margin: float = 2.4,
    color: str = "rgb",
    box: str = "annotated",
    split: str = "keep",
    val: float = 0.0,
    test: float = 0.2,
    workers: int = 1,
    max_pixels: float = 1e8,
    strict: bool = False,
    rules: DatasetRules | None = None,
    report: Path | None = None,
    executor: Executor | None = None,
) -> tuple[LossReport, FaceStore]:
    """Convert faces over the pictures in a folder, with small settings."""
    fmt = ListFormat(faces)
    with open_tree(folder) as tree:
        done = convert(
            AnnotatedFaces(str(folder), tree, tree, fmt, fmt.detect(tree), IBUG68),
            target,
            box=box,
            crop=CropSettings(size, margin, color, max_pixels),
            split=SplitSettings(split, val, test, 7),
            dataset=rules or "test",
            reporting=Reporting(report, strict, {"test": True}),
            workers=Workers(workers, executor),
        )
    return done, FaceStore(target)
