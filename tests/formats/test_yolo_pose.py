"""YOLO-pose: rows of pairs and triples, YAMLs, splits, sizes of pictures, bad input, and both ways."""

from __future__ import annotations

import random
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from ruamel.yaml import YAML

from flmd.core.images import probe
from flmd.errors import FlmdError, InputError
from flmd.face import Face
from flmd.formats import Certainty
from flmd.formats.dlib_xml import DlibXml
from flmd.formats.yolo_pose import YoloPose
from flmd.schemes import IBUG68, get_scheme
from flmd.tree import open_tree
from flmd.tree.names import is_junk
from tests.formats.random_faces import image_names, make_face, same_points

YOLO = YoloPose()
TWO = get_scheme("points2")
ROW = "0 0.5 0.5 0.25 0.5 0.1 0.2 2 0.3 0.4 1"
PAIRS = "0 0.5 0.5 0.25 0.5 0.1 0.2 0.3 0.4"
SHAPE3, SHAPE2 = "kpt_shape: [2, 3]\n", "kpt_shape: [2, 2]\n"


def picture(path: Path, size: tuple[int, int] = (200, 100)) -> None:
    """A picture's header is all that is read: a PPM without pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"P6 %d %d 255\n" % size)


def lay_out(folder: Path, yaml: str | None, **labels: str) -> None:
    """``train__a="…"`` is labels/train/a.txt, with its picture."""
    folder.mkdir(exist_ok=True)
    if yaml is not None:
        (folder / "data.yaml").write_text(yaml)
    for name, text in labels.items():
        path = folder / "labels" / (name.replace("__", "/") + ".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        picture(folder / "images" / (name.replace("__", "/") + ".ppm"))


def read(folder: Path, scheme=TWO) -> list:
    with open_tree(folder) as tree:
        found = YOLO.detect(tree)
        assert found.fits, found.why
        return list(YOLO.read(tree, scheme, found.files))


def reasons(found) -> list[str]:
    return [getattr(f, "reason", "face") for f in found]


def test_a_row_of_triples(tmp_path):
    lay_out(tmp_path, SHAPE3, train__a=ROW + "\n\n" + ROW.replace("0.3 0.4 1", "0 0 0") + "\n")
    one, two = read(tmp_path)
    assert one.landmarks.tolist() == np.float32([[20, 20], [60, 40]]).tolist()
    assert (one.visibility.tolist(), two.visibility.tolist()) == ([2, 1], [2, 0])
    assert one.box.tolist() == [75, 25, 50, 50]
    assert np.isnan(two.landmarks[1]).all()
    assert (one.image, one.split, one.image_size, one.subject, one.attributes) == (
        "images/train/a.ppm", "train", (200, 100), "images/train/a", {},
    )  # fmt: skip
    assert two.where.endswith("labels/train/a.txt:3")


def test_rows_of_pairs_have_points_that_are_not_labelled_too(tmp_path):
    rows = [PAIRS, PAIRS.replace("0.3 0.4", "0 0"), PAIRS.replace("0.3", "-1"), PAIRS.replace("0.3", "0")]
    lay_out(tmp_path, SHAPE2, a="\n".join(rows))
    assert [f.visibility.tolist() for f in read(tmp_path)] == [[2, 2], [2, 0], [2, 0], [2, 2]]


def test_a_real_pictures_header_gives_the_size(tmp_path):
    lay_out(tmp_path, SHAPE3, a=ROW)
    (tmp_path / "images/a.ppm").unlink()
    cv2.imwrite(str(tmp_path / "images/a.JPG"), np.zeros((60, 40, 3), np.uint8))
    (face,) = read(tmp_path)
    assert (face.image, face.image_size) == ("images/a.JPG", (40, 60))


@pytest.mark.parametrize(
    ("yaml", "names", "attributes"),
    [
        ("names: [face]\n", "00", [{}, {}]),
        ("names: {0: face, 3: cat}\n", "03", [{}, {"label": "cat"}]),
        ("", "03", [{}, {"class": 3}]),
    ],
)
def test_classes_become_labels(tmp_path, yaml, names, attributes):
    lay_out(tmp_path, SHAPE3 + yaml, a="\n".join(n + ROW[1:] for n in names))
    assert [f.attributes for f in read(tmp_path)] == attributes


@pytest.mark.parametrize(
    ("row", "reason", "what"),
    [
        (ROW + " 2", "wrong_point_count", "12 numbers, expected 11"),
        (PAIRS, "wrong_point_count", "9 numbers, expected 11"),
        (ROW.replace("0.3", "x"), "not_a_number", "number 9 is 'x'"),
        (ROW.replace("0.3", "nan"), "not_a_number", "'nan'"),
        (ROW.replace("0.3", "1e39"), "not_a_number", "'1e39'"),
        (ROW.replace("0.3", "0_3"), "not_a_number", "'0_3'"),
        (ROW.replace("0.3", "3e38"), "not_a_number", "beyond what float32 holds"),
        ("0.5" + ROW[1:], "not_a_number", "the class is '0.5'"),
        ("-1" + ROW[1:], "not_a_number", "the class is '-1'"),
        (ROW.replace("0.25", "0"), "bad_box", "w '0'"),
        (ROW.replace("0.25", "-0.2"), "bad_box", "w '-0.2'"),
        (ROW[:-1] + "3", "bad_visibility", "v of point 1 is 3"),
        (ROW[:-1] + "0.5", "bad_visibility", "v of point 1 is 0.5"),
        (ROW + "\0", "not_a_number", "number 11"),
        (ROW + "\ufffd", "not_a_number", "number 11"),
    ],
)
def test_bad_rows_skip_their_face_only(tmp_path, row, reason, what):
    lay_out(tmp_path, SHAPE3, a=f"{row}\n{ROW}\n")
    found = read(tmp_path)
    assert reasons(found) == [reason, "face"]
    assert what in found[0].what
    assert found[0].where.endswith("labels/a.txt:1")


def test_a_missing_or_broken_picture_skips_every_line(tmp_path):
    lay_out(tmp_path, SHAPE3, a=f"{ROW}\n{ROW}\n", b=ROW, c=ROW, d="")
    (tmp_path / "images/a.ppm").unlink()
    (tmp_path / "images/b.ppm").write_bytes(b"nothing")
    (tmp_path / "images/c.ppm").write_bytes(b"")
    assert reasons(read(tmp_path)) == ["image_missing", "image_missing", "image_unknown", "image_empty"]


@pytest.mark.parametrize(
    ("yaml", "label", "split"),
    [
        ("", "labels/train/a", "train"),
        ("", "labels/valid/a", "val"),
        ("", "test/labels/a", "test"),
        ("", "labels/a", ""),
        ("", "labels/unsplit/train_1", ""),
        ("", "labels/set_test/a", "test"),
        ("train: images/one\nval: images/two\n", "labels/two/a", "val"),
        ("path: ../datasets/x\nval: images/two\n", "labels/two/a", "val"),
        ("path: /home/me/x\nval: [images/two]\n", "labels/two/a", "val"),
        ("val: /home/me/x/images/two\n", "labels/two/train_7", "val"),
        ("test: ../two/images\n", "two/labels/a", "test"),
        ("val: list.txt\n", "labels/two/a", "val"),
        ("path: deep\nval: images/two\n", "deep/labels/two/a", "val"),
    ],
)
def test_splits_come_from_the_yaml_then_the_folders(tmp_path, yaml, label, split):
    (tmp_path / "data.yaml").write_text(SHAPE3 + yaml)
    (tmp_path / "list.txt").write_text("./images/two/a.ppm\n../../x.jpg\n\n")
    (tmp_path / label).parent.mkdir(parents=True)
    (tmp_path / f"{label}.txt").write_text(ROW)
    picture(tmp_path / f"{label.replace('labels', 'images')}.ppm")
    (face,) = read(tmp_path)
    assert face.split == split


def test_labels_beside_pictures_and_folders_called_images(tmp_path):
    (tmp_path / "data.yaml").write_text(SHAPE3)
    for image, label in (("a", "a"), ("images/images/b", "images/labels/b"), ("images/labels/c",) * 2):
        picture(tmp_path / f"{image}.ppm")
        (tmp_path / label).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{label}.txt").write_text(ROW)
    (tmp_path / "notes.txt").write_text("no labels")
    assert [f.image for f in read(tmp_path)] == ["a.ppm", "images/images/b.ppm", "images/labels/c.ppm"]


def test_detection_without_a_yaml(tmp_path):
    def found(name: str, **labels: str):
        lay_out(tmp_path / name, None, **labels)
        with open_tree(tmp_path / name) as tree:
            detection = YOLO.detect(tree)
            return detection, (YOLO.scheme_in(tree, detection.files) if detection.fits else "")

    assert found("none")[0].why == "no data YAML with kpt_shape, and no labels/*.txt"
    triples, scheme = found("triples", a=ROW, b="")
    assert (triples.files, triples.certainty) == (("labels/a.txt", "labels/b.txt"), Certainty.POSSIBLE)
    assert triples.why == "2 label files of 2 points with 3 numbers each"
    assert scheme == "points2"
    assert found("pairs", a=PAIRS)[0].why.endswith("of 2 points with 2 numbers each")
    row68 = "0 0.5 0.5 1 1" + " 0.25 0.5 2" * 68
    assert found("ibug", a=row68)[1] == "ibug68"
    assert reasons(read(tmp_path / "pairs")) == reasons(read(tmp_path / "triples")) == ["face"]
    either, _ = found("either", a="0 0.5 0.5 1 1" + " 0" * 12)
    assert "could be pairs or triples: a data YAML with kpt_shape is needed" in either.why
    assert "neither" in found("odd", a="0 0.5 0.5 1 1" + " 0.5" * 7)[0].why
    assert "rows of 9 and of 11" in found("mixed", a=f"{ROW}\n{PAIRS}")[0].why
    assert "is not `class" in found("boxes", a="0 0.5 0.5 0.5 0.5")[0].why
    assert "not divided" in found("pixels", a="0 0.5 0.5 1 1 100 200 120 220")[0].why
    assert "no class and box" in found("wflw", a="0.5 0.5 0.5 1 1 1 1")[0].why
    assert "no label file has a row" in found("empty", a="")[0].why


@pytest.mark.parametrize(
    ("yaml", "what"),
    [
        ("kpt_shape: [2, 4]\n", "kpt_shape is '[2, 4]'; expected [K, 2] or [K, 3]"),
        ("kpt_shape: [true, 3]\n", "kpt_shape is"),
        ("kpt_shape: 3\n", "kpt_shape is '3'"),
        ("#kpt_shape\na: [\n", "not valid YAML"),
        ("kpt_shape: &a [2, 3]\n", "data.yaml:1: an anchor or alias"),
        (SHAPE3, "no label files (labels/*.txt) below data.yaml"),
    ],
)
def test_detection_with_a_yaml_that_does_not_fit(tmp_path, yaml, what):
    (tmp_path / "data.yaml").write_text(yaml)
    with open_tree(tmp_path) as tree:
        found = YOLO.detect(tree)
    assert not found.fits
    assert what in found.why


def test_a_yaml_is_certain_and_names_the_scheme(tmp_path):
    lay_out(tmp_path, "kpt_shape: [68, 3]\n", a="")
    with open_tree(tmp_path) as tree:
        found = YOLO.detect(tree)
        assert (found.files, found.certainty) == (("data.yaml",), Certainty.CERTAIN)
        assert YOLO.scheme_in(tree, found.files) == "ibug68"
        with pytest.raises(InputError, match="kpt_shape of 68 points; expected 2"):
            list(YOLO.read(tree, TWO, found.files))


def test_two_yamls_over_one_folder_read_it_once(tmp_path):
    lay_out(tmp_path, SHAPE3, a=ROW)
    (tmp_path / "again.yaml").write_text(SHAPE3)
    assert reasons(read(tmp_path)) == ["face"]


def test_a_line_without_end_is_refused_after_the_faces_before_it(tmp_path):
    lay_out(tmp_path, SHAPE3, a=ROW + "\n" + "1 " * (1 << 20))
    found = []
    with open_tree(tmp_path) as tree, pytest.raises(InputError, match="a.txt:2: a line of"):
        found.extend(YOLO.read(tree, TWO, ("data.yaml",)))
    assert reasons(found) == ["face"]


def test_mutated_files_end_in_faces_skips_or_errors(tmp_path):
    start = time.perf_counter()
    rng = random.Random(2)
    lay_out(tmp_path, "", train__a=ROW, b=ROW)
    yaml = (SHAPE3 + "path: .\ntrain: [images/train]\nval: images\nnames: {0: face}\n").encode()
    for turn in range(200):
        texts = [yaml, f"{ROW}\n{ROW}\n".encode(), b"P6 200 100 255\n"]
        data = bytearray(texts[turn % 3])
        for _ in range(rng.randint(1, 5)):
            at = rng.randrange(len(data))
            data[at : at + rng.choice([0, 1, 1, 6])] = rng.choice(
                [b"", b"[", b'"', b"\0", b"\xff", b"1e999", b"9" * 30, b"/", b"../", b"\n", b" ", b"-", b": "]
            )
        texts[turn % 3] = bytes(data)
        for name, text in zip(("data.yaml", "labels/train/a.txt", "images/train/a.ppm"), texts, strict=True):
            (tmp_path / name).write_bytes(text)
        with open_tree(tmp_path) as tree:
            files = YOLO.detect(tree).files
            try:
                YOLO.scheme_in(tree, files)
                list(YOLO.read(tree, TWO, files or ("data.yaml",)))
            except FlmdError:
                continue
    assert time.perf_counter() - start < 60  # a hang, not a speed


# Writing


COORDINATES = st.just(0.0) | st.floats(-5e3, 9e3, width=32).filter(lambda v: abs(v) > 1e-3)
LONG = st.floats(0.125, 9e3, width=32)


@st.composite
def faces(draw):
    landmarks = draw(hnp.arrays(np.float32, (2, 2), elements=COORDINATES))
    landmarks[draw(st.lists(st.integers(0, 1), max_size=2))] = np.nan
    split = draw(st.sampled_from(["train", "val", "test", ""]))
    face = make_face(
        f"images/{split or 'unsplit'}/{draw(image_names())}.ppm",
        landmarks,
        box=np.float32(draw(st.tuples(COORDINATES, COORDINATES, LONG, LONG))),
        box_source="annotated",
        split=split,
        image_size=draw(st.tuples(st.integers(1, 9999), st.integers(1, 9999))),
        attributes=draw(st.sampled_from([{}, {"label": "cat"}, {"label": "é: '\"[x] 😀"}])),
    )
    face.visibility[(face.visibility == 2) & draw(hnp.arrays(bool, 2))] = 1
    return face


def seen(given: list[Face]) -> list[Face]:
    """Without those whose picture a tree takes for an operating system's junk."""
    return [face for face in given if not is_junk(face.image)]


