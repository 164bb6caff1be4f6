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

HUNDREDTH = 0.0051  # datumaro rounds to hundredths
PYTHON = Path(os.environ.get("FLMD_PEERS", Path(__file__).parents[2] / ".venv-peers/bin/python"))


def peer(package: str, code: str, *arguments: object) -> object:
    """What a program printed as JSON in the peers' environment; skips where the package is not there."""
    look = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    if not PYTHON.exists() or subprocess.run([PYTHON, "-c", look], capture_output=True).returncode:
        pytest.skip(f"no package {package} in {PYTHON}")
    quiet = {**os.environ, "PYTHONPATH": "", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(
        [PYTHON, "-c", code, *map(str, arguments)], capture_output=True, text=True, env=quiet, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def faces(tmp_path: Path) -> list[Face]:
    """Three drawn faces, one a split, and their pictures: 96x96 of one grey each, 0, 80 and 160.

    Two points of the second are not labelled, the third has no box.
    """
    for number in range(3):
        write_picture(tmp_path / f"in/pictures/p{number}.png", np.full((96, 96, 3), 80 * number, np.uint8))
    drawn = drawn_faces("ibug68")
    drawn[1].landmarks[[5, 67]], drawn[1].visibility[[5, 67]] = np.nan, NOT_LABELLED
    drawn[1].box = np.array([20.25, 22.5, 50.125, 52], np.float32)
    drawn[2].box, drawn[2].box_source = None, "none"
    return drawn


def same_edges(found: list[list[float]], face: Face) -> bool:
    """Whether datumaro's boxes are that of a face, or there is none of both."""
    known = [] if face.box is None else [face.box]
    return len(found) == len(known) and np.allclose(found, known, rtol=0, atol=2 * HUNDREDTH)


def box_of(face: Face) -> list[float] | None:
    return None if face.box is None else face.box.tolist()


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
        points = [point or [np.nan, np.nan] for point in record["landmarks"]]
        assert np.array_equal(np.float32(points), face.landmarks, equal_nan=True)
        assert record["visibility"] == face.visibility.tolist()
        assert record.get("box") == box_of(face)
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
        assert np.array_equal(np.array(row["landmarks"], np.float32), face.landmarks, equal_nan=True)
        assert (row["visibility"], row["box"]) == (face.visibility.tolist(), box_of(face))
        assert (row["split"], row["subject"], row["width"]) == (face.split, face.subject, 96)


def test_datumaro_loads_its_json(faces: list[Face], tmp_path: Path) -> None:
    code = """
import json, sys
from datumaro.components.dataset import Dataset
out = []
for item in Dataset.import_from(sys.argv[1], "datumaro"):
    points, *boxes = item.annotations
    seen = [int(value) for value in points.visibility]
    together = all(points.group == box.group for box in boxes)
    edges = [list(box.get_bbox()) for box in boxes]
    out.append([item.id, item.subset, list(points.points), seen, edges, together])
print(json.dumps(out))
"""
    loaded = peer("datumaro", code, written("datumaro", faces, tmp_path))
    assert isinstance(loaded, list)
    by_name = {row[0]: row[1:] for row in loaded}
    assert len(loaded) == len(by_name) == 3
    for number, face in enumerate(faces):
        split, points, seen, edges, together = by_name[f"pictures/p{number}"]
        assert (split, together) == (face.split, True)
        assert same_edges(edges, face)
        assert seen == face.visibility.tolist()
        labelled = face.visibility != NOT_LABELLED
        away = np.abs(np.reshape(points, (-1, 2)) - face.landmarks)[labelled]
        assert away.max() < HUNDREDTH


@pytest.mark.parametrize("name", ["cvat", "cvat-video"])
def test_datumaro_reads_the_xml_of_cvat_as_it_is(faces: list[Face], tmp_path: Path, name: str) -> None:
    """Its splits too, and each point's name in pictures; of a track it gives all the label of the track."""
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
    out.append([item.attributes["frame"], item.subset, shapes])
print(json.dumps(out))
"""
    faces[1].split = ""
    folder = written(name, faces, tmp_path)
    shutil.copytree(tmp_path / "in", folder / "images")
    loaded = peer("datumaro", code, folder)
    assert isinstance(loaded, list)
    said = {"train": "Train", "": "default", "val": "Validation"}
    for number, face in enumerate(faces):
        # After the last frame of a track stands that it is gone: outside, in the next frame.
        ((subset, shapes),) = [
            (subset, live)
            for frame, subset, shapes in loaded
            if frame == number and (live := [s for s in shapes if not s[2].get("outside")])
        ]
        assert subset == said[face.split]
        points, boxes = shapes[:68], shapes[68:]
        if name == "cvat-video":
            labelled = np.flatnonzero(face.visibility != NOT_LABELLED).tolist()
            points, boxes = shapes[: len(labelled)], shapes[len(labelled) :]
        else:
            labelled = list(range(68))
        assert same_edges([place for _, place, _ in boxes], face)
        assert {label for label, _, _ in boxes} <= {"face box"}
        for (label, place, attributes), i in zip(points, labelled, strict=True):
            assert label == (IBUG68.points[i] if name == "cvat" else "face")
            if face.visibility[i] != NOT_LABELLED:
                assert np.abs(np.float32(place) - (face.landmarks[i] + 0.5)).max() < HUNDREDTH
            assert attributes["occluded"] == (face.visibility[i] == 1)
