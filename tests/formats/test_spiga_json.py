"""SPIGA JSON: values by plain json; ids put points in order, an absent one is not labelled."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd.errors import FlmdError, InputError
from flmd.face import Face, Skipped
from flmd.formats.spiga_json import SpigaJson
from flmd.schemes import get_scheme
from flmd.tree import open_tree
from tests.formats.random_faces import image_names, make_face, points, same_points

FORMAT = SpigaJson()
P2 = get_scheme("points2")
GOOD = {
    "imgpath": "images/a.jpg",
    "bbox": [1, 2, 30, 40.5],
    "headpose": [1.5, 2, 3, 4, 5, 6],
    "ids": [101, 24],
    "landmarks": [[10, 20.5], [30, 40]],
    "visible": [1.0, 0.0],
}


def read(tmp_path: Path, *items: object) -> list[Face | Skipped]:
    """What the reader makes of a list."""
    (tmp_path / "x_test.json").write_text(json.dumps(items))
    with open_tree(tmp_path) as tree:
        return list(FORMAT.read(tree, P2, ("x_test.json",)))


def test_reads_a_face(tmp_path: Path) -> None:
    (face,) = read(tmp_path, GOOD)
    assert isinstance(face, Face)
    assert (face.image, face.split, face.subject) == ("images/a.jpg", "test", "images/a")
    assert face.landmarks.tolist() == [[10, 20.5], [30, 40]]
    assert face.visibility.tolist() == [2, 1]
    assert face.box.tolist() == [1, 2, 30, 40.5]
    assert face.attributes == {f"headpose_{i}": v for i, v in enumerate([1.5, 2, 3, 4, 5, 6])}


def test_ids_put_points_in_the_order_of_the_first_complete_face(tmp_path: Path) -> None:
    lacking = GOOD | {"ids": [24], "landmarks": [[3, 4]], "visible": [1]}
    other = GOOD | {"ids": [24.0, "101"]}
    first, _, second = read(tmp_path, lacking, GOOD, other)
    assert np.isnan(first.landmarks[0]).all()
    assert first.landmarks[1].tolist() == [3, 4]
    assert first.visibility.tolist() == [0, 2]
    assert second.landmarks.tolist() == [[30, 40], [10, 20.5]]


def test_other_spellings(tmp_path: Path) -> None:
    bare = {"imgpath": "a.jpg", "ldmks": [[1, 2], [3, 4]], "bbox": None, "headpose": None}
    (face,) = read(tmp_path, bare)
    assert (face.box, face.attributes, face.visibility.tolist()) == (None, {}, [2, 2])


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"imgpath": None}, "bad_path"),
        ({"imgpath": "../../a.jpg"}, "bad_path"),
        ({"landmarks": [[1, 2], [3, "4"]]}, "not_a_number"),
        ({"landmarks": [[1, 2], [3]]}, "not_a_number"),
        ({"landmarks": 5}, "not_a_number"),
        ({"headpose": ["up"]}, "not_a_number"),
        ({"ids": [101]}, "wrong_point_count"),
        ({"ids": 5}, "wrong_point_count"),
        ({"ids": None, "landmarks": [[1, 2]], "visible": [1]}, "wrong_point_count"),
        ({"ids": [101, 25]}, "unknown_id"),
        ({"ids": [[], 24]}, "unknown_id"),
        ({"ids": [24, 24]}, "duplicate_point"),
        ({"visible": [1, 0.5]}, "bad_visibility"),
        ({"visible": [1]}, "bad_visibility"),
        ({"bbox": [1, 2, -3, 4]}, "bad_box"),
    ],
)
def test_bad_faces_are_skipped(tmp_path: Path, fields: dict, reason: str) -> None:
    face, skipped = read(tmp_path, GOOD, GOOD | fields)
    assert isinstance(face, Face)
    assert isinstance(skipped, Skipped)
    assert skipped.reason == reason


def test_items_that_are_no_dictionary_and_files_that_are_no_list(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD, 5)[1].reason == "bad_annotation"
    (tmp_path / "x.json").write_text("{}")
    with open_tree(tmp_path) as tree, pytest.raises(InputError, match="not a JSON list"):
        list(FORMAT.read(tree, P2, ("x.json",)))


def test_the_real_file(shared_data: Path) -> None:
    folder = shared_data / "formats/spiga_json"
    wanted = json.loads((folder / "300wpublic_test.json").read_text())
    with open_tree(folder) as tree:
        files = FORMAT.detect(tree).files
        assert files == ("300wpublic_test.json",)
        assert FORMAT.scheme_in(tree, files) == "ibug68"
        faces = list(FORMAT.read(tree, get_scheme("ibug68"), files))
    assert len(faces) == 689
    for face, item in zip(faces, wanted, strict=True):
        assert face.landmarks.tolist() == np.float32(item["landmarks"]).tolist()
        assert face.box.tolist() == np.float32(item["bbox"]).tolist()
        assert (face.image, face.split) == (item["imgpath"], "test")


def test_does_not_fit_other_formats(shared_data: Path) -> None:
    for other in ("mmpose_coco", "menpo", "wflw"):
        with open_tree(shared_data / "formats" / other) as tree:
            assert not FORMAT.detect(tree).fits


@st.composite
def faces_of_four(draw) -> Face:
    """A face with what SPIGA JSON can hold."""
    landmarks = draw(points(4, whole=False))
    landmarks[draw(st.lists(st.integers(0, 3), max_size=3))] = np.nan
    face = make_face(draw(image_names()), landmarks)
    face.visibility[0] = min(1, face.visibility[0])
    if draw(st.booleans()):
        face.box, face.box_source = np.array([-1.5, 2, 3, 4.1], np.float32), "annotated"
    if draw(st.booleans()):
        face.attributes = {f"headpose_{i}": draw(st.floats(-180, 180)) for i in range(6)}
    return face


@settings(max_examples=60, deadline=None)
@given(st.lists(faces_of_four(), max_size=4))
def test_written_faces_read_back(tmp_path_factory, faces: list[Face]) -> None:
    target = tmp_path_factory.mktemp("spiga") / "x.json"
    report = FORMAT.write(faces, target, get_scheme("points4"))
    assert report.faces == len(faces)
    assert set(report.lost) <= {"image name"}
    with open_tree(target.parent) as tree:
        assert FORMAT.detect(tree).fits == bool(faces)
        again = list(FORMAT.read(tree, get_scheme("points4"), ("x.json",)))
    for one, two in zip(faces, again, strict=True):
        assert isinstance(two, Face)
        assert same_points(one, two)
        assert one.attributes == two.attributes
        assert (one.box is None) == (two.box is None)
        assert one.box is None or np.array_equal(one.box, two.box)


def test_a_folder_has_a_file_for_each_split_and_losses_are_counted(tmp_path: Path) -> None:
    good = np.ones((2, 2), np.float32)
    faces = [
        make_face("a.jpg", good, split="train", attributes={"smile": True}, subject="me"),
        make_face("b.jpg", good, split="test", box=np.array([0, 0, 1, 1], np.float32), box_source="image"),
        make_face("../c.jpg", good),
    ]
    report = FORMAT.write(faces, tmp_path / "out", P2)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["faces_test.json", "faces_train.json"]
    assert report.faces == 2
    assert report.lost == {
        "attributes": 1,
        "subject": 1,
        "box source": 1,
        "face with unwritable image name": 1,
    }


def test_damaged_files_end_in_faces_skipped_or_input_errors(tmp_path: Path) -> None:
    good = json.dumps([GOOD, GOOD]).encode()
    draw = random.Random(2)
    for _ in range(300):
        data = bytearray(good)
        for _ in range(draw.randint(1, 5)):
            at = draw.randrange(len(data))
            data[at : at + draw.randint(0, 3)] = draw.choice(
                [b"", b"\0", b"9" * 50, b"[", b'"', b"\xff", b"null"]
            )
        (tmp_path / "x.json").write_bytes(bytes(data))
        with open_tree(tmp_path) as tree, contextlib.suppress(FlmdError):
            FORMAT.detect(tree)
            FORMAT.scheme_in(tree, ("x.json",))
        with open_tree(tmp_path) as tree, contextlib.suppress(FlmdError):
            assert all(isinstance(f, Face | Skipped) for f in FORMAT.read(tree, P2, ("x.json",)))
