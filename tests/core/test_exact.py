"""The exact functions agree with libm and the rest of the field, and are made of single operations."""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Callable
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flmd.core import exact

RNG = np.random.default_rng(3)
WIDE = np.concatenate([RNG.uniform(-100, 100, 2000), RNG.uniform(-1, 1, 500) * 1e5, [0.0, np.pi, -np.pi / 2]])
ABOVE_0 = np.exp(RNG.uniform(-300, 300, 2000))


def in_last_places(found: np.ndarray, expected: list[float]) -> float:
    return float(np.max(np.abs(found - expected) / np.spacing(np.abs(expected))))


def test_functions_agree_with_libm() -> None:
    np.testing.assert_allclose(exact.sin(WIDE), [math.sin(x) for x in WIDE], rtol=0, atol=3e-16)
    np.testing.assert_allclose(exact.cos(WIDE), [math.cos(x) for x in WIDE], rtol=0, atol=3e-16)
    assert in_last_places(exact.log(ABOVE_0), [math.log(x) for x in ABOVE_0]) <= 3
    powers = np.log(ABOVE_0)
    assert in_last_places(exact.exp(powers), [math.exp(x) for x in powers]) <= 2
    y, x = RNG.normal(size=(2, 2000))
    assert in_last_places(exact.arctan2(y, x), list(map(math.atan2, y, x))) <= 6
    np.testing.assert_allclose(exact.power(np.abs(x), 2.2), np.abs(x) ** 2.2, rtol=1e-14)


def test_special_places() -> None:
    assert exact.sin(0) == 0
    assert exact.cos(0) == exact.exp(0) == 1
    assert exact.log(1) == exact.exp(-1000) == exact.power(0.0, 0.5) == exact.arctan2(0, 0) == 0
    np.testing.assert_array_equal(exact.arctan2([1, -1, 0], [0, 0, -1]), [np.pi / 2, -np.pi / 2, np.pi])


def test_quantiles_are_those_of_the_normal_distribution() -> None:
    shares = [1e-300, 1e-20, 1e-6, 0.024, 0.075, 0.0749, 0.3, 0.5, 0.93, 1 - 1e-6]
    expected = [NormalDist().inv_cdf(share) for share in shares]
    np.testing.assert_allclose(exact.normal_quantile(shares), expected, rtol=1e-14, atol=1e-15)
    levels = exact.normal_levels()
    assert (np.diff(levels) > 0).all()
    np.testing.assert_allclose(levels, -levels[::-1], atol=1e-10)
    assert levels.std() == pytest.approx(1, abs=1e-4)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_total_is_the_sum(values: list[float]) -> None:
    assert exact.total(np.array(values)) == pytest.approx(math.fsum(values), abs=1e-7)


def test_total_adds_the_second_half_to_the_first() -> None:
    big, small = 2.0**53, 1.0
    assert exact.total(np.array([big, small, -big, small])) == 2  # (big - big) + (1 + 1)
    assert exact.total(np.array([[1.0, 2], [3, 4], [5, 6]]), axis=0).tolist() == [9, 12]
    assert exact.total(np.zeros((0, 2)), axis=0).tolist() == [0, 0]


def test_products_and_inverses() -> None:
    a, b = RNG.normal(size=(2, 4, 5)), RNG.normal(size=(2, 5, 3))
    np.testing.assert_allclose(exact.product(a, b), a @ b, rtol=1e-13, atol=1e-14)
    square = RNG.normal(size=(30, 30))
    np.testing.assert_allclose(exact.inverse(square), np.linalg.inv(square), rtol=1e-9)
    with pytest.raises(np.linalg.LinAlgError):
        exact.inverse(np.zeros((2, 2)))
    x = RNG.uniform(-2, 7, 500)
    at, values = np.array([-1.0, 0, 2, 5]), RNG.normal(size=4)
    np.testing.assert_allclose(exact.interpolate(x, at, values), np.interp(x, at, values), atol=1e-14)
    np.testing.assert_allclose(exact.whole_power(x, 14), x**14, rtol=1e-13)


def test_products_on_a_grid_are_not_rounded() -> None:
    """So nothing hangs on the order of a sum: the same as with fractions of any size."""
    a, b = exact.on_grid(RNG.uniform(-4, 4, 250), 22), exact.on_grid(RNG.uniform(-2, 2, 250), 22)
    true = sum(Fraction(x) * Fraction(y) for x, y in zip(a.tolist(), b.tolist(), strict=True))
    assert Fraction(float(a @ b)) == Fraction(float(a[::-1].copy() @ b[::-1].copy())) == true


ONE_OPERATION = {
    *("abs", "sqrt", "rint", "floor", "multiply", "minimum", "maximum", "clip", "where", "frexp", "ldexp"),
    *("argmax", "searchsorted", "moveaxis", "concatenate", "broadcast_arrays", "asarray", "full_like"),
    *("empty_like", "zeros", "eye", "arange", "pi", "float64", "int32", "int64", "floating", "linalg"),
    "LinAlgError",
}  # fmt: skip


@pytest.mark.parametrize("function", [f for _, f in inspect.getmembers(exact, inspect.isfunction)])
def test_no_function_uses_more_of_numpy_than_single_operations(function: Callable[..., object]) -> None:
    tree = ast.parse(inspect.getsource(function))
    names = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("np", "np.linalg")
    }
    assert names <= ONE_OPERATION
    assert not any(isinstance(node, ast.MatMult) for node in ast.walk(tree))
    powers = [n.left for n in ast.walk(tree) if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Pow)]
    assert all(ast.unparse(base) in ("2.0", "-1") for base in powers)  # of a whole number: exact
