"""COFW: files laid out as MATLAB does, made here with h5py; hostile files; writing; both ways."""

from __future__ import annotations

import pickle
import random
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd.core import images
from flmd.errors import FlmdError, InputError
from flmd.face import Face, Skipped
from flmd.formats.cofw import Cofw
from flmd.schemes import get_scheme
from flmd.tree import open_tree
from tests.formats.random_faces import make_face, points

FORMAT, SCHEME = Cofw(), get_scheme("cofw29")
COLOUR = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
PHI = np.concatenate([np.arange(29) + 1.5, np.arange(29) + 100.25, np.arange(29) % 2])


def matlab(path: Path, pictures=(COLOUR,), phis=None, boxes=None, *, end="Tr") -> Path:
    """A file as MATLAB 7.3 writes it: a userblock, ``#refs#``, axes reversed, deflated chunks."""
    count = len(pictures)
    with h5py.File(path, "w", userblock_size=512, libver="earliest") as file:
        refs = file.create_group("#refs#")
        cells = file.create_dataset(f"Is{end}", (1, count), h5py.ref_dtype)
        for i, picture in enumerate(pictures):
            data = refs.create_dataset(f"p{i}", data=picture.T, compression=3, chunks=picture.T.shape)
            data.attrs["MATLAB_class"] = np.bytes_("uint8")
            cells[0, i] = data.ref
        cells.attrs["MATLAB_class"] = np.bytes_("cell")
        file[f"phis{end}"] = np.tile(PHI, (count, 1)).T if phis is None else phis
        file[f"bboxes{end}"] = np.tile([3.0, 5, 20, 10], (count, 1)).T if boxes is None else boxes
    with path.open("rb+") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM")
    return path


def read(path: Path) -> list:
    with open_tree(path) as tree:
        return list(FORMAT.read(tree, SCHEME, (path.name,)))


@pytest.mark.parametrize(("end", "split"), [("Tr", "train"), ("T", "test")])
def test_a_face_by_hand(tmp_path, end, split):
    path = matlab(tmp_path / "COFW_x_color.mat", [COLOUR, COLOUR[..., 0]], end=end)
    first, second = read(path)
    assert first.landmarks[0].tolist() == [0.5, 99.25]
    assert first.landmarks[28].tolist() == [28.5, 127.25]
    assert first.visibility[:3].tolist() == [2, 1, 2]
    assert first.box.tolist() == [2, 4, 20, 10]
    assert (first.split, first.box_source, first.image_size) == (split, "annotated", (30, 20))
    assert [f.image for f in (first, second)] == ["COFW_x_color/00001.png", "COFW_x_color/00002.png"]
    assert second.image_size == (30, 20)


def test_pictures_stand_upright_in_rgb(tmp_path):
    matlab(tmp_path / "COFW_train_color.mat", [COLOUR, COLOUR[..., 1]])
    with open_tree(tmp_path) as tree:
        view = pickle.loads(pickle.dumps(FORMAT.pictures(tree)))
        assert view.names == ["COFW_train_color/00001.png", "COFW_train_color/00002.png"]
        assert np.array_equal(images.decode(view.read(view.names[0])), COLOUR)
        grey = images.decode(view.open(view.names[1]).read())
        assert np.array_equal(grey, np.repeat(COLOUR[..., 1:2], 3, axis=2))


def test_bad_faces_are_skipped(tmp_path):
    phis = np.tile(PHI, (5, 1))
    phis[0, 3], phis[1, 4], phis[2, [5, 34]] = np.inf, np.nan, np.nan
    boxes = np.tile([3.0, 5, 20, 10], (5, 1))
    boxes[3, 2], boxes[4] = 0, np.nan
    one, two, three, four, five = read(matlab(tmp_path / "a.mat", [COLOUR] * 5, phis.T, boxes.T))
    assert [one.reason, two.reason, four.reason] == ["not_a_number", "not_a_number", "bad_box"]
    assert one.where.endswith("a.mat (phisTr 1)")
    assert three.visibility[5] == 0
    assert five.box is None
    assert five.image == "a/00005.png"


def test_a_box_whose_size_float32_cannot_hold_is_bad(tmp_path):
    (face,) = read(matlab(tmp_path / "a.mat", boxes=np.array([[3.0], [5], [1e-50], [10]])))
    assert face.reason == "bad_box"


def test_bad_pictures(tmp_path):
    path = matlab(tmp_path / "a.mat", [COLOUR] * 3)
    with h5py.File(path, "r+") as file:
        file["#refs#/f"] = COLOUR.astype(float)
        file["IsTr"][0, 0] = file["#refs#/f"].ref
        empty = file.create_dataset("#refs#/e", data=np.zeros(2, np.uint64))
        empty.attrs["MATLAB_empty"] = np.uint8(1)
        file["IsTr"][0, 1] = empty.ref
    bad, empty, good = read(path)
    assert (bad.reason, empty.image_size, good.image_size) == ("bad_picture", None, (30, 20))
    with open_tree(path) as tree:
        view = FORMAT.pictures(tree)
        assert view.names == ["a/00001.png", "a/00003.png"]
        with pytest.raises(images.ImageError, match=r"IsTr 1.*float64"):
            view.read("a/00001.png")


