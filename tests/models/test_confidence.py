"""The relation of spread and error: against scikit-learn's isotonic means worked by hand, and a known law."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from flmd import models
from flmd.models.confidence import GROUPS, LEAST_POINTS, LIMIT, Confidence


def law(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Spreads, and errors that are exponentially distributed about a tenth of them: its mean is known."""
    rng = np.random.default_rng(seed)
    spread = rng.uniform(0.05, 0.3, (count, 10))
    return spread, rng.exponential(spread / 10)


def test_a_known_law_is_found() -> None:
    found = Confidence.fit(*law(4000))
    at = np.array([0.1, 0.15, 0.2, 0.25])
    np.testing.assert_allclose(found.error_at(at), at / 10, rtol=0.06)
    np.testing.assert_allclose(found.within_at(at), 1 - np.exp(-LIMIT / (at / 10)), atol=0.03)
    assert (found.faces, found.points) == (4000, 40000)
    assert len(found.spread) == GROUPS


def test_groups_that_are_out_of_order_are_pooled() -> None:
    # Five groups of 40 equal points: means 1, 3, 2, 4, 4 percent, which pool to 1, 2.5, 2.5, 4, 4.
    spread = np.repeat([0.1, 0.2, 0.3, 0.4, 0.5], 40)[:, None]
    error = np.repeat([0.01, 0.03, 0.02, 0.04, 0.04], 40)[:, None]
    found = Confidence.fit(spread, error)
    np.testing.assert_allclose(found.spread, [0.1, 0.2, 0.3, 0.4, 0.5])
    np.testing.assert_allclose(found.error, [0.01, 0.025, 0.025, 0.04, 0.04])
    # Small errors: all, none, all, none, none; (k + 1) / (n + 2), then pooled: 41/42, 1/2, 1/2, 1/42, 1/42.
    np.testing.assert_allclose(found.within, [41 / 42, 0.5, 0.5, 1 / 42, 1 / 42])
    np.testing.assert_allclose(found.error_at(np.array([0.0, 0.15, 0.45, 9.0])), [0.01, 0.0175, 0.04, 0.04])


def test_points_without_a_label_do_not_count_and_a_few_are_too_few() -> None:
    spread, error = law(100)
    error[:50] = np.nan
    assert Confidence.fit(spread, error) == Confidence.fit(spread[50:], error[50:])
    error[70:] = np.nan
    assert np.isfinite(error).sum() == LEAST_POINTS
    Confidence.fit(spread, error)
    error[69, 9] = np.nan
    with pytest.raises(ValueError, match="199 points; 200 are needed"):
        Confidence.fit(spread, error)


def test_it_comes_back_from_json() -> None:
    found = Confidence.fit(*law(50), source={"store": "faces.h5"})
    assert Confidence.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@pytest.mark.parametrize(
    "change",
    [
        {"spread": [0.2, 0.1]},
        {"error": [0.2, 0.1]},
        {"within": [0.1, 0.2]},
        {"within": [1.0, 0.2]},
        {"within": [0.2, 0.0]},
        {"error": [0.1]},
        {"error": [0.1, float("nan")]},
        {"limit": 0},
    ],
)
def test_numbers_that_make_no_sense_are_refused(change: dict[str, Any]) -> None:
    good = Confidence((0.1, 0.2), (0.1, 0.2), (0.9, 0.1)).to_dict()
    Confidence.from_dict(good)
    with pytest.raises(ValueError, match="confidence"):
        Confidence.from_dict({**good, **change})


@pytest.mark.parametrize("network", ["integral", "hourglass"])
def test_networks_tell_the_spread_of_their_maps_beside_the_same_points(network: str) -> None:
    torch.manual_seed(0)
    small = {
        "integral": {"input_size": 32, "width": 8},
        "hourglass": {"input_size": 256, "width": 8, "stacks": 1},
    }
    built: Any = models.build(network, points=3, channels=1, **small[network]).eval()
    x = torch.randn(2, 1, *[small[network]["input_size"]] * 2)
    with torch.inference_mode():
        points, both = built(x), built.points_and_spread(x)
    assert torch.equal(both[..., :2], points)
    assert both.shape == (2, 3, 3)
    # No map is wider than one with all its mass in two opposite corners.
    assert bool(((both[..., 2] > 0) & (both[..., 2] < 0.5**0.5)).all())


def test_the_spread_of_a_flat_map_is_that_of_a_square() -> None:
    built: Any = models.build("integral", points=1, channels=1, input_size=64, width=8).eval()
    with torch.inference_mode():
        built.maps.weight.zero_()
        built.maps.bias.zero_()
        spread = float(built.points_and_spread(torch.randn(1, 1, 64, 64))[0, 0, 2])
    # 16 equally likely places in each direction, a sixteenth apart: variance (16^2 - 1) / 12 / 16^2 each.
    assert spread == pytest.approx((2 * (16**2 - 1) / 12 / 16**2) ** 0.5, rel=1e-5)
