"""A column, or a root attribute, of another type or shape is refused by every command that opens a store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from flmd.augmentation import build
from flmd.augmentation.arrays import TrainingArrays
from flmd.core.params import AugmentParams
from flmd.curation.validate import validate_store
from flmd.errors import StoreError
from flmd.face import Face
from flmd.store.face_store import FaceStore
from flmd.store.layout import TEXTS
from flmd.store.merge import merge
from tests.factories import convert_list, make_face, write_picture

Change = Callable[[h5py.File], None]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("good")
    write_picture(folder / "a.png", np.random.default_rng(0).integers(0, 255, (110, 130, 3), dtype=np.uint8))
    faces: list[Face] = [make_face("a.png", seed=i, subject=f"s{i}") for i in range(4)]
    convert_list(folder, faces, folder / "s.h5", size=16)[1].close()
    return (folder / "s.h5").read_bytes()


@pytest.fixture
def store(tmp_path: Path, good: bytes) -> Path:
    (tmp_path / "s.h5").write_bytes(good)
    return tmp_path / "s.h5"


def replaced(name: str, change: Callable[[h5py.Dataset], object]) -> Change:
    """The column ``name`` taken out and put in again as what ``change`` makes of its rows."""

    def apply(file: h5py.File) -> None:
        made = change(file[name][:])
        del file[name]
        file[name] = made

    return apply


def attribute(name: str, value: object) -> Change:
    def apply(file: h5py.File) -> None:
        file.attrs[name] = value

    return apply


def group_for(name: str) -> Change:
    def apply(file: h5py.File) -> None:
        del file[name]
        file.create_group(name)

    return apply


def null_for(name: str) -> Change:
    def apply(file: h5py.File) -> None:
        del file[name]
        file[name] = h5py.Empty("f4")

    return apply


def enumeration(rows: np.ndarray) -> np.ndarray:
    return rows.astype(h5py.enum_dtype({"no": 0, "hidden": 1, "yes": 2}, basetype="u1"))


WRONG: dict[str, tuple[Change, str]] = {
    # the three of the siege: they went through every command, and came out as 44, 1 and inf
    "int16 crops": (
        replaced("crops", lambda v: np.full(v.shape, 300, "i2")),
        "crops is int16; expected uint8",
    ),
    "float visibility": (
        replaced("visibility", lambda v: np.full(v.shape, 257.7, "f4")),
        "visibility is float32; expected uint8",
    ),
    "float64 landmarks": (
        replaced("landmarks", lambda v: np.full(v.shape, 1e300)),
        "landmarks is float64; expected float32",
    ),
    "int8 crops": (replaced("crops", lambda v: v.astype("i1")), "crops is int8; expected uint8"),
    "big-endian": (replaced("box", lambda v: v.astype(">f4")), "box is big-endian float32; expected float32"),
    "whole-number affine": (
        replaced("affine", lambda v: v.astype("i8")),
        "affine is int64; expected float64",
    ),
    "unsigned sizes": (
        replaced("image_size", lambda v: v.astype("u4")),
        "image_size is uint32; expected int32",
    ),
    "an enumeration": (replaced("visibility", enumeration), "visibility is .*; expected uint8"),
    "a table": (replaced("box", lambda v: np.zeros(len(v), "f4,f4")), "box is .*; expected float32"),
    "one point less": (
        replaced("landmarks", lambda v: v[:, 1:]),
        r"landmarks has shape \(4, 67, 2\); expected \(4, 68, 2\)",
    ),
    "points without pairs": (
        replaced("landmarks", lambda v: v.reshape(4, -1)),
        r"landmarks has shape \(4, 136\)",
    ),
    "one row less": (replaced("box", lambda v: v[1:]), r"box has shape \(3, 4\); expected \(4, 4\)"),
    "a scalar": (replaced("landmarks", lambda v: np.float32(1)), r"landmarks has shape \(\)"),
    "numbers for texts": (replaced("split", lambda v: np.zeros(len(v))), "split is float64; expected texts"),
    "texts for numbers": (replaced("box", lambda v: np.array([b"ab"] * len(v))), "box is text of 2 bytes"),
    "texts of any width": (
        replaced("subject", lambda v: np.array(["a"] * len(v), h5py.string_dtype())),
        "subject is .*; expected texts of a fixed width",
    ),
    "a group": (group_for("box"), "column box is .*; expected float32"),
    "nothing at all": (null_for("box"), "column box .*expected"),
    "grey crops in colour": (
        attribute("color", "grey"),
        r"crops has shape \(4, 3, 16, 16\); expected \(4, 16, 16\)",
    ),
    "another crop size": (attribute("crop_size", 15), r"crops has shape .*; expected \(4, 3, 15, 15\)"),
    "a size in words": (attribute("crop_size", "16"), "crop_size is '16'; expected a whole number"),
    "a broken size": (attribute("crop_size", 16.5), "crop_size is 16.5; expected a whole number"),
    "no margin": (attribute("margin", float("nan")), "margin is nan; expected a finite number"),
    "endless margin": (attribute("margin", float("inf")), "margin is inf; expected a finite number"),
    "margins": (attribute("margin", np.ones(3)), "margin is .*; expected a number"),
    "a colour by number": (attribute("color", 3), "color is 3; expected a text"),
    "a scheme by number": (attribute("scheme", 68), "scheme is 68; expected a text"),
    "an empty scheme": (attribute("scheme", h5py.Empty("f4")), "scheme is .*; expected a text"),
    "an unknown scheme": (attribute("scheme", "ibug86"), "unknown scheme 'ibug86'.*did you mean 'ibug68'"),
    "another scheme": (attribute("scheme", "wflw98"), r"landmarks has shape .*; expected \(4, 98, 2\)"),
    "a version in words": (attribute("version", "1"), "version is '1'; expected a whole number"),
    "a record that is a list": (
        attribute("made_from", "[1]"),
        "made_from is a JSON list; expected an object",
    ),
    "a record that is none": (attribute("made_from", "{"), "made_from is not JSON"),
    "a record by number": (attribute("made_from", 3.5), "made_from is 3.5; expected a text"),
    "a deep record": (attribute("made_from", '{"a":' * 500 + "1" + "}" * 500), "made_from is nested"),
    "a very deep record": (attribute("made_from", '{"a":' * 9000 + "1" + "}" * 9000), "made_from is nested"),
    "half a character": (attribute("made_from", r'{"a": "\ud800"}'), "made_from is not JSON"),
    "inputs in a list": (attribute("made_from", '{"inputs": []}'), "made_from.inputs is no object"),
    "earlier in words": (attribute("made_from", '{"earlier": "x"}'), "made_from.earlier is no object"),
    "earlier steps in words": (
        attribute("made_from", '{"earlier": {"a": 1}}'),
        "made_from.earlier is no object",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_flmd_never_writes_is_refused(store: Path, kind: str) -> None:
    change, message = WRONG[kind]
    with h5py.File(store, "r+") as file:
        change(file)
    with pytest.raises(StoreError, match=message) as caught:
        FaceStore(store)
    assert str(caught.value).startswith(f"{store}: ")
    assert len(str(caught.value)) < 1000
    with pytest.raises(StoreError):
        validate_store(store)


def test_every_column_is_checked(store: Path) -> None:
    with h5py.File(store) as file:
        names = set(file)
    assert names >= {"crops", "landmarks", *TEXTS}
    for name in names:
        broken = store.with_name(f"{name}.h5")
        broken.write_bytes(store.read_bytes())
        with h5py.File(broken, "r+") as file:
            del file[name]
            file[name] = np.zeros((4, 3, 5), "c8")
        with pytest.raises(StoreError, match=f"column {name} is"):
            FaceStore(broken)


def test_merge_writes_nothing_of_a_wrong_store(store: Path, tmp_path: Path) -> None:
    good = tmp_path / "good.h5"
    good.write_bytes(store.read_bytes())
    with h5py.File(store, "r+") as file:
        WRONG["int16 crops"][0](file)
    with pytest.raises(StoreError, match="crops is int16"), FaceStore(good) as one, FaceStore(store) as two:
        merge([one, two], tmp_path / "both.h5")
    assert not (tmp_path / "both.h5").exists()


@pytest.fixture
def arrays(store: Path) -> Path:
    target = store.with_name("arrays.h5")
    config = AugmentParams(input_size=16, padding=1.3, rotation=0, scale=0, shift=0, flip=False, variants=1)
    with FaceStore(store) as faces:
        build.build(faces, target, config, seed=0, made_from={}, workers=1)
    return target


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replaced("train/images", lambda v: v.astype("i2")), "train/images is int16; expected uint8"),
        (replaced("train/points", lambda v: v.astype("f8")), "train/points is float64; expected float32"),
        (replaced("val/visibility", lambda v: v.astype("f4")), "val/visibility is float32; expected uint8"),
        (replaced("test/face", lambda v: v.astype("i4")), "test/face is int32; expected int64"),
        (replaced("train/images", lambda v: v[..., :-1]), r"train/images has shape"),
        (replaced("train/points", lambda v: v[:, :-1]), r"train/points has shape .*; expected \(\d, 68, 2\)"),
        (replaced("train/variant", lambda v: v[1:]), r"train/variant has shape"),
        (replaced("train/dataset", lambda v: np.zeros(len(v))), "train/dataset is float64; expected texts"),
        (group_for("train/points"), "train/points is"),
        (attribute("crop", "[]"), "crop is a JSON list"),
        (attribute("crop", "{}"), "crop says no .input_size."),
        (
            attribute("crop", '{"input_size": 1e999, "padding": 1, "crop": 1, "color": "rgb"}'),
            "crop is damaged",
        ),
        (attribute("crop", 5), "crop is 5; expected a text"),
        (attribute("made_from", "3"), "made_from is a JSON int"),
        (attribute("scheme", 5), "scheme is 5; expected a text"),
    ],
)
def test_training_arrays_are_checked_alike(arrays: Path, change: Change, message: str) -> None:
    with TrainingArrays(arrays) as made:
        assert len(made.split("train")) > 0
    with h5py.File(arrays, "r+") as file:
        change(file)
    with pytest.raises(StoreError, match=message) as caught:
        TrainingArrays(arrays)
    assert str(caught.value).startswith(f"{arrays}: ")
