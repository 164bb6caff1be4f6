"""Names of points: known however they are spelt, and never trusted beyond what they say."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flmd.errors import InputError, ParamsError
from flmd.schemes import SCHEMES, get_scheme
from flmd.schemes.name_choice import AUTO, PointNames, strangers
from flmd.schemes.point_names import key_of, known_order, known_scheme, misplaced_part

IBUG68, IBUG51, KAGGLE15 = get_scheme("ibug68"), get_scheme("ibug51"), get_scheme("kaggle15")
# Written out by hand: how the annotation tools and data sets at hand name iBUG's 68.
BODY = [
    *(f"face_contour_{i}" for i in range(1, 18)),
    *(f"right_eyebrow_{i}" for i in range(1, 6)),
    *(f"left_eyebrow_{i}" for i in range(1, 6)),
    *(f"nosebridge_{i}" for i in range(1, 5)),
    *(f"nose_{i}" for i in range(1, 6)),
    *(f"right_eye_{i}" for i in range(1, 7)),
    *(f"left_eye_{i}" for i in range(1, 7)),
    *(f"mouth_{i}" for i in range(1, 13)),
    *(f"lip_{i}" for i in range(1, 9)),
]
SPELT = {
    "own": list(IBUG68.points),
    "own, otherwise": [name.replace("_", " ").title() for name in IBUG68.points],
    "own, from 1": [f"{name.rsplit('_', 1)[0]}-{int(name.rsplit('_', 1)[1]) + 1}" for name in IBUG68.points],
    "from 0": [str(i) for i in range(68)],
    "two digits": [f"{i:02}" for i in range(68)],
    "from 1": [str(i) for i in range(1, 69)],
    "mmpose": [f"kpt-{i}" for i in range(68)],
    "whole body": [f"face-{i}" for i in range(68)],
    "whole body's words": BODY,
}


@pytest.mark.parametrize("spelling", SPELT)
@given(order=st.permutations(range(68)))
def test_a_whole_set_of_names_tells_scheme_and_order_however_spelt(spelling: str, order: list[int]) -> None:
    names = [SPELT[spelling][i] for i in order]
    assert known_scheme(names) == "ibug68"
    found = known_order(names, IBUG68)
    assert found is not None
    assert [found.place(name) for name in names] == order


@pytest.mark.parametrize("name", SCHEMES)
def test_every_scheme_knows_its_own_names(name: str) -> None:
    scheme = SCHEMES[name]
    assert len(set(map(key_of, scheme.points))) == scheme.count
    found = known_order(scheme.points[::-1], scheme)
    assert found is not None
    assert [found.place(point) for point in scheme.points] == list(range(scheme.count))


def test_the_ids_of_spiga_are_known_as_a_set() -> None:
    ids = [
        *range(101, 109),
        24,
        *range(110, 118),
        1,
        119,
        2,
        121,
        3,
        4,
        124,
        5,
        126,
        6,
        128,
        129,
        130,
        17,
        16,
    ]
    ids += [
        133,
        134,
        135,
        18,
        7,
        138,
        139,
        8,
        141,
        142,
        11,
        144,
        145,
        12,
        147,
        148,
        20,
        150,
        151,
        22,
        153,
        154,
    ]
    ids += [21, 156, 157, 23, *range(159, 169)]
    found = known_order([str(i) for i in sorted(ids)], IBUG68)
    assert found is not None
    assert [found.place(str(i)) for i in ids] == list(range(68))


@pytest.mark.parametrize(
    ("numbers", "scheme", "first"),
    [
        (range(68), "ibug68", 0),
        (range(1, 69), "ibug68", 1),
        (range(17, 68), "ibug51", 17),
        (range(18, 69), "ibug51", 18),
        ([0, 5], "ibug68", 0),  # a part of them: 0 occurs
        ([5, 68], "ibug68", 1),  # 68 occurs
    ],
)
def test_the_numbers_that_occur_tell_what_they_count_from(numbers: object, scheme: str, first: int) -> None:
    names = [str(i) for i in numbers]  # type: ignore[attr-defined]
    found = known_order(names, get_scheme(scheme), whole=len(names) > 2)
    assert found is not None
    assert [found.place(name) for name in names] == [int(name) - first for name in names]


def test_numbers_between_leave_open_what_they_count_from() -> None:
    assert known_order(["5", "67"], IBUG68, whole=False) is None
    with pytest.raises(InputError, match="neither 0 nor 68 occurs: '5', '67'; --names 0 or --names 1"):
        AUTO.orders(IBUG68).of(["5", "67"], "x.json", whole=False)
    from_1 = PointNames("1").orders(IBUG68).of(["5", "67"], "x.json", whole=False)
    assert from_1.place("5") == 4


def test_a_part_of_a_scheme_is_known_by_its_words() -> None:
    assert known_scheme(IBUG68.points[:60]) == "ibug68"
    assert known_scheme(KAGGLE15.points[3:]) == "kaggle15"
    assert known_scheme(["nose_tip", "left_ear"]) is None
    assert known_scheme(["nose_tip"]) is None  # too little to say of which scheme it is
    found = known_order(IBUG68.points[60:], IBUG68)
    assert found is not None
    assert found.place("inner_lip_0") == 60


@pytest.mark.parametrize("names", [["a", "b", "a"], ["jaw_0", "Jaw 0"], ["0", "00"]])
def test_a_name_that_stands_twice_is_an_error(names: list[str]) -> None:
    with pytest.raises(InputError, match=r"x.json: point name .* stands twice"):
        AUTO.orders(get_scheme("points3")).of(names, "x.json")


def test_unknown_names_are_no_order_of_points_that_mean_something() -> None:
    names = [f"{chr(97 + i % 26)}{'x' * (i // 26)}" for i in range(68)]
    with pytest.raises(InputError) as caught:
        AUTO.orders(IBUG68).of(names, "x.json")
    assert str(caught.value) == (
        "x.json: points named 'a', 'b', 'c', … are none of scheme ibug68, so their order cannot be trusted; "
        "--names FILE says which is which, --names keep takes them as they stand"
    )
    one = [*IBUG68.points[:30], "tip", *IBUG68.points[31:]]
    with pytest.raises(InputError, match=r"points named 'tip' are none of scheme ibug68"):
        AUTO.orders(IBUG68).of(one[::-1], "x.json")
    kept = PointNames("keep").orders(IBUG68).of(names, "x.json")
    assert [kept.place(name) for name in names] == list(range(68))


def test_strangers_are_named_among_names_of_one_scheme() -> None:
    assert strangers([*IBUG68.points[:30], "tip", "Jaw 0"]) == ["tip"]
    assert strangers(["a", "b", "jaw_0"]) == ["a", "b", "jaw_0"]


def test_points_without_meaning_keep_the_order_of_the_first_list() -> None:
    orders = AUTO.orders(get_scheme("points3"))
    assert [orders.of(["a", "b", "c"], "1").place(name) for name in "abc"] == [0, 1, 2]
    assert [orders.of(["c", "a", "b"], "2").place(name) for name in "cab"] == [2, 0, 1]


class TestMap:
    def test_a_mapping_says_which_name_is_which_point(self, tmp_path: Path) -> None:
        path = tmp_path / "names.yaml"
        path.write_text("ear: jaw_0\nchin: 8\npupil: null\n")
        names = PointNames.parse(str(path))
        order = names.orders(IBUG68).of(["pupil", "chin", "ear"], "x")
        assert [order.place(name) for name in ("ear", "chin", "pupil")] == [0, 8, -1]

    def test_a_list_has_the_order_of_the_scheme(self, tmp_path: Path) -> None:
        (tmp_path / "n.yaml").write_text("- b\n- a\n- c\n")
        order = PointNames.parse(str(tmp_path / "n.yaml")).orders(get_scheme("points3")).of(["a", "b"], "x")
        assert [order.place(name) for name in "abc"] == [1, 0, 2]

    def test_it_tells_the_scheme(self) -> None:
        assert (
            PointNames.of(dict(zip("abcde", get_scheme("celeba5").points, strict=True))).scheme_of([])
            == "celeba5"
        )
        assert PointNames.of([f"p{i}x" for i in range(98)]).scheme_of([]) == "wflw98"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                "ear: jaw_99\n",
                "'ear' is point 'jaw_99', which scheme ibug68 does not have; did you mean 'jaw_9'",
            ),
            ("ear: 68\n", "'ear' is point 68, which scheme ibug68 does not have"),
            ("ear: 1\nnose: jaw_1\n", "'nose' is point 'jaw_1', and so is another name"),
            ("- a\n- A\n", "point name 'A' stands twice"),
            ("7\n", "names are '7'; expected auto, keep"),
            ("{", "not valid YAML"),
        ],
    )
    def test_what_is_wrong_with_it_is_said(self, tmp_path: Path, text: str, message: str) -> None:
        (tmp_path / "n.yaml").write_text(text)
        with pytest.raises((InputError, ParamsError), match=message):
            PointNames.parse(str(tmp_path / "n.yaml")).orders(IBUG68).of(["ear"], "x")

    def test_a_name_that_it_lacks_is_an_error(self) -> None:
        with pytest.raises(InputError, match="x: point 'nsoe' is not in --names; did you mean 'nose'"):
            PointNames.of({"nose": 30}).orders(IBUG68).of(["nsoe"], "x")

    def test_no_file_is_an_error(self) -> None:
        with pytest.raises(ParamsError, match="--names nowhere.yaml: no such file"):
            PointNames.parse("nowhere.yaml")


def test_parts_of_the_face_are_the_same_for_either_left() -> None:
    right = {"jaw": range(17), "left_eyebrow": range(17, 22), "right_eyebrow": range(22, 27)}
    assert misplaced_part(right, IBUG68) is None
    assert misplaced_part({"jaw": range(17), "nose": range(26, 36)}, IBUG68) == "nose"
    assert misplaced_part({"glasses": range(68)}, IBUG68) is None
