"""Metrics against values worked by hand and against independent formulas."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flmd.core import geometry
from flmd.errors import ParamsError
from flmd.evaluation import metrics
from flmd.schemes import IBUG68, Scheme

CORNERS = Scheme(
    name="corners",
    points=("right_eye", "left_eye", "nose", "mouth"),
    flip_order=(1, 0, 2, 3),
    regions={"eyes": (0, 1), "rest": (2, 3)},
    skeleton=(),
    outer_eye_corners=(0, 1),
    pupils=None,
)
BOX = np.array([[10.0, 20.0, 30.0, 40.0]])
FACE = np.array([[[0.0, 0.0], [10.0, 0.0], [5.0, 5.0], [5.0, 10.0]]])


def random_faces(seed: int, count: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = rng.uniform(0, 200, (count, 68, 2))
    return true, true + rng.normal(size=true.shape) * 3


def test_nme_by_hand() -> None:
    # Distances 5, 0, 1 and 2 over four points: mean 2, over an inter-ocular length of 10.
    predicted = np.add(FACE, [[[3, 4], [0, 0], [0, -1], [2, 0]]])
    lengths = metrics.normaliser_lengths("inter_ocular", FACE, BOX, CORNERS)
    assert lengths.tolist() == [10.0]
    assert metrics.point_errors(predicted, FACE).tolist() == [[5, 0, 1, 2]]
    assert metrics.nme(predicted, FACE, lengths).tolist() == [0.2]
    regions = metrics.region_nme(metrics.point_errors(predicted, FACE), lengths, CORNERS)
    assert {name: values.tolist() for name, values in regions.items()} == {"eyes": [0.25], "rest": [0.15]}


def test_unlabelled_points_take_no_part() -> None:
    true = FACE.copy()
    true[0, 2] = np.nan
    true[0, 3, 0] = np.nan  # one coordinate is enough
    predicted = np.add(FACE, [[[3, 4], [0, 0], [100, 100], [100, 100]]])
    errors = metrics.point_errors(predicted, true)
    assert np.isnan(errors[0, 2:]).all()
    assert metrics.nme(predicted, true, [10.0]).tolist() == [0.25]
    assert np.isnan(metrics.region_nme(errors, [10.0], CORNERS)["rest"]).all()


def test_face_without_labels_or_length_is_nan() -> None:
    nothing = np.full((1, 4, 2), np.nan)
    assert np.isnan(metrics.nme(FACE, nothing, [10.0])).all()
    no_eye = FACE.copy()
    no_eye[0, 1] = np.nan
    assert np.isnan(metrics.normaliser_lengths("inter_ocular", no_eye, BOX, CORNERS)).all()
    same_eyes = np.zeros((1, 4, 2))
    assert np.isnan(metrics.normaliser_lengths("inter_ocular", same_eyes, BOX, CORNERS)).all()
    assert np.isnan(metrics.normaliser_lengths("box", FACE, [[0, 0, 10, 0]], CORNERS)).all()


def test_a_labelled_point_without_prediction_is_a_failure_not_a_gap() -> None:
    predicted = FACE.copy()
    predicted[0, 0] = np.nan
    error = metrics.nme(predicted, FACE, [10.0])
    assert np.isinf(error).all()
    assert metrics.failure_rate(error, 0.08) == 1
    assert metrics.auc(error, 0.08) == 0


def test_normaliser_lengths_by_hand() -> None:
    face = np.zeros((1, 68, 2))
    face[0, 36], face[0, 45] = (10, 10), (40, 50)  # 30, 40 -> 50
    face[0, 36:42, 0] = [10, 12, 14, 16, 18, 20]  # mean 15
    face[0, 42:48, 0] = [30, 32, 34, 40, 42, 44]  # mean 37
    face[0, 42:48, 1], face[0, 36:42, 1] = 50, 10
    box = np.array([[5.0, 5.0, 30.0, 40.0]])

    def length(name: str) -> float:
        return float(metrics.normaliser_lengths(name, face, box, IBUG68)[0])

    assert length("inter_ocular") == pytest.approx(50)
    assert length("inter_pupil") == pytest.approx(np.sqrt(22**2 + 40**2))
    assert length("box") == pytest.approx(np.sqrt(1200))
    assert length("diagonal") == pytest.approx(50)


def test_inter_pupil_is_not_inter_ocular() -> None:
    true, predicted = random_faces(1)
    box = np.tile(BOX, (len(true), 1))
    ocular, pupil = (
        metrics.normaliser_lengths(n, true, box, IBUG68) for n in ("inter_ocular", "inter_pupil")
    )
    assert (np.abs(metrics.nme(predicted, true, ocular) - metrics.nme(predicted, true, pupil)) > 1e-4).all()


def test_a_missing_pupil_point_leaves_no_inter_pupil_length() -> None:
    true, _ = random_faces(2)
    true[0, 40] = np.nan
    lengths = metrics.normaliser_lengths("inter_pupil", true, np.tile(BOX, (6, 1)), IBUG68)
    assert np.isnan(lengths).tolist() == [True, False, False, False, False, False]


def test_unknown_normaliser_and_scheme_without_its_points() -> None:
    with pytest.raises(ParamsError, match=r"unknown normaliser 'iod'.*inter_ocular"):
        metrics.normaliser_lengths("iod", FACE, BOX, CORNERS)
    with pytest.raises(ParamsError, match=r"no pupils.*inter_ocular, box, diagonal"):
        metrics.normaliser_lengths("inter_pupil", FACE, BOX, CORNERS)
    eyeless = dataclasses.replace(CORNERS, outer_eye_corners=None)
    with pytest.raises(ParamsError, match="no outer eye corners"):
        metrics.normaliser_lengths("inter_ocular", FACE, BOX, eyeless)
    assert metrics.available_normalisers(eyeless) == ("box", "diagonal")


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1000),
    angle=st.floats(-180, 180),
    scale=st.floats(0.05, 20),
    x=st.floats(-500, 500),
    y=st.floats(-500, 500),
)
def test_nme_does_not_change_under_similarity_transforms(
    seed: int, angle: float, scale: float, x: float, y: float
) -> None:
    true, predicted = random_faces(seed)
    c, s = scale * np.cos(np.deg2rad(angle)), scale * np.sin(np.deg2rad(angle))
    affine = np.array([[c, -s, x], [s, c, y]])
    box = np.tile(BOX, (len(true), 1))
    for name in ("inter_ocular", "inter_pupil"):
        before = metrics.nme(predicted, true, metrics.normaliser_lengths(name, true, box, IBUG68))
        moved_true, moved = geometry.apply(affine, true), geometry.apply(affine, predicted)
        after = metrics.nme(moved, moved_true, metrics.normaliser_lengths(name, moved_true, box, IBUG68))
        np.testing.assert_allclose(after, before, rtol=1e-7)


@given(seed=st.integers(0, 1000), width=st.integers(1, 4000))
@settings(max_examples=20, deadline=None)
def test_nme_of_mirrored_faces_is_the_same(seed: int, width: int) -> None:
    true, predicted = random_faces(seed)
    flip, mirror = IBUG68.flip_indices(), geometry.mirror_affine(width)
    box = np.tile(BOX, (len(true), 1))
    moved_true = geometry.apply(mirror, true)[:, flip]
    moved = geometry.apply(mirror, predicted)[:, flip]
    for name in metrics.NORMALISERS:
        before = metrics.nme(predicted, true, metrics.normaliser_lengths(name, true, box, IBUG68))
        mirrored_box = geometry.mirror_box(box, width)
        lengths = metrics.normaliser_lengths(name, moved_true, mirrored_box, IBUG68)
        np.testing.assert_allclose(metrics.nme(moved, moved_true, lengths), before, rtol=1e-9)


errors_strategy = arrays(np.float64, st.integers(1, 60), elements=st.floats(0, 0.3))


@given(errors=errors_strategy)
@settings(max_examples=50, deadline=None)
def test_ced_counts_faces(errors: np.ndarray) -> None:
    steps = np.concatenate([np.linspace(0, 0.3, 31), errors])
    expected = [sum(e <= t for e in errors) / len(errors) for t in steps]
    np.testing.assert_allclose(metrics.ced(errors, steps), expected)


@given(errors=errors_strategy, limit=st.floats(0.02, 0.5))
@settings(max_examples=30, deadline=None)
def test_auc_is_the_area_under_the_ced(errors: np.ndarray, limit: float) -> None:
    fine = np.linspace(0, limit, 100_001)
    area = np.trapezoid(metrics.ced(errors, fine), fine) / limit
    assert metrics.auc(errors, limit) == pytest.approx(area, abs=2e-5)


def test_auc_and_failure_rate_by_hand() -> None:
    errors = [0.02, 0.04, 0.08, 0.10]
    assert metrics.auc(errors, 0.08) == pytest.approx((0.75 + 0.5 + 0 + 0) / 4)
    assert metrics.failure_rate(errors, 0.08) == 0.25  # at the limit is not above it
    assert metrics.ced(errors, [0.0, 0.02, 0.08, 1.0]).tolist() == [0, 0.25, 0.75, 1]


def test_auc_of_perfect_and_of_hopeless_faces() -> None:
    assert metrics.auc([0.0, 0.0], 0.08) == 1
    assert metrics.auc([0.08, 5.0], 0.08) == 0


def test_unmeasured_faces_are_left_out_of_summaries() -> None:
    errors = [0.02, np.nan, 0.10]
    assert metrics.measured(errors).tolist() == [True, False, True]
    assert metrics.failure_rate(errors, 0.08) == 0.5
    assert metrics.auc(errors, 0.08) == pytest.approx(0.375)
    assert metrics.ced(errors, [0.05]).tolist() == [0.5]


def test_summaries_of_no_face_are_nan() -> None:
    assert np.isnan(metrics.auc([np.nan], 0.08))
    assert np.isnan(metrics.failure_rate([], 0.08))
    assert np.isnan(metrics.ced([], [0.1])).all()


@pytest.mark.parametrize("limit", [0.0, -0.1, float("nan")])
def test_thresholds_must_be_positive(limit: float) -> None:
    with pytest.raises(ParamsError, match="above 0"):
        metrics.auc([0.1], limit)


def test_mean_shape_is_relative_to_the_edges_of_the_box() -> None:
    # The box 10, 20, 30, 40 covers pixels 10...39 and 20...59: its edges are 9.5, 39.5, 19.5 and 59.5.
    points = np.array([[[9.5, 19.5], [39.5, 59.5], [24.5, 39.5], [10.0, 20.0]]])
    expected = [[0, 0], [1, 1], [0.5, 0.5], [0.5 / 30, 0.5 / 40]]
    np.testing.assert_allclose(metrics.mean_shape(points, BOX), expected, atol=1e-12)
    np.testing.assert_allclose(geometry.box_centre(BOX), [[24.5, 39.5]])


def test_mean_shape_of_identical_relative_faces_has_no_error() -> None:
    rng = np.random.default_rng(3)
    shape = rng.uniform(-0.1, 1.1, (68, 2))
    box = np.concatenate([rng.uniform(-50, 50, (9, 2)), rng.uniform(20, 300, (9, 2))], axis=1)
    faces = metrics.place_mean_shape(shape, box)
    np.testing.assert_allclose(metrics.mean_shape(faces, box), shape, atol=1e-12)
    placed = metrics.place_mean_shape(metrics.mean_shape(faces[:4], box[:4]), box[4:])
    np.testing.assert_allclose(placed, faces[4:], atol=1e-9)


def test_mean_shape_is_the_same_picture_at_twice_the_size() -> None:
    true, _ = random_faces(4)
    box = np.stack([geometry.box_of_points(face) for face in true])
    double = geometry.resize_affine(2)
    bigger_box = np.concatenate([box[:, :2] * 2, box[:, 2:] * 2], axis=1)  # pixel x becomes 2x and 2x + 1
    np.testing.assert_allclose(
        metrics.mean_shape(geometry.apply(double, true), bigger_box),
        metrics.mean_shape(true, box),
        atol=1e-12,
    )


def test_mean_shape_leaves_out_unlabelled_points() -> None:
    faces = np.repeat(FACE, 3, axis=0)
    faces[0, 0], faces[1, 0] = np.nan, (2, 2)
    faces[:, 3] = np.nan
    box = np.tile([[0.5, 0.5, 1.0, 1.0]], (3, 1))  # edges at 0 and 1: box units are pixels
    shape = metrics.mean_shape(faces, box)
    np.testing.assert_allclose(shape[:3], [[1, 1], [10, 0], [5, 5]])
    assert np.isnan(shape[3]).all()


def test_pose_buckets_at_their_limits() -> None:
    yaw = [0, -14.9, 15, -29.9, 30, -80, np.nan]
    expected = ["frontal", "frontal", "three_quarter", "three_quarter", "profile", "profile", "unknown"]
    assert metrics.pose_bucket(yaw).tolist() == expected


def test_size_buckets_at_their_limits() -> None:
    sides = [63.9, 64, 127.9, 128, 255.9, 256, np.nan]
    expected = ["small", "medium", "medium", "large", "large", "huge", "unknown"]
    assert metrics.size_bucket(sides).tolist() == expected
