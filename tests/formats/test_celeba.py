"""CelebA: both lists, the three beside them, order, bad input, detection, and both ways."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd.errors import InputError
from flmd.formats.celeba import CelebA
from flmd.formats.common.text_list import unlisted
from flmd.schemes import get_scheme
from flmd.tree import open_tree
from tests.formats.random_faces import image_names, make_face, points, same_points
from tests.formats.text_formats import assert_fits_only_its_own, fuzz, read, reasons, tree_of

CELEBA = CelebA()
SCHEME = get_scheme("celeba5")
HEADER = " ".join(
    f"{part}_{axis}" for part in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for axis in "xy"
)
ROWS = ["000001.jpg 150  180  240  170  190  250  160  280  260  270", "000002.jpg -1 2 3 4 5 6 7 8 9 10"]
WILD, ALIGNED = "Anno/list_landmarks_celeba.txt", "Anno/list_landmarks_align_celeba.txt"
BESIDE = {
    "Anno/list_bbox_celeba.txt": "2\nimage_id x_1 y_1 width height\n000001.jpg 90  70 220 310\n"
    "000002.jpg 0 0 0 0\n",
    "Eval/list_eval_partition.txt": "000001.jpg 0\n000002.jpg 2\n",
    "Anno/identity_CelebA.txt": "000001.jpg 17\n000002.jpg 23\n",
}


def table(*rows: str, count: int | None = None) -> str:
    return "\n".join([str(len(rows) if count is None else count), HEADER, *rows]) + "\n"


def test_all_four_lists_make_a_face(tmp_path):
    one, two = read(CELEBA, SCHEME, tmp_path, {WILD: table(*ROWS), **BESIDE, "Img/img_celeba/000001.jpg": ""})
    assert one.landmarks.tolist() == [[150, 180], [240, 170], [190, 250], [160, 280], [260, 270]]
    assert one.landmarks.dtype == np.float32
    assert (one.visibility == 2).all()
    assert one.box.tolist() == [90, 70, 220, 310]
    assert (one.box_source, one.split, one.subject) == ("annotated", "train", "17")
    assert one.image == "Img/img_celeba/000001.jpg"
    assert one.where.endswith("list_landmarks_celeba.txt:3 (image 000001.jpg)")
    assert two.landmarks[0].tolist() == [-1, 2]
    assert (two.box, two.box_source, two.split, two.subject) == (None, "none", "test", "23")
    assert two.image == "Anno/000002.jpg"


def test_the_boxes_do_not_belong_to_the_aligned_list(tmp_path):
    faces = read(CELEBA, SCHEME, tmp_path, {ALIGNED: table(*ROWS), **BESIDE})
    assert [face.box for face in faces] == [None, None]
    assert [face.split for face in faces] == ["train", "test"]


def test_a_list_alone_says_no_split_and_no_person(tmp_path):
    (face,) = read(CELEBA, SCHEME, tmp_path, {"x/landmarks.txt": table(ROWS[0])})
    assert (face.box, face.split, face.subject, face.image) == (None, "", "x/000001", "x/000001.jpg")


@pytest.mark.parametrize(
    ("pictures", "files"),
    [
        ([], [ALIGNED]),
        (["Img/img_celeba/1.jpg"], [WILD]),
        (["img_align_celeba/1.jpg"], [ALIGNED]),
        (["img_celeba/1.jpg", "img_align_celeba/1.jpg"], [ALIGNED]),
    ],
)
def test_of_both_lists_one_is_read(tmp_path, pictures, files):
    with tree_of(tmp_path, {WILD: table(), ALIGNED: table(), **dict.fromkeys(pictures, "")}) as tree:
        found = CELEBA.detect(tree)
    assert list(found.files) == files
    assert "left out as the same faces in other pictures" in found.why


def test_lists_in_another_order_or_with_gaps_are_joined_by_name(tmp_path):
    others = {
        "Anno/list_bbox_celeba.txt": "1\nimage_id x_1 y_1 width height\n000002.jpg 1 2 3 4\n",
        "Eval/list_eval_partition.txt": "000002.jpg 1\nx y z\n000009.jpg 2\n000001.jpg 0\n",
        "Anno/identity_CelebA.txt": "000001.jpg 7\n",
    }
    one, two = read(CELEBA, SCHEME, tmp_path, {WILD: table(*ROWS), **others})
    assert (one.box, one.split, one.subject) == (None, "train", "7")
    assert (two.box.tolist(), two.split, two.subject) == ([1, 2, 3, 4], "val", "Anno/000002")


def test_lists_in_step_are_not_kept_in_memory(tmp_path):
    count = 20_000
    names = [f"{i:06}.jpg" for i in range(count)]
    files = {
        WILD: table(*(f"{name} 1 2 3 4 5 6 7 8 9 10" for name in names)),
        "Eval/list_eval_partition.txt": "".join(f"{name} 1\n" for name in names),
        "Anno/identity_CelebA.txt": "".join(f"{name} 12\n" for name in names),
    }
    with tree_of(tmp_path, files) as tree:
        list(zip(CELEBA.read(tree, SCHEME, (WILD,)), range(2), strict=False))
        tracemalloc.start()
        seen = sum(face.split == "val" for face in CELEBA.read(tree, SCHEME, (WILD,)))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert seen == count
    assert peak < 1 << 20


def test_bad_lines_are_skipped_with_the_reason(tmp_path):
    numbers = " 1 2 3 4 5 6 7 8 9 10"
    names = ["a.jpg", "b.jpg", "c.jpg", "../../d.jpg", "e.jpg", "f.jpg", "g h.jpg"]
    rows = ["a.jpg 1 2", "b.jpg 1 2 3 4 5 6 7 8 9 inf", *(name + numbers for name in names[2:])]
    beside = {
        "Anno/list_bbox_celeba.txt": "6\nimage_id x_1 y_1 width height\n"
        + "".join(
            f"{name} 1 2 {width} 4\n" for name, width in zip(names, [1, 1, 0, 1, "x", 1, 1], strict=True)
        ),
        "Anno/list_eval_partition.txt": "".join(f"{name} {3 * (name == 'f.jpg')}\n" for name in names),
    }
    found = read(CELEBA, SCHEME, tmp_path, {WILD: table(*rows, count=9), **beside})
    expected = ["wrong_point_count", "not_a_number", "bad_box", "bad_path", "bad_box", "bad_split", ""]
    assert reasons(found) == [*expected, "wrong_face_count"]
    assert found[6].image == "Anno/g h.jpg"
    assert found[-1].what == "the first line says 9 faces, 7 follow"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x\n" + HEADER, ":1: the first line is 'x'; expected the number of faces"),
        ("", ":1: the first line is ''"),
        ("1\na b c\n", ":2: the second line is 'a b c'; expected the header lefteye_x"),
    ],
)
def test_another_head_is_an_error(tmp_path, text, message):
    with tree_of(tmp_path, {"a.txt": text}) as tree, pytest.raises(InputError) as error:
        list(CELEBA.read(tree, SCHEME, ("a.txt",)))
    assert message in str(error.value)


def test_another_scheme_is_refused(tmp_path):
    with tree_of(tmp_path, {"a.txt": table()}) as tree, pytest.raises(InputError, match="ibug68 has 68"):
        list(CELEBA.read(tree, get_scheme("ibug68"), ("a.txt",)))


def test_detection_fits_only_these_lists(tmp_path):
    assert_fits_only_its_own(CELEBA, tmp_path)


def test_hostile_bytes_end_in_faces_skipped_or_an_error(tmp_path):
    tree_of(tmp_path, {name.split("/")[1]: text for name, text in BESIDE.items()}).close()
    fuzz(CELEBA, SCHEME, tmp_path, "list_landmarks_celeba.txt", table(*ROWS).encode())
    (tmp_path / "list_landmarks_celeba.txt").write_text(table(*ROWS))
    with open_tree(tmp_path) as tree:
        assert len(list(CELEBA.read(tree, SCHEME, ("list_landmarks_celeba.txt",)))) == 2


def test_hostile_lists_beside(tmp_path):
    tree_of(tmp_path, {"x/list_landmarks_celeba.txt": table(*ROWS)}).close()
    for name, text in BESIDE.items():
        base = name.split("/")[1]

        class Landmarks(CelebA):
            """Reads the landmarks whichever file is mutated."""

            def read(self, tree, scheme, files):
                return CELEBA.read(tree, scheme, ("x/list_landmarks_celeba.txt",))

        fuzz(Landmarks(), SCHEME, tmp_path, base, text.encode(), rounds=60)


whole = st.integers(-5000, 20000)
size = st.integers(1, 20000)
boxes = st.none() | st.tuples(whole, whole, size, size).map(lambda box: np.array(box, np.float32))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.builds(
            lambda image, landmarks, box, split, subject: make_face(
                image,
                landmarks,
                box=box,
                box_source="none" if box is None else "annotated",
                split=split,
                subject=subject,
            ),
            image_names(),
            points(5, whole=True),
            boxes,
            st.sampled_from(["train", "val", "test", ""]),
            st.sampled_from(["", "12", "0"]),
        ),
        max_size=6,
        unique_by=lambda face: face.image,
    )
)
def test_reading_back_gives_the_same_faces(tmp_path_factory, faces):
    folder = tmp_path_factory.mktemp("celeba") / "out"
    report = CELEBA.write(iter(faces), folder, SCHEME)
    kept = [face for face in faces if unlisted(face) is None]
    assert report.faces == len(kept)
    assert not report.lost.keys() - {"face with unwritable image name", "image name"}
    with open_tree(folder) as tree:
        back = list(CELEBA.read(tree, SCHEME, CELEBA.detect(tree).files))
        assert ("list_bbox_celeba.txt" in tree) == any(face.box is not None for face in kept)
        assert ("list_eval_partition.txt" in tree) == any(face.split for face in kept)
        assert ("identity_CelebA.txt" in tree) == any(face.subject for face in kept)
        assert len(tree.names) < 5
    assert len(back) == len(kept)
    for one, two in zip(kept, back, strict=True):
        assert same_points(one, two)
        assert (one.box is None) == (two.box is None)
        assert one.box is None or one.box.tolist() == two.box.tolist()
        assert (one.split, one.box_source) == (two.split, two.box_source)
        assert not one.subject or one.subject == two.subject
        assert one.image == two.image or report.lost["image name"]


def test_what_writing_loses_is_counted(tmp_path):
    xy = np.arange(10, dtype=np.float32).reshape(5, 2)
    nan = xy.copy()
    nan[0] = np.nan
    faces = [
        make_face("a.jpg", xy - 0.5, subject="me", subset="x"),
        make_face("b.jpg", xy, box=np.array([1, 2, 0.25, 9], np.float32), box_source="annotated"),
        make_face("c.jpg", xy, box=np.array([1.5, 2, 3, 4], np.float32), box_source="landmarks"),
        make_face("a.jpg", xy),
        make_face("d.jpg", nan),
    ]
    report = CELEBA.write(faces, tmp_path / "out", SCHEME)
    assert report.faces == 3
    assert report.lost == {
        "sub-pixel": 2, "subject": 1, "subset": 1, "box": 1, "box source": 1,
        "another face of one picture": 1, "face with unlabelled points": 1,
    }  # fmt: skip
    text = (tmp_path / "out" / "list_landmarks_celeba.txt").read_text().splitlines()
    assert text == ["3", HEADER, *(f"{n}.jpg 0 1 2 3 4 5 6 7 8 9" for n in "abc")]
    text = (tmp_path / "out" / "list_bbox_celeba.txt").read_text().splitlines()
    assert text[2:] == ["a.jpg 0 0 0 0", "b.jpg 0 0 0 0", "c.jpg 2 2 3 4"]
