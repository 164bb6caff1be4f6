"""The parts of the page that need no browser: words, names, models, files, drawing, the command."""

from __future__ import annotations

import io
import sys
import unicodedata
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flmd import formats
from flmd.app.analysis import Analyser, DetectorError, opened
from flmd.app.annotations import annotation_file, offered
from flmd.app.drawing import annotated, face_picture
from flmd.app.fetch import FetchError
from flmd.app.kinds import KINDS, kind_of
from flmd.app.model_files import model_files
from flmd.app.settings import PageSettings
from flmd.app.words import file_name, plain, sentence
from flmd.cli import app as app_command
from flmd.cli import flmd
from flmd.conversion.opening import open_faces
from flmd.core.images import ImageError
from flmd.errors import ParamsError
from flmd.face import Face, visibility_of
from flmd.inference.picture import Picture
from flmd.inference.video.drawing import POINT
from flmd.schemes import CELEBA5, IBUG68, Scheme
from tests.app.made_model import make_model
from tests.factories import blob_picture, centroid


@given(st.text(max_size=200))
def test_a_file_name_is_one_visible_part_of_a_path(text: str) -> None:
    name = file_name(text)
    assert 0 < len(name) <= 80
    assert not name.startswith((".", "-"))
    assert all(c.isalnum() or c in "._-" or unicodedata.category(c)[0] in "MN" for c in name)
    assert Path("/folder", name).parent == Path("/folder")


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        ("face.jpg", "face.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\Ünal 1.JPG", "Ünal_1.JPG"),
        ("a/b/", "b"),
        ("..", "picture"),
        ("", "picture"),
        ("<script>.png", "script_.png"),
        ("x" * 300 + ".png", "x" * 70 + ".png"),
        ("nul\0l.png", "nul_l.png"),
    ],
)
def test_file_names(given_name: str, name: str) -> None:
    assert file_name(given_name) == name


def test_plain_text_is_no_markdown() -> None:
    assert plain("![a](b) <i> $x$ :red[y] `z`") == (r"\!\[a\]\(b\) \<i\> \$x\$ \:red\[y\] \`z\`")
    assert plain("a\nb\x00") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"


