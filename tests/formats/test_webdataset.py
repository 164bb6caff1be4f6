"""WebDataset: shards by plain tarfile and json; keys, pictures and further faces."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd.conversion.opening import open_faces
from flmd.errors import InputError
from flmd.face import Face, Skipped
from flmd.formats import webdataset_writer
from flmd.formats.webdataset import WebDataset
from flmd.schemes import get_scheme
from flmd.tree import open_tree
from tests.formats.random_faces import image_names, make_face, points, same_points
from tests.formats.text_formats import reasons, tree_of

FORMAT = WebDataset()
P3 = get_scheme("points3")
GOOD = {
    "landmarks": [[1, 2.5], None, [5, 6]],
    "visibility": [2, 0, 1],
    "box": [1, 2, 30, 40.5],
    "subject": "me",
    "split": "test",
    "attributes": {"smile": True},
}


def shard(**members: object) -> bytes:
    """A tar of these members; ``a_json`` is a.json, and anything but bytes becomes JSON."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, content in members.items():
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            info = tarfile.TarInfo(".".join(name.rsplit("_", 1)))
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def read(folder: Path, **shards: bytes) -> list[Face | Skipped]:
    with tree_of(folder, {f"{name}.tar": data for name, data in shards.items()}) as tree:
        return list(FORMAT.read(tree, P3, FORMAT.detect(tree).files))


def test_reads_a_face_and_its_picture(tmp_path: Path) -> None:
    (face,) = read(tmp_path, train=shard(a_png=b"pixels", a_json=GOOD))
    assert isinstance(face, Face)
    assert face.landmarks[[0, 2]].tolist() == [[1, 2.5], [5, 6]]
    assert np.isnan(face.landmarks[1]).all()
    assert face.visibility.tolist() == [2, 0, 1]
    assert face.box.tolist() == [1, 2, 30, 40.5]
    assert (face.image, face.subject, face.split) == ("a.png", "me", "test")
    assert (face.box_source, face.attributes) == ("annotated", {"smile": True})
    with open_tree(tmp_path) as tree, FORMAT.pictures(tree) as pictures:
        assert pictures.read("a.png") == b"pixels"


def test_landmarks_are_enough(tmp_path: Path) -> None:
    (face,) = read(tmp_path, val=shard(a_json={"landmarks": [[1, 2], [3, 4], [5, 6]]}))
    assert isinstance(face, Face)
    assert (face.image, face.split, face.subject, face.box) == ("a.jpg", "val", "a", None)
    assert face.visibility.tolist() == [2, 2, 2]


def test_one_shard_and_unpacked_samples_are_read_too(tmp_path: Path) -> None:
    data = shard(a_png=b"", a_json=GOOD | {"landmarks": [[0, 1]] * 68, "visibility": None})
    (tmp_path / "one.tar").write_bytes(data)
    shutil.unpack_archive(tmp_path / "one.tar", tmp_path / "loose")  # before 3.11.4, tarfile takes no filter
    for place in ("one.tar", "loose"):
        with open_faces(tmp_path / place) as found:
            assert (found.kind, found.scheme.name) == ("webdataset", "ibug68")
            (face,) = found
        assert isinstance(face, Face)
        assert (face.image, face.box.tolist()) == ("a.png", [1, 2, 30, 40.5])


def test_a_key_in_two_shards_is_two_pictures(tmp_path: Path) -> None:
    parts = {f"train-{n}": shard(a_png=bytes([n]), a_json=GOOD) for n in range(2)}
    images = [face.image for face in read(tmp_path, **parts) if isinstance(face, Face)]
    assert images == ["a.png", "train-1/a.png"]
    with open_tree(tmp_path) as tree, FORMAT.pictures(tree) as pictures:
        assert [pictures.read(image) for image in images] == [b"\0", b"\1"]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (GOOD | {"landmarks": [[1, 2]]}, "wrong_point_count"),
        (GOOD | {"landmarks": 5}, "wrong_point_count"),
        (GOOD | {"landmarks": [[1, 2], [3], [5, 6]]}, "not_a_number"),
        (GOOD | {"landmarks": [[1, 2], ["a", 3], [5, 6]]}, "not_a_number"),
        (GOOD | {"visibility": [1, 2]}, "bad_visibility"),
        (GOOD | {"visibility": [1, 2, 3]}, "bad_visibility"),
        (GOOD | {"box": [1, 2, 0, 4]}, "bad_box"),
        ([], "bad_structure"),
        (b"{", "bad_json"),
        (b" " * (2 << 20), "unreadable_file"),
    ],
)
def test_bad_samples_are_skipped(tmp_path: Path, record: object, reason: str) -> None:
    assert reasons(read(tmp_path, x=shard(a_json=GOOD, b_json=record))) == ["", reason]


