"""Detectors: where the faces are, and what is said when they cannot look."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from flmd.core import geometry
from flmd.core.geometry import iou
from flmd.errors import FlmdError, InputError, ParamsError
from flmd.inference import detection
from flmd.inference.detection.boxes import Boxes
from flmd.inference.detection.haar import Haar
from flmd.inference.detection.pixel_detector import BoxAdjustment, PixelDetector, upright_to_stored
from flmd.inference.detection.yunet import YuNet
from flmd.inference.picture import Picture, open_picture


def test_the_adjustment_scales_around_a_shifted_centre() -> None:
    # A box of 11 x 11 pixels has its centre at 15, 25; a fifth of 11 further right, twice as large.
    adjusted = BoxAdjustment(side=2.0, shift_x=0.2)(np.array([[10.0, 20, 11, 11]]))
    np.testing.assert_allclose(adjusted, [[15 + 2.2 - 10.5, 25 - 10.5, 22, 22]])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_of_the_upright_picture_go_back_to_the_stored_pixels(orientation: int) -> None:
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[4:9, 11:20] = 255
    picture = Picture("", pixels, orientation)
    y, x = np.nonzero(picture.upright[..., 0])
    seen = np.array([[x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]], float)
    np.testing.assert_allclose(upright_to_stored(seen, picture), [[11, 4, 9, 5]], atol=1e-9)


class Bright(PixelDetector):
    """The box around what is bright, as cv2 draws boxes."""

    name = "bright"

    def detect(self, rgb: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        self.looked_at = rgb.shape[:2]
        y, x = np.nonzero(rgb[..., 0] > 127)
        return np.array([[x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]], float), np.ones(1, np.float32)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_picture_is_looked_at_small_and_its_boxes_are_full_size(orientation: int) -> None:
    pixels = np.zeros((600, 1200, 3), np.uint8)
    pixels[180:300, 240:420] = 255
    find = Bright(longest_side=100)
    found = find(Picture("", pixels, orientation))
    assert max(find.looked_at) == 100
    # 15 x 10 of the small pixels; the adjustment makes a square of the longer side around the centre
    np.testing.assert_allclose(geometry.box_centre(found.boxes), [[329.5, 239.5]], atol=1e-3)
    np.testing.assert_allclose(found.boxes[0, 2:], [180, 180])


class Scripted(PixelDetector):
    name = "scripted"

    def detect(self, rgb: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        return np.array([[0.0, 0, 5, 5], [10, 10, 9, 9]]), np.array([0.9, 0.4], np.float32)


def test_the_largest_face_comes_first() -> None:
    found = Scripted()(Picture("", np.zeros((40, 40, 3), np.uint8)))
    assert found.scores.tolist() == pytest.approx([0.4, 0.9])
    assert found.boxes[:, 2].tolist() == [9, 5]


def test_haar_finds_no_face_where_there_is_none() -> None:
    find = Haar()
    for size in ((480, 640), (10, 900), (1, 1)):
        assert len(find(Picture("", np.full((*size, 3), 99, np.uint8)))) == 0


def test_haar_boxes_lie_as_annotated_ones(shared_data: Path) -> None:
    """Each training face of one of dlib's pictures that is found, is found where it was annotated."""
    from flmd.conversion.opening import open_faces

    folder = shared_data / "dlib_faces"
    with open_faces(folder / "training_with_face_landmarks.xml") as source:
        faces = [face for face in source if face.image.endswith("2007_007763.jpg")]
    picture = open_picture(folder / faces[0].image, exif=False)
    found = Haar()(picture)
    overlap = iou(np.array([face.box for face in faces], float), found.boxes.astype(float))
    assert len(found) >= 3
    assert (overlap.max(axis=0) > 0.5).all()  # every box that is found is a face's, and placed like it
    assert (found.scores > 0).all()


def test_without_a_detector_the_picture_is_the_face() -> None:
    found = detection.get("none")(Picture("", np.zeros((20, 30, 3), np.uint8)))
    assert found.boxes.tolist() == [[0, 0, 30, 20]]
    assert found.source == "image"


