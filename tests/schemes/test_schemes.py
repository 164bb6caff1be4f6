"""Schemes: counts, names, flip orders as published, and that real faces agree with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from flmd.errors import ParamsError
from flmd.schemes import SCHEMES, Scheme, get_scheme, scheme_of_count
from flmd.schemes.anatomy import flip_order_of, mirrored

NAMES = (
    "aflw19", "celeba5", "cofw29", "ibug51", "ibug68", "jd106", "kaggle15", "lapa106",
    "mediapipe478", "mtfl5", "openpose70", "wflw98", "wholebody68",
)  # fmt: skip
# Point i mirrored is point FLIPS[...][i], as the field's own data-set descriptions have it.
_BROWS98 = [46, 45, 44, 43, 42, 50, 49, 48, 47, 37, 36, 35, 34, 33, 41, 40, 39, 38]
FLIPS = {
    "wflw98": [
        *range(32, -1, -1), *_BROWS98, 51, 52, 53, 54, 59, 58, 57, 56, 55,
        72, 71, 70, 69, 68, 75, 74, 73, 64, 63, 62, 61, 60, 67, 66, 65,
        82, 81, 80, 79, 78, 77, 76, 87, 86, 85, 84, 83, 92, 91, 90, 89, 88, 95, 94, 93, 97, 96,
    ],
    "lapa106": [
        *range(32, -1, -1), *_BROWS98, 51, 52, 53, 54, 65, 64, 63, 62, 61, 60, 59, 58, 57, 56, 55,
        79, 78, 77, 76, 75, 82, 81, 80, 83, 70, 69, 68, 67, 66, 73, 72, 71, 74,
        90, 89, 88, 87, 86, 85, 84, 95, 94, 93, 92, 91, 100, 99, 98, 97, 96, 103, 102, 101, 105, 104,
    ],
    "cofw29": [
        1, 0, 3, 2, 6, 7, 4, 5, 9, 8, 11, 10, 14, 15, 12, 13, 17, 16, 19, 18, 20, 21, 23, 22, 24, 25, 26, 27,
        28,
    ],
    "aflw19": [5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 14, 13, 12, 17, 16, 15, 18],
    "kaggle15": [1, 0, 4, 5, 2, 3, 8, 9, 6, 7, 10, 12, 11, 13, 14],
    "celeba5": [1, 0, 2, 4, 3],
    "mtfl5": [1, 0, 2, 4, 3],
}  # fmt: skip


@pytest.fixture(params=NAMES)
def scheme(request: pytest.FixtureRequest) -> Scheme:
    return get_scheme(request.param)


def test_all_schemes_are_registered() -> None:
    assert set(NAMES) <= set(SCHEMES)


def test_number_in_the_name_is_the_number_of_points(scheme: Scheme) -> None:
    assert scheme.name.lstrip("abcdefghijklmnopqrstuvwxyz") == str(scheme.count)


@pytest.mark.parametrize("name", FLIPS)
def test_flip_order_is_the_published_one(name: str) -> None:
    assert list(get_scheme(name).flip_order or ()) == FLIPS[name]


def test_jd_and_lapa_are_one_markup() -> None:
    assert get_scheme("jd106").landmarks == get_scheme("lapa106").landmarks
    assert list(get_scheme("jd106").flip_order or ()) == FLIPS["lapa106"]


def test_51_points_are_the_68_without_the_jaw() -> None:
    small, whole = get_scheme("ibug51"), get_scheme("ibug68")
    assert small.points == whole.points[17:]
    assert small.landmarks == whole.landmarks[17:]
    assert [i + 17 for i in small.flip_order or ()] == list(whole.flip_order or ())[17:]
    assert [i + 17 for i in small.outer_eye_corners or ()] == [36, 45]
    assert {k: [i + 17 for i in v] for k, v in small.regions.items()} == {
        k: list(v) for k, v in whole.regions.items() if k != "jaw"
    }


def test_flip_order_follows_from_the_words(scheme: Scheme) -> None:
    """For iBUG, whose order is written out, this checks the words."""
    assert scheme.flip_order == flip_order_of(scheme.landmarks)


def test_each_landmark_has_its_own_word(scheme: Scheme) -> None:
    assert len(set(scheme.landmarks)) == scheme.count


def test_outer_eye_corners_and_pupils_are_the_right_eye_then_the_left(scheme: Scheme) -> None:
    if scheme.outer_eye_corners is not None:
        words = [scheme.landmarks[i] for i in scheme.outer_eye_corners]
        assert words == ["right_eye_outer_corner", "left_eye_outer_corner"]
    assert scheme.pupils is not None
    for side, group in zip(("right_", "left_"), scheme.pupils, strict=True):
        assert all(scheme.landmarks[i].startswith(side) for i in group)
        assert len(group) == 6 or [scheme.landmarks[i] for i in group] == [f"{side}pupil"]


def test_every_point_is_in_one_region(scheme: Scheme) -> None:
    assert sorted(i for points in scheme.regions.values() for i in points) == list(range(scheme.count))


def test_regions_and_skeleton_are_mirrored_onto_themselves(scheme: Scheme) -> None:
    flip = scheme.flip_order
    assert flip is not None
    for name, points in scheme.regions.items():
        assert {flip[i] for i in points} == set(scheme.regions[mirrored(name)])
    lines = {frozenset(pair) for pair in scheme.skeleton}
    assert {frozenset(flip[i] for i in pair) for pair in lines} == lines


@pytest.mark.parametrize(
    ("count", "name"),
    [
        (68, "ibug68"), (51, "ibug51"), (98, "wflw98"), (29, "cofw29"), (106, "lapa106"), (15, "kaggle15"),
        (70, "openpose70"), (478, "mediapipe478"),
        (5, "points5"), (19, "points19"), (17, "points17"),
    ],
)  # fmt: skip
def test_scheme_of_a_count(count: int, name: str) -> None:
    assert scheme_of_count(count) == name
    assert get_scheme(name).count == count


def test_unknown_scheme_names_the_nearest() -> None:
    with pytest.raises(ParamsError, match="unknown scheme 'wflw89'.*did you mean 'wflw98'"):
        get_scheme("wflw89")


def test_landmarks_must_be_one_a_point_and_differ() -> None:
    for landmarks in (("chin",), ("chin", "chin")):
        with pytest.raises(ValueError, match="not one landmark for each of the 2 points"):
            Scheme("two", ("a", "b"), None, {}, (), None, None, landmarks)


def wflw_faces(shared_data: Path) -> NDArray[np.float64]:
    folder = shared_data / "formats" / "wflw"
    lists = [folder / f"list_98pt_test_{part}.txt" for part in ("makeup", "expression")]
    rows = [line.split()[:196] for path in lists for line in path.read_text().splitlines()]
    return np.array(rows, dtype=np.float64).reshape(-1, 98, 2)


def aligned(points: NDArray[np.float64], onto: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points moved, turned and scaled to lie on others, by least squares over complex numbers."""
    a, b = points @ [1, 1j], onto @ [1, 1j]
    a = a - a.mean()
    moved = a * (np.vdot(a, b - b.mean()) / np.vdot(a, a)) + b.mean()
    return np.stack([moved.real, moved.imag], axis=-1)