def test_a_damaged_shard_is_an_error_that_names_it(tmp_path: Path) -> None:
    good = shard(a_json=GOOD)
    with pytest.raises(InputError, match="b.tar: .*truncated"):
        read(tmp_path, a=good, b=good[:900])


def test_other_archives_are_none(tmp_path: Path) -> None:
    with tree_of(tmp_path, {"raw.tar": shard(a_jpg=b"", a_pts=b"")}) as tree:
        assert not FORMAT.detect(tree).fits


def test_further_faces_share_the_picture_and_shards_begin_anew(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(webdataset_writer, "MOST_FACES", 2)
    source = tree_of(tmp_path / "in", {"a/b.c.png": b"one", "d.JPG": b"two"})
    good = np.ones((3, 2), np.float32)
    names = ["d.JPG", "d.JPG", "a/b.c.png", "gone.jpg"]
    faces = [make_face(name, good + i, split="train") for i, name in enumerate(names)]
    report = FORMAT.write(faces, tmp_path / "out", P3, source)
    assert report.lost == {"picture": 1, "image name": 1}
    shards = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in shards] == ["train-000000.tar", "train-000001.tar"]
    with tarfile.open(shards[0]) as one, tarfile.open(shards[1]) as two:
        assert one.getnames() == ["d.JPG", "d.json", "d_face2.JPG", "d_face2.json"]
        assert two.getnames() == ["a/b_c.png", "a/b_c.json", "gone.json"]
        assert json.load(two.extractfile("gone.json"))["landmarks"] == [[4, 4]] * 3  # type: ignore[arg-type]
    with open_tree(tmp_path / "out") as tree:
        again = list(FORMAT.read(tree, P3, FORMAT.detect(tree).files))
    assert [face.image for face in again if isinstance(face, Face)] == [
        "d.JPG",
        "d.JPG",
        "a/b_c.png",
        "gone.jpg",
    ]


@st.composite
def anything(draw: st.DrawFn) -> Face:
    """A face with everything a face can have."""
    landmarks = draw(points(3, whole=False))
    landmarks[draw(st.lists(st.integers(0, 2), max_size=3))] = np.nan
    face = make_face(
        draw(image_names()), landmarks, split=draw(st.sampled_from(["train", "val", "test", ""]))
    )
    face.visibility[0] = min(1, face.visibility[0])
    face.subject = draw(st.sampled_from(["", "me"]))
    face.dataset, face.subset = draw(st.text(max_size=5)), draw(st.text(max_size=5))
    if draw(st.booleans()):
        face.box = np.array([-1.5, 2, 3, 4.1], np.float32)
        face.box_source = draw(st.sampled_from(["annotated", "detector", "landmarks", "image"]))
    if draw(st.booleans()):
        face.image_size = 640, 480
    values = st.text(max_size=5) | st.integers(-9, 9) | st.floats(-9, 9) | st.booleans()
    face.attributes = draw(st.dictionaries(st.text(max_size=5), values, max_size=3))
    return face


@settings(max_examples=60, deadline=None)
@given(st.lists(anything(), max_size=4))
def test_written_faces_read_back(tmp_path_factory, faces: list[Face]) -> None:
    target = tmp_path_factory.mktemp("webdataset") / "out"
    report = FORMAT.write(faces, target, P3)
    assert set(report.lost) <= {"picture", "image name", "face with unwritable image name"}
    with open_tree(target) as tree:
        again = list(FORMAT.read(tree, P3, FORMAT.detect(tree).files))
    assert len(again) == report.faces
    for back in again:
        assert isinstance(back, Face)
        matches = [f for f in faces if same_points(f, back) and f.image == back.image and _same(f, back)]
        assert matches, back


def _same(one: Face, two: Face) -> bool:
    boxes = (one.box is None) == (two.box is None) and (one.box is None or np.array_equal(one.box, two.box))
    keys = ("split", "subset", "dataset", "box_source", "image_size", "attributes")
    return (
        boxes and one.subject in ("", two.subject) and all(getattr(one, k) == getattr(two, k) for k in keys)
    )