def test_every_kind_of_picture_is_known_by_its_bytes() -> None:
    pixels = np.zeros((20, 20, 3), np.uint8)
    endings = {"JPEG": ".jpg", "PNG": ".png", "WebP": ".webp", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tiff"}
    assert {*endings, "AVIF", "HEIC"} == set(KINDS)
    for kind, brands in (("AVIF", b"avif\0\0\0\0avifmif1"), ("HEIC", b"heic\0\0\0\0mif1heic")):
        assert kind_of(b"\0\0\0\x18ftyp" + brands) == kind
    for kind, ending in endings.items():
        assert kind_of(cv2.imencode(ending, pixels)[1].tobytes()[:32]) == kind
    for other in (
        b"",
        b"\xff\xd8",
        b"%!PS-Adobe-3.0 EPSF-3.0",
        b"<svg ",
        b"RIFF1234WAVE",
        b"BM",
        b"\0\0\0\x18ftypisom\0\0\0\0mp41mp42",
        b"P6\n1 1\n255\n",
    ):
        assert kind_of(other) is None


def test_what_went_wrong_is_a_sentence() -> None:
    def said(error: ImageError | FetchError) -> str:
        return sentence(error, max_megapixels=50)

    assert said(ImageError("image_too_large", "", where="x")) == (
        "This picture has too many pixels. The limit is 50 million, less for other kinds than plain JPEG."
    )
    assert "GIF, BMP, TIFF, AVIF or HEIC." in said(ImageError("image_unknown", "starts with b'<ht'"))
    assert said(FetchError("refused", "x is not public", hint="check")) == "X is not public; check."


def test_models_are_found_where_trainings_put_them(tmp_path: Path) -> None:
    for name in (
        "data/model/best.pt",
        "data/model/last.pt",
        "runs/b/best.pt",
        "runs/a/m.pt",
        "runs/a/best.pt",
        "runs/a/resume/state.pt",
        "runs/a/.best.pt.tmp",
        "runs/a/.hidden/x.pt",
        "runs/a/arrays.h5",
        "elsewhere/best.pt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = ["data/model/best.pt", "data/model/last.pt", "runs/a/best.pt", "runs/a/m.pt", "runs/b/best.pt"]
    assert [p.as_posix() for p in model_files([], tmp_path)] == found
    first = [str(tmp_path / "elsewhere/best.pt"), str(tmp_path / "runs/b/best.pt")]
    assert [str(p) for p in model_files(first, tmp_path)] == first + found[:-1]


def faces_of(scheme: Scheme, count: int = 2) -> list[Face]:
    rng = np.random.default_rng(0)
    points = rng.uniform(20, 90, (count, scheme.count, 2)).astype(np.float32)
    box = np.array([15, 15, 80, 80], np.float32)
    return [
        Face(
            "group.jpg",
            p,
            visibility_of(p),
            box,
            "detector",
            image_size=(120, 110),
            attributes={"score": 9.0},
        )
        for p in points
    ]


@pytest.mark.parametrize("scheme", [IBUG68, CELEBA5], ids=lambda s: s.name)
def test_every_format_offered_gives_the_points_back(scheme: Scheme, tmp_path: Path) -> None:
    faces = faces_of(scheme)
    names = offered(scheme)
    assert names[:4] == ["coco", "dlib-xml", "csv", "cvat"]
    assert {"kaggle-csv", "300vw", "wflw"}.isdisjoint(names)  # pixels inside, or another scheme
    jpeg = cv2.imencode(".jpg", np.zeros((110, 120, 3), np.uint8))[1].tobytes()
    for name in names:
        fmt, file = formats.get(name), annotation_file(faces, scheme, name, "group")
        folder = tmp_path / name
        place = folder / fmt.picture_name(faces[0])
        place.parent.mkdir(parents=True)
        place.write_bytes(jpeg)
        if file.name.endswith(".zip"):
            with zipfile.ZipFile(io.BytesIO(file.data)) as packed:
                packed.extractall(folder)
        else:
            (folder / file.name).write_bytes(file.data)
        with open_faces(str(folder), from_=name) as source:
            back = [face for face in source if isinstance(face, Face)]
        assert len(back) == 2 - file.lost.get("another face of one picture", 0), name
        step = max(0.51 * fmt.precision, 1e-3)
        for again in back:  # in the order of their files' names
            away = [np.abs(again.landmarks - face.landmarks).max() for face in faces]
            assert min(away) < step, name


def test_what_a_format_loses_is_said() -> None:
    assert annotation_file(faces_of(IBUG68), IBUG68, "pts", "x").lost["box"] == 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_points_are_drawn_on_what_they_mark(orientation: int) -> None:
    """A bright blob, the picture turned by EXIF and shrunk: the dot covers the blob's centre."""
    place = (301.0, 122.0)
    stored = blob_picture(480, 400, place, sigma=6.0)
    points = np.array([place, (100.0, 300.0)], np.float32)
    box = np.array([250, 80, 100, 90], np.float32)
    face = Face("x", points, visibility_of(points), box, "detector")
    picture = Picture("x", stored, orientation)
    clean = annotated(picture, [], longest_side=240)
    drawn = annotated(picture, [face], longest_side=240)
    assert max(drawn.shape) == 240
    wanted = np.array(centroid(clean[:, :, 0]))
    distance = np.linalg.norm(drawn.astype(float) - POINT, axis=2)
    rows, columns = np.mgrid[: drawn.shape[0], : drawn.shape[1]]
    near = np.hypot(columns - wanted[0], rows - wanted[1]) < 5
    weight = np.clip(1 - distance / 120, 0, 1) * near
    dot = ((columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum())
    assert np.abs(np.array(dot) - wanted).max() < 0.5
    close = face_picture(picture, face, 168)
    assert close.shape == (168, 168, 3)
    assert (np.linalg.norm(close.astype(float) - POINT, axis=2) < 60).any()


def test_an_analyser_says_what_it_cannot_use(tmp_path: Path) -> None:
    look = Analyser(make_model(tmp_path / "m.pt"))
    picture = cv2.imencode(".png", np.full((90, 80, 3), 90, np.uint8))[1].tobytes()
    grey = opened(picture, "x.png", max_pixels=1e6)
    found = look(grey, "none")
    assert [f.landmarks.shape for f in found.faces] == [(5, 2)]
    assert found.faces[0].image == found.name == "x.png"
    assert found.size == (80, 90)
    assert found.detection_seconds >= 0 < found.landmark_seconds
    assert look(grey, "haar").faces == []
    for data, reason in ((b"", "image_empty"), (b"%!PS-Adobe", "image_unknown"), (picture[:50], "image_")):
        with pytest.raises(ImageError) as caught:
            opened(data, "x.png", max_pixels=1e6)
        assert caught.value.reason.startswith(reason)
    with pytest.raises(ImageError, match="limit"):
        opened(picture, "x.png", max_pixels=80 * 90 - 1)
    with pytest.raises(DetectorError):
        look(grey, f"yunet:{tmp_path / 'none.onnx'}")


def test_the_command_hands_its_options_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "m.pt"
    model.touch()
    served: list[tuple[PageSettings, str, int]] = []
    monkeypatch.setattr(app_command, "serve", lambda *given: served.append(given))
    monkeypatch.setattr(sys, "argv", ["flmd", "app", "-m", str(model), "--port", "8600", "--allow-private"])
    with pytest.raises(SystemExit) as ended:
        flmd.main()
    assert not ended.value.code
    [(settings, host, port)] = served
    assert (host, port) == ("127.0.0.1", 8600)
    assert settings == PageSettings(models=(str(model),), allow_private=True)
    assert PageSettings.from_arguments([settings.argument()]) == settings
    assert not PageSettings.from_arguments([]).allow_private


def test_the_command_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, words in (
        (["-m", str(tmp_path / "none.pt")], "none.pt: no such file"),
        (["--yunet", str(tmp_path / "none.onnx")], "none.onnx: no such file"),
        (["--port", "0"], "--port"),
    ):
        monkeypatch.setattr(sys, "argv", ["flmd", "app", *arguments])
        with pytest.raises(SystemExit) as ended:
            flmd.main()
        assert ended.value.code == 2
        assert words in capsys.readouterr().err


def test_streamlit_is_kept_quiet_and_local() -> None:
    options = app_command.streamlit_options(PageSettings(), "127.0.0.1", 8501)
    assert ("server.address", "127.0.0.1") in options
    assert ("browser.gatherUsageStats", "false") in options
    assert ("server.headless", "true") in options
    assert ("client.showErrorDetails", "none") in options
    hosts = [value for name, value in options if name == "server.allowedHosts"]
    assert hosts == ["127.0.0.1", "::1", "localhost"]
    everywhere = app_command.streamlit_options(PageSettings(), "0.0.0.0", 8501)
    assert "server.allowedHosts" not in dict(everywhere)


def test_a_port_in_use_is_said() -> None:
    import socket

    pytest.importorskip("streamlit")
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ParamsError, match="cannot serve on"):
        app_command.serve(PageSettings(), "127.0.0.1", taken.getsockname()[1])
