"""`flmd predict` and `flmd camera` as they are called."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from typer import Typer

from flmd.cli.calibrate import calibrate_command
from flmd.cli.common import main_for
from flmd.cli.predict import camera_command, predict_command
from flmd.conversion.opening import open_faces
from flmd.core import palette
from flmd.core.orientation import EXIF_ORIENTATION
from flmd.face import Face
from flmd.inference.landmarker import load
from flmd.schemes.head_pose import estimate_pose
from tests.inference.video.blob import random_model
from tests.inference.video.test_video import write_avi

app = Typer()
app.command("predict")(predict_command)
app.command("camera")(camera_command)
app.command("calibrate")(calibrate_command)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_model(tmp_path_factory.mktemp("model") / "best.pt")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two pictures, one of them turned by EXIF, in the current folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "in" / "b").mkdir(parents=True)
    pixels = cv2.resize(rng.integers(0, 255, (8, 12, 3), dtype=np.uint8), (120, 80))
    Image.fromarray(pixels).save(tmp_path / "in" / "a.png")
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    Image.fromarray(pixels).save(tmp_path / "in" / "b" / "c.jpg", exif=exif, quality=95)
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["flmd", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main_for(lambda _: app, "flmd")()
    return int(ended.value.code or 0)


def faces_in(path: Path) -> list[Face]:
    with open_faces(path) as source:
        return [face for face in source if isinstance(face, Face)]


def as_shown(points: np.ndarray) -> np.ndarray:
    """Where points of a stored 120x80 picture are seen, turned clockwise: x' = H - 1 - y, y' = x."""
    return np.stack([80 - 1 - points[:, 1], points[:, 0]], axis=1)


def is_point_drawn(path: Path, x: float, y: float) -> bool:
    """Whether the pixel has the colour of predicted points."""
    pixel = np.asarray(Image.open(path).convert("RGB"))[round(y), round(x)].astype(int)
    return bool(np.linalg.norm(pixel - palette.rgb(palette.PREDICTED)) < 90)


def test_points_are_written_and_drawn_where_python_has_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path, model: Path
) -> None:
    assert call(monkeypatch, "predict", "in", "-m", model, "--detector", "none", "-o", "out") == 0
    assert "2 pictures, 2 faces" in capsys.readouterr().out
    faces = {face.image: face for face in faces_in(folder / "out" / "annotations.json")}
    assert sorted(faces) == ["a.png", "b/c.jpg"]
    landmarker = load(model, "cpu")
    drawn = {"a.png": "a_faces.png", "b/c.jpg": "b/c_faces.jpg"}  # names that no reader takes for the picture
    for name, face in faces.items():
        (found,) = landmarker.predict(folder / "in" / name, "none")
        assert found.image_size == (120, 80)  # as stored, also of the turned one
        turned = name == "b/c.jpg"  # COCO's coordinates are of the picture as it is shown
        wanted = as_shown(found.landmarks) if turned else found.landmarks
        np.testing.assert_allclose(face.landmarks, wanted, atol=1e-3)
        assert face.image_size == ((80, 120) if turned else (120, 80))
        assert face.box_source == "image"
        point = face.landmarks[30]
        if (point >= 1).all():
            assert is_point_drawn(folder / "out" / "drawn" / drawn[name], *point)
    assert Image.open(folder / "out" / "drawn" / "b" / "c_faces.jpg").size == (80, 120)


def test_a_line_of_json_for_each_picture_and_no_files(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path, model: Path
) -> None:
    assert call(monkeypatch, "predict", "in", "-m", model, "--detector", "none", "--json", "--pose") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["image"] for line in lines] == ["a.png", "b/c.jpg"]
    assert not (folder / "predictions").exists()
    landmarker = load(model, "cpu")
    for line in lines:
        assert line["scheme"] == landmarker.scheme.name
        ((told,), (found,)) = line["faces"], landmarker.predict(folder / "in" / line["image"], "none")
        assert np.array_equal(np.array(told["points"], np.float32), found.landmarks)
        assert told["box"] == [0, 0, 120, 80]
        points = found.landmarks if line["image"] == "a.png" else as_shown(found.landmarks)
        angles = [float(angle[0]) for angle in estimate_pose(points[None])]
        assert [told[name] for name in ("yaw", "pitch", "roll")] == pytest.approx(angles, abs=0.01)
    write_avi(folder / "in" / "v.avi")
    assert call(monkeypatch, "predict", "in", "-m", model, "--detector", "none", "--json") == 2
    assert "v.avi is a video; leave --json out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("to", "file"), [("csv", "annotations.csv"), ("cvat", "annotations.xml"), ("pts", "")]
)
def test_predictions_read_back_from_other_formats(
    monkeypatch: pytest.MonkeyPatch, folder: Path, model: Path, to: str, file: str
) -> None:
    options = ("-m", model, "--detector", "none", "-o", "out", "--to", to, "--no-draw", "--images", "copy")
    assert call(monkeypatch, "predict", "in", *options) == 0
    faces = faces_in(folder / "out" / (file or "annotations"))
    wanted = {n: load(model, "cpu").predict(folder / "in" / n, "none")[0] for n in ("a.png", "b/c.jpg")}
    assert sorted(face.image for face in faces) == sorted(wanted)
    for face in faces:
        points = wanted[face.image].landmarks
        if to == "cvat" and face.image == "b/c.jpg":
            points = as_shown(points)
        np.testing.assert_allclose(face.landmarks, points, atol=0.01)
    assert not (folder / "out" / "drawn").exists()


def test_a_bad_picture_is_one_line_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path, model: Path
) -> None:
    (folder / "in" / "cut.jpg").write_bytes((folder / "in" / "b" / "c.jpg").read_bytes()[:700])
    (folder / "in" / "empty.png").write_bytes(b"")
    (folder / "in" / "notes.txt").write_text("not a picture, and not named like one")
    assert call(monkeypatch, "predict", "in", "-m", model, "--detector", "none", "-o", "out") == 2
    said = capsys.readouterr()
    bad = [line for line in said.err.splitlines() if line.startswith("bad: ")]
    assert len(bad) == 2
    assert bad[0].startswith("bad: in/cut.jpg: ")
    assert bad[1] == "bad: in/empty.png: the picture has no bytes"
    assert "passed over: 1 files" in said.err
    assert "Traceback" not in said.err
    assert len(faces_in(folder / "out" / "annotations.json")) == 2


def test_files_archives_and_patterns_together(
    monkeypatch: pytest.MonkeyPatch, folder: Path, model: Path
) -> None:
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.write(folder / "in" / "a.png", "x/a.png")
    write_avi(folder / "in" / "clip.avi", frames=3)
    options = ("-m", model, "--detector", "none", "-o", "out")
    assert call(monkeypatch, "predict", "in/*", "in/b/c.jpg", "more.zip", *options) == 0
    names = sorted(face.image for face in faces_in(folder / "out" / "annotations.json"))
    assert names == ["in/a.png", "in/b/c.jpg", "more.zip/x/a.png"]
    assert (folder / "out" / "in" / "clip_faces.mp4").stat().st_size > 0
    rows = (folder / "out" / "in" / "clip_faces.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["frame", "0", "1", "2"]


def test_boxes_of_a_table_and_no_face_at_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path, model: Path
) -> None:
    (folder / "boxes.csv").write_text("image,x,y,width,height\na.png,10,20,30,40\n")
    options = ("-m", model, "--detector", "boxes.csv", "--no-draw")
    assert call(monkeypatch, "predict", "in", *options, "-o", "one") == 0
    assert "2 pictures, 1 faces, 1 without a face" in capsys.readouterr().out
    (face,) = faces_in(folder / "one" / "annotations.json")
    assert face.box is not None
    assert face.box.tolist() == [10, 20, 30, 40]
    assert call(monkeypatch, "predict", "in/b/c.jpg", *options, "-o", "none") == 1
    assert "no face was found" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gone.jpg",), "error: gone.jpg: no such file or folder"),
        (("in/*.gif",), "error: in/*.gif: nothing matches this pattern"),
        (("in", "--to", "cocoo"), "error: unknown format 'cocoo'"),
        (("in", "--to", "wflw"), "error: --to wflw holds wflw98"),
        (
            ("in", "--images", "move"),
            "error: Invalid value for '--images': 'move' is not one of 'none', 'copy', 'link'",
        ),
        (("in", "--detector", "yunet"), "error: detector yunet needs its model file"),
        (("in", "-m", "gone.pt"), "error: gone.pt: no such model"),
        (("in", "-o", "in/a.png"), "error: in/a.png: is a file; expected a folder for the results"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    folder: Path,
    model: Path,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    given = arguments if "-m" in arguments else (*arguments, "-m", str(model))
    assert call(monkeypatch, "predict", *given) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1


def test_results_are_replaced_only_when_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path, model: Path
) -> None:
    options = ("predict", "in/a.png", "-m", model, "--detector", "none", "-o", "in/out")
    assert call(monkeypatch, *options) == 0
    assert call(monkeypatch, *options) == 2
    assert "in/out/annotations.json: exists already; add --overwrite" in capsys.readouterr().err
    # The folder again, with its own results in it: those are not taken for pictures.
    assert call(monkeypatch, "predict", "in", *options[2:], "--overwrite") == 0
    assert "2 pictures, 2 faces" in capsys.readouterr().out


def test_a_camera_that_is_not_there_and_a_window_without_a_display(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path, model: Path
) -> None:
    assert call(monkeypatch, "camera", "--device", 97, "-m", model) == 2
    assert "error: there is no camera 97; choose another with --device" in capsys.readouterr().err
    assert call(monkeypatch, "camera", "-m", model, "-o", "x.avi") == 2
    assert "expected a name ending in .mp4" in capsys.readouterr().err
    opened = cv2.VideoCapture
    clip = str(write_avi(folder / "clip.avi", frames=3))
    monkeypatch.setattr("cv2.VideoCapture", lambda place, *how: opened(clip if place == 0 else place, *how))
    assert call(monkeypatch, "camera", "-m", model, "-o", "x.mp4") == 0
    assert "x.mp4: 3 frames, 0 faces" in capsys.readouterr().out
    monkeypatch.delenv("DISPLAY", raising=False)
    assert call(monkeypatch, "camera", "-m", model) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: no window: ")
    assert "write the video with --out FILE.mp4, or use the web page: flmd app" in said
