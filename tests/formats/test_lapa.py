"""LaPa: pictures in images/ or beside, counts, bad files, detection, and both ways."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd.formats import Certainty
from flmd.formats.lapa import LaPa
from flmd.schemes import get_scheme
from flmd.tree import open_tree
from tests.formats.random_faces import image_names, make_face, points, same_points
from tests.formats.text_formats import assert_fits_only_its_own, fuzz, read, reasons, tree_of

LAPA = LaPa()
SCHEME = get_scheme("lapa106")
THREE = get_scheme("points3")
TEXT = "106\n" + "".join(f"{i}.25 {i + 0.75}\n" for i in range(106))
SMALL = "3\n1 2\n3 4.5\n5 -6\n"


def test_a_file_is_a_face(tmp_path):
    (face,) = read(LAPA, SCHEME, tmp_path, {"LaPa/val/landmarks/1_0.txt": TEXT})
    assert face.landmarks.shape == (106, 2)
    assert face.landmarks[7].tolist() == [7.25, 7.75]
    assert face.landmarks.dtype == np.float32
    assert (face.visibility == 2).all()
    assert (face.image, face.subject) == ("LaPa/val/images/1_0.jpg", "LaPa/val/images/1_0")
    assert (face.split, face.box, face.box_source) == ("val", None, "none")
    assert face.where.endswith("LaPa/val/landmarks/1_0.txt")


@pytest.mark.parametrize(
    ("name", "pictures", "image"),
    [
        ("train/landmarks/a.txt", ["train/images/a.PNG", "train/labels/a.png"], "train/images/a.PNG"),
        ("train/landmarks/a.txt", ["train/landmarks/a.jpg"], "train/landmarks/a.jpg"),
        ("train/landmarks/a_face2.txt", ["train/images/a.png"], "train/images/a.png"),
        ("landmarks/a.txt", [], "images/a.jpg"),
        ("x/a.txt", ["x/a.png"], "x/a.png"),
        ("x/a_face3.txt", [], "x/a.jpg"),
    ],
)
def test_the_picture_lies_in_images_or_beside(tmp_path, name, pictures, image):
    assert read(LAPA, THREE, tmp_path, {name: SMALL, **dict.fromkeys(pictures, "")})[0].image == image


def test_the_name_of_a_picture_says_no_split(tmp_path):
    (face,) = read(LAPA, THREE, tmp_path, {"x/train_station.txt": SMALL})
    assert face.split == ""


@pytest.mark.parametrize(("text", "scheme"), [(TEXT, "lapa106"), (SMALL, "points3")])
def test_the_count_says_the_scheme(tmp_path, text, scheme):
    with tree_of(tmp_path, {"a.txt": text}) as tree:
        assert LAPA.scheme_in(tree, ("a.txt",)) == scheme


def test_bad_files_are_skipped_and_the_next_is_read(tmp_path):
    bad = {
        "bad_header": "x\n1 2\n",
        "wrong_point_count": "3\n1 2\n3 4\n",
        "bad_line": "3\n1 2\n3 4 5\n6 7\n",
        "not_a_number": "3\n1 2\n3 nan\n5 6\n",
    }
    others = {"empty": ("", "bad_header"), "more": ("4\n1 2\n3 4\n5 6\n7 8\n", "wrong_point_count")}
    files = {f"landmarks/{i}.txt": text for i, text in enumerate(bad.values())}
    files |= {f"landmarks/{name}.txt": text for name, (text, _) in others.items()}
    files |= {f"landmarks/z{i}.txt": "\ufeff" + SMALL.replace("\n", "\r\n") for i in range(9)}
    found = read(LAPA, THREE, tmp_path, files)
    assert reasons(found) == [*bad, *(reason for _, reason in others.values()), *[""] * 9]
    assert found[3].where.endswith("3.txt:3")
    assert "'nan'" in found[3].what


def test_a_huge_file_is_skipped(tmp_path):
    with tree_of(tmp_path, {"a.txt": "3\n" + "1 2\n" * (1 << 19)}) as tree:
        assert reasons(list(LAPA.read(tree, THREE, ("a.txt",)))) == ["wrong_point_count"]


def test_detection_fits_only_these_files(tmp_path):
    assert_fits_only_its_own(LAPA, tmp_path)


def test_other_texts_beside_are_left(tmp_path):
    files = {"train.txt": "a.jpg 1 2\n", "README.txt": "106 points\n", "a.txt": SMALL}
    files |= {f"train/landmarks/{i}.txt": SMALL for i in range(40)} | {"train/labels/x.txt": "0 1 2 3 4\n"}
    with tree_of(tmp_path, files) as tree:
        found = LAPA.detect(tree)
    assert found.certainty == Certainty.LIKELY
    assert len(found.files) == 41
    assert "a.txt" in found.files


def test_hostile_bytes_end_in_faces_or_skipped(tmp_path):
    fuzz(LAPA, THREE, tmp_path, "a.txt", SMALL.encode())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            image_names(), points(3, whole=False), st.sampled_from(["", "train/images/", "test/", "images/"])
        ),
        max_size=5,
    )
)
def test_reading_back_gives_the_same_faces(tmp_path_factory, made):
    folder = tmp_path_factory.mktemp("lapa") / "out"
    faces = [make_face(f"{where}{i}{image}.jpg", found) for i, (image, found, where) in enumerate(made)]
    report = LAPA.write(iter(faces), folder, THREE)
    refused = report.lost["face with unwritable image name"]
    assert report.faces == len(faces) - refused
    with open_tree(folder) as tree:
        back = list(LAPA.read(tree, THREE, tuple(n for n in tree.names)))
    by_image = {face.image: face for face in back}
    assert len(back) == report.faces
    same = [face for face in faces if face.image in by_image]
    assert len(same) >= report.faces - report.lost["image name"]
    assert all(same_points(face, by_image[face.image]) for face in same)


def test_further_faces_and_what_is_lost(tmp_path):
    xy = np.arange(6, dtype=np.float32).reshape(3, 2)
    nan = xy.copy()
    nan[0] = np.nan
    box = np.ones(4, np.float32)
    faces = [
        make_face("train/images/a.jpg", xy, split="train", box=box, attributes={"x": 1}),
        make_face("train/images/a.jpg", xy + 1, split="test", subset="common"),
        make_face("b.png", xy),
        make_face("c.jpg", nan),
        make_face("/d.jpg", xy),
        make_face("e" * 300 + ".jpg", xy),
    ]
    report = LAPA.write(faces, tmp_path / "out", THREE)
    assert report.faces == 3
    assert report.lost == {
        "box": 1, "attributes": 1, "split": 1, "subset": 1, "image name": 1,
        "face with unlabelled points": 1, "face with unwritable image name": 2,
    }  # fmt: skip
    with open_tree(tmp_path / "out") as tree:
        assert tree.names == ["b.txt", "train/landmarks/a.txt", "train/landmarks/a_face2.txt"]
        back = list(LAPA.read(tree, THREE, tuple(tree.names)))
    assert [face.image for face in back] == ["b.jpg", "train/images/a.jpg", "train/images/a.jpg"]
    assert [face.split for face in back] == ["", "train", "train"]
