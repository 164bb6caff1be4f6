"""From points to the box that a data set would have drawn."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flmd.core.box_rule import BoxRule


def test_a_rule_by_hand() -> None:
    """Points span 10 x 20 pixels from (5, 5); the square of side 30 has its middle 2 px lower than theirs."""
    points = np.array([[[5, 5], [14, 24], [9, 9]]], np.float64)
    rule = BoxRule.fit(points, [[9.5 - 14.5, 16.5 - 14.5, 30, 30]])
    assert rule == BoxRule(0.0, 0.1, 1.5)
    np.testing.assert_allclose(rule.boxes(points), [[-5, 2, 30, 30]])


@given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(0.5, 3), st.integers(0, 99))
def test_a_rule_is_found_again_from_boxes_drawn_by_it(
    right: float, down: float, size: float, seed: int
) -> None:
    points = np.random.default_rng(seed).uniform(0, 200, (5, 9, 2))
    drawn = BoxRule(right, down, size)
    found = BoxRule.fit(points, drawn.boxes(points))
    assert found is not None
    np.testing.assert_allclose([found.right, found.down, found.size], [right, down, size], atol=1e-9)


def test_faces_without_all_points_do_not_count() -> None:
    points = np.full((2, 3, 2), np.nan)
    assert BoxRule.fit(points, np.ones((2, 4))) is None
    points[0] = 7.0  # all in one place
    assert BoxRule.fit(points, np.ones((2, 4))) is None
    assert np.isnan(BoxRule(0, 0, 1).boxes(points)[1]).all()
