"""The sample's random numbers: their stream, and their distributions beside numpy's."""

from __future__ import annotations

import numpy as np
import pytest

from flmd.sources.sample.draws import Draws


def test_numbers_are_those_of_philox() -> None:
    raw = np.random.Philox(key=[5, 300], counter=[0, 1, 2, 3]).random_raw(4).tolist()
    draws = Draws([5, 300], [0, 1, 2, 3])
    assert draws.random() == (raw[0] >> 11) / 2**53
    assert draws.integers(10) == raw[1] * 10 // 2**64
    assert draws.integers(3, 6) == 3 + raw[2] * 3 // 2**64
    assert draws.uniform(-1, 3) == -1 + 4 * ((raw[3] >> 11) / 2**53)


@pytest.mark.parametrize(
    ("ours", "mean", "spread"),
    [
        (lambda d: d.random(20000), 1 / 2, 12**-0.5),
        (lambda d: d.normal(3, 2, 20000), 3, 2),
        (lambda d: d.grain((20000,)), 0, 1),
        (lambda d: np.array([d.gamma(1.2, 0.3) for _ in range(4000)]), 0.36, 0.3 * 1.2**0.5),
        (
            lambda d: np.array([d.beta(1.1, 1.5) for _ in range(2000)]),
            1.1 / 2.6,
            (1.65 / 2.6**2 / 3.6) ** 0.5,
        ),
        (lambda d: np.array([d.integers(5) for _ in range(4000)]), 2, 2**0.5),
        (lambda d: np.array([d.choice([0, 10], p=(3, 1)) for _ in range(4000)]), 2.5, 18.75**0.5),
    ],
    ids=["random", "normal", "grain", "gamma", "beta", "integers", "choice"],
)
def test_means_and_spreads(ours, mean: float, spread: float) -> None:  # type: ignore[no-untyped-def]
    values = ours(Draws(1))
    off = spread / len(values) ** 0.5
    assert values.mean() == pytest.approx(mean, abs=4 * off)
    assert values.std() == pytest.approx(spread, rel=0.06)


def test_shapes_and_permutations() -> None:
    draws = Draws(2)
    assert draws.normal((0, 5), (1, 0)).shape == (2,)
    assert draws.normal((0, 5), (1, 0))[1] == 5
    assert draws.normal(0, 1, (3, 4, 1)).shape == (3, 4, 1)
    assert draws.grain((3, 5, 3)).dtype == np.float32
    assert sorted(draws.permutation(9)) == list(range(9))
    assert sorted(draws.permutation([4, 2])) == [2, 4]
    assert {tuple(Draws(seed).permutation(3)) for seed in range(60)} == {
        (a, b, c) for a in range(3) for b in range(3) for c in range(3) if len({a, b, c}) == 3
    }
