"""What is written here, read by the packages that own the formats: in an environment of their own.

`make bench` makes `.venv-peers`; $FLMD_PEERS names another Python. Tests skip where a package is not there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from flmd import formats
from flmd.face import NOT_LABELLED, Face
from flmd.schemes import IBUG68, get_scheme
from flmd.tree import open_tree
from tests.factories import write_picture
from tests.fuzzing import drawn_faces

PYTHON = Path(os.environ.get("FLMD_PEERS", Path(__file__).parents[2] / ".venv-peers/bin/python"))


def peer(package: str, code: str, *arguments: object) -> object:
    """What a program printed as JSON in the peers' environment; skips where the package is not there."""
    if (
        not PYTHON.exists()
        or subprocess.run([PYTHON, "-c", f"import {package}"], capture_output=True).returncode
    ):
        pytest.skip(f"no package {package} in {PYTHON}")
    quiet = {**os.environ, "PYTHONPATH": "", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(
        [PYTHON, "-c", code, *map(str, arguments)], capture_output=True, text=True, env=quiet, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def faces(tmp_path: Path) -> list[Face]:
    """Three drawn faces, one a split, and their pictures: 96x96 of one grey each, 0, 80 and 160."""
    for number in range(3):
        write_picture(tmp_path / f"in/pictures/p{number}.png", np.full((96, 96, 3), 80 * number, np.uint8))
    return drawn_faces("ibug68")


def written(name: str, faces: list[Face], folder: Path) -> Path:
    with open_tree(folder / "in") as pictures:
        formats.get(name).write(faces, folder / "out", get_scheme("ibug68"), pictures)
    return folder / "out"


def test_webdataset_loads_the_shards(faces: list[Face], tmp_path: Path) -> None:
    code = """
import json, sys, webdataset
out = []
for split in ("train", "test", "val"):
    for s in webdataset.WebDataset(f"{sys.argv[1]}/{split}-000000.tar", shardshuffle=False).decode("rgb8"):
        out.append([s["__key__"], int(s["png"].mean()), list(s["png"].shape), s["json"]])
print(json.dumps(out))
"""
    loaded = peer("webdataset", code, written("webdataset", faces, tmp_path))
    assert isinstance(loaded, list)
    assert len(loaded) == 3
    for number, ((key, grey, shape, record), face) in enumerate(zip(loaded, faces, strict=True)):
        assert (key, grey, shape) == (f"pictures/p{number}", 80 * number, [96, 96, 3])
        assert np.array_equal(np.float32(record["landmarks"]), face.landmarks)
        assert record["visibility"] == face.visibility.tolist()
        assert (record["split"], record["scheme"]) == (face.split, IBUG68.name)


def test_datasets_loads_the_folder(faces: list[Face], tmp_path: Path) -> None:
    code = """
import json, sys, datasets
splits = datasets.load_dataset(sys.argv[1], cache_dir=sys.argv[2])
out = []
for split in ("train", "test", "validation"):
    for row in splits[split]:
        picture = row.pop("image")
        out.append([int(sum(picture.getpixel((5, 5))) / 3), picture.size, row])
print(json.dumps([sorted(splits), out]))
"""
    folder = written("hf-dataset", faces, tmp_path)
    splits, loaded = peer("datasets", code, folder, tmp_path / "cache")  # type: ignore[misc]
    assert splits == ["test", "train", "validation"]
    assert len(loaded) == 3
    for number, ((grey, size, row), face) in enumerate(zip(loaded, faces, strict=True)):
        assert (grey, size, row["file_name"]) == (80 * number, [96, 96], face.image)
        assert np.array_equal(np.float32(row["landmarks"]), face.landmarks)
        assert (row["visibility"], row["box"]) == (face.visibility.tolist(), [20, 22, 50, 52])
        assert (row["split"], row["subject"], row["width"]) == (face.split, face.subject, 96)


def test_datumaro_loads_its_json(faces: list[Face], tmp_path: Path) -> None:
    code = """
import json, sys
from datumaro.components.dataset import Dataset
out = []
for item in Dataset.import_from(sys.argv[1], "datumaro"):
    points, box = item.annotations
    seen = [int(value) for value in points.visibility]
    together = points.group == box.group
    out.append([item.id, item.subset, list(points.points), seen, list(box.get_bbox()), together])
print(json.dumps(out))
"""
    loaded = peer("datumaro", code, written("datumaro", faces, tmp_path))
    assert isinstance(loaded, list)
    by_name = {row[0]: row[1:] for row in loaded}
    assert len(loaded) == len(by_name) == 3
    for number, face in enumerate(faces):
        split, points, seen, box, together = by_name[f"pictures/p{number}"]
        assert (split, box, together) == (face.split, [20, 22, 50, 52], True)
        assert seen == face.visibility.tolist()
        # datumaro rounds to hundredths
        assert np.abs(np.reshape(points, (-1, 2)) - face.landmarks).max() < 0.0051


@pytest.mark.parametrize("name", ["cvat", "cvat-video"])
def test_datumaro_reads_the_xml_of_cvat_as_it_is(faces: list[Face], tmp_path: Path, name: str) -> None:
    code = """
import json, sys
from datumaro.components.annotation import AnnotationType
from datumaro.components.dataset import Dataset
data = Dataset.import_from(sys.argv[1], "cvat")
labels = data.categories()[AnnotationType.label]
out = []
for item in data:
    shapes = []
    for a in item.annotations:
        place = a.get_bbox() if a.type == AnnotationType.bbox else a.points
        shapes.append([labels[a.label].name if a.label is not None else "", list(place), a.attributes])
    out.append([item.attributes["frame"], shapes])
print(json.dumps(out))
"""
    for face in faces:
        face.split = ""  # datumaro passes over pictures of other subsets than the file's name
    folder = written(name, faces, tmp_path)
    shutil.copytree(tmp_path / "in", folder / "images")
    loaded = peer("datumaro", code, folder)
    assert isinstance(loaded, list)
    frames = dict(loaded)
    for number, face in enumerate(faces):
        shapes = [shape for shape in frames[number] if not shape[2].get("outside")]
        *points, (label, box, _) = shapes
        assert len(points) == face.landmarks.shape[0]
        assert box == [20, 22, 50, 52]
        for (point, place, said), known, at, seen in zip(
            points, IBUG68.points, face.landmarks, face.visibility, strict=True
        ):
            assert seen != NOT_LABELLED
            # datumaro gives a point of a track the label of the track
            assert (point, label) == ((known, "face box") if name == "cvat" else ("face", "face box"))
            assert np.abs(np.float32(place) - (at + 0.5)).max() < 0.0051
            assert said["occluded"] == (seen == 1)
