"""COFW-68: the real files against scipy, the .mat reader against scipy, bad input, and both ways."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd.errors import FlmdError, InputError
from flmd.face import Face, Skipped
from flmd.formats.cofw68 import Cofw68
from flmd.formats.common.mat5 import mat5_bytes, read_mat5
from flmd.schemes import get_scheme
from flmd.tree import open_tree
from tests.formats.random_faces import make_face, points

FORMAT, SCHEME = Cofw68(), get_scheme("ibug68")
POINTS = np.arange(136, dtype=np.float64).reshape(68, 2) + 0.25
OCCLUDED = (np.arange(68) % 3 == 0).astype(np.uint8)[None]


def mat(**variables) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, variables)
    return file.getvalue()


def read(folder: Path, **files: bytes) -> list:
    for name, data in files.items():
        (folder / f"{name.lstrip('_')}.mat").write_bytes(data)
    with open_tree(folder) as tree:
        return list(FORMAT.read(tree, SCHEME, FORMAT.detect(tree).files))


def test_points_boxes_and_visibility_by_hand(tmp_path):
    (tmp_path / "2.jpg").touch()
    boxes = mat(bboxes=np.array([[1, 2, 30, 40], [11, 21, 50, 60]], np.int16))
    one = mat(Points=POINTS, Occ=OCCLUDED)
    files = {"_10_points": one, "_2_points": one, "_1_points": one}
    first, second, tenth = read(tmp_path, cofw68_test_bboxes=boxes, **files)
    assert first.landmarks[0].tolist() == [-0.75, 0.25]
    assert first.landmarks[67].tolist() == [133.25, 134.25]
    assert first.visibility[:4].tolist() == [1, 2, 2, 1]
    assert first.box.tolist() == [0, 1, 30, 40]
    assert second.box.tolist() == [10, 20, 50, 60]
    assert (tenth.box, tenth.box_source) == (None, "none")
    assert [f.image for f in (first, second, tenth)] == ["1.png", "2.jpg", "10.png"]
    assert {f.split for f in (first, second, tenth)} == {"test"}


def test_real_files_as_scipy_reads_them(shared_data):
    folder = shared_data / "formats" / "cofw68_mat"
    with open_tree(folder) as tree:
        found = FORMAT.detect(tree)
        faces = list(FORMAT.read(tree, SCHEME, found.files))
    assert len(faces) == 12
    boxes = scipy.io.loadmat(folder / "cofw68_test_bboxes.mat")["bboxes"].astype(float)
    for number, face in enumerate(faces, 1):
        wanted = scipy.io.loadmat(folder / f"{number}_points.mat")
        assert np.array_equal(face.landmarks, (wanted["Points"] - 1).astype(np.float32))
        assert np.array_equal(face.visibility == 1, wanted["Occ"].ravel() == 1)
        assert face.box.tolist() == (boxes[number - 1] - [1, 1, 0, 0]).tolist()
        low, high = face.landmarks.min(axis=0), face.landmarks.max(axis=0)
        assert (low > face.box[:2] - face.box[2:]).all()  # the row is this face's
        assert (high < face.box[:2] + 2 * face.box[2:]).all()


@pytest.mark.parametrize("compressed", [False, True])
def test_the_reader_agrees_with_scipy(compressed):
    file = io.BytesIO()
    names = np.array([["0/a.jpg"], ["ä.jpg"], [""]], object)
    arrays = {t: np.arange(24).reshape(2, 3, 4).astype(t) for t in ("u1", "i2", "u4", "i8", "f4", "f8")}
    scipy.io.savemat(
        file, {**arrays, "names": names, "text": "abc", "s": {"x": 1}}, do_compression=compressed
    )
    got = read_mat5(file.getvalue(), "x.mat", limit=1 << 20)
    for name, value in arrays.items():
        assert np.array_equal(got[name], value)
    assert (got["names"], got["text"]) == (["0/a.jpg", "ä.jpg", ""], "abc")
    assert "s" not in got


def test_a_bomb_is_refused():
    element = zlib.compress(bytes(50_000_000))
    data = mat(a=1)[:128] + struct.pack("<II", 15, len(element)) + element
    with pytest.raises(InputError, match="expands to more than 1048576 bytes"):
        read_mat5(data, "x.mat", limit=1 << 20)


def test_the_limit_is_that_of_all_variables_together():
    data = mat5_bytes({"a": np.zeros(60_000), "b": np.zeros(60_000)})
    assert read_mat5(data, "x.mat", limit=1 << 20).keys() == {"a", "b"}
    with pytest.raises(InputError, match="expands to more than 900000 bytes"):
        read_mat5(data, "x.mat", limit=900_000)


def test_an_empty_array_of_impossible_shape_is_refused():
    flags, shape = struct.pack("<IIII", 6, 8, 6, 0), struct.pack("<II4I", 5, 16, 0, *[2**31 - 1] * 3)
    matrix = flags + shape + struct.pack("<II", 1, 0)
    data = mat(a=1)[:128] + struct.pack("<II", 14, len(matrix)) + matrix
    with pytest.raises(InputError, match="a shape beyond all bounds"):
        read_mat5(data, "x.mat", limit=1 << 20)


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"Points": POINTS[:67], "Occ": OCCLUDED}, "wrong_point_count"),
        ({"Points": POINTS.T, "Occ": OCCLUDED}, "wrong_point_count"),
        ({"Points": POINTS}, "wrong_point_count"),
        ({"Points": "text", "Occ": OCCLUDED}, "wrong_point_count"),
        ({"Points": POINTS + np.inf, "Occ": OCCLUDED}, "not_a_number"),
        ({"Points": POINTS * 1e39, "Occ": OCCLUDED}, "not_a_number"),
        ({"Points": np.where(POINTS == 0.25, np.nan, POINTS), "Occ": OCCLUDED}, "not_a_number"),
    ],
)
def test_bad_faces_are_skipped(tmp_path, variables, reason):
    bad, good = read(tmp_path, _1_points=mat(**variables), _2_points=mat(Points=POINTS, Occ=OCCLUDED))
    assert isinstance(bad, Skipped)
    assert bad.reason == reason
    assert isinstance(good, Face)


def test_bad_boxes_and_files(tmp_path):
    good = mat(Points=POINTS, Occ=OCCLUDED)
    boxes = mat(bboxes=np.array([[1.0, 2, 0, 4]]))
    first, second = read(tmp_path, cofw68_test_bboxes=boxes, _1_points=good, _2_points=good[:300])
    assert (first.reason, second.reason) == ("bad_box", "unreadable_file")
    tiny = mat(bboxes=np.array([[1.0, 2, 1e-50, 4]]))
    assert read(tmp_path, cofw68_test_bboxes=tiny)[0].reason == "bad_box"
    (tmp_path / "3_points.mat").write_bytes(good + bytes(1 << 20))
    assert read(tmp_path)[2].reason == "unreadable_file"
    with pytest.raises(InputError, match="no variable bboxes"):
        read(tmp_path, cofw68_test_bboxes=mat(boxes=[1]))


def test_a_folder_is_known_by_its_points_files_which_begin_as_matlab_5(tmp_path):
    (tmp_path / "points.mat").write_bytes(mat(a=1))
    with open_tree(tmp_path) as tree:
        assert FORMAT.detect(tree).why == "no <n>_points.mat"
    (tmp_path / "1_points.mat").write_bytes(b"no")
    with open_tree(tmp_path) as tree:
        assert FORMAT.detect(tree).why == "1_points.mat does not begin as a MATLAB 5.0 MAT-file"
    (tmp_path / "2_points.mat").write_bytes(mat(a=1))
    with open_tree(tmp_path / "2_points.mat") as tree:
        assert FORMAT.detect(tree).files == ("2_points.mat",)


def back_and_forth(values: np.ndarray) -> np.ndarray:
    """What adding and taking off 1 in float64 leaves."""
    return (values.astype(np.float64) + 1 - 1).astype(np.float32)


@given(
    st.lists(st.tuples(points(68, whole=False), st.sampled_from(["train", "test", ""])), max_size=3),
    st.sets(st.integers(0, 67), max_size=9),
    st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_what_is_written_is_read_back(tmp_path_factory, content, few, boxed):
    folder = tmp_path_factory.mktemp("cofw68")
    faces = []
    for landmarks, split in content:
        landmarks[list(few)[::2]] = np.nan
        face = make_face("x.png", landmarks, split=split)
        face.visibility[list(few)[1::2]] = 1
        if boxed:
            face.box, face.box_source = np.array([1.5, -2, 3, 4], np.float32), "annotated"
        faces.append(face)
    report = FORMAT.write(iter(faces), folder / "out", SCHEME)
    assert report.faces == len(faces)
    assert not {"box", "visibility", "unlabelled points", "split"} & set(report.lost)
    with open_tree(folder / "out") as tree:
        back = list(FORMAT.read(tree, SCHEME, FORMAT.detect(tree).files)) if faces else []
    faces.sort(key=lambda f: f.split or "unsplit")
    back.sort(key=lambda f: f.split or "unsplit")
    for got, face in zip(back, faces, strict=True):
        assert np.array_equal(got.landmarks, back_and_forth(face.landmarks), equal_nan=True)
        assert np.array_equal(got.visibility, face.visibility)
        assert got.split == face.split
        assert (got.box is None) == (face.box is None)
        assert got.box is None or np.array_equal(got.box, face.box)


def test_the_same_faces_give_the_same_bytes_and_scipy_reads_them():
    data = mat5_bytes({"Points": POINTS, "Occ": OCCLUDED})
    assert data == mat5_bytes({"Points": POINTS, "Occ": OCCLUDED})
    assert data[:116].strip() == b"MATLAB 5.0 MAT-file, written by flmd"
    assert np.array_equal(scipy.io.loadmat(io.BytesIO(data))["Points"], POINTS)


def test_hostile_bytes_end_in_an_error_or_faces(tmp_path):
    chance = random.Random(5)
    files = [
        mat(Points=POINTS, Occ=OCCLUDED, names=np.array([["a"], ["b"]], object)),
        mat5_bytes({"Points": POINTS}),
    ]
    for _ in range(300):
        data = bytearray(chance.choice(files))
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(120, min(len(data), 400))] = chance.choice(
                [0, 1, 255, chance.randrange(256)]
            )
        data = data[: chance.choice([len(data), chance.randrange(len(data))])]
        (tmp_path / "1_points.mat").write_bytes(data)
        (tmp_path / "cofw68_bboxes.mat").write_bytes(data)
        with open_tree(tmp_path) as tree:
            try:
                FORMAT.detect(tree)
                assert all(
                    isinstance(f, Face | Skipped) for f in FORMAT.read(tree, SCHEME, ("1_points.mat",))
                )
            except FlmdError:
                pass
        with contextlib.suppress(FlmdError):
            read_mat5(bytes(data), "x", limit=1 << 20)