def test_frontal_wflw_faces_are_symmetric_under_the_flip_order_and_no_other(shared_data: Path) -> None:
    """Mirrored, each point falls nearest to the one that the flip order names, for all 98."""
    flip = np.array(FLIPS["wflw98"])
    distances = []
    for face in wflw_faces(shared_data):
        twin = aligned((face * [-1, 1])[flip], face)
        if np.linalg.norm(twin - face, axis=1).mean() < 0.04 * np.linalg.norm(face[60] - face[72]):
            distances.append(np.linalg.norm(face[:, None] - twin[None, :], axis=-1))
    assert len(distances) > 50
    # row i, column j: from point i to where point flip[j] falls when mirrored
    nearest = np.median(distances, axis=0).argmin(axis=1)
    np.testing.assert_array_equal(nearest, np.arange(98))


@pytest.mark.parametrize("name", ["wflw98", "lapa106", "cofw29", "aflw19"])
def test_real_faces_have_the_named_points_where_the_names_say(shared_data: Path, name: str) -> None:
    """Along the eye line the right eye comes first; brows above eyes above nose above mouth above chin."""
    data_set = name.rstrip("0123456789")
    annotations = shared_data / "formats" / "mmpose_coco" / data_set / f"test_{data_set}.json"
    words = get_scheme(name).landmarks
    faces = json.loads(annotations.read_text())["annotations"]
    assert faces
    for face in faces:
        table = np.array(face["keypoints"], dtype=np.float64).reshape(-1, 3)
        at = {word: row[:2] for word, row in zip(words, table, strict=True) if row[2] > 0}
        x = at["left_eye_outer_corner"] - at["right_eye_outer_corner"]
        x = x / np.linalg.norm(x)
        y = np.array([-x[1], x[0]])
        in_order = ["right_eye_outer_corner", "right_eye_inner_corner", "left_eye_inner_corner",
                    "left_eye_outer_corner"]  # fmt: skip
        assert np.all(np.diff([at[w] @ x for w in in_order if w in at]) > 0)
        assert np.all(np.diff([at[w] @ x for w in ("right_mouth_corner", "left_mouth_corner")]) > 0)
        assert np.all(np.diff([at[w] @ x for w in ("right_pupil", "left_pupil")]) > 0)
        down = [at[w] @ y for w in ("right_brow_outer_corner", "right_pupil", "nose_tip")]
        down += [at["right_mouth_corner"] @ y, at["chin"] @ y]
        assert np.all(np.diff(down) > 0)
