"""Faces from frame to frame: detected now and then, followed by their own points in between."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from flmd.core import geometry
from flmd.inference.detection import Detector
from flmd.inference.picture import Picture
from flmd.inference.video.one_euro import OneEuro
from flmd.schemes import Scheme

SAME_FACE = 0.3  # IoU of a detected box and a track's, from which on they are one face
WELL_PLACED = 0.5  # below this the track has slipped, and starts again from the detected box
SMALLEST_SIDE = 12.0  # px; a smaller box shows nothing to follow
_REMEMBERED = 8  # detections that the mean relation of box and points is made of


class FindsPoints(Protocol):
    """What a tracker asks of a :class:`flmd.inference.landmarker.Landmarker`."""

    scheme: Scheme

    def points_of(self, picture: Picture, boxes: ArrayLike) -> NDArray[np.float32]:
        """(N, K, 2) points of (N, 4) boxes, pixels of the picture."""


@dataclass(frozen=True)
class TrackedFace:
    """A face in one frame.

    ``track``: its number, from 1, kept as long as it is followed, never given again. ``box``: (4,) float32.
    ``points``: (K, 2) float32, smoothed; both in pixels of the frame. ``score``: of the detector, NaN in
    frames where it was not asked or did not find this face.
    """

    track: int
    box: NDArray[np.float32]
    points: NDArray[np.float32]
    score: float


@dataclass
class _Relation:
    """Where a face's box lies beside its points: the mean over detections, so that it does not jitter.

    ``side``: of the box over the spread of the points. ``shift``: from their middle to the box's, in
    spreads.
    """

    side: float = 0.0
    shift: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    count: int = 0

    def learn(self, box: NDArray[np.float64], points: NDArray[np.floating]) -> None:
        middle, spread = _middle_and_spread(points)
        self.count = min(self.count + 1, _REMEMBERED)
        share = 1 / self.count
        self.side += share * (float(geometry.box_side(box)) / spread - self.side)
        self.shift += share * ((geometry.box_centre(box) - middle) / spread - self.shift)

    def box(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        middle, spread = _middle_and_spread(points)
        side = self.side * spread
        return np.array([*(middle + self.shift * spread - (side - 1) / 2), side, side])


@dataclass
class _Track:
    number: int
    box: NDArray[np.float64]
    smooth: OneEuro | None
    relation: _Relation = field(default_factory=_Relation)
    score: float = float("nan")
    missed: int = 0
    found: NDArray[np.float64] | None = None  # where the detector sees it in this frame


class FaceTracker:
    """Follows the faces of a video, frame by frame.

    Parameters
    ----------
    landmarker, detector : find points and faces.
    every : the detector looks at every so manieth frame, and at each one while there is no face; in
        between a face's box follows from its points in the frame before.
    patience : a face that the detector missed so many times in a row is given up.
    smooth : filter the points over time (:class:`flmd.inference.video.one_euro.OneEuro`).
    """

    def __init__(
        self,
        landmarker: FindsPoints,
        detector: Detector,
        *,
        every: int = 8,
        patience: int = 2,
        smooth: bool = True,
    ) -> None:
        self.landmarker, self.detector = landmarker, detector
        self.every, self.patience, self.smooth = max(1, every), patience, smooth
        self._tracks: list[_Track] = []
        self._frame = 0
        self._last_number = 0

    def __call__(self, pixels: NDArray[np.uint8], time: float) -> list[TrackedFace]:
        """The faces of the next frame.

        Parameters
        ----------
        pixels : (H, W, 3) uint8 RGB. time : seconds from the start of the video.
        """
        picture = Picture(f"frame {self._frame}", pixels)
        self._tracks = [track for track in self._tracks if _visible(track.box, picture.size)]
        for track in self._tracks:
            track.found, track.score = None, float("nan")
        if self._frame % self.every == 0 or not self._tracks:
            self._detect(picture)
        self._frame += 1
        if not self._tracks:
            return []
        points = self.landmarker.points_of(picture, np.stack([track.box for track in self._tracks]))
        return [self._follow(track, found, time) for track, found in zip(self._tracks, points, strict=True)]

    def _follow(self, track: _Track, points: NDArray[np.float32], time: float) -> TrackedFace:
        shown = track.box.astype(np.float32)
        if track.found is not None:
            track.relation.learn(track.found, points)
        track.box = track.relation.box(points)
        if track.smooth is not None:
            side = float(geometry.box_side(track.box))
            points = track.smooth(points, time, max(side, 1.0)).astype(np.float32)
        return TrackedFace(track.number, shown, points, track.score)

    def _detect(self, picture: Picture) -> None:
        """Match what is found to the tracks; start tracks for the rest, give up those missed too often."""
        found = self.detector(picture)
        boxes = found.boxes.astype(np.float64)
        overlap = geometry.iou(np.array([track.box for track in self._tracks]).reshape(-1, 4), boxes)
        rows, columns = linear_sum_assignment(-overlap)
        pairs = {
            int(c): self._tracks[r] for r, c in zip(rows, columns, strict=True) if overlap[r, c] >= SAME_FACE
        }
        for track in self._tracks:
            track.missed += 1
        for column, box in enumerate(boxes):
            if not _visible(box, picture.size):
                continue
            known = pairs.get(column)
            if known is None:
                self._last_number += 1
                known = _Track(self._last_number, box, OneEuro() if self.smooth else None)
                self._tracks.append(known)
            elif geometry.iou(known.box[None], box[None])[0, 0] < WELL_PLACED:
                known.box, known.relation = box, _Relation()
            # Else the box stays the one that follows from the points: a detector's jitters.
            known.found, known.score, known.missed = box, float(found.scores[column]), 0
        self._tracks = [track for track in self._tracks if track.missed < self.patience]


def _middle_and_spread(points: NDArray[np.floating]) -> tuple[NDArray[np.float64], float]:
    """Mean of the points, and the root of their mean squared distance to it; above 0."""
    p = np.asarray(points, dtype=np.float64)
    middle = p.mean(axis=0)
    return middle, max(float(np.sqrt(((p - middle) ** 2).sum(axis=1).mean())), 1e-6)


def _visible(box: NDArray[np.floating], size: tuple[int, int]) -> bool:
    """Whether the box has a size to look at, and its middle lies in the picture."""
    x, y = geometry.box_centre(box).tolist()
    side = float(geometry.box_side(box))
    return 0 <= x < size[0] and 0 <= y < size[1] and SMALLEST_SIDE <= side <= 4 * max(size)
