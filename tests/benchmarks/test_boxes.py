"""Boxes that are off: what is moved, and the tables of a model on the built-in sample."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import boxes
from flmd.sources.sample import archive
from tests.inference.video.blob import random_model


def test_a_box_is_moved_by_its_longer_side_and_grows_about_its_middle() -> None:
    box = np.array([[10.0, 20, 40, 80]])
    assert boxes.changed(box, np.array([0.1, 0, 0])).tolist() == [[18, 20, 40, 80]]
    assert boxes.changed(box, np.array([0, -0.05, 0])).tolist() == [[10, 16, 40, 80]]
    assert boxes.changed(box, np.array([0, 0, 0.5])).tolist() == [[0, 0, 60, 120]]


def test_the_tables_of_a_model_on_the_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.make_ibug300w(tmp_path / "faces.tar.gz", faces=24, seed=1)
    model = random_model(tmp_path / "model.pt")
    source = str(tmp_path / "faces.tar.gz")
    arguments = [
        source,
        "--model",
        str(model),
        "--rule-of",
        source,
        "--detector",
        "haar",
        "--limit",
        "3",
        "--threads",
        "1",
    ]
    monkeypatch.setattr(sys, "argv", ["boxes", *arguments])
    boxes.main()
    lines = capsys.readouterr().out.splitlines()
    assert "NME in % of the inter-ocular distance" in lines[0]
    tables = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in lines if line.startswith("| ")}
    assert {"box moved by", "box resized", "haar"} <= set(tables)
    for looks in ("", ", flip average", ", second look", ", second look, flip average"):
        assert sum(line.startswith(f"| model{looks} |") for line in lines) == 3
    rows = [line.split("|")[2:-1] for line in lines if line.startswith("| model |")]
    assert len(rows[0]) == len(boxes.SHIFTS)
    assert rows[0][0] == rows[1][boxes.SCALES.index(1.0)]  # neither moved nor resized
