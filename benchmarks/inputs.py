"""What the measurements run on: trees of pictures with dlib XML, and stores of faces."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.timer import Timed, Timer
from flmd.core import geometry
from flmd.core.crop_spec import CropSpec
from flmd.schemes import IBUG68
from flmd.store.build import building
from flmd.store.face_store import FaceStore
from flmd.store.layout import TEXTS

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "ibug_300w_fullres"
LIMITS = {
    "padding": 1.2,
    "rotation": 20,
    "scale": 0.1,
    "shift": 0.05,
    "flip": 0.5,
    "brightness": 0.2,
    "contrast": 0.2,
}
COLOR_LIMITS = {"saturation": 0.2, "hue": 0.05}


def texture(height: int, width: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """An (H, W, 3) picture with detail at several scales, as hard to compress as a photograph."""
    picture: NDArray[Any] = np.zeros((height, width, 3), np.float32)
    for cell, share in ((256, 90), (32, 50), (6, 25), (2, 6)):
        grid = rng.standard_normal((height // cell + 2, width // cell + 2, 3)).astype(np.float32)
        picture += share * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(picture * 0.6 + 128, 0, 255).astype(np.uint8)


def large_pictures(folder: Path, copies: int) -> tuple[str, int]:
    """Multi-megapixel JPEGs with points and an XML, each ``copies`` times under another name.

    Returns
    -------
    Where the pictures come from, in words; how many there are.
    """
    found = sorted(SHARED.rglob("*.jpg"))
    if found:
        originals = [(path.read_bytes(), _read_pts(path.with_suffix(".pts"))) for path in found]
        origin = f"{len(found)} photographs of 300-W at full size"
    else:
        originals = _drawn_large(30)
        origin = f"{len(originals)} drawn JPEGs of 2 to 9 megapixels"
    images = []
    for number, (data, points) in enumerate(originals):
        first = folder / f"000/{number:03d}.jpg"
        first.parent.mkdir(parents=True, exist_ok=True)
        first.write_bytes(data)
        images += [(_linked(first, folder / f"{copy:03d}/{first.name}"), points) for copy in range(copies)]
    _write_xml(folder / "labels_train.xml", folder, images)
    return origin, len(images)


def small_pictures(folder: Path, count: int) -> None:
    """``count`` names of 100 JPEGs of 640 x 480, one face each, and their XML."""
    rng = np.random.default_rng(1)
    images = []
    for number in range(100):
        first = folder / f"{number:02d}.jpg"
        first.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(first), texture(480, 640, rng), [cv2.IMWRITE_JPEG_QUALITY, 90])
    for number in range(count):
        path = _linked(folder / f"{number % 100:02d}.jpg", folder / f"{number // 1000:03d}/{number:06d}.jpg")
        images.append((path, rng.uniform((240, 160), (400, 320), (68, 2))))
    _write_xml(folder / "labels_train.xml", folder, images)


def face_store(path: Path, count: int, color: str, size: int, margin: float = 2.4) -> None:
    """A store of ``count`` faces whose context crops are cut from one texture."""
    rng = np.random.default_rng(2)
    source = texture(1024, 1024, rng)
    widths = dict.fromkeys(TEXTS, 32)
    with building(path, count, widths, IBUG68, CropSpec(size, margin, color), {}) as builder:
        for start in range(0, count, 256):
            n = min(256, count - start)
            box = np.tile(np.array([100, 100, 200, 200], np.float32), (n, 1))
            crops = np.stack(
                [source[y : y + size, x : x + size] for y, x in rng.integers(0, 1024 - size, (n, 2))]
            )
            numeric: dict[str, NDArray[Any]] = {
                "box": box,
                "affine": geometry.square_crop(box, margin, size),
                "landmarks": rng.uniform(120, 280, (n, 68, 2)),
                "visibility": np.full((n, 68), 2),
                "image_size": np.full((n, 2), 600),
                "crops": crops[..., 1] if color == "grey" else crops.transpose(0, 3, 1, 2),
            }
            for name, rows in numeric.items():
                builder.put(name, start, rows)
            texts = {"image": [f"{i}.jpg" for i in range(start, start + n)], "split": ["train"] * n}
            for name in TEXTS:
                builder.put_texts(name, start, texts.get(name, [""] * n))


def litdata_chunks(source: str, target: str) -> Timed:
    """The context crops and their points as litdata's chunks, written in a process of its own."""
    import litdata

    faces = FaceStore(source)
    crops, affine = np.asarray(faces.crops), faces.numbers("affine")
    points = np.einsum("nij,nkj->nki", affine[:, :, :2], faces.numbers("landmarks")) + affine[:, None, :, 2]
    litdata.optimize(
        fn=_Row(crops, points.astype(np.float32)),
        inputs=list(range(len(faces))),
        output_dir=target,
        chunk_bytes="64MB",
        num_workers=1,
        start_method="fork",
    )
    return len(faces), Timer().read()


class _Row:
    def __init__(self, crops: Any, points: Any) -> None:
        self.crops, self.points = crops, points

    def __call__(self, row: int) -> dict[str, Any]:
        return {"crop": np.array(self.crops[row]), "points": self.points[row]}


def read_xml(folder: Path) -> list[tuple[str, tuple[int, int, int, int], NDArray[np.float32]]]:
    """The XML as a peer reads it: path, box (x, y, width, height) and points of each face."""
    from lxml import etree

    faces = []
    for image in etree.parse(folder / "labels_train.xml").iter("image"):
        (box,) = image
        points = np.array([(float(p.get("x")), float(p.get("y"))) for p in box], np.float32)
        left, top, width, height = (int(box.get(k)) for k in ("left", "top", "width", "height"))
        faces.append((str(folder / image.get("file")), (left, top, width, height), points))
    return faces


def _read_pts(path: Path) -> NDArray[np.float64]:
    """(68, 2) points, 0-based: the file counts from 1. Some files lack the header and the braces."""
    body = path.read_text().rpartition("{")[2].partition("}")[0]
    return np.array(body.split(), np.float64).reshape(-1, 2) - 1


def _drawn_large(count: int) -> list[tuple[bytes, NDArray[np.float64]]]:
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(count):
        width, height = rng.integers(1400, 3000, 2).tolist()
        data = cv2.imencode(".jpg", texture(height, width, rng), [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
        side = min(width, height) * 0.45
        drawn.append((data, np.array([width, height]) / 2 + rng.uniform(-side / 2, side / 2, (68, 2))))
    return drawn


def _linked(first: Path, path: Path) -> Path:
    if path != first:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(first, path)
    return path


def _write_xml(path: Path, folder: Path, images: list[tuple[Path, NDArray[np.float64]]]) -> None:
    with path.open("w", encoding="utf-8") as out:
        out.write("<?xml version='1.0' encoding='UTF-8'?>\n<dataset>\n<images>\n")
        for picture, points in images:
            low, high = np.floor(points.min(axis=0)).astype(int), np.ceil(points.max(axis=0)).astype(int)
            out.write(f"<image file={quoteattr(picture.relative_to(folder).as_posix())}>\n")
            out.write(f"<box top='{low[1]}' left='{low[0]}' width='{high[0] - low[0] + 1}' ")
            out.write(f"height='{high[1] - low[1] + 1}'>\n")
            for number, (x, y) in enumerate(np.floor(points + 0.5).astype(int).tolist()):
                out.write(f"<part name='{number:02d}' x='{x}' y='{y}'/>\n")
            out.write("</box>\n</image>\n")
        out.write("</images>\n</dataset>\n")
