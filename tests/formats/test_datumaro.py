"""Datumaro's JSON: points and skeletons, the order of their points; values by plain json."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd.conversion.opening import open_faces
from flmd.errors import InputError
from flmd.face import Face, Skipped
from flmd.formats.datumaro import Datumaro
from flmd.schemes import get_scheme
from flmd.tree import open_tree
from tests.formats.random_faces import make_face, same_points
from tests.formats.test_webdataset import anything
from tests.formats.text_formats import fuzz, reasons, tree_of

FORMAT = Datumaro()
FIVE = get_scheme("celeba5")
FLAT = [v for i in range(5) for v in (i + 0.5, 2.0 * i)]


def document(*annotations: object, names: tuple[str, ...] = FIVE.points, **item: object) -> str:
    """A file of one item, whose label "face" has these points."""
    labels = [{"name": name, "parent": "", "attributes": []} for name in ("face", "car", *names)]
    points = {"items": [{"label_id": 0, "labels": names, "joints": [[1, 2]]}]} if names else {"items": []}
    described = {"id": "a", "annotations": annotations, "image": {"path": "a.png", "size": [90, 120]}} | item
    content = {"categories": {"label": {"labels": labels}, "points": points}, "items": [described]}
    return json.dumps(content)


def points(**more: object) -> dict[str, object]:
    return {"id": 0, "type": "points", "label_id": 0, "group": 0, "attributes": {}, "points": FLAT} | more


def read(folder: Path, **files: str) -> list[Face | Skipped]:
    with tree_of(folder, {f"annotations/{name}.json": text for name, text in files.items()}) as tree:
        return list(FORMAT.read(tree, FIVE, FORMAT.detect(tree).files))


def test_reads_points_with_visibility_box_and_attributes(tmp_path: Path) -> None:
    face = points(group=3, visibility=[2, 1, 0, 2, 2], attributes={"smile": True})
    box = {"type": "bbox", "label_id": 0, "group": 3, "bbox": [1, 2, 30, 40.5], "attributes": {"blur": 1}}
    (found,) = read(tmp_path, test=document(face, box))
    assert isinstance(found, Face)
    assert found.landmarks[[0, 1, 3]].tolist() == [[0.5, 0], [1.5, 2], [3.5, 6]]
    assert np.isnan(found.landmarks[2]).all()
    assert found.visibility.tolist() == [2, 1, 0, 2, 2]
    assert found.box.tolist() == [1, 2, 30, 40.5]
    assert found.attributes == {"smile": True, "blur": 1}
    assert (found.split, found.subset, found.image_size) == ("test", "", (120, 90))
    assert found.image == "images/test/a.png"


def test_a_skeleton_is_flat_or_has_elements(tmp_path: Path) -> None:
    flat = [v for i in range(5) for v in (i + 0.5, 2.0 * i, 1 + i % 2)]
    elements = [
        {"type": "points", "label_id": 2 + i, "points": [i + 0.5, 2 * i], "visibility": [1 + i % 2]}
        for i in (4, 2, 0, 1, 3)
    ]
    one = {"type": "skeleton", "label_id": 0, "points": flat}
    two = {"type": "skeleton", "label_id": 0, "elements": elements}
    first, second = read(tmp_path, default=document(one, two))
    for face in (first, second):
        assert isinstance(face, Face)
        assert face.landmarks.tolist() == [[i + 0.5, 2 * i] for i in range(5)]
        assert face.visibility.tolist() == [1, 2, 1, 2, 1]


def test_the_categories_names_tell_the_order(tmp_path: Path) -> None:
    (face,) = read(tmp_path, default=document(points(), names=FIVE.points[::-1]))
    assert isinstance(face, Face)
    assert face.landmarks[::-1].tolist() == [[i + 0.5, 2 * i] for i in range(5)]
    with pytest.raises(InputError, match="alpha.*--names"):
        read(tmp_path, default=document(points(), names=("alpha", "beta", "gamma", "delta", "epsilon")))


def test_categories_may_stand_last_and_be_absent(tmp_path: Path) -> None:
    content = json.loads(document(points(), names=FIVE.points[::-1]))
    last = json.dumps({"items": content["items"], "categories": content["categories"]})
    (face,) = read(tmp_path, default=last)
    assert isinstance(face, Face)
    assert face.landmarks[4].tolist() == [0.5, 0]
    (face,) = read(tmp_path, default=document(points(), names=()))
    assert isinstance(face, Face)
    assert face.landmarks[0].tolist() == [0.5, 0]


def test_free_boxes_labels_subsets_and_places_of_pictures(tmp_path: Path) -> None:
    around = {"type": "bbox", "label_id": 0, "bbox": [0, 0, 9, 9]}
    far = {"type": "bbox", "label_id": 0, "bbox": [50, 50, 9, 9]}
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.png").write_bytes(b"")
    (face,) = read(tmp_path, night=document(points(label_id=0), around, far))
    assert isinstance(face, Face)
    assert face.box.tolist() == [0, 0, 9, 9]
    assert (face.image, face.split, face.subset) == ("images/a.png", "", "night")
    labelled = json.loads(document(points(label_id=1, points=FLAT)))
    (face,) = read(tmp_path, night=json.dumps(labelled))
    assert isinstance(face, Face)
    assert face.attributes == {"label": "car"}


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        (points(points=FLAT[:-1]), "wrong_point_count"),
        (points(points=FLAT[:-2]), "wrong_point_count"),
        (points(points=["a", *FLAT[1:]]), "not_a_number"),
        (points(points=None), "not_a_number"),
        (points(visibility=[2]), "bad_visibility"),
        (points(visibility=[2, 2, 2, 2, 3]), "bad_visibility"),
        ({"type": "skeleton", "label_id": 0, "points": FLAT}, "wrong_point_count"),
        ({"type": "skeleton", "label_id": 0, "elements": [5]}, "bad_annotation"),
    ],
)
def test_bad_annotations_are_skipped(tmp_path: Path, annotation: object, reason: str) -> None:
    assert reasons(read(tmp_path, default=document(points(), annotation))) == ["", reason]


def test_bad_boxes_and_paths_are_skipped(tmp_path: Path) -> None:
    box = {"type": "bbox", "group": 1, "bbox": [0, 0, 0, 9]}
    assert reasons(read(tmp_path, default=document(points(group=1), box))) == ["bad_box"]
    outside = document(points(), image={"path": "../../../x.png"})
    assert reasons(read(tmp_path, default=outside)) == ["bad_path"]


def test_boxes_alone_are_told_so(tmp_path: Path) -> None:
    box = {"type": "bbox", "label_id": 0, "bbox": [0, 0, 9, 9]}
    with tree_of(tmp_path, {"annotations/train.json": document(box)}) as tree:
        assert FORMAT.detect(tree).why.endswith("(train.json: only boxes or other annotations, no points)")


def test_the_real_file(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "formats/datumaro_json"
    content = json.loads((folder / "default.json").read_text())
    (item,) = content["items"]
    flat = np.float32(item["annotations"][0]["points"]).reshape(-1, 3)
    names = content["categories"]["points"]["items"][0]["labels"]
    with open_faces(folder) as found:
        assert (found.kind, found.scheme.name) == ("datumaro", "points3")
        (face,) = found
    assert isinstance(face, Face)
    by_name = dict(zip(names, flat.tolist(), strict=True))
    wanted = [by_name[f"point{i}-label"] for i in (1, 2, 3)]  # numbers tell the order
    assert face.landmarks.tolist() == [row[:2] for row in wanted]
    assert face.visibility.tolist() == [row[2] for row in wanted]
    height, width = item["image"]["size"]
    assert (face.image, face.image_size) == (item["image"]["path"], (width, height))
    report = FORMAT.write([face], tmp_path / "out", get_scheme("points3"))
    assert (report.faces, report.lost) == (1, {"image name": 1})
    with open_tree(tmp_path / "out") as tree:
        (back,) = FORMAT.read(tree, get_scheme("points3"), FORMAT.detect(tree).files)
    assert isinstance(back, Face)
    assert same_points(face, back)


@settings(max_examples=60, deadline=None)
@given(st.lists(anything(), max_size=4))
def test_written_faces_read_back(tmp_path_factory, faces: list[Face]) -> None:
    three = get_scheme("points3")
    target = tmp_path_factory.mktemp("datumaro") / "out"
    report = FORMAT.write(faces, target, three)
    assert set(report.lost) <= {"image name", "subset", "face with unwritable image name"}
    with open_tree(target) as tree:
        again = list(FORMAT.read(tree, three, FORMAT.detect(tree).files)) if report.faces else []
    assert len(again) == report.faces
    for back in again:
        assert isinstance(back, Face)
        assert any(_same(face, back) for face in faces), back


def _same(one: Face, two: Face) -> bool:
    boxes = (one.box is None) == (two.box is None) and (one.box is None or np.array_equal(one.box, two.box))
    keys = ("split", "dataset", "box_source", "image_size", "attributes")
    return same_points(one, two) and boxes and all(getattr(one, key) == getattr(two, key) for key in keys)


def test_items_have_ids_of_their_own(tmp_path: Path) -> None:
    good = np.ones((3, 2), np.float32)
    names = ["a.jpg", "a.jpg", "b.jpg", "a.jpg", "a.png"]
    report = FORMAT.write([make_face(name, good) for name in names], tmp_path / "out", get_scheme("points3"))
    assert report.lost == {"image name": 5}
    items = json.loads((tmp_path / "out/annotations/default.json").read_text())["items"]
    assert [item["id"] for item in items] == ["a", "b", "a_2", "a_3"]
    assert [len(item["annotations"]) for item in items] == [2, 1, 1, 1]
    assert FORMAT.picture_name(make_face("x/a.jpg", good, split="train")) == "images/train/x/a.jpg"


def test_damaged_files_end_in_faces_skipped_or_input_errors(tmp_path: Path) -> None:
    box = {"type": "bbox", "group": 1, "bbox": [0, 0, 7, 9]}
    fuzz(FORMAT, FIVE, tmp_path, "default.json", document(points(group=1), box).encode())
