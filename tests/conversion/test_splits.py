"""Splits by subject: nobody in two splits, shares reached, names alone decide."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from flmd.conversion import splits

people = st.lists(st.sampled_from([f"person {i}" for i in range(30)]), min_size=1, max_size=200)


@given(subjects=people, val=st.floats(0, 0.5), test=st.floats(0, 0.5), seed=st.integers(0, 9))
def test_no_subject_is_on_two_sides(subjects: list[str], val: float, test: float, seed: int) -> None:
    sides = splits.by_subject(subjects, val=val, test=test, seed=seed)
    assert all(not names for names in splits.shared_subjects(subjects, sides).values())
    assert Counter(sides)["test"] >= test * len(subjects) - 1e-9


@given(subjects=people, seed=st.integers(0, 9))
def test_order_of_faces_does_not_matter(subjects: list[str], seed: int) -> None:
    forward = dict(zip(subjects, splits.by_subject(subjects, val=0.2, test=0.2, seed=seed), strict=True))
    turned = subjects[::-1]
    backward = dict(zip(turned, splits.by_subject(turned, val=0.2, test=0.2, seed=seed), strict=True))
    assert forward == backward


def test_take_share_takes_the_fewest_subjects_that_reach_it() -> None:
    subjects = ["a"] * 6 + ["b"] * 3 + ["c"]
    taken = splits.take_share(subjects, 0.1, seed=0)
    assert len(taken) == 1
    assert splits.take_share(subjects, 0.0, seed=0) == set()
    assert splits.take_share(subjects, 1.0, seed=0) == {"a", "b", "c"}


def test_hold_out_moves_training_subjects_only_and_keeps_a_given_validation() -> None:
    subjects, sides = ["a", "a", "b", "c"], ["train", "train", "train", "test"]
    held = splits.hold_out(subjects, sides, val=0.3, seed=1)
    assert held[3] == "test"
    assert held[0] == held[1]
    assert "val" in held
    given_val = ["train", "val", "train", "test"]
    assert splits.hold_out(subjects, given_val, val=0.3, seed=1) == given_val


def test_shared_subjects_names_who_is_on_two_sides() -> None:
    shared = splits.shared_subjects(["a", "a", "b"], ["train", "test", "test"])
    assert shared == {"train-test": ["a"]}
