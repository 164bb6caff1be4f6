"""Hugging Face data sets: the table by plain pyarrow, pictures inside, one line when pyarrow is absent."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd.errors import InputError, ParamsError
from flmd.face import Face, Skipped
from flmd.formats import hf_dataset_writer
from flmd.formats.hf_dataset import HfDataset
from flmd.schemes import get_scheme
from flmd.tree import open_tree
from tests.formats.random_faces import make_face, same_points
from tests.formats.test_webdataset import anything
from tests.formats.text_formats import reasons, tree_of

FORMAT = HfDataset()
P3 = get_scheme("points3")
GOOD = {"landmarks": [[1.0, 2.5], [float("nan")] * 2, [5.0, 6.0]], "box": [1.0, 2.0, 30.0, 40.5]}


def read(folder: Path, name: str = "x.parquet", **columns: list[object]) -> list[Face | Skipped]:
    """What is read of a table of these columns."""
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), folder / name)
    with open_tree(folder) as tree:
        return list(FORMAT.read(tree, P3, FORMAT.detect(tree).files))


def test_a_foreign_table_needs_landmarks_alone(tmp_path: Path) -> None:
    picture = {"bytes": b"pixels", "path": "1.png"}
    rows = {"landmarks": [GOOD["landmarks"]] * 2, "image": [picture, picture]}
    one, two = read(tmp_path, "test-00000-of-00001.parquet", **rows)
    assert isinstance(one, Face)
    assert isinstance(two, Face)
    assert one.landmarks[[0, 2]].tolist() == [[1, 2.5], [5, 6]]
    assert one.visibility.tolist() == [2, 0, 2]
    assert (one.split, one.box) == ("test", None)
    # Paths in a table of others need not differ where the pictures do.
    assert one.image == "test-00000-of-00001/0000000.png"
    assert two.image == "test-00000-of-00001/0000001.png"
    with open_tree(tmp_path) as tree, FORMAT.pictures(tree) as pictures:
        assert pictures.read(two.image) == b"pixels"
        assert pickle.loads(pickle.dumps(pictures)).read(one.image) == b"pixels"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"landmarks": [[1.0, 2.0]]}, "wrong_point_count"),
        ({"landmarks": [[1.0], [2.0], [3.0]]}, "not_a_number"),
        ({"landmarks": [[1e39, 2.0]] * 3}, "not_a_number"),
        ({"box": [1.0, 2.0, 0.0, 4.0]}, "bad_box"),
        ({"box": [1.0, 2.0]}, "bad_box"),
        ({"visibility": [1, 2]}, "bad_visibility"),
        ({"attributes": "{"}, "bad_json"),
    ],
)
def test_bad_rows_are_skipped(tmp_path: Path, changed: dict[str, object], reason: str) -> None:
    good = GOOD | {"visibility": None, "attributes": ""}
    rows = [good, good | changed]
    assert reasons(read(tmp_path, **{key: [row[key] for row in rows] for key in good})) == ["", reason]


def test_what_is_written_is_the_documented_table(tmp_path: Path) -> None:
    source = tree_of(tmp_path / "in", {"a/b.png": b"one"})
    face = make_face("a/b.png", np.float32([[1, 2.5], [np.nan] * 2, [5, 6]]), split="val", subject="me")
    face.visibility[0], face.attributes = 1, {"smile": True}
    face.box, face.box_source = np.float32([1, 2, 30, 40.5]), "detector"
    assert FORMAT.write([face, make_face("gone.jpg", face.landmarks)], tmp_path / "out", P3, source).lost == {
        "picture": 1
    }
    data = tmp_path / "out/data"
    assert sorted(path.name for path in data.iterdir()) == [
        "unsplit-00000-of-00001.parquet",
        "validation-00000-of-00001.parquet",
    ]
    (row,) = pq.read_table(data / "validation-00000-of-00001.parquet").to_pylist()
    assert row.pop("landmarks")[0] == [1, 2.5]
    assert row == {
        "image": {"bytes": b"one", "path": "a/b.png"},
        "visibility": [1, 0, 2],
        "box": [1, 2, 30, 40.5],
        "box_source": "detector",
        "width": None,
        "height": None,
        "file_name": "a/b.png",
        "subject": "me",
        "split": "val",
        "subset": "",
        "dataset": "",
        "scheme": "points3",
        "attributes": '{"smile": true}',
    }
    metadata = pq.read_schema(data / "validation-00000-of-00001.parquet").metadata
    features = json.loads(metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    assert features["landmarks"]["feature"]["feature"] == {"dtype": "float32", "_type": "Value"}
    card = (tmp_path / "out/README.md").read_text()
    assert "  - split: validation\n    path: data/validation-*\n  - split: unsplit\n" in card
    assert "2 faces, 3 points each (scheme `points3`): 1 validation, 1 unsplit." in card


def test_files_and_row_groups_begin_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hf_dataset_writer, "MOST_BYTES", 8)
    monkeypatch.setattr(hf_dataset_writer, "_GROUP_ROWS", 2)
    source = tree_of(tmp_path / "in", {f"{n}.png": bytes([n] * 4) for n in range(5)})
    faces = [make_face(f"{n}.png", np.full((3, 2), n, np.float32), split="train") for n in range(5)]
    FORMAT.write(faces, tmp_path / "out", P3, source)
    names = sorted(path.name for path in (tmp_path / "out/data").iterdir())
    assert names == [f"train-0000{n}-of-00003.parquet" for n in range(3)]
    with open_tree(tmp_path / "out") as tree, FORMAT.pictures(tree) as pictures:
        again = list(FORMAT.read(tree, P3, FORMAT.detect(tree).files))
        assert [f.landmarks[0, 0] for f in again if isinstance(f, Face)] == [0, 1, 2, 3, 4]
        for n in (4, 0, 3, 1, 2):
            assert pictures.read(f"{n}.png") == bytes([n] * 4)


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FORMAT.write([make_face("a.jpg", np.ones((3, 2), np.float32))], tmp_path / "in", P3)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ParamsError, match=r"hf-dataset needs pyarrow; pip install 'flmd\[hf\]'"):
        FORMAT.write([], tmp_path / "out", P3)
    assert not (tmp_path / "out").exists()
    with open_tree(tmp_path / "in") as tree:
        found = FORMAT.detect(tree)
        assert found.fits
        assert "needs pyarrow" in found.why
        with pytest.raises(ParamsError, match="needs pyarrow"):
            list(FORMAT.read(tree, P3, found.files))


def test_other_tables_and_damaged_ones(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 and nothing more")
    (tmp_path / "c.parquet").write_bytes(b"text")
    with open_tree(tmp_path) as tree:
        assert FORMAT.detect(tree).why.endswith("(a.parquet: no column landmarks)")
        with pytest.raises(InputError, match="b.parquet: Parquet that cannot be read"):
            list(FORMAT.read(tree, P3, ("b.parquet",)))


@settings(max_examples=40, deadline=None)
@given(st.lists(anything(), max_size=4))
def test_written_faces_read_back(tmp_path_factory, faces: list[Face]) -> None:
    target = tmp_path_factory.mktemp("hf") / "out"
    report = FORMAT.write(faces, target, P3)
    assert set(report.lost) <= {
        "picture",
        "image name",
        "face with unwritable image name",
        "subset",
        "dataset",
        "attributes",
    }
    with open_tree(target) as tree:
        again = list(FORMAT.read(tree, P3, FORMAT.detect(tree).files))
    assert len(again) == report.faces
    for back in again:
        assert isinstance(back, Face)
        assert any(_same(face, back) for face in faces), back


def _same(one: Face, two: Face) -> bool:
    keys = ("image", "split", "box_source", "image_size", "attributes")
    boxes = (one.box is None) == (two.box is None) and (one.box is None or np.array_equal(one.box, two.box))
    return same_points(one, two) and boxes and all(getattr(one, key) == getattr(two, key) for key in keys)


def test_points_of_any_number_keep_every_bit(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0).normal(0, 1e3, (98, 2))
    face = make_face("a.jpg", drawn.astype(np.float32))
    FORMAT.write([face], tmp_path / "out", get_scheme("wflw98"))
    with open_tree(tmp_path / "out") as tree:
        found = FORMAT.detect(tree)
        assert FORMAT.scheme_in(tree, found.files) == "wflw98"
        (back,) = FORMAT.read(tree, get_scheme("wflw98"), found.files)
    assert isinstance(back, Face)
    assert same_points(face, back)
