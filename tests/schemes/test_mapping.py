"""Mappings between schemes: hand-worked pairs, flips, what is missing."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flmd.cli.schemes_page import PAGE, page
from flmd.errors import ParamsError
from flmd.face import Face
from flmd.schemes import SCHEMES, available, get_scheme
from flmd.schemes.anatomy import mirrored
from flmd.schemes.mapping import RULES, mapping

BUILT_IN = sorted(SCHEMES)
PAIRS = [(a, b) for a, b in product(BUILT_IN, BUILT_IN) if a != b]

# The published 98 to 68 (as in PIPNet, AdaptiveWing and DSLPT): target order, source indices.
_FROM_98 = [
    *range(0, 33, 2), *range(33, 38), *range(42, 47), *range(51, 60), 60, 61, 63, 64, 65, 67,
    68, 69, 71, 72, 73, 75, *range(76, 96),
]  # fmt: skip
# 106 to 68: contour and brows as in 98, the nose's base without the wings' sides (57, 63), lids' thirds.
_FROM_106 = [
    *range(0, 33, 2), *range(33, 38), *range(42, 47), 51, 52, 53, 54, 58, 59, 60, 61, 62,
    66, 67, 69, 70, 71, 73, 75, 76, 78, 79, 80, 82, *range(84, 104),
]  # fmt: skip
EXACT = {
    ("wflw98", "ibug68"): _FROM_98,
    ("wflw98", "ibug51"): _FROM_98[17:],
    ("lapa106", "ibug68"): _FROM_106,
    ("lapa106", "ibug51"): _FROM_106[17:],
    ("jd106", "ibug68"): _FROM_106,
    ("ibug68", "ibug51"): list(range(17, 68)),
    ("ibug68", "wholebody68"): list(range(68)),
    ("wholebody68", "ibug68"): list(range(68)),
    ("openpose70", "ibug68"): list(range(68)),
    ("openpose70", "celeba5"): [68, 69, 30, 48, 54],
    ("wflw98", "celeba5"): [96, 97, 54, 76, 82],
    ("lapa106", "celeba5"): [104, 105, 54, 84, 90],
    ("lapa106", "wflw98"): [*range(55), *range(58, 63), *range(66, 74), *range(75, 83), *range(84, 106)],
    ("cofw29", "mtfl5"): [16, 17, 20, 22, 23],
    ("aflw19", "mtfl5"): [7, 10, 13, 15, 17],
    ("kaggle15", "celeba5"): [1, 0, 10, 12, 11],
    ("celeba5", "mtfl5"): [0, 1, 2, 3, 4],
    ("mtfl5", "celeba5"): [0, 1, 2, 3, 4],
    ("cofw29", "kaggle15"): [17, 16, 11, 9, 10, 8, 3, 1, 2, 0, 20, 23, 22, 24, 27],
}


def face_of(name: str, seed: int = 0) -> np.ndarray:
    count = get_scheme(name).count
    return np.random.default_rng(seed).uniform(-20, 500, (count, 2)).astype(np.float32)


@pytest.mark.parametrize(("source", "target"), EXACT)
def test_exact_mappings_copy_the_published_points_bit_for_bit(source: str, target: str) -> None:
    found = mapping(source, target)
    assert set(found.kinds) == {"exact"}
    points = face_of(source)
    np.testing.assert_array_equal(found.points(points), points[EXACT[source, target]])
    assert found.points(points).tobytes() == points[EXACT[source, target]].tobytes()


def test_eyes_of_the_68_points_become_pupils_as_their_means() -> None:
    found = mapping("ibug68", "celeba5")
    assert found.kinds == ("interpolated", "interpolated", "exact", "exact", "exact")
    points = np.zeros((68, 2), np.float32)
    points[36:42] = [[0, 0], [1, -2], [2, -2], [3, 0], [2, 2], [1, 2]]
    points[42:48] = [[10, 1], [11, 0], [12, 0], [13, 1], [12, 2], [11, 8]]
    points[[30, 48, 54]] = [[6, 5], [4, 9], [8, 9]]
    expected = [[1.5, 0], [11.5, 2], [6, 5], [4, 9], [8, 9]]
    np.testing.assert_array_equal(found.points(points), np.array(expected, np.float32))


# P. Yan's map of MediaPipe's mesh to iBUG's points; the mean of two where there are two.
YAN = [
    (127,), (234,), (93,), (132, 58), (58, 172), (136,), (150,), (176,), (152,), (400,), (379,), (365,),
    (397, 288), (361,), (323,), (454,), (356,), (70,), (63,), (105,), (66,), (107,), (336,), (296,), (334,),
    (293,), (300,), (168, 6), (197, 195), (5,), (4,), (75,), (97,), (2,), (326,), (305,), (33,), (160,),
    (158,), (133,), (153,), (144,), (362,), (385,), (387,), (263,), (373,), (380,), (61,), (39,), (37,), (0,),
    (267,), (269,), (291,), (321,), (314,), (17,), (84,), (91,), (78,), (82,), (13,), (312,), (308,), (317,),
    (14,), (87,),
]  # fmt: skip


def test_mediapipes_mesh_maps_to_68_points_as_published_but_for_one() -> None:
    found = mapping("mediapipe478", "ibug68")
    made_of = [tuple(np.flatnonzero(row)) for row in found.weights]
    differs = [i for i, sources in enumerate(YAN) if made_of[i] != tuple(sorted(sources))]
    assert differs == [13]
    assert made_of[13] == (288, 361)  # the mirror image of (58, 132), point 3
    assert mapping("mediapipe478", "celeba5").weights[:2].argmax(axis=1).tolist() == [468, 473]


def test_brows_and_lids_by_hand() -> None:
    """WFLW to Kaggle: inner ends of the brows between their two corners; iBUG to COFW: lids' middles."""
    points = np.zeros((98, 2), np.float32)
    points[37], points[38], points[42], points[50] = (10, 2), (12, 6), (20, 3), (22, 5)
    got = mapping("wflw98", "kaggle15").points(points)
    np.testing.assert_array_equal(got[[8, 6]], [[11, 4], [21, 4]])
    points = np.zeros((68, 2), np.float32)
    points[37], points[38], points[40], points[41] = (1, 1), (3, 1), (3, 5), (1, 7)
    got = mapping("ibug68", "cofw29", partial=True).points(points)
    np.testing.assert_array_equal(got[[12, 13]], [[2, 1], [2, 6]])


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_rows_of_weights_sum_to_one_or_are_absent(source: str, target: str) -> None:
    found = mapping(source, target, partial=True)
    for kind, row in zip(found.kinds, found.weights, strict=True):
        assert row.min() >= 0
        assert math.isclose(row.sum(), 0 if kind == "absent" else 1)
        if kind == "exact":
            assert sorted(row)[-2:] == [0, 1]
    with pytest.raises(ValueError, match="read-only"):
        found.weights[0, 0] = 2


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PAIRS), st.integers(0, 2**32 - 1), st.integers(1, 4000))
def test_mapping_then_flipping_is_flipping_then_mapping(pair: tuple[str, str], seed: int, width: int) -> None:
    """With missing points too, NaN and visibility included."""
    source, target = map(get_scheme, pair)
    found = mapping(source, target, partial=True)
    points = face_of(source.name, seed)
    visible = np.random.default_rng(seed).integers(0, 3, source.count).astype(np.uint8)
    points[visible == 0] = np.nan

    def flipped(xy: np.ndarray, order: np.ndarray) -> np.ndarray:
        return (np.array([width - 1, 0], np.float32) + xy * np.array([-1, 1], np.float32))[order]

    first = found.points(flipped(points, source.flip_indices()))
    last = flipped(found.points(points), target.flip_indices())
    np.testing.assert_allclose(first, last, rtol=1e-5, atol=1e-3)
    np.testing.assert_array_equal(
        found.visibility(visible[source.flip_indices()]), found.visibility(visible)[target.flip_indices()]
    )
    np.testing.assert_array_equal(
        np.isnan(first).any(axis=-1), found.visibility(visible)[target.flip_indices()] == 0
    )


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_weights_commute_with_flips(source: str, target: str) -> None:
    """The same for every pair, on the weights themselves."""
    found = mapping(source, target, partial=True)
    from_flip, to_flip = found.source.flip_indices(), found.target.flip_indices()
    np.testing.assert_array_equal(found.weights[to_flip][:, from_flip], found.weights)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(BUILT_IN), st.integers(0, 2**32 - 1))
