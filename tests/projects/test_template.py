"""`flmd init`: what is in a project, what it never touches, and which flmd its stages run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from flmd.cli.flmd import main
from flmd.cli.stage import OF_ALL, OF_ONE
from flmd.core import params
from flmd.errors import ParamsError
from flmd.experiments.git import GitError
from flmd.projects import settings, template, version

ROOT = Path(__file__).resolve().parents[2]


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["flmd", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_stages_are_flmds_own_without_its_code() -> None:
    own, made = (YAML(typ="safe").load(text) for text in ((ROOT / "dvc.yaml").read_text(), template.stages()))
    assert made["plots"] == own["plots"]
    assert list(made["stages"]) == list(own["stages"]) == [*OF_ONE, *OF_ALL]
    for name, stage in own["stages"].items():
        before, after = stage.get("do", stage), made["stages"][name].get("do", made["stages"][name])
        data = [dep for dep in before["deps"] if not dep.startswith(("flmd/", "pipeline/"))]
        assert after["deps"] == [*data, "flmd.version"]
        assert after["cmd"] == before["cmd"].replace(f"python pipeline/{name}.py", f"flmd stage {name}")
        assert {k: v for k, v in after.items() if k not in ("cmd", "deps")} == {
            k: v for k, v in before.items() if k not in ("cmd", "deps")
        }


def test_a_project_is_made_and_nothing_else_is_touched(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("mine")
    written = template.make(tmp_path)
    assert {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()} - {
        p.relative_to(tmp_path).as_posix() for p in (tmp_path / ".git").rglob("*")
    } == {*written, "labels.csv"}
    assert params.load(tmp_path / "params.yaml") == params.load(ROOT / "params.yaml")
    shown = subprocess.run(
        [sys.executable, "-m", "dvc", "stage", "list", "--name-only"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "download@ibug300w" in shown.stdout.split()


@pytest.mark.parametrize("there", ["params.yaml", "README.md", "data/.gitignore"])
def test_a_file_that_is_there_is_never_replaced(tmp_path: Path, there: str) -> None:
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_text("mine")
    with pytest.raises(ParamsError, match=f"{there}: exists already"):
        template.make(tmp_path)
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()] == [there]
    assert (tmp_path / there).read_text() == "mine"


def test_inside_another_project_none_is_made(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    with pytest.raises(ParamsError, match="lies in a DVC project already; its root is"):
        template.make(tmp_path / "inner")
    assert not (tmp_path / "inner").exists()


def test_inside_a_git_repository_no_second_one_is_made(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    template.make(tmp_path / "faces")
    assert not (tmp_path / "faces" / ".git").exists()


def test_without_git(tmp_path: Path) -> None:
    template.make(tmp_path, with_git=False)
    assert not (tmp_path / ".git").exists()
    assert "no_scm = true" in (tmp_path / ".dvc" / "config").read_text()


def test_where_git_is_not_installed_no_folder_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match=r"faces: git is not installed; or leave git out: --no-git"):
        template.make(tmp_path / "faces")
    assert not any(tmp_path.iterdir())


def test_another_flmd_stops_every_stage_and_can_be_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    template.make(tmp_path, with_git=False)
    monkeypatch.chdir(tmp_path)
    version.check(Path())
    (tmp_path / version.NAME).write_text("flmd 0.0.9\ncode sha256 " + "ab" * 32 + "\n")
    for stage in (*OF_ONE, *OF_ALL):
        assert call(monkeypatch, "stage", stage) == 2
        error = capsys.readouterr().err
        assert "made with flmd 0.0.9 (code abababababab), and flmd 0." in error
        assert "`flmd init --accept .`" in error
        assert error.count("\n") == 1
    assert call(monkeypatch, "init", "--accept", ".") == 0
    version.check(Path())
    assert call(monkeypatch, "init", "--accept", "elsewhere") == 2
    assert "make a project with `flmd init elsewhere`" in capsys.readouterr().err


def test_a_clone_has_no_version_to_check(tmp_path: Path) -> None:
    version.check(tmp_path)


def test_the_digest_is_of_all_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(version, "PACKAGE", tmp_path)
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "b.py").write_text("2")
    texts = [version.installed.__wrapped__()]
    (tmp_path / "room" / "b.py").write_text("3")
    texts.append(version.installed.__wrapped__())
    (tmp_path / "room" / "b.py").rename(tmp_path / "b.py")
    texts.append(version.installed.__wrapped__())
    assert len(set(texts)) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("stage", "trian"), "unknown stage 'trian'; expected one of augment, convert, "),
        (("stage", "train", "ibug300w"), "stage train is of all data sets, not of 'ibug300w' alone"),
        (("stage", "download", "ibug"), "no data set 'ibug'; expected one of ibug300w, youtube_faces"),
        (("stage", "convert"), "no data set is named; expected one of ibug300w, youtube_faces"),
    ],
)
def test_mistakes_of_a_stage_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    template.make(tmp_path, with_git=False)
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_settings_without_a_project_are_flmds_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found, origin = settings.load()
    assert found == params.load(ROOT / "params.yaml")
    assert origin == "flmd's own params.yaml"
    found, origin = settings.load(recipe="fast")
    assert found.train.network == "integral"
    assert origin == "flmd's own params.yaml with recipe fast"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ParamsError, match=r"gone\.yaml: no such file"):
        settings.load(Path("gone.yaml"))
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text().replace("seed: 7", "seed: 8"))
    assert settings.load()[0].seed == 8
    assert settings.load(recipe="fast")[0].seed == 8