@settings(max_examples=60, deadline=None)
@given(given_faces=st.lists(faces(), max_size=4, unique_by=lambda f: f.image.lower()).map(seen))
def test_writing_and_reading_gives_the_same_faces(tmp_path_factory, given_faces):
    target = tmp_path_factory.mktemp("round") / "out"
    report = YOLO.write(iter(given_faces), target, TWO)
    if {"face with unwritable image name", "picture ending"} & set(report.lost):
        return  # a folder and a label file of one name; a name of nothing but dots
    assert set(report.lost) <= {"points outside the picture"}
    for face in given_faces:
        picture(target / face.image, face.image_size)
    if not given_faces:
        return
    found = {f.image: f for f in read(target)}
    assert len(found) == report.faces == len(given_faces)
    for a in given_faces:
        b = found[a.image]
        assert same_points(a, b)
        assert a.box.tolist() == b.box.tolist()
        assert (a.split, a.image_size, a.attributes) == (b.split, b.image_size, b.attributes)


def simple(**fields) -> Face:
    fields = {
        "box": np.float32([1, 2, 30, 40]), "box_source": "annotated", "split": "train",
        "image_size": (200, 100), **fields,
    }  # fmt: skip
    landmarks = fields.pop("landmarks", np.float32([[1, 2], [3, 4]]))
    return make_face(fields.pop("image", "images/train/a.jpg"), landmarks, **fields)


