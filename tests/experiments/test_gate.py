"""A planted regression, a missing metric and a NaN fail the gate; nothing else does."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flmd.cli import flmd
from flmd.errors import ParamsError
from flmd.experiments.gate import Limit, higher_is_better, judge

GOOD = {"ibug300w": {"faces": 225, "nme": 0.05, "auc08": 0.4, "fr08": 0.0}, "epochs": 3}


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def put(folder: Path, metrics: object) -> None:
    (folder / "reports").mkdir(exist_ok=True)
    (folder / "reports" / "metrics.json").write_text(json.dumps(metrics))


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository whose tag `good` holds GOOD, `nan` a NaN, `bare` no metrics; no DVC in it."""
    folder = tmp_path_factory.mktemp("repository")
    git(folder, "init", "-q")
    git(folder, "commit", "-q", "--allow-empty", "-m", "nothing yet")
    git(folder, "tag", "bare")
    for tag, metrics in (("nan", {"ibug300w": {"nme": math.nan}}), ("good", GOOD)):
        put(folder, metrics)
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", tag)
        git(folder, "tag", tag)
    return folder


@pytest.fixture
def gate(committed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Run `flmd gate` on metrics as they are now; give the exit code and what it printed."""

    def call(now: object, *arguments: str, baseline: str = "good") -> tuple[int, str]:
        put(committed, now)
        monkeypatch.chdir(committed)
        monkeypatch.setattr("sys.argv", ["flmd", "gate", "--baseline", baseline, *arguments])
        with pytest.raises(SystemExit) as ended:
            flmd.main()
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out + shown.err

    return call


def changed(**values: Any) -> dict[str, Any]:
    return {**GOOD, "ibug300w": {**GOOD["ibug300w"], **values}}  # type: ignore[dict-item]


NME = ("--metric", "ibug300w.nme", "--max-regression", "2%")


def test_the_same_metrics_pass(gate: Any) -> None:
    code, says = gate(GOOD, *NME)
    assert code == 0
    assert "ibug300w.nme" in says
    assert "same" in says


def test_a_planted_regression_fails(gate: Any) -> None:
    code, says = gate(changed(nme=0.0511), *NME)
    assert code == 1
    assert "REGRESSION" in says
    assert "+0.0011 (+2.20 %)" in says


def test_exactly_the_limit_passes_and_a_hair_more_fails(gate: Any) -> None:
    # In floating point (0.051 - 0.05) / 0.05 is 0.0200000000000000018.
    assert gate(changed(nme=0.051), *NME)[0] == 0
    assert gate(changed(nme=0.05100001), *NME)[0] == 1


def test_without_a_limit_nothing_may_get_worse(gate: Any) -> None:
    assert gate(changed(nme=0.05000001), "--metric", "ibug300w.nme")[0] == 1
    assert gate(changed(nme=0.04), "--metric", "ibug300w.nme")[0] == 0


def test_a_missing_metric_fails_on_either_side(gate: Any) -> None:
    code, says = gate({"ibug300w": {"auc08": 0.5}}, *NME)
    assert (code, "MISSING now" in says) == (1, True)
    code, says = gate(GOOD, *NME, baseline="bare")
    assert (code, "MISSING in the baseline" in says) == (1, True)
    assert "no reports/metrics.json in bare" in says
    code, says = gate(GOOD, "--metric", "ibug300w.nme_mouht:2%")
    assert (code, "MISSING in the baseline and now" in says) == (1, True)
    assert "there is no metric ibug300w.nme_mouht; did you mean 'ibug300w.nme'?" in says


def test_a_missing_metric_is_named_before_its_direction_is_asked_for(gate: Any) -> None:
    code, says = gate(GOOD, "--metric", "ibug300w.nmee")
    assert (
        code,
        "--metric ibug300w.nmee: there is no such metric; did you mean 'ibug300w.nme'?" in says,
    ) == (
        2,
        True,
    )
    assert "which way" not in says


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "0.04", True, [0.04], {}])
def test_what_is_no_finite_number_fails(gate: Any, value: Any) -> None:
    code, says = gate(changed(nme=value), *NME)
    assert (code, "NOT A NUMBER now" in says) == (1, True)


def test_a_nan_in_the_baseline_fails(gate: Any) -> None:
    code, says = gate(GOOD, *NME, baseline="nan")
    assert (code, "NOT A NUMBER in the baseline" in says) == (1, True)


def test_every_metric_has_its_own_limit_and_direction(gate: Any) -> None:
    several = (
        "--metric",
        "ibug300w.nme:0.002",
        "--metric",
        "ibug300w.auc08:5%",
        "--metric",
        "ibug300w.fr08:0.01",
    )
    assert gate(changed(nme=0.052, auc08=0.38, fr08=0.01), *several)[0] == 0
    for name, value in (("nme", 0.0521), ("auc08", 0.379), ("fr08", 0.011)):
        code, says = gate(changed(**{name: value}), *several)
        assert (code, says.count("REGRESSION")) == (1, 1)
        assert "REGRESSION" in next(line for line in says.splitlines() if f"ibug300w.{name}" in line)


def test_an_unknown_direction_has_to_be_said(gate: Any) -> None:
    code, says = gate(GOOD, "--metric", "epochs")
    assert (code, "does not say which way is better" in says) == (2, True)
    more = {**GOOD, "epochs": 4}
    assert gate(more, "--metric", "epochs", "--higher-is-better")[0] == 0
    assert gate(more, "--metric", "epochs", "--lower-is-better")[0] == 1
    assert gate(GOOD, *NME, "--higher-is-better")[0] == 2  # the name says otherwise


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--metric", "ibug300w.nme:2x"), "limit '2x'; expected"),
        (("--metric", "ibug300w.nme:-1%"), "limit '-1%'; expected 0 or more"),
        (("--metric", "ibug300w.nme", "--max-regression", "nan"), "limit 'nan'"),
        (("--metric", ":2%"), "expected a name"),
        (("--metric", "a.nme", "--metric", "a.nme:1%"), "given twice"),
        (("--metric", "a.nme", "--file", "../elsewhere.json"), "outside the project"),
        (("--metric", "a.nme", "--revision", "nosuch"), "no revision 'nosuch'"),
        ((), "Missing option '--metric'"),
    ],
)
def test_a_question_without_sense_is_one_line_and_2(gate: Any, arguments: tuple[str, ...], says: str) -> None:
    code, shown = gate(GOOD, *arguments)
    assert code == 2
    assert says in shown
    assert len(shown.splitlines()) == 1


@pytest.mark.parametrize("name", ["\x1b[2J\x9b1ma.nme", "\x1b]0;owned\x07"])
def test_a_name_cannot_command_the_terminal(gate: Any, name: str) -> None:
    _, shown = gate(GOOD, "--metric", name)
    assert all(line.isprintable() for line in shown.splitlines())
    assert r"\x1b" in shown


@pytest.mark.parametrize("name", ["nosuch", "", "HEAD~99", "../.."])
def test_an_unknown_baseline_is_2(gate: Any, name: str) -> None:
    code, shown = gate(GOOD, *NME, baseline=name)
    assert (code, f"no revision {name!r}" in shown) == (2, True)


def test_without_git_that_is_what_is_said(
    gate: Any, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path_factory.mktemp("empty")))
    code, shown = gate(GOOD, *NME)
    assert (code, "git is not installed" in shown, len(shown.splitlines())) == (2, True, 1)


@pytest.mark.parametrize("name", ["HEAD:", "HEAD^{tree}", "HEAD:reports"])
def test_a_tree_is_no_baseline(gate: Any, name: str) -> None:
    code, shown = gate(GOOD, *NME, baseline=name)
    assert (code, f"no revision {name!r}" in shown) == (2, True)


def test_metrics_that_cannot_be_read_are_2(gate: Any, committed: Path) -> None:
    assert gate([1, 2], *NME)[0] == 2
    gate(GOOD, *NME)
    (committed / "reports" / "broken.json").write_text('{"a": ')
    code, shown = gate(GOOD, *NME, "--file", "reports/broken.json")
    assert (code, "reports/broken.json in workspace: cannot be read" in shown) == (2, True)


def test_another_number_of_faces_is_said(gate: Any) -> None:
    code, shown = gate(changed(faces=15, nme=0.01), *NME)
    assert code == 0
    assert "note: ibug300w measured on 15 faces, the baseline 225" in shown


def test_two_revisions_are_compared_without_the_files_of_the_folder(gate: Any) -> None:
    code, shown = gate({}, *NME, "--revision", "HEAD")
    assert (code, "same" in shown) == (0, True)


def test_metrics_beside_the_working_folder_and_in_yaml(gate: Any, committed: Path, monkeypatch: Any) -> None:
    (committed / "reports" / "now.yaml").write_text("ibug300w: {nme: 0.05}\n")
    git(committed, "add", "reports/now.yaml")
    git(committed, "commit", "-q", "-m", "yaml")
    assert gate(GOOD, *NME, "--file", "reports/now.yaml", baseline="HEAD")[0] == 0


def test_what_a_name_says() -> None:
    lower = (
        "nme",
        "a.nme_mouth",
        "a.mean_shape_nme",
        "a.fr08",
        "val_loss",
        "val_error_px",
        "a.faces_unmeasured",
    )
    assert {higher_is_better(name) for name in lower} == {False}
    assert {higher_is_better(name) for name in ("a.auc08", "a.nme_ratio", "ratio", "accuracy")} == {True}
    # A part's name is not its metric's; `frontal` is no failure rate.
    assert {higher_is_better(name) for name in ("nme.faces", "lr", "frontal", "a.size")} == {None}


def verdict(old: float, new: float, limit: str, higher: bool = False) -> str:
    return judge("m", {"m": old}, {"m": new}, Limit.parse(limit), higher=higher).says


def test_baselines_of_zero_and_below() -> None:
    # A share of nothing is nothing; an amount still counts.
    assert verdict(0.0, 0.0, "50%") == "same"
    assert verdict(0.0, 1e-9, "50%") == "REGRESSION"
    assert verdict(0.0, 0.001, "0.001") == "within the limit"
    # A share of -10 is of 10: up to -9 when lower is better, down to -11 when higher is.
    assert verdict(-10, -9, "10%") == "within the limit"
    assert verdict(-10, -8.99, "10%") == "REGRESSION"
    assert verdict(-10, -11, "10%", higher=True) == "within the limit"
    assert verdict(-10, -11.01, "10%", higher=True) == "REGRESSION"
    assert verdict(-10, -12, "10%") == "better"


numbers = st.floats(-1e6, 1e6, allow_nan=False)


@given(numbers, numbers, st.integers(0, 400), st.booleans())
def test_the_two_directions_mirror_each_other(old: float, new: float, percent: int, higher: bool) -> None:
    assert verdict(old, new, f"{percent}%", higher) == verdict(-old, -new, f"{percent}%", not higher)


@given(numbers, numbers)
def test_a_larger_limit_never_fails_what_a_smaller_one_passed(old: float, new: float) -> None:
    order = [verdict(old, new, f"{percent}%") == "REGRESSION" for percent in (0, 1, 10, 1000)]
    assert order == sorted(order, reverse=True)


def test_a_limit_reads_back() -> None:
    assert [str(Limit.parse(text)) for text in ("0%", "2%", "10 %", "0.5%", "0.002")] == [
        "0 %", "2 %", "10 %", "0.5 %", "0.002"
    ]  # fmt: skip
    for text in ("", "%", "two", "1e400%x", "inf", "--1"):
        with pytest.raises(ParamsError):
            Limit.parse(text)
