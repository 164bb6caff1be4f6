"""One way in for every source: what is found, in which scheme, counted from where, and whose face."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from flmd.conversion.converter import convert
from flmd.conversion.opening import open_faces
from flmd.conversion.settings import CropSettings
from flmd.core import bounded_search
from flmd.curation.store_copy import copy_store
from flmd.errors import InputError, ParamsError
from flmd.face import Face, Skipped
from flmd.formats import Certainty, get
from flmd.schemes import IBUG68, get_scheme
from flmd.store.face_store import FaceStore
from flmd.tree.folder import PathTree
from tests.factories import convert_list, make_face, write_picture

POINTS = np.stack([np.arange(68), 100 + np.arange(68)], axis=1).astype(np.float32)


def face(image: str, **fields) -> Face:
    made = make_face(image, **fields)
    made.landmarks = POINTS + len(image)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dlib list of two faces, and a .pts beside each picture that says the same."""
    faces = [face("Ann_1.jpg"), face("Bob_22.jpg")]
    get("dlib-xml").write(faces, tmp_path / "set" / "labels_train.xml", IBUG68)
    get("pts").write(faces, tmp_path / "pts", IBUG68)
    for path in (tmp_path / "pts").iterdir():
        path.rename(tmp_path / "set" / path.name)
    return tmp_path / "set"


def faces_of(source, **options) -> list[Face]:
    with open_faces(source, **options) as found:
        return [item for item in found if isinstance(item, Face)]


def test_a_list_outranks_the_files_beside_pictures_that_repeat_it(folder):
    with open_faces(folder) as found:
        assert found.kind == "dlib-xml"
        assert found.detection.certainty is Certainty.CERTAIN
        assert found.scheme is IBUG68
    assert [f.image for f in faces_of(folder, from_="pts")] == ["Ann_1.jpg", "Bob_22.jpg"]


def test_one_file_is_read_alone_but_knows_its_folder(folder):
    write_picture(folder / "Ann_1.png", np.zeros((20, 20, 3), np.uint8))
    (only,) = faces_of(folder / "Ann_1.pts")
    assert only.image == "Ann_1.png"
    assert np.array_equal(only.landmarks, POINTS + 9)


