"""Label Studio: percent of the picture to pixels by hand; groups, labels, pictures, round trip."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd.errors import FlmdError, InputError
from flmd.face import Face, Skipped
from flmd.formats.label_studio import LabelStudio
from flmd.schemes import get_scheme
from flmd.tree import open_tree
from tests.formats.random_faces import image_names, make_face

FORMAT = LabelStudio()
P2 = get_scheme("points2")
SIZE = {"original_width": 200, "original_height": 50, "image_rotation": 0}


def point(label: object, x: object = 10, y: object = 20, **fields: object) -> dict:
    """A key point; percent."""
    value = {"x": x, "y": y, "width": 0.5, "keypointlabels": [label]}
    return {"id": f"p{label}", "type": "keypointlabels", "value": value} | SIZE | fields


def box(name: str = "r", width: object = 50, rotation: object = 0, **fields: object) -> dict:
    """A rectangle; percent."""
    value = {"x": 5, "y": 10, "width": width, "height": 20, "rotation": rotation, "rectanglelabels": ["face"]}
    return {"id": name, "type": "rectanglelabels", "value": value} | SIZE | fields


def task(*regions: object, image: object = "a.jpg", **fields: object) -> dict:
    """A task with one annotation."""
    return {"id": 1, "data": {"image": image}, "annotations": [{"id": 1, "result": list(regions)}]} | fields


def read(tmp_path: Path, *tasks: object, scheme=P2, name: str = "x.json") -> list[Face | Skipped]:
    """What the reader makes of tasks."""
    (tmp_path / name).write_text(json.dumps(tasks))
    with open_tree(tmp_path) as tree:
        return list(FORMAT.read(tree, scheme, (name,)))


def test_percent_is_measured_from_the_edge_of_the_picture(tmp_path: Path) -> None:
    (face,) = read(tmp_path, task(box(), point("0"), point("point_1", 100, 0)))
    assert isinstance(face, Face)
    assert face.landmarks.tolist() == [[19.5, 9.5], [199.5, -0.5]]
    assert face.box is not None
    assert face.box.tolist() == [9.5, 4.5, 100, 10]
    assert (face.image, face.image_size, face.box_source) == ("a.jpg", (200, 50), "annotated")


def test_points_belong_to_the_rectangle_they_name(tmp_path: Path) -> None:
    regions = [point("1", 1, parentID="b"), box("a"), box("b"), point("0", 2, parentID="a"), point("0", 3)]
    one, two, alone = read(tmp_path, task(*regions))
    assert one.landmarks[0].tolist() == [3.5, 9.5]
    assert two.landmarks[1].tolist() == [1.5, 9.5]
    assert alone.landmarks[0].tolist() == [5.5, 9.5]
    assert (one.visibility.tolist(), two.visibility.tolist()) == ([2, 0], [0, 2])
    assert alone.box is None


def test_a_rectangle_without_points_is_a_face(tmp_path: Path) -> None:
    one, two = read(tmp_path, task(box("a"), box("b")))
    assert one.visibility.tolist() == two.visibility.tolist() == [0, 0]


def test_the_first_annotation_that_was_not_cancelled_is_read(tmp_path: Path) -> None:
    several = [
        {"was_cancelled": True, "result": [point("1")]},
        {"was_cancelled": False, "result": [point("0")]},
        {"result": [point("1")]},
    ]
    cancelled, face, further = read(tmp_path, task(annotations=several))
    assert cancelled.reason == "cancelled_annotation"
    assert face.visibility.tolist() == [2, 0]
    assert further.reason == "further_annotation"


@pytest.mark.parametrize(
    ("regions", "reason"),
    [
        ([point("2")], "unknown_label"),
        ([point(5)], "unknown_label"),
        ([point("0"), point("point_0")], "duplicate_point"),
        ([point("0", "1")], "not_a_number"),
        ([point("0", None)], "not_a_number"),
        ([point("0", 1e308)], "not_a_number"),
        ([point("0", original_width=0)], "no_image_size"),
        ([point("0", image_rotation=90)], "rotated_image"),
        ([box(rotation=1), point("0")], "rotated_box"),
        ([box(width=0), point("0")], "bad_box"),
        ([box(width="wide"), point("0")], "bad_box"),
    ],
)
def test_bad_faces_are_skipped(tmp_path: Path, regions: list, reason: str) -> None:
    skipped, face = read(tmp_path, task(*regions), task(point("0")))
    assert isinstance(skipped, Skipped)
    assert skipped.reason == reason
    assert isinstance(face, Face)


def test_bad_tasks_are_skipped(tmp_path: Path) -> None:
    for bad in (5, {"annotations": []}, task(annotations=[7]), task(annotations="x")):
        assert [s.reason for s in read(tmp_path, bad)] == ["bad_annotation"]
    for image in ("../../a.jpg", "", None, "C:\\a.jpg", "http://[x/a.jpg"):
        assert [s.reason for s in read(tmp_path, task(point("0"), image=image))] == ["bad_path"]
    (tmp_path / "y.json").write_text("{}")
    with open_tree(tmp_path) as tree, pytest.raises(InputError, match="not a JSON list"):
        list(FORMAT.read(tree, P2, ("y.json",)))


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("/data/local-files/?d=photos/set/one%20a.jpg", "set/one a.jpg"),
        ("/data/upload/3/1a2b3c4d-two.jpg", "set/two.jpg"),
        ("https://x.org/b/set/one%20a.jpg?token=5", "set/one a.jpg"),
        ("s3://bucket/deep/two.jpg", "set/two.jpg"),
        ("set/two.jpg", "set/two.jpg"),
        ("same.jpg", "same.jpg"),
        ("/data/upload/3/1a2b3c4d-gone.jpg", "gone.jpg"),
        ("/data/local-files/?d=gone/x.jpg", "gone/x.jpg"),
    ],
)
def test_pictures_are_found_by_their_urls(tmp_path: Path, url: str, found: str) -> None:
    for name in ("set/one a.jpg", "set/two.jpg", "u/same.jpg", "v/same.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (face,) = read(tmp_path, task(point("0"), image=url))
    assert face.image == found


@pytest.mark.parametrize(
    ("labels", "scheme"),
    [
        (("0", "67"), "ibug68"),
        (("0", "16"), "points17"),
        (("point_0", "point_4"), "points5"),
        (tuple(get_scheme("ibug68").points), "ibug68"),
        (tuple(get_scheme("wflw98").points), "wflw98"),
    ],
)
def test_labels_tell_the_scheme(tmp_path: Path, labels: tuple[str, ...], scheme: str) -> None:
    (tmp_path / "x.json").write_text(json.dumps([task(*map(point, labels))]))
    with open_tree(tmp_path) as tree:
        assert FORMAT.scheme_in(tree, ("x.json",)) == scheme


def test_labels_of_no_scheme_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps([task(point("Engine"))]))
    with open_tree(tmp_path) as tree, pytest.raises(InputError, match="labels Engine"):
        FORMAT.scheme_in(tree, ("x.json",))


def test_detects_its_own_and_says_why_not(tmp_path: Path, shared_data: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps([task(box())], indent=1))
    with open_tree(tmp_path) as tree:
        assert FORMAT.detect(tree).why.endswith("(x.json: its results have no keypointlabels)")
    (tmp_path / "x.json").write_text(json.dumps([task(box(), point("0"))], indent=1))
    with open_tree(tmp_path) as tree:
        assert FORMAT.detect(tree).files == ("x.json",)
    for other in ("mmpose_coco", "menpo", "spiga_json", "wflw"):
        with open_tree(shared_data / "formats" / other) as tree:
            assert not FORMAT.detect(tree).fits


@st.composite
def sized_faces(draw) -> Face:
    """A face that Label Studio can hold, with points up to a few pictures away."""
    numbers = st.floats(-5000, 5000, width=32)
    landmarks = np.array(draw(st.lists(st.tuples(numbers, numbers), min_size=4, max_size=4)), np.float32)
    landmarks[draw(st.lists(st.integers(0, 3), max_size=3))] = np.nan
    size = draw(st.tuples(st.integers(1, 9000), st.integers(1, 9000)))
    face = make_face(draw(image_names()), landmarks, image_size=size)
    face.box, face.box_source = np.array([-1.5, 2, 3, 4.1], np.float32), "annotated"
    return face


@settings(max_examples=60, deadline=None)
@given(st.lists(sized_faces(), max_size=4))
def test_written_faces_read_back(tmp_path_factory, faces: list[Face]) -> None:
    target = tmp_path_factory.mktemp("ls") / "x.json"
    faces = [face for face in faces for _ in range(2)]
    report = FORMAT.write(faces, target, get_scheme("points4"))
    assert report.faces == len(faces)
    assert set(report.lost) <= {"image name"}
    with open_tree(target.parent) as tree:
        again = list(FORMAT.read(tree, get_scheme("points4"), ("x.json",)))
    for one, two in zip(faces, again, strict=True):
        assert isinstance(two, Face)
        assert one.visibility.tolist() == two.visibility.tolist()
        np.testing.assert_allclose(two.landmarks, one.landmarks, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(two.box, one.box, rtol=1e-6)
        assert one.image_size == two.image_size
        assert two.image == one.image or report.lost["image name"]


def test_faces_of_one_picture_share_a_task_and_losses_are_counted(tmp_path: Path) -> None:
    good = np.array([[1, 2], [3, 5]], np.float32)
    hidden = make_face("a.jpg", good, image_size=(10, 10))
    hidden.visibility[0] = 1
    faces = [
        hidden,
        make_face("a.jpg", good, image_size=(10, 10), split="train", subject="me", attributes={"a": 1}),
        make_face("a.jpg", good),
        make_face("../a.jpg", good, image_size=(10, 10)),
        make_face("a.jpg", good * np.float32(np.nan), image_size=(10, 10)),
    ]
    report = FORMAT.write(faces, tmp_path / "x.json", P2)
    assert report.faces == 2
    assert report.lost == {
        "box": 2,
        "visibility": 1,
        "split": 1,
        "subject": 1,
        "attributes": 1,
        "face without image size": 1,
        "face with unwritable image name": 1,
        "face without box and points": 1,
    }
    (written,) = json.loads((tmp_path / "x.json").read_text())
    result = written["annotations"][0]["result"]
    assert [r["type"] for r in result] == ["rectanglelabels", "keypointlabels", "keypointlabels"] * 2
    assert {r.get("parentID") for r in result} == {None, "face0", "face1"}
    assert written["data"]["image"] == "/data/local-files/?d=a.jpg"


def test_a_folder_has_a_file_for_each_split(tmp_path: Path) -> None:
    good = np.ones((2, 2), np.float32)
    faces = [make_face("a.jpg", good, image_size=(9, 9), split=s) for s in ("train", "test", "train")]
    FORMAT.write(faces, tmp_path / "out", P2)
    with open_tree(tmp_path / "out") as tree:
        files = FORMAT.detect(tree).files
        assert files == ("tasks_test.json", "tasks_train.json")
        assert [f.split for f in FORMAT.read(tree, P2, files)] == ["test", "train", "train"]
    FORMAT.write([], tmp_path / "none.json", P2)
    assert json.loads((tmp_path / "none.json").read_text()) == []


def test_damaged_files_end_in_faces_skipped_or_input_errors(tmp_path: Path) -> None:
    good = json.dumps([task(box(), point("0", parentID="r"), point("1")), task(point("0"))]).encode()
    draw = random.Random(3)
    for _ in range(300):
        data = bytearray(good)
        for _ in range(draw.randint(1, 5)):
            at = draw.randrange(len(data))
            data[at : at + draw.randint(0, 3)] = draw.choice(
                [b"", b"\0", b"9" * 50, b"[", b'"', b"\xff", b"null"]
            )
        (tmp_path / "x.json").write_bytes(bytes(data))
        with open_tree(tmp_path) as tree, contextlib.suppress(FlmdError):
            FORMAT.detect(tree)
            FORMAT.scheme_in(tree, ("x.json",))
        with open_tree(tmp_path) as tree, contextlib.suppress(FlmdError):
            assert all(isinstance(f, Face | Skipped) for f in FORMAT.read(tree, P2, ("x.json",)))


@pytest.mark.parametrize("held", [0, 1 << 20])
def test_tasks_held_while_their_labels_are_gathered_are_all_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    """250 tasks, more than are looked at for their labels."""
    monkeypatch.setattr("flmd.formats.label_studio.MOST_HELD", held)
    tasks = [task(box(), point("0", x=number % 100), point("1")) for number in range(250)]
    text = "[\n" + ",\n".join(map(json.dumps, tasks)) + "\n]"
    (tmp_path / "a.json").write_text(text)
    with open_tree(tmp_path) as tree:
        items = list(FORMAT.read(tree, get_scheme("points68"), ("a.json",)))
    assert [item.where.rpartition("a.json:")[2] for item in items] == [
        f"{number + 2} (task {number}, face 0)" for number in range(250)
    ]
    # A file that breaks off has the good tasks before the fault, whether they are held or not.
    (tmp_path / "a.json").write_text(text[: text.index("\n", 3000)] + "\n!")
    read: list = []
    with open_tree(tmp_path) as tree, pytest.raises(InputError, match="broken JSON"):
        for item in FORMAT.read(tree, get_scheme("points68"), ("a.json",)):
            read.append(item)  # those before the error are wanted
    assert [item.where for item in read] == [item.where for item in items[: len(read)]]
    assert len(read) > 1