@pytest.mark.parametrize("kind", ["soft", "external", "virtual", "elsewhere"])
def test_nothing_outside_the_file_is_read(tmp_path, kind):
    secret = matlab(tmp_path / "secret.mat")
    path = matlab(tmp_path / "a.mat")
    (tmp_path / "raw").write_bytes(bytes(8 * 87))
    with h5py.File(path, "r+") as file:
        del file["phisTr"]
        if kind == "soft":
            file["phisTr"] = h5py.SoftLink("/bboxesTr")
        elif kind == "external":
            file["phisTr"] = h5py.ExternalLink(str(secret), "/phisTr")
        elif kind == "virtual":
            layout = h5py.VirtualLayout((87, 1), float)
            layout[:] = h5py.VirtualSource(str(secret), "phisTr", (87, 1))
            file.create_virtual_dataset("phisTr", layout)
        else:
            file.create_dataset("phisTr", (87, 1), float, external=[(str(tmp_path / "raw"), 0, 8 * 87)])
    with pytest.raises(InputError, match="phisTr (is a link|lies in another file)"):
        read(path)


def test_damaged_files_say_so(tmp_path):
    path = matlab(tmp_path / "a.mat", [COLOUR] * 2, phis=np.zeros((87, 3)))
    with pytest.raises(InputError, match="numbers of faces differ: IsTr 2, bboxesTr 2, phisTr 3"):
        read(path)
    path = matlab(tmp_path / "b.mat", phis=np.zeros((86, 1)))
    with pytest.raises(InputError, match=r"phisTr is float64 \(86, 1\)"):
        read(path)
    path = matlab(tmp_path / "c.mat")
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(InputError, match="c.mat: not an HDF5 file, or damaged"):
        read(path)
    with h5py.File(tmp_path / "d.mat", "w") as file:
        file.create_dataset("IsTr", (1, 10**9), h5py.ref_dtype, chunks=(1, 1024))
    with pytest.raises(InputError, match="no room"):
        read(tmp_path / "d.mat")


def test_a_file_is_known_by_its_variables_not_by_its_name(tmp_path):
    with h5py.File(tmp_path / "other.mat", "w") as file:
        file["x"] = 1
    with open_tree(tmp_path) as tree:
        assert FORMAT.detect(tree).why == "no variable of COFW in other.mat"
    matlab(tmp_path / "COFW_test_color.mat", end="T")
    (tmp_path / "1_points.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(600))
    with open_tree(tmp_path) as tree:
        assert FORMAT.detect(tree).files == ("COFW_test_color.mat",)


def test_written_files_are_laid_out_as_matlabs(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), COLOUR[..., ::-1])
    face = make_face("a.png", np.full((29, 2), [4.5, 7.25], np.float32), split="test")
    face.visibility[3] = 1
    face.box, face.box_source = np.array([0, 1, 2, 3], np.float32), "annotated"
    with open_tree(tmp_path) as tree:
        report = FORMAT.write([face, face], tmp_path / "out", SCHEME, tree)
    assert (report.faces, dict(report.lost)) == (2, {"image name": 2})
    path = tmp_path / "out" / "COFW_test_color.mat"
    head = path.read_bytes()[:520]
    assert head[:19] == b"MATLAB 7.3 MAT-file"
    assert (head[124:128], head[512:]) == (b"\0\2IM", b"\x89HDF\r\n\x1a\n")
    with h5py.File(path) as file:
        assert file["IsT"].shape == (1, 2)
        assert file["IsT"].attrs["MATLAB_class"] == b"cell"
        assert np.array_equal(file[file["IsT"][0, 1]][()], COLOUR.T)
        assert file["phisT"][:, 0].tolist() == [5.5] * 29 + [8.25] * 29 + [0, 0, 0, 1] + [0] * 25
        assert file["bboxesT"][:, 1].tolist() == [1, 2, 2, 3]
    again = tmp_path / "again.mat"
    with open_tree(tmp_path) as tree:
        FORMAT.write([face, face], again, SCHEME, tree)
    assert again.read_bytes() == path.read_bytes()


@given(
    st.lists(st.tuples(points(29, whole=False), st.sampled_from(["train", "test"])), max_size=3),
    st.sets(st.integers(0, 28), max_size=6),
    st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_what_is_written_is_read_back(tmp_path_factory, content, few, one):
    folder = tmp_path_factory.mktemp("cofw")
    faces = []
    for landmarks, split in content:
        landmarks[list(few)[::2]] = np.nan
        faces.append(make_face("x.png", landmarks, split=split))
        faces[-1].visibility[list(few)[1::2]] = 1
    target = folder / ("out.mat" if one else "out")
    report = FORMAT.write(iter(faces), target, SCHEME)
    assert report.faces == report.lost["picture"] == len(faces)
    with open_tree(target) as tree:
        back = list(FORMAT.read(tree, SCHEME, FORMAT.detect(tree).files))
        assert FORMAT.pictures(tree).names == []
    for split in ("train", "test"):
        for got, face in zip(
            [f for f in back if f.split == split], [f for f in faces if f.split == split], strict=True
        ):
            wanted = (face.landmarks.astype(np.float64) + 1 - 1).astype(np.float32)
            assert np.array_equal(got.landmarks, wanted, equal_nan=True)
            assert np.array_equal(got.visibility, face.visibility)
            assert got.box is None


def test_hostile_bytes_end_in_an_error_or_faces(tmp_path):
    good = matlab(tmp_path / "a.mat").read_bytes()
    chance = random.Random(5)
    for _ in range(150):
        data = bytearray(good)
        for _ in range(chance.randint(1, 10)):
            data[chance.randrange(512, len(data))] = chance.choice([0, 1, 255, chance.randrange(256)])
        data = data[: chance.choice([len(data), chance.randrange(len(data))])]
        (tmp_path / "a.mat").write_bytes(data)
        with open_tree(tmp_path) as tree:
            try:
                FORMAT.detect(tree)
                view = FORMAT.pictures(tree)
                for item in FORMAT.read(tree, SCHEME, ("a.mat",)):
                    assert isinstance(item, Face | Skipped)
                for name in view.names:
                    view.read(name)
            except FlmdError:
                pass