def listed(folder: Path) -> list[str]:
    """COCO keypoints of two faces whose pictures lie elsewhere than the list says, and one that is there."""
    images = [{"id": i, "file_name": name} for i, name in enumerate(("a/here.jpg", "there.jpg", "gone.jpg"))]
    points = [number for i in range(68) for number in (i, i, 2)]
    annotations = [{"id": i, "image_id": i, "keypoints": points, "num_keypoints": 68} for i in range(3)]
    folder.mkdir(exist_ok=True)
    (folder / "labels.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    for name in ("a/here.jpg", "deep/er/there.jpg"):
        write_picture(folder / name, np.zeros((20, 20, 3), np.uint8))
    return ["a/here.jpg", "deep/er/there.jpg", "gone.jpg"]


def test_what_lies_beside_one_file_neither_stops_nor_delays_it(tmp_path, monkeypatch):
    """A virtual environment has links that leave it, and other data sets have files of every kind."""
    expected = listed(tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python3").symlink_to("/usr/bin/env")
    os.mkfifo(tmp_path / "fifo")
    for i in range(400):
        (tmp_path / f"other{i}.json").write_text('{"images": [], "annotations": [], "broken')
    opened = []
    read = PathTree.read
    monkeypatch.setattr(PathTree, "read", lambda self, name, *a: opened.append(name) or read(self, name, *a))
    assert [f.image for f in faces_of(tmp_path / "labels.json")] == expected
    assert not [name for name in opened if name.startswith("other")]
    assert [f.image for f in faces_of(f"file://{tmp_path}/labels.json")] == expected


def test_a_folder_s_links_that_leave_are_counted_and_the_faces_that_need_them_skipped(tmp_path):
    expected = listed(tmp_path / "set")
    (tmp_path / "set" / "gone.jpg").symlink_to("/etc/hostname")
    (tmp_path / "set" / "nowhere").symlink_to("nothing")
    with open_faces(tmp_path / "set") as found:
        assert found.passed_over.startswith("2 symbolic links (the first: ")
        assert "gone.jpg: a symbolic link that leaves the folder)" in found.passed_over
        assert found.passed_over in found.detection.why
        assert [f.image for f in found] == expected
        report = convert(found, tmp_path / "s.h5", box="landmarks", crop=CropSettings(16))
    assert (report.kept, dict(report.skipped)) == (2, {"image_unreadable": 1})
    (first,) = report.as_dict()["skipped"]["image_unreadable"]["first"]
    assert "gone.jpg: a symbolic link that leaves the folder" in first


def test_the_same_faces_from_a_folder_an_archive_an_address_and_a_store(folder, tmp_path):
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(folder / "labels_train.xml", "set/labels_train.xml")
    expected = [f.landmarks.tolist() for f in faces_of(folder)]
    for source in (archive, f"file://{folder}", f"file://{archive}", f"file://{folder}/labels_train.xml"):
        assert [f.landmarks.tolist() for f in faces_of(source)] == expected
    write_picture(tmp_path / "p/Ann_1.jpg", np.zeros((90, 90, 3), np.uint8))
    convert_list(tmp_path / "p", [face("Ann_1.jpg")], tmp_path / "s.h5")[1].close()
    with open_faces(tmp_path / "s.h5") as found:
        assert found.kind == "store"
        assert [f.landmarks.tolist() for f in found] == [(POINTS + 9).tolist()]


def test_another_base_moves_points_and_box_by_the_difference(folder):
    plain, moved = faces_of(folder)[0], faces_of(folder, base=1)[0]
    assert np.array_equal(moved.landmarks, plain.landmarks - 1)
    assert moved.box is not None
    assert plain.box is not None
    assert moved.box.tolist() == [plain.box[0] - 1, plain.box[1] - 1, *plain.box[2:]]
    # .pts counts from 1: told to count from 0, nothing is subtracted.
    assert np.array_equal(faces_of(folder / "Ann_1.pts", base=0)[0].landmarks, POINTS + 10)


def test_a_scheme_of_as_many_points_says_what_they_are_another_is_mapped_to(folder, tmp_path):
    with open_faces(folder, scheme="wholebody68") as found:
        assert found.scheme.name == "wholebody68"
        assert found.changes.mapping is None
    mapped = faces_of(folder, scheme="ibug51")[0]
    assert np.array_equal(mapped.landmarks, faces_of(folder)[0].landmarks[17:])
    with pytest.raises(ParamsError, match="jaw"):
        get("pts").write([cut(f) for f in faces_of(folder)], tmp_path / "in", get_scheme("ibug51"))
        faces_of(tmp_path / "in", scheme="ibug68")


def cut(one: Face) -> Face:
    one.landmarks, one.visibility = one.landmarks[17:], one.visibility[17:]
    return one


def test_subjects_from_the_picture_names(folder):
    assert [f.subject for f in faces_of(folder, subject_from=r"^([A-Z][a-z]+)_")] == ["Ann", "Bob"]
    assert [f.subject for f in faces_of(folder, subject_from=r"\d+")] == ["1", "22"]
    with open_faces(folder, subject_from=r"Ann") as found:
        items = list(found)
    assert isinstance(items[1], Skipped)
    assert items[1].reason == "subject_not_found"
    with pytest.raises(ParamsError, match="is no expression"):
        faces_of(folder, subject_from="(")


def test_a_search_for_a_subject_that_never_ends_is_one_line(folder, monkeypatch):
    monkeypatch.setattr(bounded_search, "SECONDS", 0.1)
    with pytest.raises(InputError, match=r"the search for '\^\(\?:\.") as caught:
        faces_of(folder, subject_from="^(?:.?){60}!")
    assert "'Ann_1.jpg' takes more than 0.1 s" in str(caught.value)


def test_mistakes_are_one_line(folder, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        faces_of(tmp_path / "nothing")
    with pytest.raises(InputError, match="not wflw"):
        faces_of(folder, from_="wflw")
    with pytest.raises(InputError, match="not coco: .*json"):
        faces_of(folder / "labels_train.xml", from_="coco")
    (tmp_path / "x.txt").write_text("hello")
    with pytest.raises(InputError, match="no known format fits"):
        faces_of(tmp_path / "x.txt")


def test_a_store_copied_in_another_scheme_keeps_its_crops(tmp_path):
    write_picture(tmp_path / "p/a.jpg", np.full((90, 90, 3), 80, np.uint8))
    convert_list(tmp_path / "p", [face("a.jpg", split="val")], tmp_path / "s.h5")[1].close()
    with open_faces(tmp_path / "s.h5", scheme="ibug51", subject_from=r"^(\w)") as found:
        assert copy_store(found, tmp_path / "t.h5") == 1
        assert copy_store(found, tmp_path / "u.h5", crops=False) == 1
    with FaceStore(tmp_path / "s.h5") as old, FaceStore(tmp_path / "t.h5") as new:
        assert new.scheme.name == "ibug51"
        assert np.array_equal(new.crops, old.crops)
        assert np.array_equal(new.numbers("affine"), old.numbers("affine"))
        assert np.array_equal(new.numbers("landmarks")[0], old.numbers("landmarks")[0, 17:])
        assert (new.texts("subject"), new.texts("split")) == (["a"], ["val"])
        assert new.texts("image_sha256") == old.texts("image_sha256")
    with FaceStore(tmp_path / "u.h5") as bare:
        assert not bare.has_crops
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p", "s.h5", "t.h5", "u.h5"]


@pytest.mark.parametrize(
    ("where", "image"),
    [
        ("set/imgs", "a.jpg"),  # a part of the source
        ("set", "imgs/a.jpg"),  # the source itself
        (".", "set/imgs/a.jpg"),  # what holds the source
        ("linked", "a.jpg"),  # by another way
        ("elsewhere", "imgs/a.jpg"),  # a copy that is laid out as the source is
    ],
)
def test_pictures_that_a_reader_finds_itself_are_found_in_the_folder_named_for_them(
    tmp_path: Path, where: str, image: str
) -> None:
    get("pts").write([face("a.jpg")], tmp_path / "set" / "annot", IBUG68)
    for folder in ("set", "elsewhere"):
        write_picture(tmp_path / folder / "imgs" / "a.jpg", np.zeros((200, 200, 3), np.uint8))
    (tmp_path / "linked").symlink_to(tmp_path / "set" / "imgs")
    with open_faces(tmp_path / "set", pictures=tmp_path / where) as found:
        (only,) = found
        assert isinstance(only, Face)
        assert only.image == image
        assert found.pictures is not None
        assert found.pictures.size(image) > 0


def test_a_picture_that_is_nowhere_keeps_its_name(tmp_path: Path) -> None:
    get("pts").write([face("a.jpg")], tmp_path / "set" / "annot", IBUG68)
    write_picture(tmp_path / "other" / "a.jpg", np.zeros((200, 200, 3), np.uint8))
    (only,) = faces_of(tmp_path / "set", pictures=tmp_path / "other")
    assert only.image == "annot/a.jpg"
