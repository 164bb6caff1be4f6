"""RetinaFace's lists: a line for the picture, then one for each face; flags say what is seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd.errors import InputError
from flmd.face import Face, Skipped
from flmd.formats.retinaface import RetinaFace
from flmd.schemes import get_scheme
from flmd.tree import open_tree
from tests.formats.random_faces import image_names, make_face, points, same_points
from tests.formats.text_formats import fuzz, read, reasons, tree_of

FORMAT = RetinaFace()
FIVE = get_scheme("mtfl5")
GOOD = "10 20 30.5 40 1 2 0 3 4 1 -1 -1 -1 7 8 0.0 9.25 10 0 0.82"


def test_reads_faces_with_flags_box_score_and_size(tmp_path: Path) -> None:
    text = f"# 0--Parade/a b.jpg 640 480\n{GOOD}\n# c.jpg\n{GOOD.rsplit(' ', 1)[0]}\n"
    one, two = read(FORMAT, FIVE, tmp_path, {"train/label.txt": text, "images/0--Parade/a b.jpg": b""})
    assert isinstance(one, Face)
    assert one.landmarks[[0, 1, 3, 4]].tolist() == [[1, 2], [3, 4], [7, 8], [9.25, 10]]
    assert np.isnan(one.landmarks[2]).all()
    assert one.visibility.tolist() == [2, 1, 0, 2, 2]
    assert one.box.tolist() == [10, 20, 30.5, 40]
    assert (one.image, one.image_size, one.split) == ("images/0--Parade/a b.jpg", (640, 480), "train")
    assert one.attributes == {"score": 0.82}
    assert isinstance(two, Face)
    assert (two.image, two.image_size, two.attributes) == ("train/c.jpg", None, {})


def test_the_first_eye_is_the_persons_right_one(shared_data: Path) -> None:
    """Looking down a face that is not mirrored, the person's right is on the left, however it is turned."""
    with open_tree(shared_data / "formats/retinaface_list") as tree:
        faces = [f for f in FORMAT.read(tree, FIVE, ("label.txt",)) if isinstance(f, Face)]
    seen = [f.landmarks.astype(float) for f in faces if f.visibility.all()]
    assert len(seen) == 9
    for right_eye, left_eye, _, right_mouth, left_mouth in seen:
        across = left_eye - right_eye + left_mouth - right_mouth
        down = right_mouth + left_mouth - right_eye - left_eye
        assert across[0] * down[1] - across[1] * down[0] > 0


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("10 20 30 40", "no_points"),
        ("10 20 30 40 1 2 0", "wrong_point_count"),
        (GOOD + " 1", "wrong_point_count"),
        (GOOD.replace("9.25", "nan"), "not_a_number"),
        (GOOD.replace("9.25", "1e39"), "not_a_number"),
        (GOOD.replace("30.5", "-1"), "bad_box"),
        ("# ../../x.jpg\n" + GOOD, "bad_path"),
    ],
)
def test_bad_lines_are_skipped(tmp_path: Path, line: str, reason: str) -> None:
    items = read(FORMAT, FIVE, tmp_path, {"label.txt": f"# a.jpg\n{GOOD}\n{line}\n"})
    assert reasons(items) == ["", reason]


def test_a_face_above_every_picture_is_of_none(tmp_path: Path) -> None:
    with tree_of(tmp_path, {"label.txt": GOOD + "\n"}) as tree:
        (item,) = FORMAT.read(tree, FIVE, ("label.txt",))
    assert isinstance(item, Skipped)
    assert (item.reason, item.what) == ("bad_path", "no line # path above")


def test_a_list_of_boxes_is_told_so(tmp_path: Path) -> None:
    with tree_of(tmp_path, {"label.txt": "# a.jpg\n1 2 3 4\n5 6 7 8\n"}) as tree:
        found = FORMAT.detect(tree)
    assert not found.fits
    assert found.why.endswith("(label.txt: only boxes, no points)")