def test_boxes_of_a_table(tmp_path: Path) -> None:
    table = tmp_path / "boxes.csv"
    table.write_text(
        "\ufeffImage,x,y,width,height,score,note\n"
        "a/1.jpg,1,2,30.5,40,0.5,left\na/1.jpg,50,2,30,40,,right\nb/2.jpg,0,0,5,5\nb/1.png,7,7,7,7\n",
        encoding="utf-8",
    )
    find = detection.get(str(table))
    pixels = np.zeros((50, 90, 3), np.uint8)
    found = find(Picture("a/1.jpg", pixels))
    assert found.boxes.tolist() == [[1, 2, 30.5, 40], [50, 2, 30, 40]]
    assert found.scores[0] == 0.5
    assert np.isnan(found.scores[1])
    assert found.source == "annotated"
    assert find(Picture("/data/elsewhere/2.jpg", pixels)).boxes.tolist() == [[0, 0, 5, 5]]  # the only 2.jpg
    assert len(find(Picture("c/3.jpg", pixels))) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "boxes.csv:1: the header has no image and no x"),
        ("image,x,y,width\n", "boxes.csv:1: the header has no height; expected image, x, y, width, height"),
        ("image,x,y,width,height\na.jpg,1,2,3\n", "boxes.csv:2: box '1,2,3,'; expected four numbers"),
        ("image,x,y,width,height\na.jpg,1,2,3,4\nb.jpg,1,2,x,4\n", "boxes.csv:3: box '1,2,x,4'"),
        ("image,x,y,width,height\na.jpg,1,2,0,4\n", "boxes.csv:2: box [1.0, 2.0, 0.0, 4.0]; expected finite"),
        ("image,x,y,width,height\na.jpg,1,nan,1,4\n", "boxes.csv:2: box [1.0, nan, 1.0, 4.0]"),
        (b"\xff\xfe\x00image", "not a CSV table"),
    ],
)
def test_a_table_that_cannot_be_used_names_its_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    (tmp_path / "boxes.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as error:
        Boxes(tmp_path / "boxes.csv")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("spec", "kind", "message"),
    [
        ("dlib", ParamsError, "detector 'dlib'; expected one of boxes, haar, none, yunet"),
        ("haar:x.xml", ParamsError, "expected haar alone: it takes no file"),
        ("boxes", ParamsError, "expected boxes:FILE.csv"),
        ("gone.csv", InputError, "gone.csv: no such file"),
        ("yunet", ParamsError, "needs its model file, which does not come with flmd; expected yunet:FILE"),
        ("yunet:gone.onnx", InputError, "gone.onnx: no such file; expected YuNet's model"),
    ],
)
def test_a_detector_that_is_not_there_is_said_in_one_line(
    spec: str, kind: type[FlmdError], message: str
) -> None:
    with pytest.raises(kind) as error:
        detection.get(spec)
    assert message in str(error.value)


def test_a_file_that_is_not_yunets_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "yunet.onnx").write_bytes(b"not a network")
    with pytest.raises(InputError, match="yunet.onnx: not a model that OpenCV runs as YuNet"):
        detection.get(f"yunet:{tmp_path / 'yunet.onnx'}")


class Net:
    """cv2.FaceDetectorYN with two faces in it; like the real one it wants BGR of the size it was told."""

    def setInputSize(self, size: tuple[int, int]) -> None:  # noqa: N802 - OpenCV's name
        self.size = size

    def detect(self, bgr: NDArray[np.uint8]) -> tuple[int, NDArray[np.float32] | None]:
        assert (bgr.shape[1], bgr.shape[0]) == self.size
        if bgr.max() == 0:
            return 1, None
        assert bgr[0, 0].tolist() == [0, 0, 200]  # red
        rows = np.zeros((2, 15), np.float32)
        rows[:, :4], rows[:, 14] = [[10, 20, 30, 40], [60, 20, -1, 40]], [0.9, 0.8]
        return 1, rows


def test_yunet_rows_become_boxes_with_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "yunet.onnx").write_bytes(b"")
    monkeypatch.setattr("cv2.FaceDetectorYN.create", lambda *arguments: Net())
    find = YuNet(tmp_path / "yunet.onnx")
    red = np.zeros((80, 120, 3), np.uint8)
    red[..., 0] = 200
    found = find(Picture("", red))
    np.testing.assert_allclose(found.scores, [0.9])
    np.testing.assert_allclose(found.boxes, [[5, 20, 40, 40]])  # the square around 10, 20, 30, 40
    assert len(find(Picture("", np.zeros((80, 120, 3), np.uint8)))) == 0
