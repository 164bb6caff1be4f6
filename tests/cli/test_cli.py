"""The two commands on a store: train, go on, measure; and what they say of themselves."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from flmd import __version__
from flmd.cli import flmd, flmd_data
from tests.factories import convert_list, make_face, write_picture
from tests.pipeline.project import ROOT


def call(monkeypatch: pytest.MonkeyPatch, entry, *arguments: object) -> int:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(sys, "argv", ["flmd", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    return int(ended.value.code or 0)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    faces = []
    for i in range(16):
        rng = np.random.default_rng(i)
        write_picture(tmp_path / f"{i}.png", rng.integers(0, 255, (100, 110, 3), dtype=np.uint8))
        split = "test" if i % 4 == 0 else "val" if i % 4 == 1 else "train"
        faces.append(make_face(f"{i}.png", seed=i, subject=f"s{i}", split=split))
    convert_list(tmp_path, faces, tmp_path / "faces.h5")[1].close()
    return tmp_path / "faces.h5"


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    yaml = YAML()
    tree = yaml.load(ROOT / "params.yaml")
    tree["augment"].update(input_size=32, variants=2, albumentations=[])
    tree["train"].update(epochs=1, network_options={"width": 0.125, "middle_blocks": 1})
    yaml.dump(tree, tmp_path / "small.yaml")
    return tmp_path / "small.yaml"


def test_train_then_evaluate_on_any_store(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    store: Path,
    settings: Path,
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    assert call(monkeypatch, flmd, "train", store, "-o", run, "--params", settings, "--workers", 1) == 0
    assert {"best.pt", "last.pt", "arrays.h5", "curves"} <= {p.name for p in run.iterdir()}
    capsys.readouterr()
    out = tmp_path / "measured"
    assert call(monkeypatch, flmd, "evaluate", store, "-m", run / "best.pt", "-o", out) == 0
    title, _, header, *rows = capsys.readouterr().out.splitlines()
    assert title.startswith("NME in % of the distance of the outer eye corners (inter-ocular)")
    assert header.split()[:3] == ["faces", "NME", "%"]
    assert rows[0].split()[:2] == ["test", "4"]
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["test"]["faces"] == 4
    assert metrics["test"]["mean_shape_nme"] > 0
    assert (out / "plots" / "worst.png").exists()
    made_from = json.loads((out / "evaluation.json").read_text())["made_from"]
    assert set(made_from["inputs"]) == {"faces.h5", "best.pt"}
    twice = tmp_path / "twice"
    looks = ("--second-look", "--flip-average")
    assert call(monkeypatch, flmd, "evaluate", store, "-m", run / "best.pt", "-o", twice, *looks) == 0
    assert json.loads((twice / "metrics.json").read_text())["test"]["nme"] != metrics["test"]["nme"]
    used = json.loads((twice / "evaluation.json").read_text())["made_from"]["params"]["evaluate"]
    assert used["second_look"] is used["flip_average"] is True
    capsys.readouterr()
    assert call(monkeypatch, flmd, "models", run / "best.pt") == 0
    card = capsys.readouterr().out
    assert hashlib.sha256((run / "best.pt").read_bytes()).hexdigest() in card
    assert "flmd train faces.h5 --out FOLDER" in card
    assert f"NME       test: {100 * metrics['test']['nme']:.2f} %" in card
    assert call(monkeypatch, flmd, "models", run / "best.pt", settings) == 2
    assert "bad: " in capsys.readouterr().err
    assert call(monkeypatch, flmd, "train", store, "-o", run, "--params", settings) == 2
    assert "add --overwrite" in capsys.readouterr().err


def test_every_command_shows_an_example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for entry, commands in (
        (flmd_data, ("formats", "convert", "inspect", "preview")),
        (flmd, ("train", "evaluate")),
    ):
        for command in commands:
            assert call(monkeypatch, entry, command, "--help") == 0
            assert "Example: flmd" in capsys.readouterr().out
        assert call(monkeypatch, entry, "--version") == 0
        assert __version__ in capsys.readouterr().out
        assert call(monkeypatch, entry, "--help") == 0
        assert "--install-completion" in capsys.readouterr().out


def test_debug_shows_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, flmd_data, "--debug", "inspect", "/nowhere.h5") == 2
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert error.splitlines()[-1] == "error: /nowhere.h5: no such file"


def test_preview_and_inspect(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], store: Path, tmp_path: Path
) -> None:
    assert (
        call(
            monkeypatch, flmd_data, "preview", store, "-o", tmp_path / "sheet.png", "--count", 6, "--numbers"
        )
        == 0
    )
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert call(monkeypatch, flmd_data, "inspect", store) == 0
    assert "16 faces, scheme ibug68" in capsys.readouterr().out
    assert call(monkeypatch, flmd_data, "convert", store, tmp_path / "back.xml", "--to", "dlib-xml") == 0
    assert (tmp_path / "back.xml").read_text().count("<box") == 16


def test_split_replaces_a_store_only_when_told_to(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], store: Path
) -> None:
    before = store.read_bytes()
    assert call(monkeypatch, flmd_data, "split", store, "--by", "subject") == 2
    assert f"{store}: would be replaced; write another with -o, or add --overwrite" in capsys.readouterr().err
    assert store.read_bytes() == before
    assert call(monkeypatch, flmd_data, "split", store, "--by", "subject", "--overwrite") == 0
    assert store.read_bytes() != before


def test_training_without_validation_faces_says_what_best_means(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    store: Path,
    settings: Path,
    tmp_path: Path,
) -> None:
    bare = tmp_path / "bare.h5"
    assert (
        call(monkeypatch, flmd_data, "split", store, "--by", "subject", "--val", 0, "-o", bare, "--test", 0.2)
        == 0
    )
    run = tmp_path / "run"
    assert call(monkeypatch, flmd, "train", bare, "-o", run, "--params", settings, "--workers", 1) == 0
    said = capsys.readouterr()
    assert "best epoch 1, training loss" in said.out
    assert "no face has split val: the best epoch is the best by training loss" in said.err
