"""`flmd verify` on a project of two short stages: what it runs, what it compares, what it names."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flmd.cli.verify import _source
from flmd.errors import InputError, ParamsError
from flmd.experiments import machine
from flmd.experiments import reproduce as verify
from flmd.experiments.dvc_lock import Lock, LockedStage, parse_lock
from tests.pipeline.project import ROOT, Project

DVC_YAML = """stages:
  cut:
    cmd: python cut.py
    deps: [data/in.txt, cut.py]
    outs: [data/cut.bin, data/parts]
  train:
    cmd: python train.py
    deps: [data/cut.bin, train.py]
    outs: [data/model.bin]
    metrics: [{metrics.json: {cache: false}}]
"""
CUT = """import os, pathlib
text = pathlib.Path("data/in.txt").read_text()
pathlib.Path("data/cut.bin").write_text(text * 3)
pathlib.Path("data/parts").mkdir(exist_ok=True)
for i, part in enumerate(text.split()):
    pathlib.Path(f"data/parts/{i}.txt").write_text(part)
with open(os.environ["RUNS"], "a") as file:
    file.write(os.environ.get("FLMD_WORKERS", "-") + os.linesep)
"""
TRAIN = """import pathlib
data = pathlib.Path("data/cut.bin").read_bytes()
pathlib.Path("data/model.bin").write_bytes(data[::-1])
pathlib.Path("metrics.json").write_text('{"a": {"nme": 0.05}}')
"""


class Toy:
    """The project, and the commands run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runs = folder, folder.parent / "runs.txt"
        (folder / "data").mkdir(parents=True)
        texts = {"dvc.yaml": DVC_YAML, "cut.py": CUT, "train.py": TRAIN, "data/in.txt": "some raw data\n"}
        for name, text in texts.items():
            (folder / name).write_text(text)
        self("git", "init", "-q")
        self("dvc", "init", "-q")
        self("dvc", "repro", "-q")
        self.commit()

    def __call__(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        bin_folder = str(Path(sys.executable).parent)
        environment = {
            **os.environ,
            "PATH": bin_folder + os.pathsep + os.environ["PATH"],
            "RUNS": str(self.runs),
            "DVC_NO_ANALYTICS": "1",
            **{
                f"GIT_{who}_{what}": "t@localhost"
                for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")
            },
        }
        environment.pop("FLMD_WORKERS", None)
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def verify(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self(
            sys.executable, "-c", "from flmd.cli.flmd import main; main()", "verify", *options, check=False
        )

    def commit(self) -> None:
        self("git", "add", "-A")
        self("git", "commit", "-q", "-m", "x")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    return Toy(tmp_path_factory.mktemp("toy") / "project")


def test_everything_is_run_again_with_each_number_of_workers_and_is_equal(toy: Toy) -> None:
    toy.runs.unlink()
    # A change that is not committed is no part of what is verified.
    before = (toy.folder / "cut.py").read_text()
    (toy.folder / "cut.py").write_text("raise SystemExit(1)")
    done = toy.verify("--workers", "1", "--workers", "4")
    (toy.folder / "cut.py").write_text(before)
    assert done.returncode == 0, done.stderr
    assert toy.runs.read_text().split() == ["1", "4"]  # nothing came from DVC's caches
    rows = [line.split() for line in done.stdout.splitlines() if line.endswith(("equal", "DIFFERENT"))]
    assert [row[:2] for row in rows[:4]] == [
        ["cut", "data/cut.bin"],
        ["cut", "data/parts"],
        ["train", "data/model.bin"],
        ["train", "metrics.json"],
    ]
    assert len(rows) == 8
    assert all(row[2] == row[3] and row[4] == "equal" for row in rows)
    assert "1 changed files are not part of HEAD" in done.stderr
    assert "verified: 2 runs" in done.stdout
    assert list(toy.folder.parent.glob("flmd-verify-*")) == []


def test_another_result_is_named_with_its_stage_digests_and_cause(toy: Toy, tmp_path: Path) -> None:
    toy("git", "clone", "-q", ".", str(tmp_path / "clone"))
    other = object.__new__(Toy)
    other.folder, other.runs = tmp_path / "clone", tmp_path / "runs.txt"
    # Its dvc.lock says that train made something else; the code of train is another now.
    (other.folder / "train.py").write_text(TRAIN.replace("[::-1]", "[::-1] + b'!'"))
    other.commit()
    done = other.verify()
    assert done.returncode == 1
    lock = parse_lock((toy.folder / "dvc.lock").read_text(), "x")
    (line,) = [line for line in done.stderr.splitlines() if "differs:" in line]
    expected = lock.outs["data/model.bin"]
    assert line.startswith(f"data/model.bin (stage train) differs: expected md5 {expected}, got ")
    assert "note: dvc.lock has train with other train.py" in done.stderr
    assert "note: nothing says which machine made dvc.lock" in done.stderr
    assert "verified" not in done.stdout


def test_the_machines_of_both_sides_explain_a_difference(toy: Toy, tmp_path: Path) -> None:
    toy("git", "clone", "-q", ".", str(tmp_path / "clone"))
    other = object.__new__(Toy)
    other.folder, other.runs = tmp_path / "clone", tmp_path / "runs.txt"
    (other.folder / "reports").mkdir()
    machine.record(other.folder, parse_lock((other.folder / "dvc.lock").read_text(), "x"))
    made_on = json.loads((other.folder / machine.NAME).read_text())
    made_on["machine"] |= {"processor": "Another One", "instruction_sets": ["mmx"]}
    made_on["machine"]["versions"] |= {"numpy": "1.0"}
    (other.folder / machine.NAME).write_text(json.dumps(made_on))
    (other.folder / "train.py").write_text(TRAIN.replace("[::-1]", "[::-1] + b'!'"))
    other.commit()
    done = other.verify()
    assert done.returncode == 1
    rows = {line.split("  ")[0]: line for line in done.stdout.splitlines()}
    assert "Another One" in rows["processor"]
    assert "mmx" in rows["instruction sets only one has"]
    assert "1.0" in rows["numpy"]
    assert "torch" not in rows  # the same on both sides


def test_a_stage_that_fails_is_named_and_what_it_did_not_make(toy: Toy, tmp_path: Path) -> None:
    toy("git", "clone", "-q", ".", str(tmp_path / "clone"))
    other = object.__new__(Toy)
    other.folder, other.runs = tmp_path / "clone", tmp_path / "runs.txt"
    (other.folder / "train.py").write_text("raise SystemExit('no memory')")
    other.commit()
    done = other.verify()
    assert done.returncode == 1
    assert "no memory" in done.stderr
    assert "failed to reproduce 'train'" in done.stderr
    assert "data/model.bin (stage train) differs" in done.stderr
    assert "not made" in done.stdout


FLIPPED = {
    "data/cut.bin": "data/cut.bin: modified, not what dvc.lock says (made by stage cut, read by train)",
    "data/parts/1.txt": "data/parts/1.txt: modified, not what dvc.lock says (made by stage cut)",
    "data/in.txt": "data/in.txt: modified, not what dvc.lock says (an input, read by cut)",
}


def test_flipped_bytes_are_named_though_size_and_time_stayed(toy: Toy) -> None:
    kept = {name: ((toy.folder / name).stat(), (toy.folder / name).read_bytes()) for name in FLIPPED}
    try:
        for name, (before, content) in kept.items():
            (toy.folder / name).write_bytes(bytes([content[0] ^ 1]) + content[1:])
            os.utime(toy.folder / name, ns=(before.st_atime_ns, before.st_mtime_ns))
        done = toy.verify("--data")
    finally:
        for name, (before, content) in kept.items():
            (toy.folder / name).write_bytes(content)
            os.utime(toy.folder / name, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert done.returncode == 1
    named = [line for line in done.stderr.splitlines() if "not what dvc.lock says" in line]
    assert sorted(named) == sorted(FLIPPED.values())


def test_data_that_is_right_or_not_here_passes(toy: Toy) -> None:
    model = toy.folder / "data" / "model.bin"
    content = model.read_bytes()
    model.unlink()
    done = toy.verify("--data")
    model.write_bytes(content)
    assert done.returncode == 0, done.stderr
    assert "data/model.bin: not here" in done.stderr
    assert "verified: 4 paths have the bytes of dvc.lock, 1 are not here" in done.stdout


def test_numbers_within_the_tolerance_pass_and_others_are_named() -> None:
    expected = {"m": {"a.nme": 0.05, "a.fr": 0.1, "a.auc": 0.5}}
    assert verify.beyond(expected, {"m": {"a.nme": 0.0505, "a.fr": 0.1, "a.auc": 0.5}}, 0.001)[0] == []
    lines, summary = verify.beyond(expected, {"m": {"a.nme": 0.0525, "a.fr": float("nan")}}, 0.001)
    assert lines == [
        "m: a.nme is 0.0525, expected 0.05 within 0.001",
        "m: a.fr is nan, expected 0.1 within 0.001",
        "m: a.auc is missing now",
    ]
    assert summary == "2 numbers, largest difference 0.0025 (a.nme)"


def test_only_what_comes_from_training_may_differ_within_a_tolerance() -> None:
    def stage(name: str, deps: list[str], outs: list[str]) -> LockedStage:
        return LockedStage(name, dict.fromkeys(deps, "d"), dict.fromkeys(outs, "o"), {})

    steps = [
        ("cut", ["r"], ["x/a"]),
        ("train", ["x"], ["m"]),
        ("look", ["m"], ["n"]),
        ("other", ["x/a"], ["y"]),
    ]
    lock = Lock({name: stage(name, deps, outs) for name, deps, outs in steps})
    assert lock.downstream("train") == {"train", "look"}
    assert lock.downstream("cut") == {"cut", "train", "look", "other"}
    assert lock.inputs(lock.stages["train"]) == {}  # the folder x is what cut makes


def test_another_source_is_an_archive_of_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _source("a=raw.tar") == ("a", str(tmp_path / "raw.tar"))
    assert _source("a=s3://b/raw.tar") == ("a", "s3://b/raw.tar")
    with pytest.raises(ParamsError, match="expected NAME=PATH"):
        _source("raw.tar")
    params = tmp_path / "params.yaml"
    params.write_text("datasets:\n  a: {source: {sample: 900}, split: subject}\ntrain: {epochs: 10} # ten\n")
    with pytest.raises(ParamsError, match="no data set 'b'; expected one of a"):
        verify._change_params(params, {"b": "x"}, small=False)
    verify._change_params(params, {}, small=True)
    assert "source: {sample: 40}" in params.read_text()
    verify._change_params(params, {"a": "/x.tar"}, small=True)
    text = params.read_text()
    assert "source: /x.tar, split: subject" in text
    assert "epochs: 2" in text
    assert "# ten" in text


@pytest.mark.parametrize("text", ["stages: [1]", "stages: {a: {outs: [1]}}", "a: [", "- x", json.dumps([1])])
def test_a_damaged_lock_is_one_line(text: str) -> None:
    with pytest.raises(InputError, match="x: not a dvc.lock"):
        parse_lock(text, "x")


@pytest.mark.slow
def test_the_spread_over_seeds_is_that_of_trainings_on_the_same_arrays(
    finished_project: Project, tmp_path: Path
) -> None:
    spread = tmp_path / "seed_spread.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.seeds", "--seeds", "2", "--out", str(spread)],
        cwd=finished_project.folder,
        env={**finished_project.environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(spread.read_text())
    assert found["seeds"] == [1, 2]
    nme = found["metrics"]["ibug300w.nme"]
    first, second = (
        float(value) / 100 for value in re.findall(r"^seed \d: NME ibug300w ([\d.]+) %", done.stdout, re.M)
    )
    assert first != second
    assert nme["mean"] == pytest.approx((first + second) / 2, abs=1e-5)
    assert nme["sd"] == pytest.approx(abs(first - second) / 2**0.5, abs=2e-5)
