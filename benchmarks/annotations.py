"""Annotations alone, each text format to a store, beside plain loops and datumaro."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.timer import Timed, Timer

PICTURES = 50  # faces that share one picture


def make(folder: str, fmt: str, faces: int) -> Timed:
    """Write drawn faces in a format, a folder; small pictures for those that look up a size."""
    from flmd import formats
    from flmd.schemes import get_scheme

    writer = formats.get(fmt)
    scheme = get_scheme(writer.scheme or "ibug68")
    timer = Timer()
    report = writer.write(_drawn(faces, scheme.count, _one_each(fmt)), Path(folder), scheme)
    if report.faces != faces:
        raise SystemExit(f"{fmt}: {report.faces} of {faces} faces written, {dict(report.lost)}")
    if "image_size" in writer.needs:
        _pictures(Path(folder), writer, faces, scheme.count)
    return faces, timer.read()


def _one_each(fmt: str) -> bool:
    """Whether a format knows one face of a picture only, or is fastest so."""
    return fmt not in ("yolo-pose", "coco", "cvat", "label-studio")


def _drawn(faces: int, points: int, one_each: bool) -> Iterator[Any]:
    import numpy as np

    from flmd.face import Face, visibility_of

    rng = np.random.default_rng(0)
    shape = rng.normal(0, 40, (points, 2))
    for start in range(0, faces, 1000):
        count = min(1000, faces - start)
        centres, noise = rng.uniform(100, 400, (count, 1, 2)), rng.normal(0, 3, (count, points, 2))
        block = (shape + centres + noise).astype(np.float32)
        for i in range(count):
            number = start + i
            name = f"train/{number // (1 if one_each else PICTURES):07d}.png"
            box = np.array([*(block[i].min(0) - 2), *(np.ptp(block[i], axis=0) + 5)], np.float32)
            yield Face(
                name, block[i], visibility_of(block[i]), np.round(box), "annotated", image_size=(640, 480),
                subject=name[:-4], split="train",
            )  # fmt: skip


def _pictures(folder: Path, writer: Any, faces: int, points: int) -> None:
    import cv2
    import numpy as np

    done, data = cv2.imencode(".png", np.zeros((480, 640), np.uint8))
    assert done
    for name in {writer.picture_name(face) for face in _drawn(faces, points, False)}:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())


def flmd(folder: str, target: str, fmt: str) -> Timed:
    """As `flmd-data convert FOLDER x.h5 --images none` does it, the store on the disk included."""
    from flmd.conversion.converter import convert
    from flmd.conversion.opening import open_faces
    from flmd.conversion.settings import Reporting

    timer = Timer()
    with open_faces(folder) as faces:
        if faces.kind != fmt:
            raise SystemExit(f"{folder} was taken for {faces.kind}")
        report = convert(faces, target, crop=None, dataset="bench", reporting=Reporting(made_from={}))
    read = timer.read()
    if report.skipped:
        raise SystemExit(f"skipped {report.summary()}")
    return report.kept, read


def datumaro(folder: str) -> Timed:
    """datumaro's importer of COCO keypoints; every point touched once."""
    import numpy as np
    from datumaro.components.annotation import Points
    from datumaro.components.dataset import Dataset

    timer = Timer()
    points = [
        np.asarray(annotation.points, np.float32).reshape(-1, 2)
        for item in Dataset.import_from(folder, "coco_person_keypoints")
        for annotation in item.annotations
        if isinstance(annotation, Points)
    ]
    assert points[0].shape == (68, 2), points[0].shape
    return len(points), timer.read()


def json_load(file: str) -> Timed:
    """``json.load`` of a COCO file and an array of every face's points; all in memory."""
    import numpy as np

    timer = Timer()
    with Path(file).open(encoding="utf-8") as stream:
        data = json.load(stream)
    names = {image["id"]: image["file_name"] for image in data["images"]}
    faces = [
        (names[a["image_id"]], np.array(a["keypoints"], np.float32).reshape(-1, 3), a["bbox"])
        for a in data["annotations"]
    ]
    return len(faces), timer.read()


def element_tree(file: str) -> Timed:
    """``xml.etree.ElementTree.parse`` of a dlib list and an array of every face's points; all in memory."""
    import xml.etree.ElementTree as ET

    import numpy as np

    timer = Timer()
    faces = []
    for image in ET.parse(file).iter("image"):
        for box in image.iter("box"):
            parts = sorted((int(p.get("name", "")), p.get("x"), p.get("y")) for p in box.iter("part"))
            points = np.array([[x, y] for _, x, y in parts], np.float32)
            faces.append((image.get("file"), points, [int(box.get(k, "")) for k in ("left", "top")]))
    return len(faces), timer.read()
