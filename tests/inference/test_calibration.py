"""How sure a model is of its points: measured on a store, kept in the model, told with the faces."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import flmd
from flmd.core import geometry
from flmd.errors import ParamsError, StoreError
from flmd.face import Face
from flmd.inference.calibration import calibrate, measured
from flmd.inference.detection import Found
from flmd.inference.picture import open_picture
from flmd.inference.torch_backend import load as load_backend
from flmd.models.checkpoint import load_model, read_info
from flmd.models.confidence import Confidence
from flmd.store.face_store import FaceStore
from tests.factories import convert_list, make_face, write_picture
from tests.inference.video.blob import random_model
from tests.inference.video.test_predict_command import call, faces_in


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures, their store ``faces.h5`` and models with and without heat maps."""
    place = tmp_path_factory.mktemp("calibration")
    rng = np.random.default_rng(0)
    faces = []
    for number in range(6):
        write_picture(place / "in" / f"{number}.png", rng.integers(0, 255, (90, 120, 3), dtype=np.uint8))
        faces.append(make_face(f"{number}.png", split="val" if number < 4 else "test", seed=number))
    convert_list(place / "in", faces, place / "faces.h5")[1].close()
    random_model(place / "maps.pt", network="integral")
    random_model(place / "plain.pt")
    calibrate(place / "maps.pt", place / "faces.h5", place / "sure.pt")
    return place


def test_the_errors_are_those_of_the_points_of_python(folder: Path) -> None:
    backend, info = load_backend(folder / "maps.pt", "cpu")
    landmarker = flmd.load(folder / "maps.pt", "cpu")
    spread, error = [], []
    for number in range(4):
        face = make_face(f"{number}.png", split="val", seed=number)
        picture = open_picture(folder / "in" / f"{number}.png")
        assert face.box is not None
        crops, _ = landmarker.crops(picture, face.box[None])
        away = landmarker.points_of(picture, face.box[None])[0] - face.landmarks
        error.append(np.linalg.norm(away, axis=1) / geometry.box_side(face.box))
        spread.append(backend.points_and_spread(crops)[1][0] * info.crop.zoom)
    with FaceStore(folder / "faces.h5") as store:
        wide, away, rows = measured(backend, info, store, "val", "")
    # The store's crops are of another size, so the network sees nearly the same pixels.
    np.testing.assert_allclose(away, error, atol=0.06)
    np.testing.assert_allclose(wide, spread, rtol=0.1)
    assert len(rows) == 4
    kept = read_info(folder / "sure.pt").confidence
    assert kept is not None
    found = Confidence.from_dict(kept)
    source = {key: found.source[key] for key in ("stage", "split", "datasets")}
    assert source == {"stage": "flmd calibrate", "split": "val", "datasets": ["test"]}
    assert found == Confidence.fit(wide, away, source=found.source)
    assert (found.faces, found.points) == (4, 4 * 68)


def test_the_weights_stay_and_a_model_that_was_not_calibrated_says_nothing_new(folder: Path) -> None:
    (one, _), (other, info) = load_model(folder / "maps.pt"), load_model(folder / "sure.pt")
    mine, theirs = one.state_dict(), other.state_dict()
    assert all(bool((mine[name] == theirs[name]).all()) for name in mine)
    assert info.confidence is not None
    assert read_info(folder / "maps.pt").confidence is None
    assert b'"confidence"' not in (folder / "maps.pt").read_bytes()


def test_faces_tell_how_sure_their_points_are(folder: Path) -> None:
    kept = read_info(folder / "sure.pt").confidence
    assert kept is not None
    confidence = Confidence.from_dict(kept)
    plain, sure = (flmd.load(folder / "sure.pt", "cpu", confidence=on) for on in (False, True))
    path = folder / "in" / "0.png"
    (without,), (face,) = plain.predict(path, "none"), sure.predict(path, "none")
    assert np.array_equal(without.landmarks, face.landmarks)
    assert "point_confidence" not in without.attributes
    backend, info = load_backend(folder / "sure.pt", "cpu")
    crops, _ = sure.crops(open_picture(path), np.array([[0, 0, 120, 90]]))
    wide = backend.points_and_spread(crops)[1][0] * info.crop.zoom
    for key, wanted, close in (
        ("point_confidence", confidence.within_at(wide), 0.001),
        ("point_error", confidence.error_at(wide) * 120, 0.006),  # the longer side of the box, px
    ):
        told = np.array(str(face.attributes[key]).split(), float)
        np.testing.assert_allclose(told, wanted, atol=close)
    # Mirrored too: the spread of a point is the mean of its own and of its mirror image's.
    both = flmd.load(folder / "sure.pt", "cpu", confidence=True, flip_average=True)
    (averaged,) = both.predict(path, "none")
    mirror = backend.points_and_spread(crops[:, :, ::-1].copy())[1][0] * info.crop.zoom
    mean = (wide + mirror[sure.scheme.flip_indices()]) / 2
    told = np.array(str(averaged.attributes["point_error"]).split(), float)
    np.testing.assert_allclose(told, confidence.error_at(mean) * 120, atol=0.006)


