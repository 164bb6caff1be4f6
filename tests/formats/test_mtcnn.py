"""MTCNN and MTFL lists: telling them apart, both column orders, bad input, the real list, and both ways."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flmd.errors import InputError
from flmd.formats.common.text_list import unlisted
from flmd.formats.mtcnn import Mtcnn
from flmd.schemes import get_scheme
from flmd.tree import open_tree
from tests.formats.random_faces import image_names, make_face, same_points
from tests.formats.text_formats import assert_fits_only_its_own, fuzz, read, reasons, tree_of

MTCNN = Mtcnn()
SCHEME = get_scheme("mtfl5")
BOX = "lfw_5590\\A_0001.jpg 70 170 80 180 100.25 110.5 140 111 120 130 105 150 135 151"
MTFL = " net_7876\\b c.jpg 100.25 140 120 105 135 110.5 111 130 150 151 1 2 1 4"
XY = [[100.25, 110.5], [140, 111], [120, 130], [105, 150], [135, 151]]


def test_a_line_with_a_box(tmp_path):
    (face,) = read(MTCNN, SCHEME, tmp_path, {"trainImageList.txt": BOX + "\r\n"})
    assert face.landmarks.tolist() == XY
    assert face.landmarks.dtype == np.float32
    assert (face.visibility == 2).all()
    assert face.box.tolist() == [70, 80, 100, 100]
    assert (face.box_source, face.split, face.attributes) == ("annotated", "train", {})
    assert (face.image, face.subject) == ("lfw_5590/A_0001.jpg", "lfw_5590/A_0001")
    assert face.where.endswith("trainImageList.txt:1 (image lfw_5590\\A_0001.jpg)")


def test_a_line_of_mtfl(tmp_path):
    (face,) = read(MTCNN, SCHEME, tmp_path, {"MTFL/testing.txt": MTFL + "\n", "x/net_7876/b c.jpg": ""})
    assert face.landmarks.tolist() == XY
    assert face.attributes == {"gender": 1, "smile": 2, "glasses": 1, "pose": 4}
    assert all(type(value) is int for value in face.attributes.values())
    assert (face.box, face.box_source, face.split) == (None, "none", "test")
    assert face.image == "x/net_7876/b c.jpg"


def test_a_tree_of_both(tmp_path):
    faces = read(MTCNN, SCHEME, tmp_path, {"a/train.txt": BOX, "b/training.txt": MTFL})
    assert [face.box is None for face in faces] == [False, True]


@pytest.mark.parametrize(
    "line",
    [
        "a.jpg 1 9 1 9 2 2 3 3 4 4 2 2 1 5",  # a box that holds three points, and four small numbers
        "a.jpg 70 80 170 180 100 110 140 111 120 130 105 150 135 151",  # the corners x y x y
        "a.jpg 9 1 9 1 20 2 30 30 40 40 50 50 60 60",  # neither
        "a 1 9 1 9 2 2 3 3 4 4 5 5 6 6",  # not the name of a picture
        "1 1 9 1 9 2 2 3 3 4 4 5 5 6 6",  # fifteen numbers
        "a.jpg 1 9 1 9 2 2 3 3 4 4 5 5 6",
    ],
)
def test_what_cannot_be_told_is_not_read(tmp_path, line):
    with tree_of(tmp_path, {"a.txt": line}) as tree:
        assert not MTCNN.detect(tree).fits
        with pytest.raises(InputError, match="the columns' meaning cannot be told"):
            list(MTCNN.read(tree, SCHEME, ("a.txt",)))


def test_a_box_beside_the_points_is_still_a_box(tmp_path):
    (face,) = read(MTCNN, SCHEME, tmp_path, {"a.txt": "a.jpg 1 9 1 9 20 2 30 30 40 40 50 50 60 60"})
    assert face.box.tolist() == [1, 1, 8, 8]


def test_bad_lines_are_skipped_with_the_reason(tmp_path):
    bad = {
        "wrong_point_count": "a.jpg 1 2 3",
        "not_a_number": BOX.replace("120", "1_20"),
        "bad_box": BOX.replace("170", "70"),
        "bad_path": BOX.replace("lfw_5590", "..\\..\\x"),
    }
    found = read(MTCNN, SCHEME, tmp_path, {"a.txt": "\n".join([*[BOX] * 3, "", *bad.values(), BOX])})
    assert reasons(found) == ["", "", "", *bad, ""]
    assert found[3].where.endswith(":5 (image a.jpg)")
    found = read(MTCNN, SCHEME, tmp_path, {"a.txt": f"{MTFL}\n{MTFL}\n{MTFL[:-1]}6\n"})
    assert reasons(found) == ["", "", "bad_attributes"]


def test_another_scheme_is_refused(tmp_path):
    with tree_of(tmp_path, {"a.txt": BOX}) as tree, pytest.raises(InputError, match="ibug68 has 68"):
        list(MTCNN.read(tree, get_scheme("ibug68"), ("a.txt",)))


def test_detection_fits_only_these_lists(tmp_path):
    assert_fits_only_its_own(MTCNN, tmp_path)


@pytest.mark.parametrize("line", [BOX, MTFL])
def test_hostile_bytes_end_in_faces_skipped_or_an_error(tmp_path, line):
    fuzz(MTCNN, SCHEME, tmp_path, "a.txt", (line + "\n").encode() * 3)


def test_the_real_list_equals_csv(shared_data):
    folder = shared_data / "formats" / "mtcnn_list"
    with open_tree(folder) as tree:
        found = MTCNN.detect(tree)
        assert found.files == ("testImageList.txt",)
        items = list(MTCNN.read(tree, SCHEME, found.files))
    with (folder / "testImageList.txt").open(newline="") as file:
        rows = [row for row in csv.reader(file, delimiter=" ") if row]
    assert reasons(items) == [""] * len(rows)
    assert len(rows) == 3466
    numbers = np.array([row[1:] for row in rows], np.float64)
    assert np.array_equal(np.stack([f.landmarks for f in items]), numbers[:, 4:].reshape(-1, 5, 2))
    box = np.stack([f.box for f in items])
    assert np.array_equal(
        box, np.stack([numbers[:, 0], numbers[:, 2], *np.diff(numbers[:, :4])[:, ::2].T], 1)
    )
    assert [f.image for f in items] == [row[0].replace("\\", "/") for row in rows]
    assert {f.split for f in items} == {"test"}
    # the four columns are left right top bottom: so the box holds the middle of the points, nearly always
    middle = np.stack([f.landmarks for f in items]).mean(axis=1)
    inside = ((middle > box[:, :2]) & (middle < box[:, :2] + box[:, 2:])).all(axis=1)
    assert inside.mean() > 0.999


whole = st.integers(-(2**16), 2**16).map(lambda v: v / 16)
size = st.integers(64, 2**16).map(lambda v: v / 64)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.builds(
            lambda image, inside, box, split: make_face(
                image + ".jpg",
                (np.array(box[:2]) + inside * np.array(box[2:])).astype(np.float32),
                box=np.array(box, np.float32),
                box_source="annotated",
                split=split,
            ),
            image_names(),
            hnp.arrays(np.float64, (5, 2), elements=st.floats(0.01, 0.99)),
            st.tuples(whole, whole, size, size),
            st.sampled_from(["train", "val", "test", ""]),
        ),
        max_size=4,
    )
)
def test_reading_back_gives_the_same_faces(tmp_path_factory, faces):
    folder = tmp_path_factory.mktemp("mtcnn") / "out"
    report = MTCNN.write(iter(faces), folder, SCHEME)
    order = {"test": 0, "train": 1, "": 2, "val": 3}
    kept = sorted((face for face in faces if unlisted(face) is None), key=lambda face: order[face.split])
    assert report.faces == len(kept)
    assert not report.lost.keys() - {"face with unwritable image name", "image name"}
    with open_tree(folder) as tree:
        back = list(MTCNN.read(tree, SCHEME, MTCNN.detect(tree).files))
    assert len(back) == len(kept)
    for one, two in zip(kept, back, strict=True):
        assert same_points(one, two)
        assert one.box.tolist() == two.box.tolist()
        assert one.split == two.split
        assert one.image == two.image or report.lost["image name"]


def test_what_writing_loses_is_counted(tmp_path):
    xy = np.array(XY, np.float32)
    nan = xy.copy()
    nan[1] = np.nan
    faces = [
        make_face("a.jpg", xy, attributes={"gender": 1}),
        make_face(
            "a.jpg", np.full((5, 2), 3e38, np.float32) * np.array([[1, -1]] * 4 + [[-1, 1]], np.float32)
        ),
        make_face("a.jpg", nan),
        make_face(" a.jpg", xy),
        make_face("b.jpg", np.full((5, 2), 1e6, np.float32)),
    ]
    report = MTCNN.write(faces, tmp_path / "ImageList.txt", SCHEME)
    assert report.faces == 2
    assert report.lost == {
        "box": 2, "attributes": 1, "face with unwritable box": 1,
        "face with unlabelled points": 1, "face with unwritable image name": 1,
    }  # fmt: skip
    with open_tree(tmp_path) as tree:
        one, two = MTCNN.read(tree, SCHEME, MTCNN.detect(tree).files)
    assert one.box.tolist() == [100.25, 110.5, 39.75, 40.5]
    assert two.box.tolist() == [1e6, 1e6, 1, 1]
