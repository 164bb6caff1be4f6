"""WFLW: both kinds of list, subsets and repeats, pictures, bad input, the real lists, and both ways."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd.errors import InputError
from flmd.formats.common.text_list import unlisted
from flmd.formats.wflw import Wflw
from flmd.schemes import get_scheme
from flmd.tree import open_tree
from tests.formats.random_faces import image_names, make_face, points, same_points
from tests.formats.text_formats import FLAT98, assert_fits_only_its_own, fuzz, read, reasons, tree_of

WFLW = Wflw()
SCHEME = get_scheme("wflw98")
EXPECTED = (np.arange(196) + 0.5).astype(np.float32).reshape(98, 2)
FULL = f"{FLAT98} 10 20 30.5 60 1 0 0 0 1 0 "
PLAIN = f"{FLAT98} "


def one(folder, text, name="list_98pt_rect_attr_test.txt", **more):
    return read(WFLW, SCHEME, folder, {name: text, **more})


def test_a_line_with_box_and_flags(tmp_path):
    (face,) = one(tmp_path, FULL + "41--Swimming/a b.jpg \r\n")
    assert np.array_equal(face.landmarks, EXPECTED)
    assert face.landmarks.dtype == np.float32
    assert (face.visibility == 2).all()
    assert face.box.tolist() == [10, 20, 20.5, 40]
    assert face.box_source == "annotated"
    assert face.attributes == {
        "pose": True, "expression": False, "illumination": False,
        "make_up": False, "occlusion": True, "blur": False,
    }  # fmt: skip
    assert (face.image, face.subject) == ("41--Swimming/a b.jpg", "41--Swimming/a b")
    assert (face.split, face.subset) == ("test", "")
    assert face.where.endswith("list_98pt_rect_attr_test.txt:1")


def test_a_plain_line_has_neither_box_nor_flags(tmp_path):
    (face,) = one(tmp_path, PLAIN + "a.jpg\n", "list_98pt_train.txt")
    assert (face.box, face.box_source, face.attributes) == (None, "none", {})
    assert face.split == "train"


def test_one_picture_on_many_lines(tmp_path):
    faces = one(tmp_path, (FULL + "a.jpg\n") * 3)
    assert [face.subject for face in faces] == ["a"] * 3


@pytest.mark.parametrize(
    ("word", "subset"),
    [("largepose", "largepose"), ("make-up", "makeup"), ("Blur", "blur"), ("occlusion", "occlusion")],
)
def test_the_subset_comes_from_the_name(tmp_path, word, subset):
    (face,) = one(tmp_path, PLAIN + "a.jpg\n", f"list_98pt_test_{word}.txt")
    assert (face.split, face.subset) == ("test", subset)


def test_lists_that_repeat_faces_are_left_out_and_named(tmp_path):
    rect, plain = "an/list_98pt_rect_attr_train_test", "an/list_98pt_test"
    files = {f"{rect}/list_98pt_rect_attr_{s}.txt": FULL + "a.jpg\n" for s in ("train", "test")}
    files |= {f"{plain}/list_98pt_test{s}.txt": PLAIN + "a.jpg\n" for s in ("", "_blur", "_makeup")}
    with tree_of(tmp_path, files) as tree:
        found = WFLW.detect(tree)
    assert list(found.files) == [f"{rect}/list_98pt_rect_attr_{s}.txt" for s in ("test", "train")]
    assert found.why.count("list_98pt_test_blur.txt") == 1
    assert "left out" in found.why
    alone = {name: text for name, text in files.items() if name.startswith(plain)}
    with tree_of(tmp_path / "plain", alone) as tree:
        assert WFLW.detect(tree).files == (f"{plain}/list_98pt_test.txt",)


def test_subset_lists_alone_are_all_read(tmp_path):
    files = {f"list_98pt_test_{s}.txt": PLAIN + "a.jpg\n" for s in ("blur", "makeup")}
    faces = read(WFLW, SCHEME, tmp_path, files)
    assert [face.subset for face in faces] == ["blur", "makeup"]
    assert {face.subject for face in faces} == {"a"}


@pytest.mark.parametrize(
    ("pictures", "image"),
    [
        (["x/y/a/b.jpg"], "x/y/a/b.jpg"),
        (["WFLW_images/a/b.jpg", "other/a/b.jpg"], "WFLW_images/a/b.jpg"),
        (["x/WFLW_images/a/b.jpg", "WFLW_images/a/b.jpg"], "x/WFLW_images/a/b.jpg"),
        (["p/a/b.jpg", "q/a/b.jpg"], "x/lists/a/b.jpg"),
        (["x/pa/b.jpg"], "x/lists/a/b.jpg"),
        ([], "x/lists/a/b.jpg"),
    ],
)
def test_pictures_are_found_where_they_are(tmp_path, pictures, image):
    files = {"x/lists/list_98pt_rect_attr_test.txt": FULL + "a/b.jpg\n", **dict.fromkeys(pictures, "")}
    assert read(WFLW, SCHEME, tmp_path, files)[0].image == image


def test_bad_lines_are_skipped_with_the_reason(tmp_path):
    cells = FULL.split()
    bad = {
        "wrong_point_count": "1 2 3 a.jpg",
        "not_a_number": " ".join(["nan", *cells[1:], "a.jpg"]),
        "bad_line": PLAIN + "10 20 30 40 a.jpg",
        "bad_box": " ".join([*cells[:196], "30 20 10 60", *cells[200:], "a.jpg"]),
        "bad_flag": " ".join([*cells[:200], "2", *cells[201:], "a.jpg"]),
        "bad_path": FULL + "../../a.jpg",
    }
    found = one(tmp_path, "\n".join([FULL + "a.jpg", *bad.values(), FULL + "b.jpg"]))
    assert reasons(found) == ["", *bad, ""]
    assert found[2].where.endswith(":3")
    assert "column 0 holds 'nan'" in found[2].what
    no_path = one(tmp_path, f"{PLAIN}a.jpg\n{PLAIN}\n", "list_98pt_rect_attr_test.txt")
    assert reasons(no_path) == ["", "bad_path"]


def test_a_word_among_numbers_that_float32_cannot_hold(tmp_path):
    line = FULL.replace("5.5 ", "1e39 ", 1)
    assert reasons(one(tmp_path, FULL + "a.jpg\n" + line + "a.jpg\n")) == ["", "not_a_number"]


def test_a_huge_line_ends_the_file_after_the_good_faces(tmp_path):
    with tree_of(tmp_path, {"test.txt": FULL + "a.jpg\n" + "1 " * (1 << 19) + "\n"}) as tree:
        faces = WFLW.read(tree, SCHEME, ("test.txt",))
        next(faces)
        with pytest.raises(InputError, match=r"test.txt:2: a line of 1048576 bytes"):
            next(faces)


def test_another_scheme_is_refused(tmp_path):
    with tree_of(tmp_path, {"a.txt": FULL + "a.jpg"}) as tree, pytest.raises(InputError, match="ibug68"):
        list(WFLW.read(tree, get_scheme("ibug68"), ("a.txt",)))


def test_detection_fits_only_these_lists(tmp_path):
    assert_fits_only_its_own(WFLW, tmp_path)


def test_a_single_file_is_a_tree(tmp_path):
    tree_of(tmp_path, {"list_98pt_test_blur.txt": PLAIN + "a.jpg\n"}).close()
    with open_tree(tmp_path / "list_98pt_test_blur.txt") as tree:
        assert WFLW.detect(tree).files == ("list_98pt_test_blur.txt",)


def test_hostile_bytes_end_in_faces_skipped_or_an_error(tmp_path):
    fuzz(WFLW, SCHEME, tmp_path, "list_98pt_rect_attr_test.txt", (FULL + "a b.jpg\n").encode() * 3)


def test_the_real_subset_lists_equal_numpy(shared_data):
    folder = shared_data / "formats" / "wflw"
    with open_tree(folder) as tree:
        found = WFLW.detect(tree)
        faces = list(WFLW.read(tree, SCHEME, found.files))
    counts = {"expression": 314, "largepose": 326, "makeup": 206}
    start = 0
    for subset, count in counts.items():
        path = folder / f"list_98pt_test_{subset}.txt"
        numbers = np.loadtxt(path, usecols=range(196)).astype(np.float32)
        part = faces[start : start + count]
        assert np.array_equal(np.stack([face.landmarks for face in part]), numbers.reshape(-1, 98, 2))
        assert {(face.subset, face.split) for face in part} == {(subset, "test")}
        assert [face.image for face in part] == np.loadtxt(path, usecols=196, dtype=str).tolist()
        start += count
    assert start == len(faces)


numbers32 = st.floats(-(2**20), 2**20, width=32)
sizes = st.floats(1, 2**20, width=32).map(lambda v: float(np.float32(np.floor(v * 64) / 64)))
corners = st.integers(-(2**24), 2**24).map(lambda v: v / 16)
flags = st.fixed_dictionaries(
    dict.fromkeys(("pose", "expression", "illumination", "make_up", "occlusion", "blur"), st.booleans())
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.builds(
            lambda image, landmarks, box, attributes, split: make_face(
                image,
                landmarks,
                box=np.array(box, np.float32),
                box_source="annotated",
                attributes=attributes,
                split=split,
            ),
            image_names(),
            points(98, whole=False),
            st.tuples(corners, corners, sizes, sizes),
            flags,
            st.sampled_from(["train", "val", "test", ""]),
        ),
        max_size=4,
    )
)
def test_reading_back_gives_the_same_faces(tmp_path_factory, faces):
    folder = tmp_path_factory.mktemp("wflw") / "out"
    report = WFLW.write(iter(faces), folder, SCHEME)
    kept = [face for face in faces if unlisted(face) is None]
    assert report.faces == len(kept)
    assert report.lost["face with unwritable image name"] == len(faces) - len(kept)
    assert not report.lost.keys() - {"face with unwritable image name", "image name"}
    with open_tree(folder) as tree:
        found = WFLW.detect(tree)
        back = list(WFLW.read(tree, SCHEME, found.files))
    order = {"test": 0, "train": 1, "": 2, "val": 3}
    kept.sort(key=lambda face: order[face.split])
    assert len(back) == len(kept)
    for one, two in zip(kept, back, strict=True):
        assert same_points(one, two)
        assert one.box.tolist() == two.box.tolist()
        assert (one.attributes, one.split) == (two.attributes, two.split)
        assert one.image == two.image or report.lost["image name"]


def test_what_writing_loses_is_counted(tmp_path):
    whole = EXPECTED.copy()
    nan = EXPECTED.copy()
    nan[3] = np.nan
    box = np.array([1e6, 1e6, 1e-6, 1], np.float32)
    faces = [
        make_face("a.jpg", whole, subset="blur", attributes={"pose": 0.3, "blur": True}, subject="me"),
        make_face("a.jpg", nan),
        make_face("a\nb.jpg", whole),
        make_face("../a.jpg", whole),
        make_face("a.jpg", whole, box=box, box_source="detector"),
    ]
    report = WFLW.write(faces, tmp_path / "list_98pt_rect_attr_test.txt", SCHEME)
    assert report.faces == 2
    assert report.lost == {
        "box": 2, "box source": 1, "subset": 1, "attributes": 1, "subject": 1, "split": 2,
        "face with unlabelled points": 1, "face with unwritable image name": 2,
    }  # fmt: skip
    with open_tree(tmp_path) as tree:
        back, _ = WFLW.read(tree, SCHEME, ("list_98pt_rect_attr_test.txt",))
    assert back.box.tolist() == [0.5, 1.5, 194, 194]
    assert back.attributes["blur"] is True


def test_a_failed_write_leaves_nothing(tmp_path):
    def broken():
        yield make_face("a.jpg", EXPECTED)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        WFLW.write(broken(), tmp_path / "out", SCHEME)
    assert list(tmp_path.iterdir()) == []


def test_a_file_named_for_a_subset_keeps_it(tmp_path):
    target = tmp_path / "list_98pt_test_blur.txt"
    box = np.array([1, 2, 3, 4], np.float32)
    face = make_face("a.jpg", EXPECTED, subset="blur", split="test", box=box, box_source="annotated")
    assert not WFLW.write([face], target, SCHEME).lost
    with open_tree(tmp_path) as tree:
        (back,) = WFLW.read(tree, SCHEME, WFLW.detect(tree).files)
    assert (back.subset, back.split) == ("blur", "test")


def test_many_pictures_of_one_name_are_told_apart_by_their_folders(tmp_path):
    lines = "".join(f"{FULL}p{i}/0.jpg\n" for i in range(1200))
    pictures = dict.fromkeys((f"x/p{i}/0.jpg" for i in range(1200)), "")
    faces = read(WFLW, SCHEME, tmp_path, {"lists/test.txt": lines, **pictures})
    assert [face.image for face in faces] == [f"x/p{i}/0.jpg" for i in range(1200)]
