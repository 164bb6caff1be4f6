"""How far results lie apart that differ in nothing but the seed: what a difference has to be compared with.

The file is JSON: ``{"seeds": [...], "metrics": {dotted name: {"mean": number, "sd": number}}}``, written by
``python -m benchmarks.seeds``. ``sd`` is the standard deviation of the sample (divided by n - 1).
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from flmd.errors import InputError, ParamsError

NAME = "reports/seed_spread.json"
UNIT = "sigma"


def spread_of(runs: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation of each metric over at least two runs; of those that all runs have."""
    names = [name for name in runs[0] if all(name in run for run in runs)]
    return {
        name: {"mean": statistics.fmean(values), "sd": statistics.stdev(values)}
        for name in names
        for values in [[run[name] for run in runs]]
    }


def parse(text: str, where: str = NAME) -> dict[str, float]:
    """Dotted name -> standard deviation.

    Raises
    ------
    InputError : not such a file, or a deviation that is not a number from 0 up.
    """
    try:
        found = {str(name): float(entry["sd"]) for name, entry in json.loads(text)["metrics"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(
            "not a file of spreads", where=where, hint="write it with `python -m benchmarks.seeds`"
        ) from None
    for name, sd in found.items():
        if not (math.isfinite(sd) and sd >= 0):
            raise InputError(f"the sd of {name} is {sd}", where=where, expected="a number from 0 up")
    return found


def sigmas(text: str) -> Decimal | None:
    """The number in ``"2sigma"``; None for a text of another unit. ParamsError below 0."""
    number, unit, rest = text.strip().partition(UNIT)
    if not unit or rest:
        return None
    try:
        amount = Decimal(number.strip())
    except InvalidOperation:
        amount = Decimal("nan")
    if not (amount.is_finite() and amount >= 0):
        raise ParamsError(f"limit {text!r}", expected="a number from 0 up before sigma, such as 2sigma")
    return amount


def tolerances(spread: Mapping[str, float], amount: Decimal) -> dict[str, Any]:
    """Dotted name -> the difference that ``amount`` standard deviations are."""
    return {name: float(amount) * sd for name, sd in spread.items()}
