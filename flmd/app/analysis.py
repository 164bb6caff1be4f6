"""One picture looked at: its faces and their points, and how long each part took."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flmd.app.kinds import kind_of
from flmd.core.images import ImageError
from flmd.errors import FlmdError, ParamsError
from flmd.face import Face
from flmd.inference import detection
from flmd.inference.detection import Detector
from flmd.inference.landmarker import Landmarker, load
from flmd.inference.picture import Picture, open_picture
from flmd.schemes import Scheme


class DetectorError(ParamsError):
    """A detector that cannot be made: its model file, or its name, is not right."""


@dataclass(frozen=True)
class Analysis:
    """What was found in a picture, without its pixels: the server remembers one for each visitor.

    Attributes
    ----------
    name : of the picture. size : width and height of its stored pixels.
    faces : the largest first, in stored pixels. scheme : of their points.
    detection_seconds, landmark_seconds : time spent looking for faces, and for the points of all of them.
    """

    name: str
    size: tuple[int, int]
    faces: list[Face]
    scheme: Scheme
    detection_seconds: float
    landmark_seconds: float


def opened(data: bytes, name: str, *, max_pixels: float) -> Picture:
    """The bytes of a picture, decoded.

    Parameters
    ----------
    name : for messages and annotations. max_pixels : a picture that announces more is not decoded.

    Raises
    ------
    ImageError : it cannot be used.
    """
    if not data:
        raise ImageError("image_empty", "the picture has no bytes")
    if kind_of(data[:32]) is None:
        raise ImageError("image_unknown", "not a picture")
    return open_picture(data, name=name, max_pixels=max_pixels)


class Analyser:
    """A model and the detectors, shared by all who look at the page; one picture at a time."""

    def __init__(self, model: Path) -> None:
        self._landmarker: Landmarker = load(model)
        self._detectors: dict[str, Detector] = {}
        # OpenCV's detectors keep state while they look. It also keeps the times shown honest.
        self._lock = threading.Lock()
        self._warm_up()

    @property
    def scheme(self) -> Scheme:
        """Of the model's points."""
        return self._landmarker.scheme

    def __call__(self, picture: Picture, detector: str) -> Analysis:
        """Look at a picture.

        Parameters
        ----------
        detector : as ``flmd.inference.detection.get`` takes it.

        Raises
        ------
        DetectorError : the detector cannot be used.
        """
        with self._lock:
            find = self._detector(detector)
            began = time.perf_counter()
            found = find(picture)
            detected = time.perf_counter()
            faces = self._landmarker.faces(picture, found)
            ended = time.perf_counter()
        return Analysis(picture.name, picture.size, faces, self.scheme, detected - began, ended - detected)

    def _detector(self, spec: str) -> Detector:
        if spec not in self._detectors:
            try:
                self._detectors[spec] = detection.get(spec)
            except FlmdError as error:
                raise DetectorError(str(error)) from error
        return self._detectors[spec]

    def _warm_up(self) -> None:
        """A first run costs many times a later one, and would be what the page shows."""
        grey = Picture("", np.full((64, 64, 3), 128, np.uint8))
        self._landmarker.points_of(grey, [[0, 0, 64, 64]])
