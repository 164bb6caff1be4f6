"""`convert` as a person calls it: a source and a target, and settings only where the defaults do not do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flmd.conversion.converter import convert
from flmd.conversion.face_source import AnnotatedFaces, StoredFaces
from flmd.conversion.opening import open_faces
from flmd.conversion.settings import CropSettings, Reporting, SplitSettings
from flmd.core.crop_spec import CropSpec
from flmd.errors import ParamsError
from flmd.formats import get
from flmd.schemes import IBUG68
from flmd.store.face_store import FaceStore
from tests.factories import make_face, write_picture


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """A list of four faces of two people, with their pictures."""
    faces = [make_face(f"p{i // 2}_{i}.png", seed=i, split="") for i in range(4)]
    get("dlib-xml").write(faces, tmp_path / "set" / "labels.xml", IBUG68)
    for face in faces:
        write_picture(tmp_path / "set" / face.image, np.full((90, 120, 3), 80, np.uint8))
    return tmp_path / "set" / "labels.xml"


def test_a_source_and_a_target_are_enough(labels: Path, tmp_path: Path) -> None:
    report = convert(labels, tmp_path / "new" / "faces.h5", box="landmarks")
    assert (report.read, report.kept) == (4, 4)
    with FaceStore(tmp_path / "new" / "faces.h5") as store:
        assert store.crop_spec == CropSpec(256, 2.4, "rgb")
        assert set(store.texts("dataset")) == {"labels"}
        assert set(store.texts("box_source")) == {"landmarks"}


def test_the_record_tells_the_digest_of_the_source_and_the_settings(labels: Path, tmp_path: Path) -> None:
    convert(str(labels), str(tmp_path / "a.h5"), crop=CropSettings(64, color="grey"))
    with FaceStore(tmp_path / "a.h5") as store:
        record = store.made_from
    assert list(record["inputs"]) == ["labels.xml"]
    assert record["params"]["box"] == "annotated"
    assert record["params"]["crop"] == {"size": 64, "margin": 2.4, "color": "grey", "max_pixels": 2e8}
    assert record["params"]["split"] == {"policy": "keep", "val": 0.0, "test": 0.2, "seed": 0}


def test_another_scheme_is_mapped_to(labels: Path, tmp_path: Path) -> None:
    convert(labels, tmp_path / "a.h5", scheme="ibug51", crop=None)
    with FaceStore(tmp_path / "a.h5") as store:
        assert store.scheme.name == "ibug51"
        assert not store.has_crops
    with open_faces(labels) as faces, pytest.raises(ParamsError, match="tell the scheme to open_faces"):
        convert(faces, tmp_path / "b.h5", scheme="ibug51")


def test_a_store_is_cropped_again_from_its_pictures_alone(labels: Path, tmp_path: Path) -> None:
    convert(labels, tmp_path / "a.h5", crop=CropSettings(64))
    with pytest.raises(ParamsError, match=r"a\.h5: a store has crops of its own, and no pictures"):
        convert(tmp_path / "a.h5", tmp_path / "b.h5")
    with open_faces(tmp_path / "a.h5", pictures=labels.parent) as faces:
        assert isinstance(faces, StoredFaces)
        convert(faces, tmp_path / "b.h5", crop=CropSettings(32))
    convert(labels, tmp_path / "c.h5", crop=CropSettings(32))
    with FaceStore(tmp_path / "b.h5") as again, FaceStore(tmp_path / "c.h5") as at_once:
        assert np.array_equal(again.crops, at_once.crops)
        assert np.array_equal(again.numbers("landmarks"), at_once.numbers("landmarks"))


def test_sources_of_both_kinds_give_the_same_faces(labels: Path, tmp_path: Path) -> None:
    convert(labels, tmp_path / "a.h5", crop=None)
    with open_faces(labels) as one, open_faces(tmp_path / "a.h5") as other:
        assert isinstance(one, AnnotatedFaces)
        assert (one.kind, other.kind) == ("dlib-xml", "store")
        assert (one.name, other.name) == ("labels", "a")
        assert (one.boxes, other.boxes) == (True, True)
        for a, b in zip(one, other, strict=True):
            assert np.array_equal(a.landmarks, b.landmarks)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            lambda: SplitSettings("subjects"),
            "split is 'subjects'; expected one of keep, .*did you mean 'subject'",
        ),
        (lambda: SplitSettings(val=1.0), "val is a share of 1; expected 0 or more, below 1"),
        (lambda: SplitSettings(test=-0.1), "test is a share of -0.1"),
        (lambda: CropSettings(7), "a crop of 7 pixels; expected 8 or more"),
        (lambda: CropSettings(margin=0), "a margin of 0; expected above 0, below 100"),
        (lambda: CropSettings(margin=float("nan")), "a margin of nan"),
        (
            lambda: CropSettings(color="gray"),
            "'gray'; expected one of rgb, grey; did you mean 'grey'",
        ),
    ],
)
def test_impossible_settings_say_what_would_be_right(settings, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ParamsError, match=message):
        settings()


def test_an_unknown_box_is_refused_before_anything_is_written(labels: Path, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="box is 'points'; expected one of annotated, landmarks, image"):
        convert(labels, tmp_path / "a.h5", box="points", reporting=Reporting(tmp_path / "report.json"))
    assert [p.name for p in tmp_path.iterdir()] == ["set"]
