"""Is an experiment worse than a baseline? The rules behind `flmd gate`.

Everything that is not a clean comparison of two numbers fails: a metric that one side lacks, NaN, infinity,
text. Limits are compared in exact decimal arithmetic, so that "2 %" of 0.05 is 0.001 and not a little less.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from flmd.core.terminal import TextTable
from flmd.errors import ParamsError, did_you_mean
from flmd.experiments import seed_spread
from flmd.experiments.revision_files import finite

LOWER = ("nme", "fr", "loss", "error", "unmeasured")
HIGHER = ("auc", "ratio", "accuracy")


@dataclass(frozen=True)
class Limit:
    """How much worse a metric may get.

    Attributes
    ----------
    amount : of the metric; a share of the baseline's size; or standard deviations over seeds.
    is_share, is_sigma : which of these. At most one is True.
    """

    amount: Decimal
    is_share: bool
    is_sigma: bool = False

    @classmethod
    def parse(cls, text: str) -> Limit:
        """``"2%"`` is a share, ``"0.002"`` an amount, ``"2sigma"`` a number of standard deviations.

        ParamsError for anything else, or below 0.
        """
        in_sigmas = seed_spread.sigmas(text)
        if in_sigmas is not None:
            return cls(in_sigmas, is_share=False, is_sigma=True)
        number, is_share = text.strip(), False
        if number.endswith("%"):
            number, is_share = number[:-1].strip(), True
        try:
            amount = Decimal(number) / (100 if is_share else 1)
        except InvalidOperation:
            amount = Decimal("nan")
        if not (amount.is_finite() and amount >= 0):
            raise ParamsError(
                f"limit {text!r}",
                expected="0 or more: a share of the baseline such as 2%, an amount such as 0.002, or 2sigma",
            )
        return cls(amount, is_share)

    def allowed(self, baseline: Decimal, sd: float = 0.0) -> Decimal:
        """The amount by which a metric may be worse than ``baseline``; a share is of its absolute value.

        ``sd``: the metric's standard deviation over seeds, for a limit in sigma.
        """
        if self.is_sigma:
            return self.amount * _exact(sd)
        return self.amount * abs(baseline) if self.is_share else self.amount

    def __str__(self) -> str:
        if self.is_sigma:
            return f"{self.amount.normalize():f} sigma"
        return f"{(self.amount * 100).normalize():f} %" if self.is_share else f"{self.amount:f}"


def higher_is_better(metric: str) -> bool | None:
    """What a metric's name says, by the words of its last part; None where it says nothing.

    Examples
    --------
    >>> higher_is_better("ibug300w.auc08"), higher_is_better("ibug300w.nme_mouth")
    (True, False)
    """
    words = set(re.split(r"[^a-z]+", metric.rpartition(".")[2].lower()))
    if words & set(HIGHER):  # nme_ratio is a ratio of errors to this model's
        return True
    return False if words & set(LOWER) else None


@dataclass(frozen=True)
class Verdict:
    """One metric, judged. ``passed`` is False for a regression and for whatever could not be compared."""

    metric: str
    baseline: Any
    now: Any
    limit: str
    says: str
    passed: bool

    @property
    def change(self) -> str:
        """The difference, and its share of the baseline's size."""
        if not (finite(self.baseline) and finite(self.now)):
            return "-"
        difference = _exact(self.now) - _exact(self.baseline)
        if not difference:
            return "0"
        if not self.baseline:
            return f"{difference:+.6g}"
        return f"{difference:+.6g} ({100 * difference / abs(_exact(self.baseline)):+.2f} %)"


def judge(
    metric: str,
    baseline: Mapping[str, Any],
    now: Mapping[str, Any],
    limit: Limit,
    *,
    higher: bool,
    spread: Mapping[str, float] | None = None,
) -> Verdict:
    """Compare one metric of two flat sets of metrics.

    Parameters
    ----------
    limit : worse by exactly this much still passes. A share of a baseline of 0 allows nothing.
    higher : whether a larger value is better.
    spread : metric -> standard deviation over seeds, for a limit in sigma.
    """
    old, new = baseline.get(metric), now.get(metric)
    sign = "-" if higher else "+"

    def says(text: str, passed: bool = False) -> Verdict:
        return Verdict(metric, old, new, f"{sign}{limit}", text, passed)

    sides = (("in the baseline", baseline), ("now", now))
    for failure, found in (
        ("MISSING", [side for side, values in sides if metric not in values]),
        ("NOT A NUMBER", [side for side, values in sides if not finite(values.get(metric))]),
    ):
        if found:
            return says(f"{failure} {' and '.join(found)}")
    sd = (spread or {}).get(metric)
    if limit.is_sigma and sd is None:
        return says("NO SPREAD KNOWN")
    before, after = _exact(baseline[metric]), _exact(now[metric])
    worse = before - after if higher else after - before
    if worse > limit.allowed(before, sd or 0.0):
        return says("REGRESSION")
    return says("better" if worse < 0 else "same" if worse == 0 else "within the limit", True)


def table(verdicts: Sequence[Verdict], baseline: str, now: str) -> TextTable:
    """The verdicts, a row each; ``baseline`` and ``now`` head the columns of values."""
    rows = [[v.metric, _cell(v.baseline), _cell(v.now), v.change, v.limit, v.says] for v in verdicts]
    header = ["metric", baseline, now, "change", "limit", "verdict"]
    colours = {
        "better": "green",
        "REGRESSION": "red",
        "MISSING": "red",
        "NOT A NUMBER": "red",
        "NO SPREAD": "red",
    }
    return TextTable(header, rows, left=(0, 5), colours=colours)


def notes(metrics: Sequence[str], baseline: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What makes a comparison unfair: a different number of faces measured or left out on the two sides.

    And of a metric that neither side has, which one may be meant.
    """
    there = dict.fromkeys([*baseline, *now])
    found = [
        f"note: there is no metric {name}; {did_you_mean(name, there) or 'none is called so'}"
        for name in metrics
        if there and name not in there
    ]
    for part in dict.fromkeys(metric.rpartition(".")[0] for metric in metrics):
        for key, about in (("faces", "measured on"), ("faces_unmeasured", "could not measure")):
            name = f"{part}.{key}" if part else key
            old, new = baseline.get(name), now.get(name)
            if old is not None and new is not None and old != new:
                found.append(f"note: {part or 'the model'} {about} {new} faces, the baseline {old}")
    return found


def _exact(value: float) -> Decimal:
    """A float as the shortest decimal that reads back as it: what the file says."""
    return Decimal(repr(value))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if finite(value):
        return f"{value:.6g}"
    text = repr(value)
    return text if len(text) <= 16 else text[:15] + "…"
