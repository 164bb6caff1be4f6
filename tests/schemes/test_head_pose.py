from pathlib import Path

import numpy as np
import pytest
import scipy.io

from flmd.schemes import IBUG68
from flmd.schemes.head_pose import MEAN_SHAPE, estimate_pose, rotation


def project(yaw, pitch, roll, scale=80.0, shift=(120.0, 90.0)):
    turned = MEAN_SHAPE @ np.swapaxes(rotation(yaw, pitch, roll), -1, -2)
    return scale * turned[..., :2] + shift


def test_mean_shape_is_its_own_mirror_image():
    mirrored = MEAN_SHAPE[IBUG68.flip_indices()] * (-1, 1, 1)
    np.testing.assert_array_equal(mirrored, MEAN_SHAPE)


def test_unit_is_the_inter_ocular_distance_and_origin_between_the_eyes():
    assert np.linalg.norm(MEAN_SHAPE[36] - MEAN_SHAPE[45]) == 1
    np.testing.assert_array_equal((MEAN_SHAPE[36] + MEAN_SHAPE[45]) / 2, 0)


def test_mean_shape_lies_as_a_face_does():
    x, y, z = MEAN_SHAPE.T
    assert z.argmax() == 30  # nose tip
    assert y.argmax() == 8  # chin
    assert x.argmin() == 0
    assert x.argmax() == 16
    assert y[17:27].max() < y[36:48].min() < y[30] < y[48:68].min()


def test_rotation_is_a_rotation():
    matrices = rotation(np.linspace(-80, 80, 7), np.linspace(50, -50, 7), np.linspace(-170, 170, 7))
    np.testing.assert_allclose(
        matrices @ np.swapaxes(matrices, 1, 2), np.broadcast_to(np.eye(3), (7, 3, 3)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(matrices), 1)


def test_signs_nose_moves_right_and_up_and_the_head_tilts_clockwise():
    tip = np.array([0.0, 0.0, 1.0])
    assert (rotation(20, 0, 0) @ tip)[0] > 0
    assert (rotation(0, 20, 0) @ tip)[1] < 0
    right_eye_of_image = rotation(0, 0, 90) @ np.array([0.5, 0.0, 0.0])
    np.testing.assert_allclose(right_eye_of_image, [0, 0.5, 0], atol=1e-12)


def test_pose_of_projected_mean_shape_is_exact():
    rng = np.random.default_rng(0)
    angles = rng.uniform([[-70], [-40], [-170]], [[70], [40], [170]], (3, 200))
    np.testing.assert_allclose(np.stack(estimate_pose(project(*angles))), angles, atol=1e-6)


def test_pose_survives_noise_and_missing_points():
    rng = np.random.default_rng(1)
    angles = rng.uniform([[-50], [-25], [-40]], [[50], [25], [40]], (3, 300))
    points = project(*angles) + rng.normal(0, 1.0, (300, 68, 2))
    points[rng.random((300, 68)) < 0.3] = np.nan
    error = np.abs(np.stack(estimate_pose(points)) - angles)
    assert error.max(axis=1).tolist() < [12, 12, 12]
    assert (error.mean(axis=1) < [2, 2, 1]).all()


def test_mirrored_face_has_opposite_yaw_and_roll():
    points = project(25.0, 10.0, 15.0)[None]
    mirrored = points[:, IBUG68.flip_indices()] * (-1, 1)
    np.testing.assert_allclose(np.concatenate(estimate_pose(mirrored)), [-25, 10, -15], atol=1e-6)


def test_points_marked_unlabelled_do_not_count():
    points = project(20.0, 0.0, 0.0)[None]
    points[0, 40:] = 1e4
    visibility = np.r_[np.full(40, 2), np.zeros(28)].astype(np.uint8)[None]
    np.testing.assert_allclose(estimate_pose(points, visibility)[0], 20, atol=1e-6)


@pytest.mark.parametrize("labelled", [0, 5])
def test_fewer_than_six_points_give_nan(labelled):
    points = project(10.0, 0.0, 0.0)[None]
    points[0, : 68 - labelled] = np.nan
    assert np.isnan(estimate_pose(points)).all()


def test_points_on_one_spot_give_nan_and_no_faces_give_nothing():
    assert np.isnan(estimate_pose(np.full((1, 68, 2), 7.0))).all()
    assert [angle.shape for angle in estimate_pose(np.empty((0, 68, 2)))] == [(0,)] * 3


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="68"):
        estimate_pose(np.zeros((2, 5, 2)))
    with pytest.raises(ValueError, match="visibility"):
        estimate_pose(np.zeros((2, 68, 2)), np.ones((1, 68), np.uint8))


def test_angles_of_real_faces_are_those_of_their_fitted_models(shared_data: Path) -> None:
    """AFLW2000-3D gives 68 points and Pose_Para (pitch, yaw, roll, radians) of the model that was fitted.

    Its yaw counts the other way round. Bounds of the mean difference over ten faces, yaw to 66 degrees.
    """
    errors = []
    for path in sorted((shared_data / "formats" / "aflw2000").glob("*.mat")):
        content = scipy.io.loadmat(path)
        found = estimate_pose(content["pt3d_68"][:2].T[None])
        pitch, yaw, roll = np.degrees(content["Pose_Para"][0, :3])
        errors.append([found[0][0] + yaw, found[1][0] - pitch, found[2][0] - roll])
    assert len(errors) == 10
    yaw, pitch, roll = np.abs(errors).mean(axis=0)
    assert yaw < 3
    assert pitch < 5
    assert roll < 3.5
