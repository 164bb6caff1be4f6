"""LabelMe: points in groups, names in any order, a picture inside the file; values by plain json."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd.conversion.opening import open_faces
from flmd.errors import InputError
from flmd.face import Face, Skipped
from flmd.formats.labelme import LabelMe
from flmd.schemes import get_scheme
from flmd.schemes.name_choice import PointNames
from flmd.tree import open_tree
from tests.formats.random_faces import make_face, same_points
from tests.formats.test_webdataset import anything
from tests.formats.text_formats import fuzz, reasons, tree_of

FORMAT = LabelMe()
FIVE = get_scheme("celeba5")
NAMES = FIVE.points


def shape(label: str, *points: tuple[float, float], kind: str = "point", **more: object) -> dict[str, object]:
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}} | more


def five(group: object = None, shift: float = 0.0, names: tuple[str, ...] = NAMES) -> list[dict[str, object]]:
    """Point i at (i + 0.5 + shift, 2 i + 0.5)."""
    return [shape(name, (i + 0.5 + shift, 2 * i + 0.5), group_id=group) for i, name in enumerate(names)]


def document(*shapes: dict[str, object], **more: object) -> str:
    content = {"version": "5.7.0", "shapes": shapes, "imagePath": "a.png", "imageData": None}
    return json.dumps(content | {"imageHeight": 90, "imageWidth": 120} | more, indent=2)


def read(folder: Path, fmt: LabelMe = FORMAT, **files: str) -> list[Face | Skipped]:
    with tree_of(folder, {f"{name}.json": text for name, text in files.items()}) as tree:
        return list(fmt.read(tree, FIVE, fmt.detect(tree).files))


def test_reads_groups_with_boxes_and_hidden_points(tmp_path: Path) -> None:
    one, two = five(1), five("b", 10)
    one[2]["flags"] = {"occluded": True}
    box = shape("face", (30, 40), (10, 20.5), kind="rectangle", group_id=1)
    other = shape("car", (0, 0), (9, 9), (5, 5), kind="polygon")
    first, second = read(tmp_path, a=document(*one, *two[:3], box, other))
    assert isinstance(first, Face)
    assert isinstance(second, Face)
    assert first.landmarks.tolist() == [[i, 2 * i] for i in range(5)]
    assert first.visibility.tolist() == [2, 2, 1, 2, 2]
    assert first.box.tolist() == [10, 20.5, 20, 19.5]
    assert (first.image, first.image_size, first.subject) == ("a.png", (120, 90), "a")
    assert second.landmarks[:3].tolist() == [[10, 0], [11, 2], [12, 4]]
    assert second.visibility.tolist() == [2, 2, 2, 0, 0]
    assert second.box is None


def test_names_tell_the_order_not_their_place(tmp_path: Path) -> None:
    (face,) = read(tmp_path, a=document(*reversed(five(1))))
    assert isinstance(face, Face)
    assert face.landmarks.tolist() == [[i, 2 * i] for i in range(5)]
    numbered = PointNames.of({"p5": 4, "p4": 3, "p3": 2, "p2": 1, "p1": 0})
    shapes = five(1, names=("p1", "p2", "p3", "p4", "p5"))
    (face,) = read(tmp_path, FORMAT.with_names(numbered), a=document(*reversed(shapes)))
    assert isinstance(face, Face)
    assert face.landmarks.tolist() == [[i, 2 * i] for i in range(5)]


def test_unknown_names_are_an_error_with_the_way_out(tmp_path: Path) -> None:
    shapes = five(1, names=("alpha", "beta", "gamma", "delta", "epsilon"))
    with pytest.raises(InputError, match="alpha.*--names"):
        read(tmp_path, a=document(*shapes))
    with open_faces(tmp_path) as found:
        assert found.scheme.name == "points5"
        (face,) = found
    assert isinstance(face, Face)
    assert face.landmarks[4].tolist() == [4, 8]


def test_a_face_without_group_has_the_only_box_around_it(tmp_path: Path) -> None:
    around = shape("face", (0, 0), (20, 20), kind="rectangle")
    beside = shape("face", (60, 60), (80, 80), kind="rectangle")
    (face,) = read(tmp_path, a=document(*five(), around, beside))
    assert isinstance(face, Face)
    assert face.box.tolist() == [0, 0, 20, 20]
    (face,) = read(tmp_path, a=document(*five(), around, around))
    assert isinstance(face, Face)
    assert face.box is None


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ([*five(), *five()], "ungrouped_points"),
        ([*five(1), shape("nose", (1, 1), group_id=1)], "duplicate_point"),
        ([*five(1)[:4], shape("elbow", (1, 1), group_id=1)], "unknown_point"),
        ([*five(1)[:4], shape("nose", ("a", 1), group_id=1)], "duplicate_point"),
        ([shape("nose", ("a", 1), group_id=1)], "not_a_number"),
        ([shape("nose", (1, 1), (2, 2), group_id=1)], "not_a_number"),
        ([shape("face", (1, 1), (9, 9), kind="rectangle", group_id=7)], "box_without_points"),
        ([*five(1), shape("face", (1, 1), (1, 9), kind="rectangle", group_id=1)], "bad_box"),
    ],
)
def test_bad_groups_are_skipped(tmp_path: Path, shapes: list[dict[str, object]], reason: str) -> None:
    items = read(tmp_path, a=document(*five(1)), b=document(*shapes))
    assert reasons(items) == ["", reason]


def test_bad_files_are_skipped(tmp_path: Path) -> None:
    good = document(*five(1))
    outside = document(*five(1), imagePath="../../x.png")
    items = read(
        tmp_path, a=good, b=good[:-9] + "}", c=outside, d='{"shapes": 5, "shape_type": 1, "label": 1}'
    )
    assert reasons(items) == ["", "bad_json", "bad_path", "bad_structure"]


def test_a_picture_inside_the_file_is_read_where_there_is_no_other(tmp_path: Path) -> None:
    inside = base64.b64encode(b"pixels").decode()
    files = {
        "a.json": document(*five(1), imagePath="lost.png", imageData=inside),
        "b.json": document(*five(1), imagePath="b.png", imageData=inside),
        "c.json": document(*five(1), imagePath="c.png", imageData="%"),
        "b.png": b"on the disk",
    }
    with tree_of(tmp_path, files) as tree, FORMAT.pictures(tree) as pictures:
        faces = list(FORMAT.read(tree, FIVE, FORMAT.detect(tree).files))
        assert [f.image for f in faces if isinstance(f, Face)] == ["lost.png", "b.png", "c.png"]
        assert pictures.read("lost.png") == b"pixels"
        assert pictures.read("b.png") == b"on the disk"
        with pytest.raises(InputError, match="imageData cannot be read"):
            pictures.read("c.png")


def test_boxes_alone_are_told_so(tmp_path: Path) -> None:
    box = shape("face", (1, 1), (9, 9), kind="rectangle")
    with tree_of(tmp_path, {"a.json": document(box)}) as tree:
        assert FORMAT.detect(tree).why.endswith("(a.json: boxes and other shapes, no points)")


def test_the_real_file(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "formats/labelme/primitives.json"
    (wanted,) = (s for s in json.loads(source.read_text())["shapes"] if s["shape_type"] == "point")
    with open_tree(source.parent) as tree:
        found = FORMAT.detect(tree)
        scheme = get_scheme(FORMAT.scheme_in(tree, found.files))
        (face,) = FORMAT.read(tree, scheme, found.files)
    assert isinstance(face, Face)
    assert (face.landmarks + 0.5).tolist() == wanted["points"] == [[345, 174]]
    assert (face.image, face.image_size) == ("primitives.jpg", (560, 450))
    report = FORMAT.write([face], tmp_path / "out", scheme)
    assert (report.faces, report.lost) == (1, {})
    with open_tree(tmp_path / "out") as tree:
        (back,) = FORMAT.read(tree, scheme, FORMAT.detect(tree).files)
    assert isinstance(back, Face)
    assert same_points(face, back)


@settings(max_examples=60, deadline=None)
@given(st.lists(anything(), max_size=4))
def test_written_faces_read_back(tmp_path_factory, faces: list[Face]) -> None:
    three = get_scheme("points3")
    target = tmp_path_factory.mktemp("labelme") / "out"
    report = FORMAT.write(faces, target, three)
    with open_tree(target) as tree:
        again = list(FORMAT.read(tree, three, FORMAT.detect(tree).files)) if report.faces else []
    assert len(again) == report.faces
    unwritten = ("face with unwritable image name", "another picture of this stem", "face without points")
    assert report.faces + sum(report.lost[key] for key in unwritten) == len(faces)
    keys = ("split", "subset", "dataset", "attributes")
    for back in again:
        assert isinstance(back, Face)
        assert any(
            _near(face, back) and all(getattr(face, k) == getattr(back, k) for k in keys) for face in faces
        )


def _near(one: Face, two: Face) -> bool:
    """The same but for the last bits that adding 0.5 takes from very small numbers."""
    points = np.allclose(one.landmarks, two.landmarks, rtol=0, atol=1e-7, equal_nan=True)
    boxes = (one.box is None) == (two.box is None) and (one.box is None or np.allclose(one.box, two.box))
    return (
        points
        and boxes
        and one.box_source == two.box_source
        and np.array_equal(one.visibility, two.visibility)
    )


def test_faces_of_one_picture_share_a_file_and_losses_are_counted(tmp_path: Path) -> None:
    good = np.float32([[1.25, 2], [3, 4], [5, 6]])
    names = ["a/b.jpg", "c.png", "a/b.jpg", "c.jpg"]
    faces = [make_face(name, good + i) for i, name in enumerate(names)]
    faces.append(make_face("d.jpg", good * np.nan))
    faces[0].landmarks[0, 0] = 1e-12
    faces[1].box, faces[1].box_source = np.float32([1, 1, 0, 5]), "annotated"
    report = FORMAT.write(faces, tmp_path / "out", get_scheme("points3"))
    assert report.lost == {
        "sub-pixel": 1,
        "box": 1,
        "another picture of this stem": 1,
        "face without points": 1,
    }
    content = json.loads((tmp_path / "out/a/b.json").read_text())
    assert [s["group_id"] for s in content["shapes"]] == [0, 0, 0, 1, 1, 1]
    assert content["imagePath"] == "b.jpg"
    assert content["shapes"][4]["points"] == [[5.5, 6.5]]


def test_damaged_files_end_in_faces_skipped_or_input_errors(tmp_path: Path) -> None:
    fuzz(FORMAT, FIVE, tmp_path, "a.json", document(*five(1), *five(2)).encode())
