"""Faces of a store as small pictures with their landmarks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flmd.core import geometry
from flmd.pages.page import data_url
from flmd.store.face_store import FaceStore

SIDE = 176  # px of a picture on the page, drawn at twice its size on the screen's finest
QUALITY = 80
LARGE = 288  # px of a picture in which points are compared
AROUND = 1.3  # times the longer side of the box of both kinds of points
FARTHEST = 2.0  # times the size of the model's points; a point beyond does not shrink the face
LINE, POINT, ODD, MODEL = (190, 200, 60), (70, 240, 90), (60, 60, 255), (255, 190, 60)  # BGR

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FacePicture:
    """One face: the name and split of its picture, and a JPEG of it as a data: address, "" without crops."""

    name: str
    split: str
    url: str


class Pictures:
    """Draws the faces of a store, by row."""

    def __init__(self, store: FaceStore) -> None:
        self._store = store
        self._images = store.texts("image")
        self._splits = store.texts("split")
        self._skeleton = store.scheme.skeleton

    def draw(self, row: int) -> FacePicture:
        """The face of a row."""
        url = self._jpeg(row) if self._store.has_crops else ""
        return FacePicture(self._images[row], self._splits[row] or "no split", url)

    def compare(self, row: int, model: Array, worst: Iterable[str]) -> tuple[FacePicture, FacePicture]:
        """The face with its label, and with a model's (K, 2) points, image pixels, both near.

        In the first a red line leads from each of the ``worst`` points, by name, to the model's.
        """
        label = self._store.numbers("landmarks", slice(row, row + 1))[0].astype(np.float64)
        names = self._store.scheme.points
        odd = [names.index(name) for name in worst]
        view = _view(label, model)
        pixels = self._seen(row, view, LARGE)
        drawn = [pixels.copy(), pixels]
        ends = geometry.apply(view, np.stack([label, model]))
        for picture, points, colour in zip(drawn, ends, (POINT, MODEL), strict=True):
            _mark(picture, points, self._skeleton, colour)
        _join(drawn[0], *ends[:, odd])
        return (
            FacePicture(self._images[row], self._splits[row] or "no split", _jpeg(drawn[0])),
            FacePicture("points of the model", "model", _jpeg(drawn[1])),
        )

    def _jpeg(self, row: int) -> str:
        size = self._store.crops.shape[-1]
        affine = self._store.numbers("affine", slice(row, row + 1))[0]
        view = geometry.compose(geometry.resize_affine(SIDE / size), affine)
        small = self._seen(row, view, SIDE)
        points = geometry.apply(view, self._store.numbers("landmarks", slice(row, row + 1))[0])
        _mark(small, points, self._skeleton, POINT)
        return _jpeg(small)

    def _seen(self, row: int, view: Array, side: int) -> NDArray[np.uint8]:
        """(side, side, 3) BGR of a face's crop; ``view``: from image pixels to those."""
        crop = self._store.crops[row]
        picture = crop if crop.ndim == 2 else np.ascontiguousarray(crop[::-1].transpose(1, 2, 0))
        if picture.ndim == 2:
            picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
        affine = self._store.numbers("affine", slice(row, row + 1))[0]
        from_crop = geometry.compose(view, geometry.invert(affine))
        scale = float(geometry.scale_of(from_crop))
        if scale < 1:  # a warp alone would alias
            less = max(1, round(len(picture) * scale)) / len(picture)
            picture = cv2.resize(picture, None, fx=less, fy=less, interpolation=cv2.INTER_AREA)
            from_crop = geometry.compose(from_crop, geometry.invert(geometry.resize_affine(less)))
        flags = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_LINEAR
        return np.asarray(cv2.warpAffine(picture, from_crop, (side, side), flags=flags), np.uint8)


def _jpeg(picture: NDArray[np.uint8]) -> str:
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return data_url("image/jpeg", data.tobytes())


def _view(label: Array, model: Array) -> Array:
    """(2, 3) from image pixels to a large picture of both kinds of points."""
    box = geometry.box_of_points(model)
    reach = FARTHEST * geometry.box_side(box)
    near = np.abs(label - geometry.box_centre(box)).max(axis=1) <= reach  # NaN is not
    both = geometry.box_of_points(np.concatenate([model, label[near]]))
    return np.asarray(geometry.square_crop(both[None], np.array([AROUND]), LARGE)[0])


def _join(picture: NDArray[np.uint8], ends: Array, others: Array) -> None:
    """Mark some points, and lead a line from each to its other place, in place."""
    for a, b in zip(ends, others, strict=True):
        if (
            np.isfinite(a).all()
            and np.isfinite(b).all()
            and max(np.abs(a).max(), np.abs(b).max()) < 4 * LARGE
        ):
            start, end = (tuple((place * 16).round().astype(int).tolist()) for place in (a, b))
            cv2.line(picture, start, end, ODD, 1, cv2.LINE_AA, 4)
            cv2.circle(picture, start, 40, ODD, -1, cv2.LINE_AA, 4)


def _mark(
    picture: NDArray[np.uint8],
    points: Array,
    skeleton: Iterable[tuple[int, int]],
    colour: tuple[int, int, int],
) -> None:
    """Draw lines and points into a (S, S, 3) BGR picture, in place, sub-pixel."""
    good = np.abs(points).max(axis=1) < 4 * LARGE  # NaN is not
    places = np.where(good[:, None], points * 16, 0).round().astype(int).tolist()
    for a, b in skeleton:
        if good[a] and good[b]:
            cv2.line(picture, tuple(places[a]), tuple(places[b]), LINE, 1, cv2.LINE_AA, 4)
    for n, place in enumerate(places):
        if good[n]:
            cv2.circle(picture, tuple(place), 20, colour, -1, cv2.LINE_AA, 4)
