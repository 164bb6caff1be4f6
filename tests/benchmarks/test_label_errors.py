"""Labels that ``python -m benchmarks.label_errors`` spoils, and what it counts."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.label_errors import EACH, WAYS, spoilt
from flmd.schemes import IBUG68
from tests.curation.test_disagreement import FLIP, face_shape


def unit(face: NDArray[np.float64]) -> NDArray[np.float64]:
    """The shape: without place and size."""
    centred = face - face.mean(axis=0)
    return np.asarray(centred / np.sqrt((centred**2).mean()))


FACES = np.array([face_shape(1, 1 + n / 200, n % 5) + 2.0 * n for n in range(70)])


def test_ten_faces_are_spoilt_in_each_way_and_the_others_are_left_alone() -> None:
    labels, ways = spoilt(FACES, IBUG68, 3, 1.0)
    assert Counter(ways.values()) == dict.fromkeys(WAYS, EACH)
    changed = np.flatnonzero((labels != FACES).any(axis=(1, 2))).tolist()
    assert changed == sorted(ways)
    assert (spoilt(FACES, IBUG68, 3, 1.0)[0] == labels).all()
    assert (spoilt(FACES, IBUG68, 4, 1.0)[0] != labels).any()


@pytest.mark.parametrize("size", [1.0, 0.5])
def test_each_fault_is_what_its_name_says(size: float) -> None:
    """The outer corners of the eyes are 60 px apart."""
    labels, ways = spoilt(FACES, IBUG68, 0, size)
    for n, way in ways.items():
        step = np.linalg.norm(labels[n] - FACES[n], axis=1)
        moved = int((step > 1e-9).sum())
        if way == "left and right swapped":
            assert (labels[n] == FACES[n][FLIP]).all()
        elif way == "whole face shifted":
            assert 6 * size - 1e-6 <= step.min()
            assert step.max() == pytest.approx(step.min())
            assert step.max() <= 18 * size
        elif way == "one wild point":
            assert moved == 1
            assert 12 * size <= step.max() <= 36 * size
        elif way == "two points exchanged":
            assert moved == 2
            assert 9 * size <= step.max() == pytest.approx(np.sort(step)[-2])
        elif way == "a region moved":
            regions = [set(points) for name, points in IBUG68.regions.items() if name != "jaw"]
            assert set(np.flatnonzero(step > 1e-9).tolist()) in regions
            assert 6 * size - 1e-6 <= step.max() <= 15 * size + 1e-6
        else:
            others = [unit(face) for row, face in enumerate(FACES) if row not in ways]
            assert min(np.abs(unit(labels[n]) - other).max() for other in others) < 1e-9
            assert np.abs(unit(labels[n]) - unit(FACES[n])).max() > 1e-3
