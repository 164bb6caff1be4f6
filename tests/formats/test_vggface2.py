"""VGGFace2: landmarks and boxes in two lists, a person in each folder."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd.errors import InputError
from flmd.face import Face
from flmd.formats.vggface2 import VggFace2
from flmd.schemes import get_scheme
from flmd.tree import open_tree
from tests.formats.random_faces import image_names, make_face, points, same_points
from tests.formats.text_formats import fuzz, read, reasons, tree_of

FORMAT = VggFace2()
FIVE = get_scheme("mtfl5")
LANDMARKS = "NAME_ID,P1X,P1Y,P2X,P2Y,P3X,P3Y,P4X,P4Y,P5X,P5Y\n"
BOXES = "NAME_ID,X,Y,W,H\n"
TEN = "1,2,3,4,5.5,6,7,8,9,10"


def test_reads_points_box_person_and_split(tmp_path: Path) -> None:
    files = {
        "bb_landmark/loose_landmark_test.csv": f'{LANDMARKS}"n1/0001_01",{TEN}\nn2/0002_01,{TEN}\n',
        "bb_landmark/loose_bb_test.csv": f'{BOXES}"n1/0001_01",10,20,30,40\n',
        "test/n1/0001_01.jpg": b"",
    }
    one, two = read(FORMAT, FIVE, tmp_path, files)
    assert isinstance(one, Face)
    assert one.landmarks.tolist() == [[1, 2], [3, 4], [5.5, 6], [7, 8], [9, 10]]
    assert one.box.tolist() == [10, 20, 30, 40]
    assert (one.image, one.subject, one.split) == ("test/n1/0001_01.jpg", "n1", "test")
    assert isinstance(two, Face)
    assert (two.box, two.box_source, two.image) == (None, "none", "bb_landmark/n2/0002_01.jpg")


def test_boxes_in_another_order_are_looked_up(tmp_path: Path) -> None:
    names = ["a/1", "a/2", "b/1"]
    files = {
        "loose_landmark_train.csv": LANDMARKS + "".join(f"{n},{TEN}\n" for n in names),
        "loose_bb_train.csv": BOXES + "".join(f"{n},{i},0,5,5\n" for i, n in enumerate(reversed(names))),
    }
    assert [f.box[0] for f in read(FORMAT, FIVE, tmp_path, files)] == [2, 1, 0]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("row", "box", "reason"),
    [
        ("x/1,1,2,3", "", "wrong_point_count"),
        (f"x/1,{TEN},1", "", "wrong_point_count"),
        ("x/1,1,2,3,4,five,6,7,8,9,10", "", "not_a_number"),
        (f"../../x,{TEN}", "", "bad_path"),
        (f",{TEN}", "", "bad_path"),
        (f"x/1,{TEN}", "x/1,1,2,0,4\n", "bad_box"),
        (f"x/1,{TEN}", "x/1,1,2,a,4\n", "not_a_number"),
    ],
)
def test_bad_rows_are_skipped(tmp_path: Path, row: str, box: str, reason: str) -> None:
    files = {"loose_landmark.csv": f"{LANDMARKS}a/1,{TEN}\n{row}\n", "loose_bb.csv": BOXES + box}
    assert reasons(read(FORMAT, FIVE, tmp_path, files)) == ["", reason]


def test_boxes_alone_are_told_so_and_another_scheme_is_refused(tmp_path: Path) -> None:
    with tree_of(tmp_path, {"loose_bb_train.csv": f"{BOXES}a/1,1,2,3,4\n"}) as tree:
        assert FORMAT.detect(tree).why.endswith("(loose_bb_train.csv: only boxes, no points)")
    with pytest.raises(InputError, match="ibug68 has 68 points; expected 5"):
        FORMAT.write([], tmp_path / "out", get_scheme("ibug68"))


def test_the_real_files(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "formats/vgg_face2"
    wanted = {}
    for split in ("test", "train"):
        with (folder / f"loose_bb_{split}.csv").open() as boxes:
            by_name = {row["NAME_ID"]: row for row in csv.DictReader(boxes)}
        with (folder / f"loose_landmark_{split}.csv").open() as landmarks:
            for row in csv.DictReader(landmarks):
                wanted[row["NAME_ID"]] = split, row, by_name[row["NAME_ID"]]
    with open_tree(folder) as tree:
        faces = list(FORMAT.read(tree, FIVE, FORMAT.detect(tree).files))
    assert len(faces) == len(wanted) == 4
    for face in faces:
        assert isinstance(face, Face)
        split, row, box = wanted[face.image.removesuffix(".jpg")]
        x_y = [[row[f"P{i}X"], row[f"P{i}Y"]] for i in range(1, 6)]
        assert np.array_equal(face.landmarks, np.float32(x_y))
        assert np.array_equal(face.box, np.float32([box[key] for key in "XYWH"]))
        assert (face.split, face.subject) == (split, row["NAME_ID"].split("/")[0])
    report = FORMAT.write((f for f in faces if isinstance(f, Face)), tmp_path / "out", FIVE)
    assert (report.faces, report.lost) == (4, {})
    for path in folder.iterdir():
        ours, theirs = (
            list(csv.reader(file.open(encoding="utf-8"))) for file in (tmp_path / "out" / path.name, path)
        )
        assert [row[0] for row in ours] == [row[0] for row in theirs]
        assert np.array_equal(*(np.float32([row[1:] for row in rows[1:]]) for rows in (ours, theirs)))


@st.composite
def annotated(draw: st.DrawFn) -> Face:
    """A face with what the lists can hold."""
    face = make_face(draw(image_names()) + ".jpg", draw(points(5, whole=False)))
    face.split = draw(st.sampled_from(["train", "val", "test", ""]))
    if draw(st.booleans()):
        face.box, face.box_source = np.array([-1.5, 2, 3, 4.1], np.float32), "annotated"
    return face


@settings(max_examples=60, deadline=None)
@given(st.lists(annotated(), max_size=5, unique_by=lambda face: face.image))
def test_written_faces_read_back(tmp_path_factory, faces: list[Face]) -> None:
    target = tmp_path_factory.mktemp("vggface2") / "out"
    report = FORMAT.write(faces, target, FIVE)
    assert set(report.lost) <= {"image name", "face with unwritable image name"}
    with open_tree(target) as tree:
        again = list(FORMAT.read(tree, FIVE, FORMAT.detect(tree).files))
    assert len(again) == report.faces
    by_points = {(f.landmarks.tobytes(), f.split): f for f in faces}
    for back in again:
        assert isinstance(back, Face)
        face = by_points[back.landmarks.tobytes(), back.split]
        assert same_points(face, back)


def test_losses(tmp_path: Path) -> None:
    good = np.ones((5, 2), np.float32)
    faces = [make_face(name, good) for name in ("a/1.png", "a/1.jpg", "b/2.jpg")]
    faces[2].subject, faces[2].visibility[0] = "me", 1
    faces.append(make_face("c.jpg", np.where(np.arange(5)[:, None] == 0, np.nan, good)))
    assert FORMAT.write(faces, tmp_path / "out", FIVE).lost == {
        "image name": 1,
        "another face of one picture": 1,
        "subject": 1,
        "visibility": 1,
        "face with unlabelled points": 1,
    }


def test_damaged_files_end_in_faces_skipped_or_input_errors(tmp_path: Path) -> None:
    fuzz(FORMAT, FIVE, tmp_path, "loose_landmark.csv", f'{LANDMARKS}"a/1",{TEN}\nb/2,{TEN}\n'.encode())