def test_a_scheme_to_itself_changes_nothing(name: str, seed: int) -> None:
    found = mapping(name, name)
    points = face_of(name, seed)
    points[::3] = np.nan
    visible = np.where(np.isnan(points[:, 0]), 0, 1 + np.arange(len(points)) % 2).astype(np.uint8)
    np.testing.assert_array_equal(found.points(points), points)
    np.testing.assert_array_equal(found.visibility(visible), visible)


def test_points_without_meaning_map_to_themselves_only() -> None:
    assert set(mapping("points17", "points17").kinds) == {"exact"}
    assert available("points17") == []
    for partial in (False, True):
        with pytest.raises(ParamsError, match="points17 lacks 68 of the 68 points of ibug68"):
            mapping("points17", "ibug68", partial=partial)


def test_missing_points_are_named() -> None:
    with pytest.raises(ParamsError) as caught:
        mapping("ibug51", "ibug68")
    assert str(caught.value) == (
        "scheme ibug51 lacks 17 of the 68 points of ibug68: jaw_0, jaw_1, jaw_2, jaw_3, jaw_4 and 12 more; "
        "it can be mapped to celeba5, kaggle15, mtfl5"
    )
    with pytest.raises(ParamsError, match="2 of the 15 .*: mouth_center_top_lip, mouth_center_bottom_lip;"):
        mapping("aflw19", "kaggle15")


