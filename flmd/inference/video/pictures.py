"""Predicting on many pictures: one after the other, a bad one does not stop the rest."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from flmd.core import geometry
from flmd.core.atomic import whole_or_nothing
from flmd.errors import FlmdError, InputError, one_line
from flmd.face import Face
from flmd.inference.detection import Detector
from flmd.inference.landmarker import Landmarker
from flmd.inference.picture import MAX_BYTES, Picture, open_picture
from flmd.inference.pose import posed
from flmd.inference.video.drawing import DrawnFace, draw
from flmd.tree import FileTree

_ENDINGS = {".jpg": ".jpg", ".jpeg": ".jpg", ".png": ".png"}  # of drawn pictures; any other gets .png
_QUALITY = 95
READABLE = 320  # px, side of a face on which the numbers of its points can be read
LARGEST = 4000  # px, side to which a picture is enlarged for that


@dataclass
class PictureReport:
    """What became of the pictures. ``bad``: a line for each that could not be used."""

    pictures: int = 0
    faces: int = 0
    without_face: int = 0
    bad: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PictureRun:
    """Predicts the faces of pictures.

    Attributes
    ----------
    landmarker, detector : find points and faces.
    exif : look at pictures the way EXIF says.
    drawn : folder that takes the drawn pictures, or None. numbers : draw the index beside each point.
    pose : faces get their head pose in degrees, see :func:`flmd.inference.pose.posed`.
    complain : is told of each bad picture, at once.
    """

    landmarker: Landmarker
    detector: Detector
    exif: bool = True
    drawn: Path | None = None
    numbers: bool = False
    pose: bool = False
    complain: Callable[[str], object] = lambda line: None

    def faces(self, tree: FileTree, names: list[str], report: PictureReport) -> Iterator[Face]:
        """The faces of the pictures of a tree, in order; ``Face.image`` is the name in the tree."""
        for _, found in self.each(tree, names, report):
            yield from found

    def each(
        self, tree: FileTree, names: list[str], report: PictureReport
    ) -> Iterator[tuple[str, list[Face]]]:
        """The pictures of a tree that can be used, in order, each by its name and with its faces."""
        for name in tqdm(names, desc="predict", unit="picture", disable=None):
            try:
                found = self._faces_of(tree, name)
            except FlmdError as error:
                self._note(report, str(error))
                continue
            except (cv2.error, MemoryError) as error:
                self._note(report, f"{tree.where(name)}: cannot be processed ({one_line(error)})")
                continue
            report.pictures += 1
            report.faces += len(found)
            report.without_face += not found
            yield name, found

    def _note(self, report: PictureReport, line: str) -> None:
        report.bad.append(line)
        self.complain(line)

    def _faces_of(self, tree: FileTree, name: str) -> list[Face]:
        where = tree.where(name)
        size = tree.size(name)
        if size > MAX_BYTES:
            raise InputError(f"{size} bytes", where=where, expected=f"a picture of at most {MAX_BYTES}")
        try:
            picture = replace(open_picture(tree.read(name), exif=self.exif), name=name)
            faces = self.landmarker.faces(picture, self.detector(picture))
            if self.pose:
                faces = list(posed(faces, self.landmarker.scheme, picture.to_upright))
        except InputError as error:  # the name alone does not say which archive
            raise InputError(error.what, where=where, expected=error.expected, hint=error.hint) from None
        for face in faces:
            face.where = where
        if self.drawn is not None:
            skeleton = self.landmarker.scheme.skeleton
            write_drawn(self.drawn, picture, faces, numbers=self.numbers, skeleton=skeleton)
        return faces


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
