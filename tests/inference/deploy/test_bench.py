"""Timing in turns, and the table of `flmd bench`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import dlib
import numpy as np
import pytest

from flmd.cli import flmd as command
from flmd.inference import bench, latency
from flmd.inference.deploy import export
from flmd.inference.latency import Timing
from tests.cli.test_cli import call
from tests.factories import write_picture
from tests.inference.deploy.models import model_file, noise, store  # noqa: F401  (a fixture)


def test_median_p95_least_and_rate_by_hand() -> None:
    timing = Timing([0.001 * n for n in range(1, 101)], [0.002, 0.001, 0.009])
    assert timing.median_ms == pytest.approx(50.5)
    assert timing.p95_ms == pytest.approx(95.05)
    assert timing.least_ms == pytest.approx(1)
    assert timing.cpu_ms == pytest.approx(2)
    assert timing.rate == pytest.approx(100 / 5.05)


def test_contenders_take_turns_and_each_has_its_own_time() -> None:
    """On a clock that only calls move: a call of `slow` takes 4 s, one of `quick` 1 s."""
    now, seen = [0.0], []

    def taking(name: str, seconds: float) -> latency.Call:
        def made(number: int) -> None:
            seen.append((name, number))
            now[0] += seconds

        return made

    contenders = {"quick": taking("quick", 1), "slow": taking("slow", 4)}
    timed = latency.in_turns(contenders, 16, turns=2, clock=lambda: now[0], cpu_clock=lambda: now[0] / 2)
    assert timed["quick"].seconds == [1] * 16  # 8 s in each of two turns
    assert timed["slow"].seconds == [4] * 4
    assert timed["slow"].cpu == [2] * 4
    order = [name for i, (name, _) in enumerate(seen) if i == 0 or seen[i - 1][0] != name]
    assert order == ["quick", "slow", "quick"]  # the second turn goes the other way round
    # Three calls to warm up, or as long as a turn.
    assert [n for name, n in seen if name == "slow"] == [0, 1, 0, 1, 0, 1, 2, 3]
    assert [n for name, n in seen if name == "quick"][:5] == [0, 1, 2, 0, 1]


def test_a_turn_makes_one_call_at_least_however_short_the_time() -> None:
    """A call takes 5 s, a turn has a third of a second: one to warm up and one that counts, three times."""
    now, seen = [0.0], []

    def call(number: int) -> None:
        seen.append(number)
        now[0] += 5

    timed = latency.in_turns({"a": call}, 1, turns=3, clock=lambda: now[0], cpu_clock=lambda: now[0])
    assert timed["a"].seconds == [5, 5, 5]
    assert seen == [0, 0, 0, 1, 0, 2]


def test_a_progress_bar_is_told_of_every_turn_of_every_contender() -> None:
    told: list[int] = []
    latency.in_turns({"a": abs, "b": abs}, 1e-12, turns=3, progress=told.append)
    assert told == [1] * 6


def tiny_predictor(path: Path) -> Path:
    """dlib's predictor of 68 points, trained on nothing worth knowing."""
    options = dlib.shape_predictor_training_options()
    options.cascade_depth, options.num_trees_per_cascade_level, options.tree_depth = 1, 1, 1
    options.feature_pool_size, options.num_test_splits, options.oversampling_amount = 20, 2, 1
    rng = np.random.default_rng(0)
    parts = [dlib.point(int(x), int(y)) for x, y in rng.integers(5, 95, (68, 2))]
    face = dlib.full_object_detection(dlib.rectangle(5, 5, 94, 94), parts)
    dlib.train_shape_predictor([noise(100, 100)], [[face]], options).save(str(path))
    return path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "TURNS", 1)
    monkeypatch.setattr(latency, "cores", lambda: 2)


@pytest.mark.usefixtures("quick")
def test_every_contender_has_its_rows(
    tmp_path: Path,
    store: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = model_file(tmp_path / "m.pt")
    export.export_model(model, tmp_path / "m.torchscript", "torchscript", check=store)
    predictor = tiny_predictor(tmp_path / "dlib.dat")
    arguments = [model, tmp_path / "m.torchscript", "--store", store, "--dlib", predictor]
    assert (
        call(monkeypatch, command, "bench", *arguments, "--seconds", "0.01", "-o", tmp_path / "b.json") == 0
    )
    printed = capsys.readouterr().out
    told = json.loads((tmp_path / "b.json").read_text())
    settings = [(row["part"], row["by"], row["batch"], row["threads"]) for row in told["rows"]]
    runtimes = ("torch", "TorchScript", "ONNX Runtime", "ONNX Runtime int8")
    assert settings[:16] == [
        ("landmarks", by, batch, threads) for threads in (1, 2) for batch in (1, 32) for by in runtimes
    ]
    assert settings[16:] == [
        ("cut a face", "OpenCV", 1, 1),
        ("landmarks", "dlib, from the picture", 1, 1),
        ("detector", "haar", 1, 1),
        ("detector", "haar", 1, 2),
    ]
    for row in told["rows"]:
        assert 0 < row["least_ms"] <= row["median_ms"] <= row["p95_ms"]
        assert row["face_ms"] == pytest.approx(row["median_ms"] / row["batch"])
        assert f"| {row['part']} | {row['by']} | {row['batch']} | {row['threads']} |" in printed
    assert told["conditions"]["cores"] == 2
    assert "torch" in told["conditions"]["versions"]
    assert "px on 8 faces of faces.h5" in printed
    assert "int8: NME" in printed


@pytest.mark.usefixtures("quick")
def test_without_onnxruntime_the_rest_is_measured_and_it_says_what_to_install(
    tmp_path: Path,
    store: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    model = model_file(tmp_path / "m.pt")
    measured = bench.time_models([model], store=store, detector="none", seconds=0.001)
    assert {row.by for row in measured.rows} == {"torch", "OpenCV"}
    assert "onnxruntime is not installed" in measured.notes[0]
    assert "pip install 'flmd[onnx]'" in measured.markdown()


def test_bad_arguments_end_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, wide = model_file(tmp_path / "m.pt"), model_file(tmp_path / "wide.pt", channels=3)
    (tmp_path / "text.dat").write_text("no forest")
    write_picture(tmp_path / "grey.png", np.full((80, 80, 3), 128, np.uint8))
    for arguments, message in (
        ([tmp_path / "gone.pt"], "gone.pt: no such file"),
        ([model, wide], "wide.pt: a second file for torch"),
        ([model, "--seconds", "0"], "--seconds 0; expected above 0"),
        ([model, "--detector", "eyes"], "detector 'eyes'"),
        ([model, "-o", tmp_path], "is a folder"),
        ([model, "--picture", tmp_path / "grey.png"], "haar finds no face in the 1 pictures"),
        ([tmp_path / "m.pt", "--dlib", tmp_path / "text.dat"], "text.dat: dlib cannot read it"),
        ([tmp_path / "m.pt", "--dlib", tmp_path / "gone.dat"], "gone.dat: no such file"),
    ):
        monkeypatch.setitem(sys.modules, "onnxruntime", None)  # nothing to export: quicker
        assert call(monkeypatch, command, "bench", *arguments) == 2, arguments
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1