def test_the_folder_is_as_ultralytics_wants_it(tmp_path):
    points = np.arange(136, dtype=np.float32).reshape(68, 2)
    one = simple(landmarks=points, image="d/a.jpg")
    one.visibility[3] = 1
    points = points.copy()
    points[0] = np.nan
    two = simple(landmarks=points, image="d/a.jpg")
    other = simple(landmarks=points, image="b.jpg", split="test")
    report = YOLO.write([one, other, two], tmp_path / "out", IBUG68)
    assert report.lost["image name"] == 3
    assert YOLO.picture_name(one) == "images/train/d/a.jpg"
    names = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*"))
    assert names == ["data.yaml", "labels/test/b.txt", "labels/train/d/a.txt"]
    rows = [r.split() for r in (tmp_path / "out/labels/train/d/a.txt").read_text().splitlines()]
    assert [len(row) for row in rows] == [5 + 3 * 68] * 2
    assert rows[0][:5] == ["0", repr(16 / 200), repr(22 / 100), repr(30 / 200), repr(40 / 100)]
    assert rows[0][5:8] == ["0.0", repr(1 / 100), "2"]
    assert rows[0][16] == "1"
    assert rows[1][5:8] == ["0.0", "0.0", "0"]
    data = YAML(typ="safe").load((tmp_path / "out/data.yaml").read_text())
    assert data == {
        "path": ".", "train": "images/train", "val": "images/val", "test": "images/test",
        "kpt_shape": [68, 3], "flip_idx": list(IBUG68.flip_order), "scheme": "ibug68", "names": {0: "face"},
    }  # fmt: skip