def test_the_real_file(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "formats/retinaface_list"
    wanted, path = [], ""
    for line in (folder / "label.txt").read_text().splitlines():
        if line.startswith("#"):
            path = line[2:]
        else:
            wanted.append((path, np.float32(line.split())))
    with open_tree(folder) as tree:
        faces = list(FORMAT.read(tree, FIVE, FORMAT.detect(tree).files))
    assert len(faces) == len(wanted) == 11
    for face, (image, row) in zip(faces, wanted, strict=True):
        assert isinstance(face, Face)
        x_y_flag = row[4:19].reshape(5, 3)
        seen = x_y_flag[:, 2] >= 0
        assert (face.image, face.box.tolist()) == (image, row[:4].tolist())
        assert np.array_equal(face.landmarks[seen], x_y_flag[seen, :2])
        assert np.array_equal(face.visibility > 0, seen)
        assert np.float32(face.attributes["score"]) == row[19]
    report = FORMAT.write((f for f in faces if isinstance(f, Face)), tmp_path / "label.txt", FIVE)
    assert (report.faces, report.lost) == (11, {})
    same = [list(map(float, line.split())) for line in (tmp_path / "label.txt").open() if line[0] != "#"]
    assert np.array_equal(np.float32(same), np.stack([row for _, row in wanted]))


@st.composite
def annotated(draw: st.DrawFn) -> Face:
    """A face with what such a list can hold."""
    landmarks = draw(points(5, whole=False))
    landmarks[draw(st.lists(st.integers(0, 4), max_size=5))] = np.nan
    face = make_face(draw(image_names()), landmarks)
    face.visibility[1] = min(1, face.visibility[1])
    if draw(st.booleans()):
        face.box, face.box_source = np.array([-1.5, 2, 3, 4.1], np.float32), "annotated"
    if draw(st.booleans()):
        face.attributes = {"score": draw(st.floats(-10, 10))}
    return face


@settings(max_examples=60, deadline=None)
@given(st.lists(annotated(), max_size=4))
def test_written_faces_read_back(tmp_path_factory, faces: list[Face]) -> None:
    target = tmp_path_factory.mktemp("retinaface") / "x.txt"
    report = FORMAT.write(faces, target, FIVE)
    assert set(report.lost) <= {
        "box",
        "image name",
        "face without box and points",
        "face with unwritable image name",
    }
    with open_tree(target.parent) as tree:
        assert FORMAT.detect(tree).fits == (report.faces > 0)
        again = list(FORMAT.read(tree, FIVE, ("x.txt",)))
    assert len(again) == report.faces
    kept = iter(again)
    for one in faces:
        if one.image != one.image.strip() or (one.box is None and not one.visibility.any()):
            continue
        two = next(kept, None)
        assert isinstance(two, Face)
        assert same_points(one, two)
        assert one.attributes == two.attributes
        assert one.box is None or np.array_equal(one.box, two.box)


def test_losses_and_files_of_splits(tmp_path: Path) -> None:
    good = np.ones((5, 2), np.float32)
    box = np.array([0, 0, 5, 5], np.float32)
    faces = [
        make_face("a.jpg", good, split="train", box=box, box_source="detector", attributes={"score": "high"}),
        make_face("a.jpg", good, split="train"),
        make_face("b.jpg 12 13", good, split="test", box=box, box_source="annotated"),
        make_face("c.jpg", np.full((5, 2), np.nan, np.float32)),
    ]
    report = FORMAT.write(faces, tmp_path / "out", FIVE)
    assert report.lost == {
        "box source": 1,
        "attributes": 1,
        "box": 1,
        "face with unwritable image name": 1,
        "face without box and points": 1,
    }
    (written,) = (tmp_path / "out").iterdir()
    assert written.name == "label_train.txt"
    assert [line[0] for line in written.read_text().splitlines()] == ["#", "0", "1"]
    with pytest.raises(InputError, match="ibug68 has 68 points; expected 5"):
        FORMAT.write([], tmp_path / "x.txt", get_scheme("ibug68"))


def test_damaged_files_end_in_faces_skipped_or_input_errors(tmp_path: Path) -> None:
    fuzz(FORMAT, FIVE, tmp_path, "label.txt", f"# a.jpg 5 6\n{GOOD}\n{GOOD}\n".encode())
