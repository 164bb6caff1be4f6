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
LINE, POINT = (190, 200, 60), (70, 240, 90)  # BGR


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

    def _jpeg(self, row: int) -> str:
        crop = self._store.crops[row]
        picture = crop if crop.ndim == 2 else np.ascontiguousarray(crop[::-1].transpose(1, 2, 0))
        if picture.ndim == 2:
            picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
        method = cv2.INTER_AREA if len(picture) > SIDE else cv2.INTER_LINEAR
        small = np.asarray(cv2.resize(picture, (SIDE, SIDE), interpolation=method), np.uint8)
        rows = slice(row, row + 1)
        affine = self._store.numbers("affine", rows)
        to_page = geometry.compose(geometry.resize_affine(SIDE / len(picture)), affine)
        points = geometry.apply(to_page, self._store.numbers("landmarks", rows))[0]
        _mark(small, points, self._skeleton)
        data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
        return data_url("image/jpeg", data.tobytes())


def _mark(
    picture: NDArray[np.uint8], points: NDArray[np.float64], skeleton: Iterable[tuple[int, int]]
) -> None:
    """Draw lines and points into a (S, S, 3) BGR picture, in place, sub-pixel."""
    good = np.abs(points).max(axis=1) < 4 * SIDE  # NaN is not
    places = np.where(good[:, None], points * 16, 0).round().astype(int).tolist()
    for a, b in skeleton:
        if good[a] and good[b]:
            cv2.line(picture, tuple(places[a]), tuple(places[b]), LINE, 1, cv2.LINE_AA, 4)
    for n, place in enumerate(places):
        if good[n]:
            cv2.circle(picture, tuple(place), 20, POINT, -1, cv2.LINE_AA, 4)
