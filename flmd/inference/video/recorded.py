"""What the detector and the network said of a video, call by call: said again to a run that goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flmd.errors import StoreError
from flmd.inference.detection import Detector, Found
from flmd.inference.landmarker import Landmarker
from flmd.inference.picture import Picture
from flmd.inference.unfinished import Lines, packed, unpacked


class Recording:
    """Answers in the order of the calls: first those that were kept, then new ones, which are kept.

    A video gives the same frames again, and a tracker asks the same of them, so the answers fit.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._kept: Iterator[Any] | None = iter(lines)

    def __call__(self, kind: str, make: Callable[[], Any]) -> Any:
        """The next answer; StoreError when the one that was kept is of another kind."""
        kept = None if self._kept is None else next(self._kept, None)
        if kept is None:
            self._kept = None
            kept = {kind: make()}
            self._lines.add(kept)
        elif kind not in kept:
            raise StoreError(
                "what is kept of an unfinished run does not fit this video",
                hint="add --overwrite to start over",
            )
        return kept[kind]


class RecordedDetector(Detector):
    """A detector that is asked once about each picture."""

    name = "recorded"

    def __init__(self, detector: Detector, recording: Recording) -> None:
        self._detector, self._recording = detector, recording

    def __call__(self, picture: Picture) -> Found:
        """See :class:`Detector`."""

        def ask() -> list[Any]:
            found = self._detector(picture)
            return [packed(found.boxes), packed(found.scores), found.source]

        boxes, scores, source = self._recording("found", ask)
        return Found(unpacked(boxes), unpacked(scores), source)


class RecordedLandmarker:
    """A landmarker that is asked once about each picture."""

    def __init__(self, landmarker: Landmarker, recording: Recording) -> None:
        self._landmarker, self._recording = landmarker, recording
        self.scheme = landmarker.scheme

    def points_of(self, picture: Picture, boxes: ArrayLike) -> NDArray[np.float32]:
        """See :meth:`Landmarker.points_of`."""
        return unpacked(self._recording("points", lambda: packed(self._landmarker.points_of(picture, boxes))))
