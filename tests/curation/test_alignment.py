"""Shapes laid over one another: what place, size and turn leave over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flmd.curation.alignment import (
    align,
    fit,
    mean_shape,
    mirrored,
    procrustes_distance,
    shape_distance,
    to_complex,
)
from flmd.schemes import IBUG68, get_scheme
from flmd.schemes.head_pose import MEAN_SHAPE, rotation

SQUARE = np.array([0, 4, 4 + 3j, 5j])
places = st.complex_numbers(max_magnitude=1e3, allow_nan=False, allow_infinity=False)
turns = st.builds(lambda size, angle: size * np.exp(1j * angle), st.floats(0.01, 100), st.floats(0, 6.28))


def people(count: int) -> np.ndarray:
    """(N, 68) mean faces turned, sized and placed in some way, with half a pixel of noise."""
    rng = np.random.default_rng(0)
    faces = []
    for _ in range(count):
        turned = MEAN_SHAPE @ rotation(rng.uniform(-15, 15), rng.uniform(-10, 10), rng.uniform(-30, 30)).T
        points = rng.uniform(30, 60) * turned[:, :2] + rng.uniform(90, 110, 2)
        faces.append(points + rng.normal(0, 0.5, (68, 2)))
    return to_complex(np.stack(faces))


def test_fit_takes_out_turn_scale_and_shift() -> None:
    rng = np.random.default_rng(1)
    shape = rng.normal(size=68) + 1j * rng.normal(size=68)
    turn, shift, residual = fit((3 - 2j) * shape[None] + (5 + 1j), shape)
    assert turn[0] == pytest.approx(1 / (3 - 2j))
    assert shift[0] == pytest.approx(-(5 + 1j) / (3 - 2j))
    assert residual[0] == pytest.approx(0, abs=1e-12)


@given(turns, places, turns)
def test_distance_does_not_depend_on_place_size_and_turn(
    turn: complex, place: complex, size: complex
) -> None:
    bent = SQUARE + np.array([0, 0.3, -0.2j, 0.1])
    expected = procrustes_distance(bent[None], SQUARE)[0]
    assert procrustes_distance(turn * bent[None] + place, size * SQUARE)[0] == pytest.approx(
        expected, rel=1e-5
    )


def test_distance_worked_out_by_hand() -> None:
    # Centred, the shape is (-1, 0, 1) on the x axis and the face (-1, 0, 1) on x with y (1, -2, 1) / c.
    # As complex numbers: <z, m> = 2, |z|^2 = 2 + 6 / c^2, |m|^2 = 2; with c^2 = 3: 4 / (4 * 2) = 1/2.
    shape = np.array([-1, 0, 1 + 0j])
    bent = np.array([-1 + 1j / 3**0.5, -2j / 3**0.5, 1 + 1j / 3**0.5])
    assert procrustes_distance(bent[None], shape)[0] == pytest.approx(0.5**0.5)


def test_a_mirrored_shape_is_another() -> None:
    assert procrustes_distance(-np.conj(SQUARE)[None], SQUARE)[0] > 0.1


def test_distance_of_points_that_are_not_labelled_or_all_one() -> None:
    faces = np.stack([SQUARE + 9, SQUARE, np.full(4, 3 + 3j)])
    faces[0, 3] = faces[1, 2:] = np.nan
    distances = procrustes_distance(faces, SQUARE)
    assert distances[0] == pytest.approx(0, abs=1e-6)
    assert np.isnan(distances[1])
    assert distances[2] == 1


def test_the_mean_shape_is_not_bent_by_a_few_wrong_faces() -> None:
    points = people(12)
    points[4] = np.random.default_rng(1).permutation(points[4])
    points[9] = points[9, ::-1]
    points[0, 60:] = np.nan
    mean = mean_shape(points, IBUG68)
    assert procrustes_distance(to_complex(MEAN_SHAPE[None, :, :2]), mean)[0] < 0.1
    assert set(np.argsort(-procrustes_distance(points, mean))[:2].tolist()) == {4, 9}


def test_the_mean_shape_is_symmetric_of_radius_one_about_zero() -> None:
    mean = mean_shape(people(20), IBUG68)
    assert mean == pytest.approx(mirrored(mean, IBUG68))
    assert abs(mean.mean()) < 1e-12
    assert (np.abs(mean) ** 2).mean() == pytest.approx(1)


def test_points_that_no_face_has_are_unknown() -> None:
    scheme = get_scheme("points5")
    assert np.isnan(mean_shape(np.full((3, 5), np.nan + 0j), scheme)).all()
    faces = np.tile(np.array([*SQUARE, np.nan]), (3, 1))
    assert np.isnan(mean_shape(faces, scheme)).tolist() == [False] * 4 + [True]


def test_schemes_without_flip_order_and_unlabelled_points_are_no_obstacle() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(0, 100, (68, 2))
    points = base + rng.normal(0, 1, (50, 68, 2))
    points[0] = np.nan
    points[1, 5:] = np.nan
    points[2] = 7.0
    aligned = align(points.astype(np.float32), replace(IBUG68, flip_order=None))
    assert aligned.usable.tolist() == [False, True, False] + [True] * 47
    assert np.nanmax(aligned.residual) < 0.1


def test_aligned_points_are_their_shift_and_turn_and_residual_their_distance() -> None:
    points = people(20)
    landmarks = np.stack([points.real, points.imag], axis=-1)
    aligned = align(landmarks, IBUG68)
    assert aligned.points == pytest.approx(aligned.turn[:, None] * points + aligned.shift[:, None])
    mean = np.broadcast_to(aligned.mean, points.shape)
    assert shape_distance(aligned.points, mean) == pytest.approx(aligned.residual)
    # All points are labelled and the mean's radius is 1: both measures are one.
    assert procrustes_distance(points, aligned.mean) == pytest.approx(aligned.residual)
