"""Splits drawn again: the same seed gives the same bytes, nothing else changes, nobody is in two splits."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from flmd.conversion import splits
from flmd.curation.split_store import split_store
from flmd.errors import ParamsError
from flmd.store.face_store import TEXTS, FaceStore
from tests.factories import convert_list, make_face, write_picture

NUMBERS = ("landmarks", "visibility", "box", "image_size", "affine")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """40 faces: 20 pictures of two faces each, 10 subjects with four faces each."""
    faces = []
    for i in range(20):
        pixels = np.random.default_rng(i).integers(0, 255, (100, 110, 3), dtype=np.uint8)
        write_picture(tmp_path / f"{i}.png", pixels)
        faces += [make_face(f"{i}.png", seed=2 * i + k, subject=f"s{i // 2}") for k in range(2)]
    convert_list(tmp_path, faces, tmp_path / "faces.h5")[1].close()
    return tmp_path / "faces.h5"


def sides(path: Path, column: str) -> dict[str, set[str]]:
    with FaceStore(path) as store:
        found: dict[str, set[str]] = {}
        for unit, side in zip(store.texts(column), store.texts("split"), strict=True):
            found.setdefault(unit, set()).add(side)
        return found


def test_by_subject_gives_the_shares_and_tears_nobody_apart(path: Path, tmp_path: Path) -> None:
    with FaceStore(path) as store:
        report = split_store(store, tmp_path / "new.h5", by="subject", val=0.25, test=0.2, seed=7)
        expected = splits.by_subject(store.texts("subject"), val=0.25, test=0.2, seed=7)
    # 40 faces: test 8 = 2 subjects; val 0.25 of the 32 left = 8 = 2 subjects.
    assert report.faces == {"train": 24, "val": 8, "test": 8}
    assert report.units == {"train": 6, "val": 2, "test": 2}
    assert report.subjects_shared == {"train-val": 0, "train-test": 0, "val-test": 0}
    assert report.changed == 16
    assert all(len(found) == 1 for found in sides(tmp_path / "new.h5", "subject").values())
    with FaceStore(tmp_path / "new.h5") as new:
        assert new.texts("split") == expected
        assert new.made_from["params"] == {"by": "subject", "val": 0.25, "test": 0.2, "seed": 7}
        assert list(new.made_from["inputs"]) == [path.name]


def test_all_else_stays(path: Path, tmp_path: Path) -> None:
    with FaceStore(path) as old:
        split_store(old, tmp_path / "new.h5", by="random", val=0.1, test=0.5, seed=1)
        with FaceStore(tmp_path / "new.h5") as new:
            for name in NUMBERS:
                assert old.numbers(name).tobytes() == new.numbers(name).tobytes()
            assert old.crops.tobytes() == new.crops.tobytes()
            for name in set(TEXTS) - {"split"}:
                assert old.texts(name) == new.texts(name)
            assert new.crop_spec == old.crop_spec


def test_same_seed_same_bytes_also_in_place_and_again(path: Path, tmp_path: Path) -> None:
    with FaceStore(path) as store:
        split_store(store, tmp_path / "new.h5", by="image", val=0.1, test=0.2, seed=7)
    for _ in range(2):
        with FaceStore(path) as store:
            split_store(store, path, by="image", val=0.1, test=0.2, seed=7)
        assert path.read_bytes() == (tmp_path / "new.h5").read_bytes()
    with FaceStore(path) as store:
        split_store(store, path, by="image", val=0.1, test=0.2, seed=8)
    assert path.read_bytes() != (tmp_path / "new.h5").read_bytes()
    assert not list(tmp_path.glob(".*tmp*"))


def test_by_image_keeps_pictures_whole_and_random_does_not(path: Path) -> None:
    with FaceStore(path) as store:
        report = split_store(store, path, by="image", val=0, test=0.5, seed=3)
    assert report.units == {"train": 10, "val": 0, "test": 10}
    assert all(len(found) == 1 for found in sides(path, "image").values())
    with FaceStore(path) as store:
        report = split_store(store, path, by="random", val=0, test=0.5, seed=3)
    assert report.units == {"train": 20, "val": 0, "test": 20}
    assert any(len(found) == 2 for found in sides(path, "image").values())
    torn = sum(len(found) == 2 for found in sides(path, "subject").values())
    assert report.subjects_shared == {"train-test": torn}


def test_faces_without_a_subject_are_drawn_by_their_photo(tmp_path: Path) -> None:
    faces = []
    for i in range(10):
        name = f"{i // 2}{'_mirror' if i % 2 else ''}.png"
        write_picture(tmp_path / name, np.full((100, 110, 3), i, np.uint8))
        faces.append(make_face(name, seed=i))
    convert_list(tmp_path, faces, tmp_path / "faces.h5")[1].close()
    with h5py.File(tmp_path / "faces.h5", "r+") as file:
        file["subject"][:] = b""
    with FaceStore(tmp_path / "faces.h5") as store:
        report = split_store(store, tmp_path / "faces.h5", by="subject", val=0, test=0.4, seed=0)
    assert report.faces == {"train": 6, "val": 0, "test": 4}
    found = sides(tmp_path / "faces.h5", "image")
    assert all(found[f"{i}.png"] == found[f"{i}_mirror.png"] for i in range(5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val": 1.0}, "--val 1"),
        ({"test": -0.1}, "--test -0.1"),
        ({"test": float("nan")}, "--test nan"),
        ({"by": "person"}, "--by person; expected one of subject, image, random"),
        ({"by": "subject", "test": 0.95}, "no face would be left to train on"),
    ],
)
def test_impossible_splits_are_refused(path: Path, options: dict[str, object], message: str) -> None:
    before = path.read_bytes()
    with FaceStore(path) as store, pytest.raises(ParamsError, match=message):
        split_store(store, path, **{"by": "subject", "val": 0.1, "test": 0.2, "seed": 7, **options})  # type: ignore[arg-type]
    assert path.read_bytes() == before
