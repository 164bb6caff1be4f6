"""Geometry against hand-worked numbers and the laws of affine maps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flmd.core import geometry

numbers = st.floats(-500, 500)
sides = st.floats(1, 500)
boxes = st.tuples(numbers, numbers, sides, sides).map(np.array)


def test_resize_moves_points_by_pixel_centres() -> None:
    # 4 pixels to 2: the centre of the left pair, 0.5, becomes the centre of pixel 0.
    assert geometry.apply(geometry.resize_affine(0.5), [[0.5, 2.5]]).tolist() == [[0.0, 1.0]]
    # 2 pixels to 4: the edge -0.5 stays an edge.
    assert geometry.apply(geometry.resize_affine(2.0), [[-0.5, 0.0]]).tolist() == [[-0.5, 0.5]]


def test_mirror_maps_the_first_pixel_to_the_last() -> None:
    assert geometry.apply(geometry.mirror_affine(10), [[0, 3], [9, 3]]).tolist() == [[9, 3], [0, 3]]


def test_box_centre_of_dlibs_inclusive_box() -> None:
    # left 133, width 249: pixels 133 ... 381, centre 257.
    assert geometry.box_centre([133, 133, 249, 249]).tolist() == [257, 257]


def test_box_of_points_covers_the_pixels_of_the_outermost_points() -> None:
    points = np.array([[3, 5], [np.nan, np.nan], [7, 4]])
    assert geometry.box_of_points(points).tolist() == [3, 4, 5, 2]
    assert np.isnan(geometry.box_of_points(np.full((2, 2), np.nan))).all()


def test_square_crop_maps_box_edges_to_crop_edges() -> None:
    # The box covers pixels 10 ... 19, edges 9.5 and 19.5; a 5 px crop has edges -0.5 and 4.5.
    affine = geometry.square_crop(np.array([10, 10, 10, 10]), 1.0, 5)
    assert geometry.apply(affine, [[9.5, 19.5]]) == pytest.approx(np.array([[-0.5, 4.5]]))


def test_square_crop_does_not_squash() -> None:
    affine = geometry.square_crop(np.array([0, 0, 10, 40]), 2.0, 80)
    assert affine[0, 0] == affine[1, 1] == pytest.approx(1.0)


@given(
    box=boxes, zoom=st.floats(0.5, 4), angle=st.floats(-180, 180), scale=st.floats(0.5, 2), flip=st.booleans()
)
def test_inverse_undoes_any_augmentation(
    box: np.ndarray, zoom: float, angle: float, scale: float, flip: bool
) -> None:
    affine = geometry.augmentation(
        box[None], zoom, 64, rotation=[angle], scale=[scale], shift=[[0.1, -0.2]], flip=[flip]
    )
    points = np.array([[[0.0, 0.0], [64.0, 3.0], [-7.0, 20.0]]])
    back = geometry.apply(affine, geometry.apply(geometry.invert(affine), points))
    assert back == pytest.approx(points, abs=1e-6)


def test_one_matrix_has_the_bytes_that_it_has_among_many() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(300, 2, 3)) * 10.0 ** rng.integers(-9, 9, (300, 2, 3)) for _ in range(2))
    for one, two, inverse, both in zip(a, b, geometry.invert(a), geometry.compose(a, b), strict=True):
        assert geometry.invert(one).tobytes() == inverse.tobytes()
        assert geometry.compose(one, two).tobytes() == both.tobytes()
    with pytest.raises(np.linalg.LinAlgError):
        geometry.invert(np.ones((2, 3)))


@given(box=boxes, zoom=st.floats(0.5, 4), flip=st.booleans())
def test_augmentation_of_no_change_is_the_plain_crop(box: np.ndarray, zoom: float, flip: bool) -> None:
    plain = geometry.square_crop(box[None], zoom, 64)
    made = geometry.augmentation(box[None], zoom, 64, rotation=[0], scale=[1], shift=[[0, 0]], flip=[flip])
    mirror = geometry.mirror_affine(64) if flip else np.eye(2, 3)
    assert made[0] == pytest.approx(geometry.compose(mirror, plain[0]), abs=1e-9)


def test_positive_rotation_turns_the_content_clockwise() -> None:
    box = np.array([[0, 0, 101, 101]])
    affine = geometry.augmentation(box, 1.0, 101, rotation=[90], scale=[1], shift=[[0, 0]], flip=[False])
    # The middle of the top edge goes to the middle of the right edge.
    assert geometry.apply(affine, [[[50, 0]]])[0, 0] == pytest.approx([100, 50])


def test_shift_and_scale_by_hand() -> None:
    box = np.array([[0, 0, 100, 100]])
    affine = geometry.augmentation(box, 1.0, 50, rotation=[0], scale=[2], shift=[[0.1, 0]], flip=[False])
    # Centre 49.5 -> 24.5, moved by 0.1 * 50 = 5; one image pixel is 0.5 * 2 = 1 crop pixel.
    assert geometry.apply(affine, [[[49.5, 49.5], [50.5, 49.5]]])[0] == pytest.approx(
        np.array([[29.5, 24.5], [30.5, 24.5]])
    )


@given(
    angle=st.floats(0, 90),
    zoom_out=st.floats(0.5, 1),
    shift=st.floats(0, 0.4),
    padding=st.floats(1, 2),
    aspect=st.floats(0, 0.9),
    shear=st.floats(0, 1),
    draws=st.tuples(st.floats(0, 1), *[st.floats(-1, 1) for _ in range(5)]),
)
def test_no_augmented_crop_reaches_beyond_reach(
    angle: float,
    zoom_out: float,
    shift: float,
    padding: float,
    aspect: float,
    shear: float,
    draws: tuple[float, ...],
) -> None:
    limit = geometry.reach(
        rotation=angle, scale=zoom_out, shift=shift, padding=padding, aspect=aspect, shear=shear
    )
    box = np.array([[0.0, 0, 101, 101]])
    affine = geometry.augmentation(
        box,
        padding,
        64,
        rotation=[angle * draws[1]],
        scale=[zoom_out + (1 - zoom_out) * draws[0]],
        shift=[[shift * draws[2], shift * draws[3]]],
        flip=[False],
        aspect=[1 + aspect * draws[4]],
        shear=[shear * draws[5]],
    )
    corners = np.array([[[-0.5, -0.5], [63.5, -0.5], [-0.5, 63.5], [63.5, 63.5]]])
    seen = geometry.apply(geometry.invert(affine), corners)
    furthest = np.abs(seen - 50).max() / 50.5
    assert furthest <= limit * (1 + 1e-9)


def test_reach_is_attained_at_the_corner() -> None:
    limit = geometry.reach(rotation=45, scale=1, shift=0, padding=1)
    assert limit == pytest.approx(np.sqrt(2))
    # Without rotation a corner of the crop, (1, -1), comes from 1 / w + h with w = sqrt(1 - 0.36).
    assert geometry.reach(rotation=0, scale=1, shift=0, padding=1, aspect=0.36, shear=0.1) == pytest.approx(
        1.35
    )


def test_aspect_and_shear_by_hand() -> None:
    box = np.array([[0, 0, 101, 101]])
    affine = geometry.augmentation(
        box, 1.0, 101, rotation=[0], scale=[1], shift=[[0, 0]], flip=[False], aspect=[1.44], shear=[0.1]
    )
    # About the centre (50, 50): x grows by 1.2, y shrinks by 1.2, 30 px further down is 3 px further right.
    found = geometry.apply(affine, [[[60, 50], [50, 80], [50, 50]]])[0]
    assert found == pytest.approx(np.array([[62, 50], [53, 75], [50, 50]]))
    # Turned by a right angle, the same face: right becomes down, and down becomes left.
    affine = geometry.augmentation(
        box, 1.0, 101, rotation=[90], scale=[1], shift=[[0, 0]], flip=[False], aspect=[1.44], shear=[0.1]
    )
    found = geometry.apply(affine, [[[60, 50], [50, 80], [50, 50]]])[0]
    assert found == pytest.approx(np.array([[50, 62], [25, 53], [50, 50]]))


@given(box=boxes, width=st.integers(1, 1000))
def test_mirroring_a_box_twice_is_identity(box: np.ndarray, width: int) -> None:
    assert geometry.mirror_box(geometry.mirror_box(box, width), width) == pytest.approx(box, abs=1e-6)


def test_iou_by_hand() -> None:
    a = np.array([[0.0, 0, 4, 4], [10, 10, 2, 2]])
    b = np.array([[2.0, 2, 4, 4], [0, 0, 4, 4], [10, 10, 1, 2]])
    np.testing.assert_allclose(geometry.iou(a, b), [[4 / 28, 1, 0], [0, 0, 0.5]])
    assert geometry.iou(np.zeros((0, 4)), b).shape == (0, 3)
