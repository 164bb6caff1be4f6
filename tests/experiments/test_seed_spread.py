"""What a difference is compared with: the spread over seeds."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from flmd.errors import InputError, ParamsError
from flmd.experiments import seed_spread
from flmd.experiments.gate import Limit, judge
from flmd.experiments.reproduce import beyond

NO_SPREADS = (
    "",
    "[]",
    '{"metrics": {"a": {}}}',
    '{"metrics": {"a": {"sd": "x"}}}',
    '{"metrics": {"a": {"sd": -1}}}',
    '{"metrics": {"a": {"sd": NaN}}}',
)


def test_mean_and_deviation_by_hand() -> None:
    found = seed_spread.spread_of([{"a.nme": 0.02, "b": 1.0}, {"a.nme": 0.04}, {"a.nme": 0.06, "b": 2.0}])
    assert set(found) == {"a.nme"}  # b is missing in one run
    assert found["a.nme"]["mean"] == pytest.approx(0.04)
    assert found["a.nme"]["sd"] == pytest.approx(0.02)  # sqrt((0.02^2 + 0 + 0.02^2) / 2)


@pytest.mark.parametrize("text", NO_SPREADS)
def test_a_file_that_is_no_spread_is_one_line(text: str) -> None:
    with pytest.raises(InputError) as error:
        seed_spread.parse(text)
    assert "seed_spread.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_number_of_sigmas() -> None:
    assert seed_spread.sigmas("2sigma") == 2
    assert seed_spread.sigmas(" 1.5 sigma ") == Decimal("1.5")
    assert seed_spread.sigmas("2%") is None
    for text in ("sigma", "-1sigma", "xsigma", "nansigma"):
        with pytest.raises(ParamsError):
            seed_spread.sigmas(text)


@pytest.mark.parametrize(("now", "passed"), [(0.05, True), (0.054, True), (0.0541, False), (0.04, True)])
def test_worse_by_more_than_two_sigma_fails(now: float, passed: bool) -> None:
    limit = Limit.parse("2sigma")
    verdict = judge("a.nme", {"a.nme": 0.05}, {"a.nme": now}, limit, higher=False, spread={"a.nme": 0.002})
    assert verdict.passed is passed
    assert verdict.limit == "+2 sigma"


def test_a_metric_without_a_spread_fails() -> None:
    verdict = judge("a.nme", {"a.nme": 0.05}, {"a.nme": 0.05}, Limit.parse("2sigma"), higher=False)
    assert not verdict.passed
    assert verdict.says == "NO SPREAD KNOWN"


def test_each_number_has_a_tolerance_of_its_own() -> None:
    allowed = seed_spread.tolerances(
        seed_spread.parse(json.dumps({"metrics": {"a": {"sd": 0.1}}})), Decimal(2)
    )
    before = {"m.json": {"a": 1.0, "faces": 10.0}}
    assert beyond(before, {"m.json": {"a": 1.19, "faces": 10.0}}, allowed)[0] == []
    lines, _ = beyond(before, {"m.json": {"a": 1.21, "faces": 11.0}}, allowed)
    assert [line.split()[1] for line in lines] == ["a", "faces"]
