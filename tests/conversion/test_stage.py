"""A data set of one's own in params.yaml: its source is enough, and its points are mapped or refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from flmd.conversion.stage import convert
from flmd.errors import ParamsError
from flmd.formats.coco import Coco
from flmd.schemes import get_scheme
from flmd.schemes.mapping import mapping
from flmd.sources.stage import download
from flmd.store.face_store import FaceStore
from tests.factories import make_face, write_picture

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose params.yaml is the project's own, with small crops."""
    monkeypatch.chdir(tmp_path)
    yaml = YAML(typ="safe")
    tree = yaml.load(ROOT / "params.yaml")
    tree["convert"]["crop_size"] = 32
    tree["datasets"] = {}
    yaml.dump(tree, tmp_path / "params.yaml")
    return tmp_path


def add(project: Path, name: str, **entry: Any) -> None:
    yaml = YAML(typ="safe")
    tree = yaml.load(project / "params.yaml")
    tree["datasets"][name] = entry
    yaml.dump(tree, project / "params.yaml")


def coco_of(folder: Path, scheme: str, splits: tuple[str, ...] = ("train", "test")) -> np.ndarray:
    """Faces of random points in COCO, without names of points; returns the points, (N, K, 2)."""
    rng, points, faces = np.random.default_rng(3), [], []
    for i, split in enumerate(splits):
        face = make_face(f"{i}.jpg", split=split)
        face.landmarks = rng.uniform(20, 80, (get_scheme(scheme).count, 2)).astype(np.float32)
        face.visibility = np.full(len(face.landmarks), 2, np.uint8)
        face.image_size = (100, 90)
        write_picture(folder / f"{i}.jpg", np.full((90, 100, 3), 90 + i, np.uint8))
        points.append(face.landmarks)
        faces.append(face)
    Coco().write(faces, folder / "labels.json", get_scheme(scheme))
    return np.array(points)


def test_98_points_are_mapped_to_the_68_of_the_store(project: Path) -> None:
    points = coco_of(project / "own", "wflw98")
    add(project, "own", source="own")
    download("own")
    convert("own")
    with FaceStore(project / "data" / "stores" / "own.h5") as store:
        assert store.scheme.name == "ibug68"
        found = store.numbers("landmarks")
        images = store.texts("image")
    order = [int(Path(image).stem) for image in images]
    expected = mapping("wflw98", "ibug68").points(points[order])
    np.testing.assert_allclose(found, expected, atol=1e-3)
    # By hand: WFLW's jaw has 33 points, every second of which is one of the 17 of iBUG.
    np.testing.assert_allclose(found[:, :17], points[order][:, 0:33:2], atol=1e-3)


def test_points_that_cannot_be_mapped_are_refused_by_name(project: Path) -> None:
    coco_of(project / "own", "mtfl5")
    add(project, "own", source="own", scheme="mtfl5")
    download("own")
    with pytest.raises(
        ParamsError, match=r"^datasets\.own: scheme mtfl5 lacks \d+ of the 68 points"
    ) as caught:
        convert("own")
    assert "\n" not in str(caught.value)
    assert not (project / "data" / "stores" / "own.h5").exists()


def test_a_scheme_of_another_number_of_points_is_refused(project: Path) -> None:
    coco_of(project / "own", "wflw98")
    add(project, "own", source="own", scheme="aflw19")
    download("own")
    message = r"datasets\.own: .*scheme aflw19 has 19 points, the first face has 98; expected wflw98"
    with pytest.raises(ParamsError, match=message):
        convert("own")


def test_a_scheme_that_is_misspelt_is_named_with_the_data_set(project: Path) -> None:
    coco_of(project / "own", "wflw98")
    add(project, "own", source="own", scheme="wflw89")
    download("own")
    with pytest.raises(ParamsError, match=r"datasets\.own: .*did you mean 'wflw98'"):
        convert("own")


@pytest.mark.parametrize("stage", [download, convert])
def test_a_name_that_params_do_not_have(project: Path, stage: Any) -> None:
    add(project, "wflw", source="own")
    message = "no data set 'wflww'; expected one of wflw; did you mean 'wflw'?"
    with pytest.raises(ParamsError, match=re.escape(message)):
        stage("wflww")


def test_a_published_split_that_is_not_kept_is_said(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coco_of(project / "own", "ibug68", splits=("train", "test", "train"))
    add(project, "own", source="own")
    download("own")
    convert("own")
    assert "publish a split (train 2, test 1), and another was drawn by subject" in capsys.readouterr().out
    add(project, "own", source="own", split="published")
    convert("own")
    assert "publish a split" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "kind"), [("own", "own"), ("sample", "sample"), ({"sample": 40}, "sample")]
)
def test_a_store_says_what_kind_of_source_it_is_of(project: Path, source: object, kind: str) -> None:
    """Never the path; a model then knows whether its faces were drawn."""
    coco_of(project / "own", "ibug68")
    add(project, "ibug300w", source="own", split="subject")
    download("ibug300w")
    tree = YAML(typ="safe").load(project / "params.yaml")
    tree["datasets"]["ibug300w"]["source"] = source
    YAML(typ="safe").dump(tree, project / "params.yaml")
    convert("ibug300w")
    with FaceStore(project / "data" / "stores" / "ibug300w.h5") as store:
        assert store.made_from["params"]["dataset"]["source"] == kind
