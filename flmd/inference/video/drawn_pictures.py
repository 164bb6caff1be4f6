"""Pictures with their faces drawn, as files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from flmd.core import geometry
from flmd.core.atomic import whole_or_nothing
from flmd.errors import InputError
from flmd.face import Face
from flmd.inference.picture import Picture
from flmd.inference.video.drawing import DrawnFace, draw

_ENDINGS = {".jpg": ".jpg", ".jpeg": ".jpg", ".png": ".png"}  # of drawn pictures; any other gets .png
_QUALITY = 95
READABLE = 320  # px, side of a face on which the numbers of its points can be read
LARGEST = 4000  # px, side to which a picture is enlarged for that


def draw_faces(
    picture: Picture, faces: list[Face], *, numbers: bool = False, skeleton: Sequence[tuple[int, int]] = ()
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB: the upright picture, with the faces drawn where they are seen.

    With ``numbers`` it is enlarged by a whole factor where a face is too small for them to be read.
    """
    canvas = picture.upright.copy()
    to_canvas = picture.to_upright
    sides = [float(geometry.box_side(face.box)) for face in faces if face.box is not None]
    if numbers and sides:
        factor = min(math.ceil(READABLE / min(sides)), LARGEST // max(canvas.shape))
        if factor > 1:
            canvas = cv2.resize(canvas, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
            to_canvas = geometry.compose(geometry.resize_affine(factor), to_canvas)
    draw(canvas, [_drawn(face, to_canvas) for face in faces], numbers=numbers, skeleton=skeleton)
    return canvas


def drawn_name(name: str) -> str:
    """The name of the drawn picture of a picture: ``a/b.jpg`` -> ``a/b_faces.jpg``; a PNG of any other kind.

    Never the picture's own name: readers of annotations find pictures by it in the folders around them, and
    would take the drawn one.
    """
    path = PurePosixPath(name)
    if path.suffix.lower() in _ENDINGS:
        return str(path.with_name(f"{path.stem}_faces{path.suffix}"))
    return f"{name}_faces.png"


def write_drawn(
    folder: Path,
    picture: Picture,
    faces: list[Face],
    *,
    numbers: bool = False,
    skeleton: Sequence[tuple[int, int]] = (),
) -> Path:
    """Write a picture with its faces drawn, upright, whole or not at all."""
    path = folder / drawn_name(picture.name)
    bgr = cv2.cvtColor(draw_faces(picture, faces, numbers=numbers, skeleton=skeleton), cv2.COLOR_RGB2BGR)
    kind = _ENDINGS[path.suffix.lower()]
    options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY] if kind == ".jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 3]
    done, data = cv2.imencode(kind, bgr, options)
    if not done:
        raise InputError("the drawn picture cannot be encoded", where=picture.name)
    with whole_or_nothing(path, durable=False) as new:
        new.write_bytes(data.tobytes())
    return path


def _drawn(face: Face, to_canvas: NDArray[np.float64]) -> DrawnFace:
    points = geometry.apply(to_canvas, face.landmarks)
    box = None
    if face.box is not None:
        b = np.asarray(face.box, np.float64)
        corners = geometry.apply(to_canvas, np.stack([b[:2], b[:2] + b[2:] - 1]))
        low, high = corners.min(axis=0), corners.max(axis=0)
        box = np.concatenate([low, high - low + 1])
    return DrawnFace(points, box)
