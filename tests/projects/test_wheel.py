"""The wheel in a new environment, outside any clone: a project, its data sets, recipes and stages."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest
from ruamel.yaml import YAML

from flmd.experiments import recipes
from flmd.formats.coco import Coco
from flmd.projects import version
from flmd.schemes import get_scheme
from tests.factories import make_face, write_picture

ROOT = Path(__file__).resolve().parents[2]


def module(path: Path) -> ModuleType:
    """A script, with what lies beside it at hand."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(path.parent))
        return _loaded(path)


def _loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A folder with an environment that has flmd from its wheel alone, as the demo of the docs makes it."""
    demo = module(ROOT / "docs" / "demo" / "own_project.py").Demo(tmp_path_factory.mktemp("wheel"))
    demo.install()
    return Place(demo)


class Place:
    """Commands in the environment."""

    def __init__(self, demo: object) -> None:
        self.demo = demo
        self.folder: Path = demo.folder  # type: ignore[attr-defined]

    def __call__(self, command: str, code: int = 0) -> str:
        done = self.demo.run(command)  # type: ignore[attr-defined]
        assert done.returncode == code, f"{command}\n{done.stdout}"
        return str(done.stdout)

    def go(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.demo.place = folder  # type: ignore[attr-defined]


def own_faces(folder: Path) -> None:
    """Four faces of 98 points in COCO's JSON, of four people."""
    faces = []
    for i in range(4):
        face = make_face(f"{i}.jpg", split="")
        face.landmarks = np.random.default_rng(i).uniform(20, 80, (98, 2)).astype(np.float32)
        face.visibility = np.full(98, 2, np.uint8)
        face.image_size = (100, 90)
        write_picture(folder / f"{i}.jpg", np.full((90, 100, 3), 90 + i, np.uint8))
        faces.append(face)
    Coco().write(faces, folder / "labels.json", get_scheme("wflw98"))


@pytest.mark.slow
def test_it_is_the_wheel_that_runs(place: Place) -> None:
    place.go(place.folder / "nothing")
    where = place("python -c 'import flmd; print(flmd.__file__)'").strip()
    assert Path(where).is_relative_to(place.folder / "environment")


@pytest.mark.slow
def test_recipes_work_from_nothing(place: Place) -> None:
    place.go(place.folder / "recipes")
    names = recipes.names(ROOT / "recipes")
    assert [line.split()[0] for line in place("flmd recipe list").splitlines()[1:]] == names
    assert place("flmd recipe show fast") == (ROOT / "recipes" / "fast.yaml").read_text()
    assert "train.network: xception -> integral" in place("flmd recipe apply fast")


@pytest.mark.slow
def test_an_own_data_set_goes_through_the_stages_of_a_project(place: Place) -> None:
    own_faces(place.folder / "own")
    place.go(place.folder)
    place("flmd init faces")
    place.go(place.folder / "faces")
    assert (place.folder / "faces" / version.NAME).read_text() == version.installed.__wrapped__()
    place("flmd dataset add own ../own")
    for name in ("youtube_faces", "ibug300w"):
        place(f"flmd dataset remove {name}")
    place("flmd dataset add ibug300w sample:24 --split standard")  # offline
    printed = place("dvc repro merge")
    assert "own: 4 faces read, 4 kept" in printed
    assert "28 faces" in printed
    with h5py.File(place.folder / "faces" / "data" / "faces.h5") as store:
        assert store["landmarks"].shape == (28, 68, 2)
    assert "Running stage" not in place("dvc repro merge")
    # Another flmd: no stage runs until it is accepted, and then all do.
    file = place.folder / "faces" / version.NAME
    file.write_text("flmd 0.0.9\ncode sha256 " + "ab" * 32 + "\n")
    assert "made with flmd 0.0.9 (code abababababab)" in place("flmd stage merge", code=2)
    place("flmd init --accept .")
    assert "Running stage" not in place("dvc repro merge")
    locked = YAML(typ="safe").load(place.folder / "faces" / "dvc.lock")["stages"]
    assert all("flmd.version" in [dep["path"] for dep in stage["deps"]] for stage in locked.values())