def test_losses_are_counted(tmp_path):
    turn = iter(range(100))

    def lost(*given: Face, **fields):
        return dict(YOLO.write([simple(**fields), *given], tmp_path / str(next(turn)), TWO).lost)

    nothing = np.full((2, 2), np.nan, np.float32)
    assert lost() == {}
    assert lost(image="a.jpg", subject="a") == {"image name": 1}
    assert lost(subject="somebody", dataset="d", subset="s") == {"subject": 1, "dataset": 1, "subset": 1}
    assert lost(attributes={"age": 3}) == {"attributes": 1}
    assert lost(attributes={"label": "a\n"}) == {"attributes": 1}
    assert lost(image="images/train/a.gif") == {"picture ending": 1}
    assert lost(box=None, box_source="none") == {"box": 1}
    assert lost(box_source="detector") == {"box source": 1}
    assert lost(box=np.float32([1e-20, 0, 50, 50])) == {"sub-pixel": 1}
    assert lost(landmarks=np.float32([[-1, 2], [3, 4]])) == {"points outside the picture": 1}
    assert lost(image_size=None) == {"face without picture size": 1}
    assert lost(box=None, landmarks=nothing) == {"face without box and points": 1}
    for name in ("../a.jpg", "/a.jpg", "a" * 300 + ".jpg", "\ud800.jpg"):
        assert lost(image=name) == {"face with unwritable image name": 1}
    assert lost(simple(image="images/train/a.png")) == {"another picture of this stem": 1}
    with pytest.raises(InputError, match="there are labels already"):
        YOLO.write([], tmp_path / "0", TWO)


def test_a_failed_write_leaves_nothing(tmp_path):
    def stops():
        yield simple()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        YOLO.write(stops(), tmp_path / "out", TWO)
    assert list(tmp_path.iterdir()) == []


def test_real_faces_come_back_through_their_pictures(shared_data, tmp_path):
    with open_tree(shared_data / "dlib_faces") as tree:
        dlib = DlibXml()
        given = [f for f in dlib.read(tree, IBUG68, dlib.detect(tree).files) if isinstance(f, Face)]
        for face in given:
            data = tree.read(face.image)
            face.image_size = probe(data)
            path = tmp_path / "out" / YOLO.picture_name(face)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    report = YOLO.write(given, tmp_path / "labels_only", IBUG68)
    (tmp_path / "labels_only/labels").rename(tmp_path / "out/labels")
    (tmp_path / "labels_only/data.yaml").rename(tmp_path / "out/data.yaml")
    found = read(tmp_path / "out", IBUG68)
    assert len(found) == len(given) == report.faces
    places = {(YOLO.picture_name(f), f.landmarks.tobytes(), f.box.tobytes(), f.split) for f in given}
    assert {(f.image, f.landmarks.tobytes(), f.box.tobytes(), f.split) for f in found} == places
