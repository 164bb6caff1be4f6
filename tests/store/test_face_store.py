"""The store: whole or not there, refused in one line when it is not what it should be."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd.core.crop_spec import CropSpec
from flmd.errors import StoreError
from flmd.face import Face
from flmd.schemes import IBUG68
from flmd.store import h5file
from flmd.store.build import copy_rows
from flmd.store.column_buffer import ColumnBuffer
from flmd.store.face_store import FaceStore
from flmd.store.layout import VERSION
from flmd.store.merge import merge
from tests.factories import make_face

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


def write(target: Path, faces: list[Face], *, scratch: Path, size: int = 8, margin: float = 2.0) -> None:
    made = ColumnBuffer(
        scratch, 68, {"affine": ((2, 3), "f8"), "crops": ((size, size), "u1")}, ("image_sha256",)
    )
    rng = np.random.default_rng(len(faces))
    made.append(
        faces,
        affine=rng.normal(size=(len(faces), 2, 3)),
        crops=rng.integers(0, 255, (len(faces), size, size)),
        image_sha256=["0" * 64] * len(faces),
    )
    copy_rows([made], target, IBUG68, CropSpec(size, margin, "grey"), {"raw": "abc"})
    made.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "s.h5"
    write(target, [make_face(f"{i}.jpg", seed=i) for i in range(5)], scratch=tmp_path / "scratch")
    return target


@settings(max_examples=25, deadline=None)
@given(names=st.lists(st.tuples(texts, texts, texts), min_size=1, max_size=9))
def test_any_text_comes_back(
    tmp_path_factory: pytest.TempPathFactory, names: list[tuple[str, str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("texts")
    faces = [make_face(image, subject=subject or "s") for image, subject, _ in names]
    for face, (_, _, note) in zip(faces, names, strict=True):
        face.attributes = {"note": note}
    write(folder / "s.h5", faces, scratch=folder / "scratch")
    with FaceStore(folder / "s.h5") as back:
        for face, (image, subject, note) in zip(back.faces(), names, strict=True):
            assert (face.image, face.subject, face.attributes) == (image, subject or "s", {"note": note})


def test_plain_h5py_reads_it(path: Path) -> None:
    with h5py.File(path) as file:
        assert file.attrs["format"] == "flmd-faces"
        assert file["image"].asstr()[3] == "3.jpg"
        assert file["landmarks"].shape == (5, 68, 2)
        assert "pixels" in file["landmarks"].attrs["units"]
        assert file["crops"].chunks is None
        assert file["crops"].compression is None


def test_same_faces_same_bytes(tmp_path: Path, path: Path) -> None:
    again = tmp_path / "again.h5"
    write(again, [make_face(f"{i}.jpg", seed=i) for i in range(5)], scratch=tmp_path / "scratch2")
    assert again.read_bytes() == path.read_bytes()


def test_pickles_as_its_path(path: Path) -> None:
    with FaceStore(path) as opened, pickle.loads(pickle.dumps(opened)) as other:
        assert (other.crops == opened.crops).all()


def test_rows_where(path: Path) -> None:
    with FaceStore(path) as opened:
        assert opened.rows_where(image="2.jpg", split="train").tolist() == [2]
        assert opened.rows_where(split="test").tolist() == []


def test_merge_keeps_every_row_in_order(tmp_path: Path, path: Path) -> None:
    other = tmp_path / "other.h5"
    write(other, [make_face("a much longer name.jpg", seed=9)], scratch=tmp_path / "scratch2")
    with FaceStore(path) as a, FaceStore(other) as b:
        merge([a, b], tmp_path / "both.h5")
        with FaceStore(tmp_path / "both.h5") as both:
            assert both.texts("image") == [*a.texts("image"), *b.texts("image")]
            assert (both.crops[:5] == a.crops).all()
            assert (both.numbers("landmarks")[5:] == b.numbers("landmarks")).all()
            assert both.made_from["inputs"] == {
                p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in (path, other)
            }
            assert both.made_from["stage"] == "flmd-data merge"


def test_merge_refuses_crops_of_another_kind(tmp_path: Path, path: Path) -> None:
    other = tmp_path / "other.h5"
    write(other, [make_face("x.jpg")], scratch=tmp_path / "scratch2", margin=3.0)
    with (
        FaceStore(path) as a,
        FaceStore(other) as b,
        pytest.raises(StoreError, match="margin is 3.0"),
    ):
        merge([a, b], tmp_path / "both.h5")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.99])
def test_truncated_store(path: Path, share: float) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(StoreError) as caught:
        FaceStore(path)
    assert str(path) in str(caught.value)


def test_later_version_foreign_kind_and_not_hdf5(tmp_path: Path, path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = VERSION + 1
    with pytest.raises(StoreError, match="later flmd.*update flmd"):
        FaceStore(path)
    with h5py.File(path, "r+") as file:
        file.attrs["version"], file.attrs["format"] = 1, "something"
    with pytest.raises(StoreError, match="kind 'something'"):
        FaceStore(path)
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(StoreError, match="not an HDF5 file"):
        FaceStore(tmp_path / "text.h5")
    with pytest.raises(StoreError, match="no such file"):
        FaceStore(tmp_path / "none.h5")


def test_missing_and_misshapen_columns(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["box"]
    with pytest.raises(StoreError, match="has no 'box'"):
        FaceStore(path)
    with h5py.File(path, "r+") as file:
        file["box"] = np.zeros((4, 4), "f4")
    with pytest.raises(StoreError, match=r"column box has shape \(4, 4\); expected \(5, 4\)"):
        FaceStore(path)


def test_a_store_that_does_not_say_how_its_crops_were_made(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file.attrs["margin"]
    with pytest.raises(StoreError, match="has no .margin.; expected a number; convert it again"):
        FaceStore(path)


def test_failing_writer_leaves_the_old_store_and_no_temporary_file(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError), h5file.creating(path) as file:
        file.attrs["x"] = 1
        raise ZeroDivisionError
    assert path.read_bytes() == before
    assert [p for p in path.parent.iterdir() if p.suffix == ".tmp"] == []


def test_killed_writer_leaves_old_store_and_the_next_one_cleans_up(path: Path) -> None:
    before = path.read_bytes()
    code = (
        "import sys, time; from pathlib import Path; from flmd.store import h5file\n"
        "with h5file.creating(Path(sys.argv[1])) as file:\n"
        "    print('writing', flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"writing\n"
    assert [p for p in path.parent.iterdir() if p.suffix == ".tmp"]
    child.kill()
    child.wait()
    child.stdout.close()
    assert path.read_bytes() == before
    time.sleep(0.05)
    with h5file.creating(path) as file:
        file.attrs["done"] = 1
    assert [p for p in path.parent.iterdir() if p.suffix == ".tmp"] == []


def test_too_little_space_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with (
        pytest.raises(StoreError, match="disk is full.*free some space"),
        h5file.creating(tmp_path / "x.h5", need=2**60),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
