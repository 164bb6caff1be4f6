"""OpenPose JSON: people with the points of their faces, in units that the files do not say."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flmd.conversion.opening import open_faces
from flmd.errors import ParamsError
from flmd.face import Face, Skipped
from flmd.formats.openpose import OpenPose
from flmd.schemes import get_scheme
from flmd.tree import open_tree
from tests.factories import write_picture
from tests.formats.random_faces import each_is_one_of, image_names, make_face, points, same_points
from tests.formats.text_formats import fuzz, read, reasons, tree_of

FORMAT = OpenPose()
SEVENTY = get_scheme("openpose70")


def person(scale: float = 1.0, shift: float = 0.0, **fields: object) -> dict[str, object]:
    """Point i at (i + 10, i + 20), its confidence 0.5; point 3 was not found."""
    triples = [[(i + 10) * scale + shift, (i + 20) * scale + shift, 0.5] for i in range(70)]
    triples[3] = [0, 0, 0]
    flat = [value for triple in triples for value in triple]
    return {"person_id": [-1], "pose_keypoints_2d": [1, 2, 0.9], "face_keypoints_2d": flat} | fields


def frame(*people: object) -> str:
    return json.dumps({"version": 1.3, "people": people})


def test_reads_people_with_confidence_and_missing_points(tmp_path: Path) -> None:
    files = {"test/a_keypoints.json": frame(person(), person()), "test/a.png": b""}
    one, two = read(FORMAT, SEVENTY, tmp_path, files)
    assert isinstance(one, Face)
    assert isinstance(two, Face)
    assert np.isnan(one.landmarks[3]).all()
    assert one.landmarks[[0, 69]].tolist() == [[10, 20], [79, 89]]
    assert one.visibility.tolist() == [2, 2, 2, 0, *[2] * 66]
    assert (one.image, two.image, one.split, one.subject) == ("test/a.png", "test/a.png", "test", "test/a")
    assert str(one.attributes["point_confidence"]).split()[2:5] == ["0.5", "0.0", "0.5"]


def test_frames_of_a_clip_share_a_subject_and_are_read_from_its_video(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (32, 32))
    for grey in (0, 255):
        writer.write(np.full((32, 32, 3), grey, np.uint8))
    writer.release()
    files = {f"clip_{n:012}_keypoints.json": frame(person()) for n in range(2)}
    with tree_of(tmp_path, files) as tree:
        faces = [f for f in FORMAT.read(tree, SEVENTY, FORMAT.detect(tree).files) if isinstance(f, Face)]
        pictures = FORMAT.pictures(tree)
        grey = [cv2.imdecode(np.frombuffer(pictures.read(f.image), np.uint8), 0).mean() for f in faces]
    assert [f.image for f in faces] == ["clip_000000000000.png", "clip_000000000001.png"]
    assert {f.subject for f in faces} == {"clip"}
    assert grey[0] < 5 < 250 < grey[1]


@pytest.mark.parametrize(("scale", "factor", "shift"), [("3", 1 / 99, 0.0), ("4", 2 / 99, -1.0)])
def test_units_are_an_option_that_nobody_guesses(
    tmp_path: Path, scale: str, factor: float, shift: float
) -> None:
    """keypoint_scale 3 is x / (width - 1), 4 is 2 x / (width - 1) - 1."""
    write_picture(tmp_path / "a.png", np.zeros((100, 100, 3), np.uint8))
    (tmp_path / "a_keypoints.json").write_text(frame(person(factor, shift)))
    with open_faces(tmp_path) as found:
        (skipped,) = found
    assert isinstance(skipped, Skipped)
    assert (skipped.reason, "keypoint_scale=3" in skipped.what) == ("units_open", True)
    with open_faces(tmp_path, options={"keypoint_scale": scale}) as found:
        (face,) = found
    assert isinstance(face, Face)
    np.testing.assert_allclose(face.landmarks[[0, 69]], [[10, 20], [79, 89]], atol=1e-4)


def test_a_unit_needs_the_pictures_size(tmp_path: Path) -> None:
    with tree_of(tmp_path, {"a_keypoints.json": frame(person(0.001))}) as tree:
        fmt = FORMAT.with_options({"keypoint_scale": "3"})
        (skipped,) = fmt.read(tree, SEVENTY, fmt.detect(tree).files)
    assert isinstance(skipped, Skipped)
    assert skipped.reason == "image_missing"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keypoint_scal": "3"}, "no option 'keypoint_scal'; expected one of keypoint_scale; did you mean"),
        ({"keypoint_scale": "1"}, "option keypoint_scale of openpose is '1'; expected one of 0, 3, 4"),
    ],
)
def test_options_that_are_none(options: dict[str, str], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        FORMAT.with_options(options)


@pytest.mark.parametrize(
    ("people", "reason"),
    [
        ([person(face_keypoints_2d=[])], "no_face"),
        ([person(face_keypoints_2d=[1, 2, 3])], "wrong_point_count"),
        ([person(face_keypoints_2d=["a"] * 210)], "not_a_number"),
        ([person(face_keypoints_2d=[1e39] * 210)], "not_a_number"),
        ([5], "not_a_number"),
    ],
)
def test_bad_people_are_skipped(tmp_path: Path, people: list[object], reason: str) -> None:
    files = {"a_keypoints.json": frame(person()), "b_keypoints.json": frame(*people)}
    assert reasons(read(FORMAT, SEVENTY, tmp_path, files)) == ["", reason]


def test_bad_files_are_skipped_and_one_of_nobody_is_none(tmp_path: Path) -> None:
    files = {
        "a_keypoints.json": frame(person()),
        "b_keypoints.json": '{"people": 5}',
        "c_keypoints.json": "{",
        "d_keypoints.json": frame(),
    }
    assert reasons(read(FORMAT, SEVENTY, tmp_path, files)) == ["", "bad_structure", "bad_json"]


def test_bodies_without_faces_are_told_so(tmp_path: Path) -> None:
    body = {"pose_keypoints_2d": [1, 2, 0.5]}
    with tree_of(tmp_path, {"a_keypoints.json": frame(body)}) as tree:
        assert "run OpenPose with --face" in FORMAT.detect(tree).why


def test_68_points_are_ibugs(tmp_path: Path) -> None:
    few = person(face_keypoints_2d=[9.0] * 3 * 68)
    with tree_of(tmp_path, {"any name.json": frame(few)}) as tree:
        found = FORMAT.detect(tree)
        assert FORMAT.scheme_in(tree, found.files) == "ibug68"
        (face,) = FORMAT.read(tree, get_scheme("ibug68"), found.files)
    assert isinstance(face, Face)
    assert face.image == "any name.jpg"


@st.composite
def found(draw: st.DrawFn) -> Face:
    """A face with what OpenPose can say."""
    landmarks = draw(points(7, whole=False))
    landmarks[draw(st.lists(st.integers(0, 6), max_size=3))] = np.nan
    face = make_face(draw(image_names()) + ".jpg", landmarks)
    if draw(st.booleans()):
        seen = np.where(face.visibility > 0, draw(st.floats(0.125, 1, width=32)), 0)
        face.attributes["point_confidence"] = " ".join(str(float(np.float32(c))) for c in seen)
    return face


TWICE = [
    make_face("0.jpg", np.eye(7, 2, dtype=np.float32) * 2, attributes=a)
    for a in ({}, {"point_confidence": " ".join(["0.5"] * 7)})
]


@settings(max_examples=60, deadline=None)
@example(TWICE)  # two faces of the same points, of which one has confidences
@given(st.lists(found(), max_size=4))
def test_written_faces_read_back(tmp_path_factory, faces: list[Face]) -> None:
    seven = get_scheme("points7")
    target = tmp_path_factory.mktemp("openpose") / "out"
    report = FORMAT.write(faces, target, seven)
    with open_tree(target) as tree:
        again = list(FORMAT.read(tree, seven, FORMAT.detect(tree).files))
    assert len(again) == report.faces
    assert len(faces) - report.faces == sum(
        v for k, v in report.lost.items() if k.startswith(("face ", "another"))
    )
    assert each_is_one_of(again, faces, _same)


def _same(face: Face, back: Face) -> bool:
    """The same points and confidences; of a face without them, 1 for each labelled point."""
    seen = " ".join("1" if v else "0" for v in face.visibility)
    said = (str(face.attributes.get("point_confidence", seen)), str(back.attributes["point_confidence"]))
    return same_points(face, back) and np.array_equal(*(np.float32(text.split()) for text in said))


def test_losses(tmp_path: Path) -> None:
    good = np.full((7, 2), 9, np.float32)
    faces = [make_face("a.png", good), make_face("a.jpg", good), make_face("b.jpg", good / 9)]
    faces[0].visibility[0] = 1
    faces[0].attributes = {"smile": True, "point_confidence": "1 1"}
    assert FORMAT.write(faces, tmp_path / "out", get_scheme("points7")).lost == {
        "visibility": 1,
        "attributes": 1,
        "image name": 1,
        "another picture of this stem": 1,
        "face of less than a pixel": 1,
    }


def test_damaged_files_end_in_faces_skipped_or_input_errors(tmp_path: Path) -> None:
    fuzz(FORMAT, SEVENTY, tmp_path, "a_keypoints.json", frame(person(), person()).encode())
