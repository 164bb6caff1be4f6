"""The One-Euro filter against the paper's algorithm, written out for one number."""

from __future__ import annotations

import math

import numpy as np
import pytest

from flmd.inference.video.one_euro import OneEuro


def by_the_paper(values: list[float], times: list[float], low: float, beta: float) -> list[float]:
    """Casiez et al. 2012, Algorithm 1, with smoothing factor 1 / (1 + tau / T_e), tau = 1 / (2 pi f_c)."""

    def alpha(cutoff: float, period: float) -> float:
        return 1.0 / (1.0 + (1.0 / (2 * math.pi * cutoff)) / period)

    out, speed = [values[0]], 0.0
    for i in range(1, len(values)):
        period = times[i] - times[i - 1]
        a = alpha(1.0, period)
        speed = a * (values[i] - out[-1]) / period + (1 - a) * speed
        b = alpha(low + beta * abs(speed), period)
        out.append(b * values[i] + (1 - b) * out[-1])
    return out


def test_it_is_the_papers_filter() -> None:
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.uniform(0.01, 0.08, 60)).tolist()
    values = np.cumsum(rng.normal(0, 2, 60)).tolist()
    smooth = OneEuro(min_cutoff=1.2, beta=0.4)
    got = [float(smooth(np.array([v]), t)[0]) for v, t in zip(values, times, strict=True)]
    np.testing.assert_allclose(got, by_the_paper(values, times, 1.2, 0.4), rtol=1e-12)


def test_jitter_at_rest_shrinks_and_motion_hardly_lags() -> None:
    rng = np.random.default_rng(2)
    side = 100.0  # px, of the face; it rests for 2 s, then crosses its own width in half a second
    true = np.concatenate([np.zeros(60), np.linspace(0, side, 15), np.full(30, side)])
    seen = true + rng.normal(0, 0.5, len(true))
    smooth = OneEuro()
    got = np.array([smooth(np.array([v]), i / 30, side)[0] for i, v in enumerate(seen)])
    assert got[20:60].std() < 0.6 * seen[20:60].std()
    assert np.abs(got - true)[60:75].max() < 0.1 * side
    assert abs(got[-1] - side) < 1


def test_each_number_is_smoothed_by_itself() -> None:
    both, alone = OneEuro(), OneEuro()
    for i in range(20):
        pair = both(np.array([[float(i**2), 5.0]]), i / 25)
        assert pair[0, 0] == pytest.approx(float(alone(np.array([float(i**2)]), i / 25)[0]))
        assert pair[0, 1] == 5.0


def test_a_clock_that_stands_still_filters_nothing() -> None:
    smooth = OneEuro()
    smooth(np.array([1.0]), 2.0)
    assert smooth(np.array([9.0]), 2.0).tolist() == [9.0]
