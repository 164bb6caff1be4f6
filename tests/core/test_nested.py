"""Dotted names and trees are two ways to write the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flmd.core.nested import flattened, nested
from flmd.errors import InputError

names = st.text("abcxyz_0", min_size=1, max_size=3)
trees = st.recursive(
    st.dictionaries(names, st.integers() | st.lists(st.integers()), min_size=1),
    lambda below: st.dictionaries(names, st.integers() | below, min_size=1),
)


def test_names_are_joined_by_dots_in_order() -> None:
    tree = {"train": {"lr": 0.1, "options": {"width": 1}}, "seed": 7, "empty": {}, 5: {"list": [{"a": 1}]}}
    assert list(flattened(tree).items()) == [
        ("train.lr", 0.1),
        ("train.options.width", 1),
        ("seed", 7),
        ("empty", {}),
        ("5.list", [{"a": 1}]),
    ]


@given(trees)
def test_nested_undoes_flattened(tree: dict[str, Any]) -> None:
    assert nested(flattened(tree)) == tree


def test_depth_is_no_limit() -> None:
    tree: dict[str, Any] = {"a": 1}
    for _ in range(5000):
        tree = {"a": tree}
    assert flattened(tree) == {".".join("a" * 5001): 1}


def test_a_part_named_like_a_metric_is_refused() -> None:
    with pytest.raises(InputError, match="also the name of a part"):
        nested({"a.nme": 1, "a.nme.faces": 2})
    with pytest.raises(InputError, match="also the name of a part"):
        nested({"a.nme.faces": 2, "a.nme": 1})
