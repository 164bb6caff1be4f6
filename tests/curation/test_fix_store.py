"""Corrections come back to the faces that they were made on, and change nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flmd import formats
from flmd.conversion.face_source import StoredFaces
from flmd.conversion.opening import open_faces
from flmd.core import geometry, provenance
from flmd.curation.corrections import crop_keys, crops_of, originals_of
from flmd.curation.fix_store import (
    EMPTY,
    OTHER_CROP,
    OTHER_SIZE,
    TWICE,
    Corrections,
    FixReport,
    fix_store,
)
from flmd.curation.write_annotations import write_faces
from flmd.errors import InputError
from flmd.evaluation.matching import EXTRA, UNKNOWN
from flmd.face import Face
from flmd.store.face_store import FaceStore
from tests.factories import convert_list, make_face, write_picture

FORMATS = {"cvat": "corrections.xml", "label-studio": "corrections.json"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FaceStore:
    """Four faces: two in a.jpg, one in sub/b.jpg with hidden and missing points, one in c.jpg."""
    folder = tmp_path_factory.mktemp("store")
    faces = [
        make_face("a.jpg", seed=1),
        make_face("a.jpg", centre=(150, 60), box=(130, 40, 41, 41), seed=2),
        make_face("sub/b.jpg", seed=3, split="test"),
        make_face("c.jpg", seed=4),
    ]
    faces[2].landmarks[5] = np.nan
    faces[2].visibility[5], faces[2].visibility[6] = 0, 1
    faces[3].box_source = "landmarks"
    rng = np.random.default_rng(0)
    for image in ("a.jpg", "sub/b.jpg", "c.jpg"):
        write_picture(folder / image, rng.integers(0, 255, (120, 200, 3), np.uint8))
    return convert_list(folder, faces, folder / "faces.h5", size=64)[1]


def columns(path: Path) -> dict[str, bytes]:
    with h5py.File(path) as file:
        return {name: file[name][()].tobytes() for name in file}


def sent(store: FaceStore, folder: Path, fmt: str, *, originals: bool = False) -> Path:
    """All faces of a store as a list for correction."""
    faces = StoredFaces(str(store.path), store)
    notes: Mapping[int, Mapping[str, str]] = {row: {"kind": "test"} for row in range(len(store))}
    target = folder / FORMATS[fmt]
    given, pictures = (originals_of(faces, notes), None) if originals else crops_of(faces, notes)
    images = "none" if originals else "copy"
    write_faces(given, formats.get(fmt), target, store.scheme, pictures=pictures, images=images)
    return target


def fixed(store: FaceStore, corrections: Path, target: Path, **options: object) -> FixReport:
    with open_faces(corrections, scheme=store.scheme.name) as source:
        fmt = getattr(source, "format", None)
        given = Corrections(source, str(corrections), source.frame, fmt is None or fmt.visibility)
        return fix_store(store, given, target, **options)  # type: ignore[arg-type]


def given_back(store: FaceStore, faces: list[Face], target: Path, **options: object) -> FixReport:
    return fix_store(store, Corrections(faces, "here"), target, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("originals", [False, True], ids=["crops", "originals"])
@pytest.mark.parametrize("fmt", FORMATS)
def test_a_list_that_nobody_touched_changes_nothing(
    store: FaceStore, tmp_path: Path, fmt: str, originals: bool
) -> None:
    corrections = sent(store, tmp_path, fmt, originals=originals)
    report = fixed(store, corrections, tmp_path / "new.h5")
    assert (report.read, report.same, report.changed) == (4, 4, {})
    assert report.whole
    assert columns(tmp_path / "new.h5") == columns(store.path)


def test_two_decimals_as_cvat_writes_them_change_nothing(store: FaceStore, tmp_path: Path) -> None:
    corrections = sent(store, tmp_path, "cvat")
    text = corrections.read_text()
    rounded = re.sub(r"\d+\.\d+", lambda found: f"{float(found[0]):.2f}", text)
    assert rounded != text
    corrections.write_text(rounded)
    assert fixed(store, corrections, tmp_path / "new.h5").changed == {}
    assert columns(tmp_path / "new.h5") == columns(store.path)


def moved_in(fmt: str, corrections: Path, by: float) -> None:
    """Move point jaw_8 of sub/b.jpg, whatever that is in the list, by pixels to the right and down."""
    with open_faces(corrections, scheme="ibug68") as source:
        faces = [face for face in source if isinstance(face, Face)]
    which = next(face for face in faces if "b.crop-" in face.image)
    which.landmarks[8] += np.float32(by)
    write_faces(faces, formats.get(fmt), corrections, source.scheme, overwrite=True)


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_point_moved_in_its_crop_moves_by_the_crops_scale_in_the_picture(
    store: FaceStore, tmp_path: Path, fmt: str
) -> None:
    corrections = sent(store, tmp_path, fmt)
    moved_in(fmt, corrections, 3.0)
    report = fixed(store, corrections, tmp_path / "new.h5")
    row = store.texts("image").index("sub/b.jpg")
    assert (report.changed, report.moved, report.added, report.removed, report.seen) == ({row: 1}, 1, 0, 0, 0)
    before, after = columns(store.path), columns(tmp_path / "new.h5")
    assert {name for name in before if before[name] != after[name]} == {"landmarks"}
    # The box is 41 px, the margin 2.4 and the crop 64 px: a crop's pixel is 41 * 2.4 / 64 of the picture's.
    with FaceStore(tmp_path / "new.h5") as new:
        apart = new.numbers("landmarks") - store.numbers("landmarks")
    assert apart[row, 8] == pytest.approx([3 * 41 * 2.4 / 64] * 2, abs=1e-4)
    apart[row, 8] = 0
    assert np.nan_to_num(apart).any() == np.False_
    # Label Studio's points have no visibility: that of the store is kept.
    assert columns(store.path)["visibility"] == after["visibility"]


@pytest.mark.parametrize("rename", ["{}", "up/loaded/{}", "1a2b3c4d-{}"])
def test_a_crop_is_known_again_whatever_folder_or_prefix_its_name_gets(
    store: FaceStore, tmp_path: Path, rename: str
) -> None:
    faces = [face for face in crops_of(StoredFaces("", store), {1: {}})[0] if isinstance(face, Face)]
    faces = [replace(face, image=rename.format(face.image.rpartition("/")[2])) for face in faces]
    faces[0].landmarks[0] += 1
    assert given_back(store, faces, tmp_path / "new.h5").changed == {1: 1}


def test_a_correction_of_a_picture_goes_to_the_face_that_it_overlaps(
    store: FaceStore, tmp_path: Path
) -> None:
    faces = [face for face in originals_of(StoredFaces("", store), {0: {}, 1: {}}) if isinstance(face, Face)]
    faces[1].landmarks = faces[1].landmarks + np.float32(2)
    report = given_back(store, faces[1:], tmp_path / "new.h5")
    assert report.changed == {1: 68}
    with FaceStore(tmp_path / "new.h5") as new:
        assert new.numbers("landmarks")[1].tolist() == faces[1].landmarks.tolist()
        assert new.numbers("landmarks")[0].tolist() == store.numbers("landmarks")[0].tolist()


def test_points_taken_away_added_and_seen_otherwise(store: FaceStore, tmp_path: Path) -> None:
    row = store.texts("image").index("sub/b.jpg")
    face = next(store.faces(slice(row, row + 1)))
    face.landmarks[0], face.visibility[0] = np.nan, 0
    face.landmarks[5], face.visibility[5] = (50, 51), 2
    face.visibility[6] = 2
    report = given_back(store, [face], tmp_path / "new.h5")
    assert (report.moved, report.added, report.removed, report.seen) == (0, 1, 1, 1)
    assert report.changed == {row: 3}
    with FaceStore(tmp_path / "new.h5") as new:
        assert new.numbers("visibility")[row, [0, 5, 6]].tolist() == [0, 2, 2]
        assert new.numbers("landmarks")[row, 5].tolist() == [50, 51]
        assert np.isnan(new.numbers("landmarks")[row, 0]).all()


def test_boxes_drawn_around_old_points_are_kept_and_counted(store: FaceStore, tmp_path: Path) -> None:
    face = next(store.faces(slice(3, 4)))
    face.landmarks[0] += 1
    report = given_back(store, [face], tmp_path / "new.h5")
    assert report.boxes_of_points == (face.box_source == "landmarks")
    assert columns(tmp_path / "new.h5")["box"] == columns(store.path)["box"]


def test_the_record_says_what_was_fixed_with_what(store: FaceStore, tmp_path: Path) -> None:
    face = next(store.faces(slice(0, 1)))
    given = Corrections([face], "c.xml", inputs={"c.xml": "ab" * 32})
    fix_store(store, given, tmp_path / "new.h5")
    with FaceStore(tmp_path / "new.h5") as new:
        digest = provenance.sha256_of(store.path)
        assert new.made_from["inputs"] == {"faces.h5": digest, "c.xml": "ab" * 32}
        assert new.made_from["stage"] == "flmd-data fix"
        assert digest in new.made_from["earlier"] or not store.made_from


def test_what_is_no_face_of_the_store_is_refused_by_name(store: FaceStore, tmp_path: Path) -> None:
    faces = [make_face("a.jpg", centre=(20, 100), radius=3, box=(17, 97, 6, 6)), make_face("nowhere.jpg")]
    crop = next(face for face in crops_of(StoredFaces("", store), {0: {}})[0] if isinstance(face, Face))
    faces += [crop, replace(crop), replace(crop, image="a.crop-000000000000.png")]
    faces += [replace(crop, image=f"x.crop-{crop_keys(store)[1]}.png", image_size=(65, 65))]
    nothing = next(store.faces(slice(3, 4)))
    nothing.landmarks[:], nothing.visibility[:] = np.nan, 0
    faces.append(nothing)
    with pytest.raises(InputError, match=r"6 of 7 corrections not used: nowhere.jpg.*--skip-unmatched"):
        given_back(store, faces, tmp_path / "new.h5")
    assert not (tmp_path / "new.h5").exists()
    report = given_back(store, faces, tmp_path / "new.h5", skip_unmatched=True)
    reasons = sorted(item.reason for item in report.unmatched)
    assert reasons == sorted([UNKNOWN, EXTRA, TWICE, OTHER_CROP, OTHER_SIZE, EMPTY])
    assert not report.whole
    assert columns(tmp_path / "new.h5") == columns(store.path)


def test_a_face_that_the_store_has_twice_has_two_crops(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", np.zeros((120, 120, 3), np.uint8))
    faces = [make_face("a.png", seed=1), make_face("a.png", seed=1)]
    faces[1].landmarks[0] += 1
    store = convert_list(tmp_path, faces, tmp_path / "faces.h5")[1]
    assert len(set(crop_keys(store))) == 2


@settings(max_examples=8, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 67), st.floats(-30, 30, width=32), st.floats(-30, 30, width=32)), max_size=5
    )
)
def test_what_is_moved_in_crops_and_moved_back_is_as_before(
    store: FaceStore, tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[int, float, float]]
) -> None:
    folder = tmp_path_factory.mktemp("there-and-back")
    faces = [face for face in crops_of(StoredFaces("", store), {0: {}})[0] if isinstance(face, Face)]
    own = faces[0].landmarks.copy()
    affine = store.numbers("affine", slice(0, 1))[0]
    for point, x, y in moves:
        faces[0].landmarks[point] = own[point] + np.array([x, y], np.float32)
    given_back(store, [replace(faces[0])], folder / "there.h5")
    with FaceStore(folder / "there.h5") as there:
        expected: NDArray[np.float64] = geometry.apply(geometry.invert(affine), faces[0].landmarks)
        assert np.abs(there.numbers("landmarks")[0] - expected).max() < 0.02 * 41 * 2.4 / 64
        given_back(there, [replace(faces[0], landmarks=own)], folder / "back.h5")
    with FaceStore(folder / "back.h5") as back:
        apart = np.abs(back.numbers("landmarks") - store.numbers("landmarks"))
        assert np.nanmax(apart) < 0.02 * 41 * 2.4 / 64
