"""Validation: what is clean has no findings; each planted mistake is named and counted."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import typer

from flmd.cli.common import main_for
from flmd.cli.validate import validate_command
from flmd.curation.findings import Findings
from flmd.curation.validate import validate_faces, validate_store
from flmd.errors import InputError, StoreError
from flmd.face import Face, Skipped, visibility_of
from flmd.formats import get
from flmd.schemes import IBUG68
from flmd.tree import open_tree
from tests.factories import convert_list, make_face, write_picture


def kinds(findings: Findings) -> dict[str, int]:
    return {kind: found.count for kind, found in findings.findings.items()}


def picture(path: Path, width: int = 110, height: int = 100) -> None:
    write_picture(path, np.random.default_rng(1).integers(0, 255, (height, width, 3), dtype=np.uint8))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for i in range(6):
        picture(tmp_path / f"{i}.png")
    faces = [make_face(f"{i}.png", seed=i, subject=f"s{i}", split="train" if i else "test") for i in range(6)]
    convert_list(tmp_path, faces, tmp_path / "faces.h5")[1].close()
    return tmp_path / "faces.h5"


def test_clean_store_has_no_findings(store: Path) -> None:
    found = validate_store(store)
    assert (found.faces, kinds(found), found.notes) == (6, {}, {})


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [
        ("landmarks", np.full((68, 2), np.inf), "not_finite"),
        ("landmarks", np.full((68, 2), np.nan), "visibility_mismatch"),
        ("visibility", np.full(68, 3), "bad_visibility"),
        ("box", (5, 5, 0, 7), "bad_box"),
        ("box", (5, 5, np.nan, 7), "bad_box"),
        ("box", (np.nan,) * 4, "bad_box_source"),
        ("box", (40, 30, 42, 41), "crop_misplaced"),
        ("box", (400, 30, 41, 41), "box_outside_image"),
        ("image_size", (-3, 100), "bad_image_size"),
        ("image_size", (30, 100), "points_outside_image"),
        ("affine", np.zeros((2, 3)), "bad_affine"),
        ("affine", np.full((2, 3), np.nan), "bad_affine"),
        ("crops", np.full((3, 64, 64), 9), "crop_blank"),
        ("image", b"../x.png", "bad_image_name"),
        ("image", b"/x.png", "bad_image_name"),
        ("image", b"", "bad_image_name"),
        ("split", b"dev", "bad_split"),
        ("box_source", b"annotate", "bad_box_source"),
    ],
)
def test_a_planted_mistake_is_found_where_it_is(store: Path, column: str, value: object, kind: str) -> None:
    with h5py.File(store, "r+") as file:
        file[column][3] = value
    found = validate_store(store)
    assert found.findings[kind].count == 1
    assert found.findings[kind].first[0].startswith(f"{store}: face 3")
    assert not found.clean


def test_attributes_that_are_no_json_object(tmp_path: Path) -> None:
    picture(tmp_path / "0.png")
    faces = [make_face("0.png", seed=i) for i in range(2)]
    faces[0].attributes = faces[1].attributes = {"pose": 1}
    convert_list(tmp_path, faces, tmp_path / "faces.h5")[1].close()
    assert validate_store(tmp_path / "faces.h5").clean
    with h5py.File(tmp_path / "faces.h5", "r+") as file:
        file["attributes"][1] = b'["pose"]'
    assert kinds(validate_store(tmp_path / "faces.h5")) == {"attributes_not_json": 1}


def test_a_repeated_face_and_a_subject_on_two_sides(tmp_path: Path) -> None:
    one, same, other = (make_face("0.png", seed=s, subject="ann") for s in (1, 1, 2))
    other.split = "test"
    found = validate_faces([one, same, other], 68)
    assert kinds(found) == {"duplicate_face": 1}
    assert found.notes["subjects_across_splits"].first == ["ann: test and train"]


def test_points_outside_are_counted_from_the_edge_of_the_pixels() -> None:
    points = np.array([[-0.5, 0], [9.5, 7.5], [5, 5]], np.float32)
    face = Face("a.png", points, visibility_of(points), image_size=(10, 8))
    assert validate_faces([face], 3).clean
    points[1] = (9.6, 7.5)  # a picture 10 pixels wide ends at 9.5
    found = validate_faces([face], 3).findings["points_outside_image"]
    assert found.first == ["a.png: 1 points outside 10x8: point 1 at (9.6, 7.5)"]


def test_a_box_must_hold_half_of_the_points() -> None:
    # A box 4 wide at x = 0 covers -0.5 ... 3.5: points 0 and 1 of four are in it, then only point 0.
    points = np.array([[0, 0], [3.5, 0], [8, 0], [9, 0]], np.float32)
    face = Face("a.png", points, visibility_of(points), np.array([0, 0, 4, 4], np.float32), "annotated")
    found = validate_faces([face], 4)
    assert found.clean
    assert found.notes["boxes_cutting_points"].count == 1
    points[1] = (3.6, 0)
    assert validate_faces([face], 4).findings["box_misses_points"].first == ["a.png: 1 of 4 points"]


def test_skipped_faces_wrong_shapes_and_what_was_read_before_an_error() -> None:
    def faces() -> Iterator[Face | Skipped]:
        yield make_face("../up.png")
        yield Skipped("wrong_point_count", "list.xml:7", "67 points")
        points = np.zeros((5, 2), np.float32)
        yield Face("b.png", points, visibility_of(points))
        raise InputError("ends early", where="list.xml:9")

    found = Findings()
    with pytest.raises(InputError, match="ends early"):
        validate_faces(faces(), 68, None, found)
    assert kinds(found) == {"wrong_point_count": 1, "bad_shape": 1, "bad_image_name": 1}
    assert found.findings["wrong_point_count"].first == ["list.xml:7: 67 points"]
    assert found.faces == 3


def test_pictures_missing_truncated_empty_and_of_another_size(tmp_path: Path) -> None:
    names = ("good.png", "short.png", "good.jpg", "short.jpg", "size.png")
    for name in names:
        picture(tmp_path / name)
    for name in ("short.png", "short.jpg"):
        raw = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(raw[: len(raw) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_bytes(b"no picture at all")
    faces = [
        make_face(n, seed=i) for i, n in enumerate((*names, "empty.png", "text.png", "none.png", "none.png"))
    ]
    faces[4].image_size = (111, 100)
    with open_tree(tmp_path) as tree:
        found = validate_faces(faces, 68, tree)
    assert kinds(found) == {
        "image_truncated": 2,
        "image_size_differs": 1,
        "image_empty": 1,
        "image_unknown": 1,
        "image_missing": 1,
    }
    assert found.findings["image_size_differs"].first == ["size.png: 111x100, the picture has 110x100"]


def test_a_truncated_store_is_refused(store: Path) -> None:
    store.write_bytes(store.read_bytes()[:-5000])
    with pytest.raises(StoreError):
        validate_store(store)


def test_real_dlib_faces_are_clean(shared_data: Path) -> None:
    fmt = get("dlib-xml")
    with open_tree(shared_data / "dlib_faces") as tree:
        found = validate_faces(fmt.read(tree, IBUG68, ("training_with_face_landmarks.xml",)), 68, tree)
    assert found.clean
    assert found.faces == 18


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    app = typer.Typer()
    app.command("validate")(validate_command)
    app.command("other")(lambda: None)
    monkeypatch.setattr(sys, "argv", ["flmd-data", "validate", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main_for(lambda _: app, "flmd-data")()
    return int(ended.value.code or 0)


def test_the_command_says_clean_findings_and_unreadable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], store: Path
) -> None:
    assert run(monkeypatch, store) == 0
    assert capsys.readouterr().out == "6 faces: clean\n"
    with h5py.File(store, "r+") as file:
        file["split"][3] = b"dev"
    assert run(monkeypatch, store, "--json") == 1
    account = json.loads(capsys.readouterr().out)
    assert (account["kind"], account["faces"], account["clean"]) == ("store", 6, False)
    assert account["findings"] == {"bad_split": {"count": 1, "first": [f"{store}: face 3: 'dev'"]}}
    assert run(monkeypatch, store, "--allow", "bad_split") == 0
    store.write_bytes(store.read_bytes()[:-5000])
    assert run(monkeypatch, store) == 2
    assert capsys.readouterr().err.startswith(f"error: {store}: ")


def test_the_command_reads_annotations(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    part = "".join(f"<part name='{i:02}' x='{20 + i}' y='30'/>" for i in range(68))
    box = f"<box top='20' left='20' width='70' height='20'>{part}</box>"
    bad = box.replace("<part name='67' x='87' y='30'/>", "")  # ends early: no gap that says which is missing
    text = f"<dataset><images><image file='a.png'>{box}{box}{bad}</image></images></dataset>"
    (tmp_path / "labels.xml").write_text(text)
    assert run(monkeypatch, tmp_path / "labels.xml", "--json") == 1
    found = json.loads(capsys.readouterr().out)["findings"]
    counts = {kind: value["count"] for kind, value in found.items()}
    assert counts == {"duplicate_face": 1, "image_missing": 1, "wrong_point_count": 1}
