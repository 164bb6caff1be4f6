"""LFW's landmarks.txt: a path and ten numbers on each line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flmd import formats
from flmd.face import Face
from flmd.formats.lfw import Lfw
from flmd.schemes import get_scheme
from flmd.tree import open_tree
from tests.formats.random_faces import image_names, make_face, points, same_points
from tests.formats.text_formats import SAMPLES, fuzz, read, reasons, tree_of

FORMAT = Lfw()
FIVE = get_scheme("mtfl5")
TEN = "1 2 3 4 5.5 6 7 8 9 10"


def test_reads_tabs_and_spaces_and_takes_the_folder_for_the_person(tmp_path: Path) -> None:
    files = {
        "landmarks.txt": "Ann Lee/Ann Lee_0001.jpg\t"
        + TEN.replace(" ", "\t")
        + f"\nalone_mirror.jpg {TEN}\n",
        "images/Ann Lee/Ann Lee_0001.jpg": b"",
    }
    one, two = read(FORMAT, FIVE, tmp_path, files)
    assert isinstance(one, Face)
    assert one.landmarks.tolist() == [[1, 2], [3, 4], [5.5, 6], [7, 8], [9, 10]]
    assert (one.image, one.subject, one.box) == ("images/Ann Lee/Ann Lee_0001.jpg", "Ann Lee", None)
    assert isinstance(two, Face)
    assert two.subject == "alone"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a/b.jpg 1 2 3", "wrong_point_count"),
        ("a/b.jpg 1 2 3 4 5.5 6 7 8 9 nan", "not_a_number"),
        (f"../../x.jpg {TEN}", "bad_path"),
    ],
)
def test_bad_lines_are_skipped(tmp_path: Path, line: str, reason: str) -> None:
    items = read(FORMAT, FIVE, tmp_path, {"landmarks.txt": f"a/b.jpg {TEN}\n{line}\n"})
    assert reasons(items) == ["", reason]


@pytest.mark.parametrize("name", [name for name in SAMPLES if name in formats.BUILT_IN])
def test_lists_of_other_formats_are_not_taken_for_it(tmp_path: Path, name: str) -> None:
    with tree_of(tmp_path, SAMPLES[name]) as tree:
        assert not FORMAT.detect(tree).fits


def test_the_real_file(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "formats/lfw_landmarks"
    wanted = [line.split("\t") for line in (folder / "landmarks.txt").read_text().splitlines()]
    with open_tree(folder) as tree:
        faces = list(FORMAT.read(tree, FIVE, FORMAT.detect(tree).files))
    assert len(faces) == len(wanted) == 3
    for face, (path, *numbers) in zip(faces, wanted, strict=True):
        assert isinstance(face, Face)
        assert (face.image, face.subject) == (path, path.split("/")[0])
        assert np.array_equal(face.landmarks, np.float32(numbers).reshape(5, 2))
    report = FORMAT.write((f for f in faces if isinstance(f, Face)), tmp_path / "landmarks.txt", FIVE)
    assert (report.faces, report.lost) == (3, {})
    again = [line.split("\t") for line in (tmp_path / "landmarks.txt").read_text().splitlines()]
    assert [row[0] for row in again] == [row[0] for row in wanted]
    assert np.array_equal(np.float32([r[1:] for r in again]), np.float32([r[1:] for r in wanted]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(image_names(), points(5, whole=False)), max_size=4))
@example([("...", np.zeros((5, 2), np.float32))])
def test_written_faces_read_back(tmp_path_factory, drawn: list[tuple[str, np.ndarray]]) -> None:
    faces = [make_face(name + ".jpg", landmarks) for name, landmarks in drawn]
    target = tmp_path_factory.mktemp("lfw") / "x.txt"
    report = FORMAT.write(faces, target, FIVE)
    assert set(report.lost) <= {"image name", "face with unwritable image name"}
    with open_tree(target.parent) as tree:
        assert FORMAT.detect(tree).fits == (report.faces > 0)
        again = list(FORMAT.read(tree, FIVE, ("x.txt",)))
    written = [face for face in faces if face.image == face.image.strip()]
    for one, two in zip(written, again, strict=True):
        assert isinstance(two, Face)
        assert same_points(one, two)


def test_losses(tmp_path: Path) -> None:
    good = np.ones((5, 2), np.float32)
    faces = [make_face("a/b.jpg", good, split="train", subject="a"), make_face("c.jpg", good * np.nan)]
    faces[0].box, faces[0].box_source = np.ones(4, np.float32), "annotated"
    report = FORMAT.write(faces, tmp_path / "out", FIVE)
    assert report.lost == {"box": 1, "face with unlabelled points": 1}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["landmarks_train.txt"]


def test_damaged_files_end_in_faces_skipped_or_input_errors(tmp_path: Path) -> None:
    fuzz(FORMAT, FIVE, tmp_path, "landmarks.txt", f"a/b.jpg {TEN}\nc/d.jpg {TEN}\n".encode())
