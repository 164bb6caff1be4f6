"""MediaPipe's landmarks: every shape that its tasks give them, in shares of the picture's size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd import formats
from flmd.errors import InputError
from flmd.face import Face, Skipped
from flmd.formats.mediapipe import MediaPipe
from flmd.schemes import get_scheme
from flmd.tree import open_tree
from tests.factories import write_picture
from tests.formats.random_faces import each_is_one_of, image_names, make_face, points, same_points
from tests.formats.text_formats import fuzz, read, reasons, tree_of

FORMAT = MediaPipe()
MESH = get_scheme("mediapipe478")
WIDTH, HEIGHT = 200, 100


def listed(count: int = 478, **changed: object) -> list[dict[str, object]]:
    """Point i at x = i / 1000 - 0.1 and y = 0.5, z = -i / 1000; ``p7={...}`` changes one."""
    found: list[dict[str, object]] = [
        {"x": i / 1000 - 0.1, "y": 0.5, "z": -i / 1000, "visibility": 0, "presence": 0} for i in range(count)
    ]
    for key, fields in changed.items():
        found[int(key[1:])] = fields  # type: ignore[assignment]
    return found


def protobuf(faces: int = 1, count: int = 478) -> str:
    return "".join(
        f"landmark {{\n  x: {i / 1000 - 0.1!r}\n  y: 0.5\n  z: {-i / 1000!r}\n}}\n"
        for _ in range(faces)
        for i in range(count)
    )


SPELLINGS = {
    "javascript.json": json.dumps({"faceLandmarks": [listed()], "faceBlendshapes": []}),
    "python.json": json.dumps({"face_landmarks": [listed()], "face_blendshapes": []}),
    "mesh.json": json.dumps({"multi_face_landmarks": [{"landmark": listed()}]}),
    "meshjs.json": json.dumps({"image": {}, "multiFaceLandmarks": [listed()]}),
    "one.json": json.dumps({"landmark": listed()}, indent=2),
    "bare.json": json.dumps([listed()]),
    "text.pbtxt": protobuf(),
    "printed.txt": "[" + protobuf() + "]",
}


def with_picture(folder: Path, stem: str) -> None:
    write_picture(folder / f"{stem}.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_is_the_same_face(tmp_path: Path, name: str) -> None:
    with_picture(tmp_path, name.split(".")[0])
    (tmp_path / name).write_text(SPELLINGS[name])
    with open_tree(tmp_path) as tree:
        fmt, found = formats.choose(tree)
        assert (fmt.name, found.files) == ("mediapipe", (name,))
        (face,) = fmt.read(tree, MESH, found.files)
    assert isinstance(face, Face)
    wanted = [[(i / 1000 - 0.1) * WIDTH, 0.5 * HEIGHT] for i in range(478)]
    assert np.array_equal(face.landmarks, np.float32(wanted))
    assert face.landmarks[0, 0] < 0  # points may leave the picture
    assert np.array_equal(np.float32(str(face.attributes["z"]).split()), np.float32(-np.arange(478) / 1000))
    assert (face.image, face.image_size) == (f"{name.split('.')[0]}.png", (WIDTH, HEIGHT))
    assert face.visibility.tolist() == [2] * 478


def test_468_points_have_no_irises(tmp_path: Path) -> None:
    with_picture(tmp_path, "a")
    (face,) = read(FORMAT, MESH, tmp_path, {"a.json": json.dumps({"faceLandmarks": [listed(468)]})})
    assert isinstance(face, Face)
    assert np.isnan(face.landmarks[468:]).all()
    assert face.visibility.tolist() == [2] * 468 + [0] * 10


def test_several_faces_of_a_picture(tmp_path: Path) -> None:
    with_picture(tmp_path, "a")
    with_picture(tmp_path, "b")
    files = {"a.json": json.dumps({"faceLandmarks": [listed(), listed(468)]}), "b.txt": protobuf(3)}
    items = read(FORMAT, MESH, tmp_path, files)
    assert [item.image for item in items if isinstance(item, Face)] == ["a.png"] * 2 + ["b.png"] * 3


@pytest.mark.parametrize(
    ("face", "reason"),
    [
        (listed(21), "wrong_point_count"),
        (7, "wrong_point_count"),
        (listed(p5={"y": 1}), "not_a_number"),
        (listed(p5={"x": "left", "y": 1}), "not_a_number"),
        (listed(p5={"x": 1e39, "y": 1}), "not_a_number"),
        (listed(p5={"x": 3e38, "y": 1}), "not_a_number"),
        (listed(p5=[1, 2, 3]), "bad_structure"),  # type: ignore[arg-type]
    ],
)
def test_bad_faces_are_skipped(tmp_path: Path, face: object, reason: str) -> None:
    with_picture(tmp_path, "a")
    text = json.dumps({"faceLandmarks": [listed(), face]})
    assert reasons(read(FORMAT, MESH, tmp_path, {"a.json": text})) == ["", reason]


def test_a_point_without_z_is_flat_and_a_picture_is_needed_for_its_size(tmp_path: Path) -> None:
    with_picture(tmp_path, "a")
    flat = json.dumps({"faceLandmarks": [[{"x": 0.5, "y": 0.5}] * 478]})
    one, two = read(FORMAT, MESH, tmp_path, {"a.json": flat, "b.json": flat})
    assert isinstance(one, Face)
    assert one.attributes["z"] == " ".join(["0.0"] * 478)
    assert isinstance(two, Skipped)
    assert (two.reason, "b.jpg" in two.what) == ("image_missing", True)


def test_hands_are_no_faces(tmp_path: Path) -> None:
    with tree_of(tmp_path, {"hand.json": json.dumps({"landmark": listed(21)})}) as tree:
        assert not FORMAT.detect(tree).fits
        with pytest.raises(InputError, match="ibug68 has 68 points; expected 478"):
            list(FORMAT.read(tree, get_scheme("ibug68"), ()))


@st.composite
def meshes(draw: st.DrawFn) -> Face:
    """A face with what MediaPipe can say: points anywhere, all of them or all but the irises."""
    spread = draw(points(4, whole=False))
    landmarks = np.tile(spread, (120, 1))[:478]
    face = make_face(draw(image_names()), landmarks, image_size=(draw(st.integers(1, 9000)), 70))
    if draw(st.booleans()):
        landmarks[468:] = np.nan
        face.visibility[468:] = 0
    if draw(st.booleans()):
        z = np.where(np.isnan(landmarks[:, 0]), np.nan, draw(st.floats(-9, 9, width=32)))
        face.attributes["z"] = " ".join(map(str, np.float32(z).astype(float)))
    return face


@settings(max_examples=30, deadline=None)
@given(st.lists(meshes(), max_size=3, unique_by=lambda face: face.image))
def test_written_faces_read_back(tmp_path_factory, faces: list[Face]) -> None:
    target = tmp_path_factory.mktemp("mediapipe") / "out"
    report = FORMAT.write(faces, target, MESH)
    with open_tree(target) as tree:
        again = list(FORMAT.read(tree, MESH, FORMAT.detect(tree).files))
    assert len(again) == report.faces
    assert each_is_one_of(again, faces, _same)


def _same(face: Face, back: Face) -> bool:
    """The same points, size and depths; of a face without depths, 0 for each labelled point."""
    flat = " ".join("0" if v else "nan" for v in face.visibility)
    said = (str(face.attributes.get("z", flat)), str(back.attributes["z"]))
    deep = np.array_equal(*(np.float32(text.split()) for text in said), equal_nan=True)
    return same_points(face, back) and face.image_size == back.image_size and deep


def test_faces_of_one_picture_share_a_file_and_losses_are_counted(tmp_path: Path) -> None:
    good = np.full((478, 2), 20, np.float32)
    size = {"image_size": (WIDTH, HEIGHT)}
    faces = [
        make_face("a.jpg", good, **size),
        make_face("b.png", good, **size),
        make_face("a.jpg", good + 1, **size, split="test"),
        make_face("c.jpg", good),
        make_face("d.jpg", np.where(np.arange(478)[:, None] == 9, np.nan, good), **size),
    ]
    report = FORMAT.write(faces, tmp_path / "out", MESH)
    assert report.lost == {
        "image name": 1,
        "split": 1,
        "face without picture size": 1,
        "face with unlabelled points": 1,
    }
    content = json.loads((tmp_path / "out/a.json").read_text())
    assert content["flmd"] == {"width": WIDTH, "height": HEIGHT}
    assert [face[0]["x"] for face in content["faceLandmarks"]] == [20 / WIDTH, 21 / WIDTH]


def test_damaged_files_end_in_faces_skipped_or_input_errors(tmp_path: Path) -> None:
    with_picture(tmp_path, "a")
    fuzz(FORMAT, MESH, tmp_path, "a.json", SPELLINGS["javascript.json"].encode(), rounds=100)
    fuzz(FORMAT, MESH, tmp_path, "a.pbtxt", SPELLINGS["text.pbtxt"].encode(), rounds=100)
