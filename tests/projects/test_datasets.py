"""Data sets into params.yaml and out of it: no other line changes, and a wrong source is refused at once."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from flmd.cli.flmd import main
from flmd.core import params
from flmd.formats.coco import Coco
from flmd.projects import template
from flmd.schemes import get_scheme
from tests.factories import make_face, write_picture


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["flmd", "dataset", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, beside a folder `own` with two faces of 98 points in COCO's JSON."""
    template.make(tmp_path / "project", with_git=False)
    monkeypatch.chdir(tmp_path / "project")
    faces = []
    for i in range(2):
        face = make_face(f"{i}.jpg", split="train")
        face.landmarks = np.random.default_rng(i).uniform(20, 80, (98, 2)).astype(np.float32)
        face.visibility = np.full(98, 2, np.uint8)
        face.image_size = (100, 90)
        write_picture(tmp_path / "own" / f"{i}.jpg", np.full((90, 100, 3), 90 + i, np.uint8))
        faces.append(face)
    Coco().write(faces, tmp_path / "own" / "labels.json", get_scheme("wflw98"))
    return tmp_path / "project"


def lines(project: Path) -> list[str]:
    return (project / "params.yaml").read_text().splitlines()


def test_add_puts_in_its_lines_and_changes_no_other(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = lines(project)
    assert call(monkeypatch, "add", "own", "../own", "--box", "landmarks") == 0
    said = capsys.readouterr().out
    assert "own: coco, 98 points (wflw98, mapped to ibug68), box landmarks" in said
    assert "of the first 2 faces 2 can be used" in said
    after = lines(project)
    at = after.index("  own:")
    assert after[at : at + 4] == ["  own:", "    source: ../own", "    format: coco", "    box: landmarks"]
    assert after[:at] + after[at + 4 :] == before
    assert before[at - 1] == "    test_share: 0.2"
    settings = params.load()
    assert list(settings.datasets) == ["ibug300w", "youtube_faces", "own"]
    assert settings.train.datasets == ["ibug300w", "youtube_faces", "own"]


def test_add_and_remove_leave_the_file_as_it_was(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (project / "params.yaml").read_bytes()
    assert call(monkeypatch, "add", "own", "../own") == 0
    assert call(monkeypatch, "remove", "own") == 0
    assert (project / "params.yaml").read_bytes() == before


def test_a_list_of_trained_data_sets_is_kept_up(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (project / "params.yaml").read_text()
    text = text.replace("  datasets: all  ", "  datasets: [ibug300w]  ")
    text = text.replace("flip_of: {} ", "flip_of: {youtube_faces: 0.1} ")
    (project / "params.yaml").write_text(text)
    assert call(monkeypatch, "add", "own", "../own") == 0
    assert params.load().train.datasets == ["ibug300w", "own"]
    assert call(monkeypatch, "remove", "youtube_faces") == 0
    assert params.load().augment.flip_of == {}
    assert call(monkeypatch, "remove", "ibug300w") == 0
    assert params.load().train.datasets == ["own"]
    comments = [line.partition("#")[2] for line in text.splitlines() if "#" in line and "   " not in line[:4]]
    left = (project / "params.yaml").read_text()
    assert all(comment in left for comment in comments)


def test_remove_takes_what_stages_made_of_it_and_its_part_of_dvc_lock(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = ["data/raw/youtube_faces", "data/stores/youtube_faces.h5", "reports/data/youtube_faces.json"]
    others = ["data/raw/ibug300w", "data/stores/ibug300w.h5"]
    for name in [*made, *others]:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("x")
    stages = {
        f"{stage}@{name}": {"cmd": "x"}
        for stage in ("download", "convert")
        for name in params.load().datasets
    }
    YAML().dump({"schema": "2.0", "stages": {**stages, "merge": {"cmd": "y"}}}, project / "dvc.lock")
    assert call(monkeypatch, "remove", "youtube_faces") == 0
    assert f"removed {', '.join(made)}" in capsys.readouterr().out
    assert [name for name in [*made, *others] if (project / name).exists()] == others
    lock = YAML(typ="safe").load(project / "dvc.lock")
    assert list(lock["stages"]) == ["download@ibug300w", "convert@ibug300w", "merge"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add", "own", "../gone"), "../gone: no such file or folder"),
        (("add", "own", "../own/labels.json"), "is a single file; expected a folder or an archive"),
        (("add", "own", "../own/0.jpg"), "is a single file"),
        (
            ("add", "own", "../own/faces.h5"),
            "convert ../own/faces.h5 ../own/faces --to hf-dataset`",
        ),
        (("add", "own", "data/weights"), "no known format"),
        (("add", "own", "../own", "--format", "ptts"), "did you mean 'pts'?"),
        (
            ("add", "own", "../own", "--scheme", "ibug68"),
            "scheme ibug68 has 68 points, the first face has 98",
        ),
        (("add", "own", "../own", "--split", "standard"), "data set 'own' has no standard split"),
        (("add", "own", "../own", "--split", "half"), "split is 'half'; expected 'published', 'standard'"),
        (("add", "own", "../own", "--val", "2"), "val_share is 2.0; expected less than 1"),
        (("add", "own", "official"), "no official address is known of 'own'"),
        (("add", "own", "sample:40"), "no sample is known of 'own'"),
        (("add", "own", "sample:none"), "expected sample:NUMBER OF FACES"),
        (("add", "ibug300w", "../own"), "has a data set 'ibug300w' already"),
        (("add", "my/own", "../own"), "'my/own' is no name of a data set; expected letters"),
        (("remove", "ibug300"), "no data set 'ibug300'"),
    ],
)
def test_what_will_not_do_is_one_line_and_changes_nothing(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    before = lines(project)
    (project.parent / "own" / "faces.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    assert call(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert lines(project) == before


def test_faces_without_their_pictures_are_refused_by_reason(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(2):
        (project.parent / "own" / f"{i}.jpg").unlink()
    assert call(monkeypatch, "add", "own", "../own") == 2
    assert "none of its first 2 faces is usable: image_missing" in capsys.readouterr().err


def test_the_last_data_set_stays(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "remove", "youtube_faces") == 0
    assert call(monkeypatch, "remove", "ibug300w") == 2
    assert "ibug300w is the only data set; add another" in capsys.readouterr().err


def test_list(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "reports" / "data").mkdir()
    (project / "reports" / "data" / "ibug300w.json").write_text('{"faces_kept": 899}')
    assert call(monkeypatch, "list") == 0
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split() == ["data", "set", "source", "format", "scheme", "box", "split", "trains", "faces"]
    assert first.split()[0] == "ibug300w"
    assert first.split()[-2:] == ["yes", "899"]
    assert second.split()[-1] == "-"
