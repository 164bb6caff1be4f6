"""Faces followed from frame to frame: squares that move over a dark ground."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from flmd.inference.detection import Detector, Found
from flmd.inference.landmarker import Landmarker
from flmd.inference.picture import Picture
from flmd.inference.video.tracking import FaceTracker, TrackedFace
from tests.inference.video.blob import info


def corners(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Four corners and middle of what is bright, 68 points in all: a backend that sees where the face is."""
    out = []
    for crop in crops:
        y, x = np.nonzero(crop > 100)
        if not len(x):
            y = x = np.array([20.0, 40.0])
        low, high = (x.min(), y.min()), (x.max(), y.max())
        five = [low, (high[0], low[1]), (low[0], high[1]), high, (np.mean(x), np.mean(y))]
        out.append(np.resize(np.array(five), (68, 2)))
    return np.array(out, np.float32)


class Squares(Detector):
    """Sees the squares that are drawn, except in frames where it is told to be blind."""

    name = "squares"

    def __init__(self) -> None:
        self.boxes: list[list[float]] = []
        self.blind = False
        self.asked = 0

    def __call__(self, picture: Picture) -> Found:
        self.asked += 1
        if self.blind or not self.boxes:
            return Found()
        return Found(np.array(self.boxes, np.float32), np.full(len(self.boxes), 0.5, np.float32))


class Scene:
    """A tracker, and squares in 320 x 240 frames for it to follow."""

    def __init__(self, **options: object) -> None:
        self.detector = Squares()
        landmarker = Landmarker(corners, info("ibug68"))
        self.tracker = FaceTracker(landmarker, self.detector, **options)  # type: ignore[arg-type]
        self.number = 0

    def show(self, *boxes: tuple[int, int, int]) -> list[TrackedFace]:
        """The next frame, with squares of x, y, side."""
        pixels = np.zeros((240, 320, 3), np.uint8)
        for x, y, side in boxes:
            pixels[y : y + side, x : x + side] = 255
        self.detector.boxes = [[x, y, s, s] for x, y, s in boxes]
        self.number += 1
        return self.tracker(pixels, (self.number - 1) / 25)


def middle(face: TrackedFace) -> NDArray[np.float32]:
    return np.asarray(face.points[4])


def test_between_detections_the_box_follows_the_points() -> None:
    scene = Scene(every=10, smooth=False)
    for i in range(30):
        (face,) = scene.show((40 + 3 * i, 60 + 2 * i, 50))
        np.testing.assert_allclose(middle(face), [64.5 + 3 * i, 84.5 + 2 * i], atol=0.6)
        assert face.track == 1
        if i:  # the box is the one that this frame's points were found in: a frame behind
            np.testing.assert_allclose(face.box, [37 + 3 * i, 58 + 2 * i, 50, 50], atol=1.5)
        assert np.isnan(face.score) == (i % 10 != 0)
    assert scene.detector.asked == 3


def test_a_face_that_grows_is_followed() -> None:
    scene = Scene(every=100, smooth=False)
    for i in range(40):
        (face,) = scene.show((100 - i // 2, 80 - i // 2, 40 + i))
    assert scene.detector.asked == 1
    assert face.box[2] == pytest.approx(78, abs=3)


def test_numbers_stay_with_faces_that_pass_each_other() -> None:
    scene = Scene(every=3)
    for i in range(30):
        above, below = (20 + 7 * i, 20, 50), (223 - 7 * i, 100, 60)
        faces = scene.show(above, below) if i % 2 else scene.show(below, above)
        by_track = {face.track: middle(face) for face in faces}
        assert by_track[1][1] > 100 > by_track[2][1]  # the first detection listed the lower one first


def test_a_lost_face_is_given_up_and_its_number_not_used_again() -> None:
    scene = Scene(every=2, patience=2)
    scene.show((40, 60, 50))
    scene.detector.blind = True
    lengths = [len(scene.show((40, 60, 50))) for _ in range(5)]
    assert lengths == [1, 1, 1, 0, 0]  # missed in frames 2 and 4, when it is looked for
    scene.detector.blind = False
    (face,) = scene.show((40, 60, 50))
    assert face.track == 2


def test_a_new_face_is_found_at_once_when_there_was_none() -> None:
    scene = Scene(every=50)
    assert [len(scene.show()) for _ in range(3)] == [0, 0, 0]
    assert [face.track for face in scene.show((40, 60, 50))] == [1]


def test_smoothing_is_over_time_and_can_be_left_out() -> None:
    rng = np.random.default_rng(0)
    shifts = rng.integers(0, 3, 60)
    spread = {}
    for smooth in (True, False):
        scene = Scene(every=5, smooth=smooth)
        seen = [middle(scene.show((60 + int(s), 70, 50))[0])[0] for s in shifts]
        spread[smooth] = float(np.std(seen[20:]))
    assert spread[True] < 0.6 * spread[False]
    assert spread[False] == pytest.approx(float(shifts[20:].std()), rel=0.2)
