from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from flmd.training import curves
from flmd.training.curves import Curves, in_dvc_project

ROWS = [
    {"epoch": 1, "train_loss": 0.1 + 0.2, "lr": 1e-3},
    {"epoch": 2, "train_loss": 1.5e-7, "lr": 2.5e-08},
]


def dvc_project(folder: Path, *, commits: int) -> None:
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").touch()
    for _ in range(commits):
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", "-C", str(folder), *who, "commit", "-qm", "x", "--allow-empty"], check=True)


def written(folder: Path) -> dict[str, bytes]:
    log = Curves(folder)
    for row in ROWS:
        log.log(row)
    log.close()
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    # DVCLive's report names the files that it shows, from the current folder.
    for name in (str(folder), folder.name):
        files["report.html"] = files["report.html"].replace(name.encode(), b"FOLDER")
    return files


def test_dvclive_and_the_plain_writer_write_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not in_dvc_project(tmp_path)
    plain = written(tmp_path / "plain")
    dvc_project(tmp_path, commits=1)
    assert in_dvc_project(tmp_path / "deep")
    monkeypatch.setattr(curves, "PlainLive", None)  # DVCLive or nothing
    assert written(tmp_path / "dvclive") == plain
    tables = ["plots/metrics/lr.tsv", "plots/metrics/train_loss.tsv"]
    assert sorted(plain) == ["metrics.json", *tables, "report.html"]


def test_the_report_draws_every_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = written(tmp_path / "curves")["report.html"].decode()
    assert page.count("$schema") == 2
    assert '"1.5e-07"' in page  # the loss of the last epoch, as its table has it
    assert page.count('"step": "2"') == 2


def test_the_step_is_the_epoch_from_one_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert written(tmp_path / "curves")["plots/metrics/lr.tsv"] == b"step\tlr\n1\t0.001\n2\t2.5e-08\n"


def test_outside_a_dvc_project_none_is_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "curves")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".git", "curves"]


def test_a_repository_without_a_commit_gets_curves_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    dvc_project(tmp_path, commits=0)
    assert "metrics.json" in written(tmp_path / "curves")
    assert "warning: DVCLive cannot start" in capsys.readouterr().err


def test_old_curves_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert written(tmp_path / "curves") == written(tmp_path / "curves")


def test_no_folder_writes_nothing(tmp_path: Path) -> None:
    log = Curves(None)
    log.log(ROWS[0])
    log.close()