def test_who_cannot_tell_says_so_in_one_line(folder: Path) -> None:
    with pytest.raises(StoreError, match=r"plain\.pt: network cnn2 gives points without heat maps"):
        flmd.load(folder / "plain.pt", "cpu", confidence=True)
    with pytest.raises(StoreError, match="was not calibrated.*flmd calibrate MODEL STORE -o CALIBRATED"):
        flmd.load(folder / "maps.pt", "cpu", confidence=True)
    with pytest.raises(ParamsError, match="network cnn2 has no heat maps"):
        calibrate(folder / "plain.pt", folder / "faces.h5", folder / "x.pt")
    with pytest.raises(StoreError, match="no face of data set other has split val"):
        calibrate(folder / "maps.pt", folder / "faces.h5", folder / "x.pt", dataset="other")
    with pytest.raises(StoreError, match="too few labelled points to measure on .136 points; 200"):
        calibrate(folder / "maps.pt", folder / "faces.h5", folder / "x.pt", split="test")
    assert not (folder / "x.pt").exists()


def test_pictures_together_have_the_points_of_each_alone(folder: Path) -> None:
    landmarker = flmd.load(folder / "sure.pt", "cpu", confidence=True, flip_average=True)
    pictures = [open_picture(folder / "in" / f"{number}.png") for number in range(4)]
    counts = (2, 0, 3, 1)
    found = [
        Found(
            np.array([[10 * i, 5, 60, 70] for i in range(n)], np.float32).reshape(-1, 4),
            np.ones(n, np.float32),
        )
        for n in counts
    ]
    together = landmarker.faces_of(pictures, found)
    assert [len(faces) for faces in together] == list(counts)
    for picture, one, faces in zip(pictures, found, together, strict=True):
        alone = landmarker.faces(picture, one)
        for face, other in zip(faces, alone, strict=True):
            # 0.0001 px of a crop of 32 px that shows 1.3 times the box.
            np.testing.assert_allclose(face.landmarks, other.landmarks, atol=1e-4 * 70 * 1.3 / 32 + 1e-5)
            assert face.attributes.keys() == other.attributes.keys()


def test_the_commands(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sure = tmp_path / "sure.pt"
    assert call(monkeypatch, "calibrate", folder / "maps.pt", folder / "faces.h5", "-o", sure) == 0
    assert "measured on 272 points of 4 faces" in capsys.readouterr().out
    assert sure.read_bytes() == (folder / "sure.pt").read_bytes()
    assert call(monkeypatch, "calibrate", folder / "maps.pt", folder / "faces.h5", "-o", sure) == 2
    options = ("--split", "train", "-o", tmp_path / "y.pt")
    assert call(monkeypatch, "calibrate", folder / "maps.pt", folder / "faces.h5", *options) == 2
    assert "expected val or test" in capsys.readouterr().err
    asked = ("predict", folder / "in", "-m", sure, "--detector", "none", "--confidence", "--batch", 4)
    assert call(monkeypatch, *asked, "--json") == 0
    told = [json.loads(line)["faces"][0] for line in capsys.readouterr().out.splitlines()]
    assert len(told) == 6
    assert call(monkeypatch, *asked, "-o", tmp_path / "out", "--no-draw") == 0
    faces: dict[str, Face] = {face.image: face for face in faces_in(tmp_path / "out" / "annotations.json")}
    for number, one in enumerate(told):
        assert len(one["point_confidence"]) == len(one["point_error"]) == len(one["points"]) == 68
        assert all(0 < share < 1 for share in one["point_confidence"])
        kept = str(faces[f"{number}.png"].attributes["point_confidence"]).split()
        assert [float(word) for word in kept] == one["point_confidence"]
