"""Values that no column promises are an error where they are read; validate lists them all."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from flmd.augmentation import build
from flmd.augmentation.arrays import TrainingArrays
from flmd.core.params import AugmentParams
from flmd.curation.validate import validate_store
from flmd.errors import StoreError
from flmd.store import values
from flmd.store.face_store import FaceStore
from flmd.store.merge import merge
from tests.factories import make_face
from tests.store.test_face_store import write

NUMBERS = [
    ("landmarks", (3, 7, 0), np.inf, r"face 3: landmarks is \[inf, "),
    ("landmarks", (3, 7, 1), -np.inf, r"face 3: landmarks is"),
    ("visibility", (2, 5), 3, "face 2: visibility is 3; expected 0, 1 or 2"),
    ("box", (4, 2), 0, r"face 4: box is \[40.0, 30.0, 0.0, 41.0\]; expected x, y, width and height"),
    ("box", (4, 2), -1, "face 4: box is"),
    ("box", (4, 2), np.inf, "face 4: box is"),
    ("box", (4, 2), np.nan, "face 4: box is"),
    ("image_size", (1, 0), -7, r"face 1: image_size is \[-7, "),
    ("image_size", (1, 1), 9, r"face 1: image_size is \[0, 9\]"),
    ("affine", (0, 0, 0), np.nan, "face 0: affine is"),
    ("affine", (0, 1, 2), 1e300, "face 0: affine is"),
    ("affine", (0,), 0, "face 0: affine is .*can be inverted"),
    ("affine", (0, slice(2), slice(2)), [[1e200, 0], [0, 1e200]], "face 0: affine is"),
]
TEXTS = [
    ("split", b"dev", "face 1: split is 'dev'; expected train, val, test or empty"),
    ("attributes", b"{", "face 1: attributes are '{'; expected a JSON object"),
    ("attributes", b"[1]", "face 1: attributes are"),
    ("attributes", b'{"a": {"b": 1}}', "face 1: attributes are"),
    ("attributes", b'{"a":' * 2000 + b"1" + b"}" * 2000, "face 1: attributes are"),
    ("attributes", b'{"a": "\\ud800"}', "face 1: attributes are"),
    ("attributes", b'{"a": ' + b"9" * 5000 + b"}", "face 1: attributes are"),
]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    faces = [make_face(f"{i}.jpg", seed=i) for i in range(5)]
    for face in faces:
        face.attributes = {"note": "n" * 15_000}  # room for every text above
    write(tmp_path / "s.h5", faces, scratch=tmp_path / "scratch")
    return tmp_path / "s.h5"


@pytest.mark.parametrize(("column", "at", "value", "message"), NUMBERS)
def test_a_number_that_no_column_promises(
    store: Path, column: str, at: tuple[int, ...], value: float, message: str
) -> None:
    with h5py.File(store, "r+") as file:
        file[column][at] = value
    with FaceStore(store) as opened:
        with pytest.raises(StoreError, match=message):
            opened.numbers(column)
        with pytest.raises(StoreError, match=message):
            opened.numbers(column, np.array([at[0]]))
        others = np.delete(np.arange(5), at[0])
        assert len(opened.numbers(column, others)) == 4
        with pytest.raises(StoreError, match=message):
            merge([opened, opened], store.with_name("both.h5"))
    assert not store.with_name("both.h5").exists()
    assert not validate_store(store).clean


@pytest.mark.parametrize(("column", "value", "message"), TEXTS)
def test_a_text_that_no_column_promises(store: Path, column: str, value: bytes, message: str) -> None:
    with h5py.File(store, "r+") as file:
        file[column][1] = value
    with FaceStore(store) as opened, pytest.raises(StoreError, match=message) as caught:
        list(opened.faces())
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert not validate_store(store).clean


def test_points_and_visibility_go_together(store: Path) -> None:
    with h5py.File(store, "r+") as file:
        file["visibility"][2, 9] = 0
    with FaceStore(store) as opened, pytest.raises(StoreError, match="face 2: point 9 is .*visibility 0"):
        list(opened.faces())


def test_training_arrays_promise_the_same(store: Path) -> None:
    with h5py.File(store, "r+") as file:
        file["affine"][:] = np.eye(2, 3)
    config = AugmentParams(input_size=8, padding=1.0, rotation=0, scale=0, shift=0, flip=False, variants=1)
    with FaceStore(store) as opened:
        build.build(opened, store.with_name("a.h5"), config, seed=0, made_from={}, workers=1)
    with h5py.File(store.with_name("a.h5"), "r+") as file:
        file["train/points"][3, 0] = np.inf
    with TrainingArrays(store.with_name("a.h5")) as made:
        assert len(made.split("val")) == 0
        with pytest.raises(StoreError, match=r"a.h5: train: face 3: points is \[inf, inf\]"):
            made.split("train")


def test_all_that_is_promised_passes() -> None:
    nothing = np.full((2, 4), np.nan, np.float32)
    assert values.check("x", "box", nothing, slice(0, 2)) is nothing
    rows = np.array([[[1e-8, 0, 5], [0, 1e-8, 5]], [[1e8, 0, -1e14], [0, -1e8, 0]]])
    assert values.check("x", "affine", rows, slice(0, 2)) is rows
    assert values.attributes_of("") == {}
    assert values.attributes_of('{"a": 1, "b": true, "c": "\U0001f600", "d": 0.5}')["c"] == "\U0001f600"
