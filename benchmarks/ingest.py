"""Annotations and large pictures to 256 px context crops."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

from benchmarks.timer import Timed, Timer

SIZE, MARGIN = 256, 2.4


def flmd(folder: str, target: str, size: int = SIZE, workers: int | None = None) -> Timed:
    """``flmd.convert``: XML, pool start-up, decoding, hashing, the store on the disk, the report."""
    from flmd import formats
    from flmd.conversion.converter import convert
    from flmd.conversion.opening import open_faces
    from flmd.conversion.settings import CropSettings, Reporting, Workers

    formats.names()
    timer = Timer()
    with open_faces(folder, from_="dlib-xml") as faces:
        report = convert(
            faces,
            target,
            crop=CropSettings(size, MARGIN),
            dataset="bench",
            reporting=Reporting(made_from={}),
            workers=Workers(workers),
        )
    read = timer.read()
    if report.skipped:
        raise SystemExit(f"skipped {report.summary()}")
    return report.kept, read


def opencv(folder: str, processes: int = 1) -> Timed:
    """imread, slice (with a border where the square reaches outside), resize; results stay in memory."""
    import cv2
    import numpy as np

    from benchmarks.inputs import read_xml

    timer = Timer()
    faces = read_xml(Path(folder))
    if processes == 1:
        made = [_opencv_face(face) for face in faces]
    else:
        with multiprocessing.get_context("fork").Pool(processes, cv2.setNumThreads, (0,)) as pool:
            made = pool.map(_opencv_face, faces, chunksize=4)
    crops, points = np.stack([crop for crop, _ in made]), np.stack([p for _, p in made])
    assert len(crops) == len(points)
    return len(crops), timer.read()


def _opencv_face(face: Any) -> tuple[Any, Any]:
    import cv2

    path, box, points = face
    picture: Any = cv2.imread(path)
    height, width = picture.shape[:2]
    x0, y0, side = _square(box)
    left, top = max(0, -x0), max(0, -y0)
    right, bottom = max(0, x0 + side - width), max(0, y0 + side - height)
    crop = picture[max(0, y0) : y0 + side, max(0, x0) : x0 + side]
    if left or top or right or bottom:
        crop = cv2.copyMakeBorder(crop, top, bottom, left, right, cv2.BORDER_CONSTANT)
    crop = cv2.resize(crop, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(crop, cv2.COLOR_BGR2RGB), (points - (x0, y0) + 0.5) * (SIZE / side) - 0.5


def albumentations(folder: str) -> Timed:
    """imread, cvtColor, Compose([Crop, Resize]) with keypoints; results stay in memory."""
    import albumentations as A  # noqa: N812
    import cv2
    import numpy as np

    from benchmarks.inputs import read_xml

    keypoints = A.KeypointParams("xy", remove_invisible=False)
    timer = Timer()
    crops, points = [], []
    for path, box, xy in read_xml(Path(folder)):
        read: Any = cv2.imread(path)
        picture = cv2.cvtColor(read, cv2.COLOR_BGR2RGB)
        x0, y0, side = _square(box)
        height, width = picture.shape[:2]
        # The square is a setting of Crop and Pad, so each face has a Compose of its own.
        left, top = max(0, -x0), max(0, -y0)
        right, bottom = max(0, x0 + side - width), max(0, y0 + side - height)
        steps = [
            A.Crop(max(0, x0), max(0, y0), min(width, x0 + side), min(height, y0 + side)),
            A.Resize(SIZE, SIZE, interpolation=cv2.INTER_AREA),
        ]
        if left or top or right or bottom:
            steps.insert(1, A.Pad(padding=(left, top, right, bottom)))
        made = A.Compose(steps, keypoint_params=keypoints)(image=picture, keypoints=xy)
        crops.append(made["image"])
        points.append(made["keypoints"])
    assert len(np.stack(crops)) == len(np.stack(points))
    return len(crops), timer.read()


def _square(box: tuple[int, int, int, int]) -> tuple[int, int, int]:
    x, y, width, height = box
    side = round(max(width, height) * MARGIN)
    return round(x + (width - 1) / 2 - (side - 1) / 2), round(y + (height - 1) / 2 - (side - 1) / 2), side
