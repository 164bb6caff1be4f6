"""Points of faces in whole pictures: in the right place, and from the same crops as in training."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import flmd
from flmd.augmentation import build
from flmd.core import geometry
from flmd.core.orientation import EXIF_ORIENTATION
from flmd.core.params import AugmentParams
from flmd.errors import InputError, ParamsError, StoreError
from flmd.inference.detection import Detector, Found
from flmd.inference.landmarker import Landmarker
from flmd.inference.picture import Picture, open_picture
from tests.factories import blob_picture, convert_list, make_face, write_picture
from tests.inference.video.blob import CROP, blob_landmarker, find_blob, info, random_model


def box_around(x: float, y: float, side: float) -> list[float]:
    return [x - (side - 1) / 2, y - (side - 1) / 2, side, side]


@pytest.mark.parametrize("side", [18.0, 60.0, 149.0, 171.5, 420.0])  # enlarged, and shrunk by 1 to 11
@pytest.mark.parametrize("color", ["grey", "rgb"])
def test_a_blob_is_found_where_it_was_drawn(side: float, color: str) -> None:
    x, y = 201.3, 166.8
    pixels = blob_picture(420, 390, (x, y), sigma=side / 14)
    boxes = [box_around(x + 0.07 * side, y - 0.05 * side, side), box_around(x - 0.1 * side, y, side)]
    points = blob_landmarker(color=color).points(pixels, boxes)
    assert points.dtype == np.float32
    np.testing.assert_allclose(points[:, 0], [[x, y]] * 2, atol=0.05 * max(1, side / 64))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_points_are_in_stored_pixels_whichever_way_up_the_picture_is_seen(orientation: int) -> None:
    x, y = 71.4, 52.7
    picture = Picture("", blob_picture(150, 110, (x, y)), orientation)
    points = blob_landmarker().points_of(picture, [box_around(x + 2, y + 3, 50)])
    np.testing.assert_allclose(points[0, 0], [x, y], atol=0.05)


def test_the_network_sees_a_turned_picture_upright() -> None:
    pixels = blob_picture(150, 110, (70.0, 50.0))
    pixels[:50] //= 2  # the stored upper half is darker
    landmarker = blob_landmarker()
    box = np.array([box_around(70, 50, 40)])
    upright, _ = landmarker.crops(Picture("", pixels, 1), box)
    turned, _ = landmarker.crops(Picture("", pixels, 6), box)  # seen with its left side up
    np.testing.assert_allclose(turned[0].astype(int), np.rot90(upright[0], -1).astype(int), atol=1)


class AtTheBlob(Detector):
    name = "blob"

    def __call__(self, picture: Picture) -> Found:
        y, x = np.argwhere(picture.pixels[..., 0] > 150).mean(axis=0)
        boxes = np.array([box_around(x + 3, y - 2, 50)], np.float32)
        return Found(boxes, np.array([0.75], np.float32))


def test_predict_gives_faces_of_a_path_bytes_or_array_alike(tmp_path: Path) -> None:
    pixels = blob_picture(150, 110, (71.4, 52.7))
    path = tmp_path / "a.png"
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 3
    Image.fromarray(pixels).save(path, exif=exif)
    landmarker = blob_landmarker()
    for image in (path, path.read_bytes(), pixels):
        (face,) = landmarker.predict(image, AtTheBlob())
        np.testing.assert_allclose(face.landmarks[0], [71.4, 52.7], atol=0.05)
        assert face.visibility.tolist() == [2]
        assert (face.box_source, face.image_size) == ("detector", (150, 110))
        turned = {} if image is pixels else {"exif_orientation": 3, "exif_frame": "stored"}
        assert face.attributes == {"score": 0.75, **turned}
        assert face.image == (str(path) if image is path else "")
        assert face.box is not None
        # The box that is given is the one the points were found in.
        again = landmarker.points(pixels, face.box[None])
        np.testing.assert_allclose(again[0], face.landmarks, atol=1e-3 if image is pixels else 0.1)


def test_no_face_is_an_empty_list_and_no_boxes_no_points() -> None:
    flat = np.full((90, 120, 3), 130, np.uint8)
    assert blob_landmarker().predict(flat) == []
    assert blob_landmarker().points(flat, []).shape == (0, 1, 2)
    assert blob_landmarker().points(flat, np.zeros((0, 4))).shape == (0, 1, 2)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([1, 2, 3, 4], r"boxes of shape (4,); expected (N, 4)"),
        ([[1, 2, 3]], r"boxes of shape (1, 3)"),
        ([["a", 2, 3, 4]], "boxes are no numbers"),
        ([[0, 0, 9, 9], [1, 2, 0, 4]], "box 1 is [1.0, 2.0, 0.0, 4.0]; expected x, y, width, height"),
        ([[float("nan"), 2, 3, 4]], "box 0 is [nan, 2.0, 3.0, 4.0]"),
        ([[150, 2, 3, 4]], "outside the picture of 150x110"),
        ([[-3, 2, 3, 4]], "outside the picture of 150x110"),
    ],
)
def test_a_box_that_is_none_is_named(boxes: object, message: str) -> None:
    with pytest.raises(InputError) as error:
        blob_landmarker().points(np.zeros((110, 150), np.uint8), boxes)  # type: ignore[arg-type]
    assert message in str(error.value)


def test_an_output_that_is_not_finite_is_an_error() -> None:
    broken = Landmarker(lambda crops: np.full((len(crops), 1, 2), np.nan, np.float32), info())
    with pytest.raises(InputError, match="output is not finite"):
        broken.points(np.zeros((50, 50), np.uint8), [[0, 0, 50, 50]])


def smooth_picture(width: int, height: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / (9 + c)) + np.cos(y / (7 + 2 * c)) + np.sin((x + y) / 23) for c in range(3)]
    return np.stack([127 + 40 * w for w in waves], axis=2).astype(np.uint8)


@pytest.mark.parametrize("color", ["grey", "rgb"])
@pytest.mark.parametrize("side", [45, 190])
def test_crops_are_those_of_training(tmp_path: Path, color: str, side: int) -> None:
    """By way of a store: decoded reduced, a context crop, and the plain version of the augmentation."""
    pixels = smooth_picture(400, 380)
    write_picture(tmp_path / "a.jpg", pixels)
    box = (110, 95, side, side)
    face = make_face("a.jpg", box=box, centre=(200, 190))
    _, store = convert_list(tmp_path, [face], tmp_path / "faces.h5", size=96)
    limits = AugmentParams.model_validate({**CROP, "input_size": 48, "color": color})
    with store:
        augmenter = build.augmenter_for(store, limits, 0)
        wanted = build.make_faces(store, np.array([0]), augmenter)
    landmarker = Landmarker(find_blob, info(size=48, color=color))
    crops, affine = landmarker.crops(open_picture(tmp_path / "a.jpg"), np.array([box]))
    np.testing.assert_allclose(affine, wanted.affine, atol=1e-12)
    assert crops.shape == wanted.images.shape
    difference = np.abs(crops.astype(int) - wanted.images)
    assert difference.mean() < 1
    assert difference.max() <= 6


def test_crops_of_real_faces_are_those_of_training(shared_data: Path, tmp_path: Path) -> None:
    from flmd.conversion.opening import open_faces

    folder = shared_data / "dlib_faces"
    with open_faces(folder / "testing_with_face_landmarks.xml") as source:
        faces = list(source)[:8]
    _, store = convert_list(folder, faces, tmp_path / "faces.h5", size=160)
    limits = AugmentParams.model_validate({**CROP, "input_size": 64, "color": "grey"})
    with store:
        rows = np.arange(len(store))
        wanted = build.make_faces(store, rows, build.augmenter_for(store, limits, 0))
        names, boxes = store.texts("image", rows), store.numbers("box", rows)
    assert len(names) == 8
    for row, (name, box) in enumerate(zip(names, boxes, strict=True)):
        crops, _ = blob_landmarker().crops(open_picture(folder / name, exif=False), box[None])
        assert np.abs(crops[0].astype(int) - wanted.images[row]).mean() < 2, name


def test_the_mean_with_the_mirror_image_takes_a_lean_to_one_side_away() -> None:
    def leaning(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.tile(find_blob(crops) + np.array([1.5, 0.25], np.float32), (1, 68, 1))

    pixels, box = blob_picture(150, 110, (71.4, 52.7)), [box_around(73, 51, 50)]
    zoom = 50 * 1.3 / 64  # pixels of the picture to one of the crop
    once, both = (
        Landmarker(leaning, info("ibug68"), flip_average=flip).points(pixels, box)[0, 0]
        for flip in (False, True)
    )
    np.testing.assert_allclose(once, [71.4 + 1.5 * zoom, 52.7 + 0.25 * zoom], atol=0.05)
    np.testing.assert_allclose(both, [71.4, 52.7 + 0.25 * zoom], atol=0.05)


def test_a_second_look_makes_up_for_a_box_that_is_off() -> None:
    """A network that lays its 68 points at 0.6 of the way from the middle of the crop to the blob."""
    shape = np.random.default_rng(0).uniform(-10, 10, (68, 2))

    def drawn_to_the_middle(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        middle = 31.5 + 0.6 * (find_blob(crops) - 31.5)
        return (middle + shape).astype(np.float32)

    held = geometry.box_of_points(shape)
    away, size = -geometry.box_centre(held) / geometry.box_side(held), 64 / 1.3 / geometry.box_side(held)
    model = replace(info("ibug68"), box_rule=[*away.tolist(), float(size)])
    pixels = blob_picture(150, 110, (71.4, 52.7))
    wanted = np.array([71.4, 52.7]) + shape * 50 * 1.3 / 64
    box = [box_around(79.4, 52.7, 50)]  # 8 px too far right
    for second_look, off in ((False, 0.4 * 8), (True, 0.4 * 0.4 * 8)):
        points = Landmarker(drawn_to_the_middle, model, second_look=second_look).points(pixels, box)[0]
        np.testing.assert_allclose((points - wanted)[:, 0], off, atol=0.06)
    with pytest.raises(ParamsError, match="does not say how boxes lie"):
        Landmarker(drawn_to_the_middle, info("ibug68"), second_look=True)


def test_load_runs_a_model_file_as_evaluation_does(tmp_path: Path) -> None:
    from flmd.evaluation import measure
    from flmd.models.checkpoint import load_model

    path = random_model(tmp_path / "best.pt")
    landmarker = flmd.load(path, "cpu")
    pixels = smooth_picture(160, 140)
    boxes = np.array([[20.0, 30, 80, 70], [60, 10, 50, 90]])
    crops, affine = landmarker.crops(open_picture(pixels), boxes)
    network, described = load_model(path)
    wanted = measure.predict(network, crops, affine, described.normalisation)
    np.testing.assert_allclose(landmarker.points(pixels, boxes), wanted, atol=1e-3)


def test_a_model_that_cannot_be_used_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gone.pt: no such file; expected a model"):
        flmd.load(tmp_path / "gone.pt")
    (tmp_path / "text.pt").write_text("no model")
    with pytest.raises(StoreError, match="text.pt: not a model file"):
        flmd.load(tmp_path / "text.pt")
    with pytest.raises(ParamsError, match="which is not here|expected auto, cpu"):
        flmd.load(random_model(tmp_path / "best.pt"), "cuda:99")
    with pytest.raises(ParamsError, match="detector 'eyes'; expected one of boxes, haar, none, yunet"):
        flmd.load(tmp_path / "best.pt", "cpu").predict(np.zeros((40, 40), np.uint8), "eyes")


def test_importing_flmd_stays_cheap() -> None:
    code = "import flmd, sys; print(*sorted({'torch', 'cv2', 'numpy', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
