"""``python -m benchmarks.limits`` and ``benchmarks.million``: what they measure, and what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import limits, million
from benchmarks.million import Cost


def test_every_cheap_step_runs_beside_its_floor(capsys: pytest.CaptureFixture[str]) -> None:
    steps = ["decode", "warp", "color", "write", "gather"]
    found = limits.main(["--rounds", "1", "--faces", "2", "--steps", *steps])
    assert [limit.step for limit in found] == steps
    assert all(limit.floor >= 0 and limit.reached >= 0 for limit in found)
    assert len(capsys.readouterr().out.splitlines()) == 3 + len(steps)


def test_the_least_of_each_is_kept_and_the_first_run_is_none() -> None:
    calls: list[str] = []
    least = limits.in_turns([lambda: calls.append("floor"), lambda: calls.append("step")], 2)
    assert calls == ["floor", "step"] * 3
    assert max(least) < 1


def test_costs_are_a_row_a_command() -> None:
    costs = [Cost(c, n, n / 1000, 9.0, n << 20) for n in (10, 2000) for c in million.COMMANDS]
    rows = million.table(costs).splitlines()
    assert rows[0] == "| | 10: CPU s | MiB | 2,000: CPU s | MiB |"
    assert rows[2] == "| convert | 0.0 | 10 | 2.0 | 2000 |"
    assert len(rows) == 2 + len(million.COMMANDS)


def test_a_command_that_fails_ends_the_measurement(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"stats: exit code 2\n.*none\.h5"):
        million.run("stats", [str(tmp_path / "none.h5")], 10, tmp_path)
