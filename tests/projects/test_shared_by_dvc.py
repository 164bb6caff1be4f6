"""A model by its name and a store from another project, with the commands of DVC, without a network."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from dvc.cli import main as dvc_main
from ruamel.yaml import YAML

from flmd.inference.landmarker import load
from flmd.projects import template
from flmd.store.face_store import FaceStore
from tests.app.made_model import make_model
from tests.factories import blob_picture, convert_list, make_face, write_picture

MADE = ("data/model/best.pt", "data/faces.h5")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, without the user's own settings of git and DVC."""
    for name in [name for name in os.environ if name.startswith(("GIT_", "DVC_"))]:
        monkeypatch.delenv(name)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "ann")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ann@example.org")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("DVC_SYSTEM_CONFIG_DIR", str(tmp_path / "none"))
    return tmp_path


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, capture_output=True)


def dvc(*arguments: str) -> None:
    assert dvc_main(list(arguments)) == 0, arguments


def ann_s(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project of `flmd init`, its stages said to be done: their outputs are these files, and pushed."""
    template.make(folder)
    monkeypatch.chdir(folder)
    stages = YAML(typ="safe").load(template.stages())["stages"]
    for name in ("train", "merge"):
        for path in [*stages[name]["deps"], *stages[name]["outs"]]:
            place = folder / path
            if place.suffix:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.touch()
            else:
                (place / "file").mkdir(parents=True, exist_ok=True)
    make_model(folder / MADE[0])
    pictures = folder.parent / "pictures"
    write_picture(pictures / "a.jpg", blob_picture(120, 100, (60, 50)))
    (folder / MADE[1]).unlink()
    convert_list(pictures, [make_face("a.jpg")], folder / MADE[1])[1].close()
    dvc("remote", "add", "-q", "-d", "team", str(folder.parent / "remote"))
    dvc("commit", "-q", "-f", "train", "merge")
    git("add", "-A")
    git("commit", "-q", "-m", "Trained")
    git("tag", "-a", "landmarks@v1.0.0", "-m", "The first")
    dvc("push", "-q", *MADE)


def test_a_model_by_its_name_and_a_store_in_another_project(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann_s(here / "ann", monkeypatch)
    monkeypatch.chdir(here)
    git("clone", "-q", "--bare", "ann", "team.git")

    dvc("artifacts", "get", "-q", "team.git", "landmarks", "-o", "model.pt")
    assert (here / "model.pt").read_bytes() == (here / "ann" / MADE[0]).read_bytes()
    assert load(here / "model.pt").scheme.name == "celeba5"

    template.make(here / "ben")
    monkeypatch.chdir(here / "ben")
    dvc("import", "-q", "../team.git", "data/faces.h5", "-o", "data/anns.h5", "--rev", "landmarks@v1.0.0")
    assert (here / "ben" / "data" / "anns.h5").read_bytes() == (here / "ann" / MADE[1]).read_bytes()
    with FaceStore(Path("data/anns.h5")) as theirs:
        assert len(theirs) == 1
    git("add", "-A")
    tracked = subprocess.run(["git", "ls-files"], check=True, capture_output=True, text=True).stdout.split()
    assert "data/anns.h5.dvc" in tracked
    assert "data/anns.h5" not in tracked
