"""A store without its pictures, written with its crops: points, boxes and pictures stay together."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from flmd.cli import flmd_data
from flmd.conversion.face_source import StoredFaces
from flmd.conversion.opening import open_faces
from flmd.conversion.stored_crops import CroppedFaces
from flmd.face import Face
from tests.factories import blob_picture, centroid, convert_list, make_face, write_picture

BLOBS = [(52.3, 44.8), (70.6, 61.1)]


def run(*arguments: str) -> None:
    """`flmd-data` in this process."""
    flmd_data.app_for(arguments)(list(arguments), standalone_mode=False)


def store_of(folder: Path, color: str, images: tuple[str, str] = ("a.png", "a.png")) -> Path:
    """A store of two faces, point 0 of each on a blob of its own."""
    faces = []
    for image, blob in zip(images, BLOBS, strict=True):
        write_picture(folder / "in" / image, blob_picture(160, 120, blob))
        face = make_face(image, centre=blob, box=(*np.subtract(blob, 8), 20, 17))
        face.landmarks[0] = blob
        faces.append(face)
    _, store = convert_list(folder / "in", faces, folder / "faces.h5", size=64, margin=2.5, color=color)
    store.close()
    return folder / "faces.h5"


@pytest.mark.parametrize("color", ["grey", "rgb"])
@pytest.mark.parametrize("name", ["hf-dataset", "webdataset", "300vw"])
def test_a_blob_stays_under_its_point(tmp_path: Path, color: str, name: str) -> None:
    store = store_of(tmp_path, color, ("a.png", "b.png"))
    run("convert", str(store), str(tmp_path / "out"), "--to", name)
    with open_faces(tmp_path / "out") as found:
        faces = [face for face in found if isinstance(face, Face)]
        assert len(faces) == 2
        for face in faces:
            assert found.pictures is not None
            data = np.frombuffer(found.pictures.read(face.image), np.uint8)
            grey = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
            assert centroid(grey) == pytest.approx(tuple(face.landmarks[0]), abs=0.05)


def test_boxes_and_names(tmp_path: Path) -> None:
    """Of 20x17 px, margin 2.5 and 64 px: a box is 64 / 2.5 wide and in the middle, (63 - 1 + 1) / 2."""
    with open_faces(store_of(tmp_path, "grey")) as found:
        assert isinstance(found, StoredFaces)
        faces = [face for face in CroppedFaces.of(found) if isinstance(face, Face)]
    assert [face.image for face in faces] == ["a.png", "a_face2.png"]
    assert {face.image_size for face in faces} == {(64, 64)}
    for face in faces:
        x, y, width, height = face.box
        assert (width, height) == pytest.approx((64 / 2.5, 64 / 2.5 * 17 / 20), rel=1e-5)
        assert (x + (width - 1) / 2, y + (height - 1) / 2) == pytest.approx((31.5, 31.5), abs=1e-4)


def test_it_is_said_and_can_be_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = str(store_of(tmp_path, "grey"))
    run("convert", store, str(tmp_path / "a"), "--to", "hf-dataset")
    assert "lost: picture outside the crop, of 2 faces" in capsys.readouterr().err
    options = ["--to", "hf-dataset", "--images", "none"]
    run("convert", store, str(tmp_path / "b"), *options)
    assert "lost: picture, of 2 faces" in capsys.readouterr().err
    with open_faces(tmp_path / "b") as found:
        assert {face.image for face in found if isinstance(face, Face)} == {"a.png"}
    options = ["--to", "hf-dataset", "--pictures", str(tmp_path / "in")]
    run("convert", store, str(tmp_path / "c"), *options)
    assert "lost" not in capsys.readouterr().err
