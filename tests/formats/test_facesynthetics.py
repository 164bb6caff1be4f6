"""FaceSynthetics: 70 lines of two numbers beside a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd import formats
from flmd.errors import InputError
from flmd.face import Face
from flmd.formats.facesynthetics import FaceSynthetics
from flmd.schemes import IBUG68, get_scheme
from flmd.schemes.mapping import mapping
from flmd.tree import open_tree
from tests.formats.random_faces import image_names, make_face, points, same_points
from tests.formats.text_formats import fuzz, read, reasons, tree_of

FORMAT = FaceSynthetics()
SEVENTY = get_scheme("openpose70")
TEXT = "".join(f"{i} {i + 100.5}\n" for i in range(70))


def test_reads_a_face_beside_its_picture_and_not_the_segmentation(tmp_path: Path) -> None:
    files = {"test/000000_ldmks.txt": TEXT, "test/000000.png": b"", "test/000000_seg.png": b""}
    (face,) = read(FORMAT, SEVENTY, tmp_path, files)
    assert isinstance(face, Face)
    assert face.landmarks.tolist() == [[i, i + 100.5] for i in range(70)]
    assert (face.image, face.subject, face.split) == ("test/000000.png", "test/000000", "test")
    assert (face.box, face.visibility.tolist()) == (None, [2] * 70)


def test_it_is_known_by_name_and_first_line_alone(tmp_path: Path) -> None:
    with tree_of(tmp_path, {"000000_ldmks.txt": TEXT}) as tree:
        fmt, found = formats.choose(tree)
        assert (fmt.name, fmt.scheme_in(tree, found.files)) == ("facesynthetics", "openpose70")


def test_the_first_68_are_ibugs_and_the_last_two_the_pupils() -> None:
    face = np.arange(140, dtype=np.float32).reshape(70, 2)
    assert np.array_equal(mapping(SEVENTY, IBUG68).points(face), face[:68])
    assert np.array_equal(mapping(SEVENTY, "celeba5").points(face)[:2], face[68:])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (TEXT + "1 2\n", "wrong_point_count"),
        (TEXT.replace("5 105.5", "5"), "bad_line"),
        (TEXT.replace("5 105.5", "5 nan"), "not_a_number"),
        (" " * (2 << 20), "wrong_point_count"),
    ],
)
def test_bad_files_are_skipped(tmp_path: Path, text: str, reason: str) -> None:
    items = read(FORMAT, SEVENTY, tmp_path, {"0_ldmks.txt": TEXT, "1_ldmks.txt": text})
    assert reasons(items) == ["", reason]


def test_a_tree_that_does_not_say_its_points_is_an_error(tmp_path: Path) -> None:
    with tree_of(tmp_path, {"0_ldmks.txt": "x\n"}) as tree:
        assert not FORMAT.detect(tree).fits
        with pytest.raises(InputError, match="no line of two numbers"):
            FORMAT.scheme_in(tree, ("0_ldmks.txt",))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(image_names(), points(7, whole=False)), max_size=4, unique_by=lambda pair: pair[0]))
def test_written_faces_read_back(tmp_path_factory, drawn: list[tuple[str, np.ndarray]]) -> None:
    seven = get_scheme("points7")
    faces = [make_face(name, landmarks) for name, landmarks in drawn]
    target = tmp_path_factory.mktemp("synthetics") / "out"
    report = FORMAT.write(faces, target, seven)
    with open_tree(target) as tree:
        again = list(FORMAT.read(tree, seven, FORMAT.detect(tree).files))
    assert len(again) == report.faces
    assert report.faces + report.lost["face with unwritable image name"] == len(faces)
    by_points = {face.landmarks.tobytes(): face for face in faces}
    for back in again:
        assert isinstance(back, Face)
        assert same_points(by_points[back.landmarks.tobytes()], back)


def test_further_faces_and_losses(tmp_path: Path) -> None:
    good = np.ones((70, 2), np.float32)
    faces = [make_face("a/b.png", good), make_face("a/b.png", good + 1), make_face("c.jpg", good)]
    faces.append(make_face("d.png", np.where(np.arange(70)[:, None] == 3, np.nan, good)))
    report = FORMAT.write(faces, tmp_path / "out", SEVENTY)
    assert report.lost == {"image name": 1, "face with unlabelled points": 1}
    assert sorted(p.name for p in (tmp_path / "out").rglob("*.txt")) == [
        "b_face2_ldmks.txt",
        "b_ldmks.txt",
        "c_ldmks.txt",
    ]
    with open_tree(tmp_path / "out") as tree:
        images = [f.image for f in FORMAT.read(tree, SEVENTY, FORMAT.detect(tree).files)]  # type: ignore[union-attr]
    assert images == ["a/b.png", "a/b.png", "c.png"]


def test_damaged_files_end_in_faces_skipped_or_input_errors(tmp_path: Path) -> None:
    fuzz(FORMAT, SEVENTY, tmp_path, "0_ldmks.txt", TEXT.encode())