def test_partial_mapping_leaves_missing_points_unlabelled() -> None:
    found = mapping("ibug51", "ibug68", partial=True)
    assert found.kinds == ("absent",) * 17 + ("exact",) * 51
    points = face_of("ibug51")
    got = found.points(points)
    assert np.isnan(got[:17]).all()
    np.testing.assert_array_equal(got[17:], points)
    np.testing.assert_array_equal(found.visibility(np.full(51, 2, np.uint8)), [0] * 17 + [2] * 51)


def test_wings_of_the_nose_are_not_made_of_nostrils() -> None:
    assert mapping("wflw98", "aflw19", partial=True).missing == ("right_alar_side", "left_alar_side")


def test_interpolated_point_is_as_visible_as_the_least_of_its_points() -> None:
    found = mapping("ibug68", "mtfl5")
    visible = np.full(68, 2, np.uint8)
    visible[38], visible[30] = 1, 1
    visible[45], visible[44] = 1, 0
    np.testing.assert_array_equal(found.visibility(visible), [1, 0, 1, 2, 2])
    points = face_of("ibug68")
    points[44] = np.nan
    points[45, 0] = np.nan
    np.testing.assert_array_equal(
        np.isnan(found.points(points)), [[False] * 2, [True] * 2, *[[False] * 2] * 3]
    )


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, (2, 3, 98, 2), elements=st.floats(-1e4, 1e4, width=32)))
def test_batches_are_mapped_face_by_face(points: np.ndarray) -> None:
    found = mapping("wflw98", "kaggle15")
    whole = found.points(points)
    assert whole.shape == (2, 3, 15, 2)
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(whole[1, 2], found.points(points[1, 2]))


def test_wrong_shapes_say_what_was_expected() -> None:
    found = mapping("wflw98", "ibug68")
    with pytest.raises(ValueError, match=r"\(68, 2\), expected \(\.\.\., 98, 2\)"):
        found.points(face_of("ibug68"))
    with pytest.raises(ValueError, match=r"\(68,\), expected \(\.\.\., 98\)"):
        found.visibility(np.zeros(68, np.uint8))


def test_face_keeps_all_but_its_points() -> None:
    points, visible = face_of("wflw98"), np.full(98, 2, np.uint8)
    visible[60], visible[97], points[97] = 1, 0, np.nan
    box = np.array([1, 2, 30, 40], np.float32)
    face = Face(
        "a/b.jpg", points, visible, box, "annotated", "b", "test", "", "WFLW", (50, 60), {"blur": True}, "x:1"
    )
    got = mapping("wflw98", "ibug68").face(face)
    np.testing.assert_array_equal(got.landmarks, points[_FROM_98])
    np.testing.assert_array_equal(got.visibility, visible[_FROM_98])
    assert got.box is box
    for name in ("image", "box_source", "subject", "split", "dataset", "image_size", "attributes"):
        assert getattr(got, name) == getattr(face, name)
    np.testing.assert_array_equal(face.landmarks, points)


def test_schemes_that_can_be_reached_wholly() -> None:
    of_ibug68 = ["celeba5", "ibug51", "kaggle15", "mtfl5", "openpose70", "wholebody68"]
    assert available("ibug68") == of_ibug68
    assert available("wflw98") == sorted(["ibug68", *of_ibug68])
    assert available("lapa106") == sorted(set(BUILT_IN) - {"lapa106", "mediapipe478"})
    assert available("mediapipe478") == sorted(["ibug68", *of_ibug68])
    assert available("celeba5") == ["mtfl5"]


def test_rules_speak_of_the_right_side_or_the_midline_in_words_that_exist() -> None:
    words = {word for scheme in SCHEMES.values() for word in scheme.landmarks}
    for word, choices in RULES.items():
        assert not word.startswith("left_")
        for choice in choices:
            assert {word, *choice} <= words
            if mirrored(word) == word:  # else a flip would change it
                assert {mirrored(other) for other in choice} == set(choice)


def test_page_is_what_the_registry_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m flmd.cli.schemes_page"
