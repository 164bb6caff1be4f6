"""The page in real Chromium: pictures in, points at their places, files out; and what is no picture."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import flmd
from benchmarks import four_ways
from benchmarks.agreement import compared
from flmd.app.settings import PageSettings
from flmd.inference.video.drawing import POINT
from flmd.sources.sample import ibug300w
from tests.app.made_model import make_model
from tests.app.page_driver import PATIENCE, Page, page_served
from tests.app.picture_server import PictureServer, body, picture_server, silent
from tests.browser import chromium

CAMERA = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model") / "tiny.pt")


@pytest.fixture(scope="module")
def two_faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn picture with two faces, both of which Haar's cascade finds."""
    planned = [p for p in ibug300w.plan(24, 0) if p.heads == 2 and p.test]
    path = tmp_path_factory.mktemp("pictures") / "two faces.jpg"
    path.write_bytes(ibug300w.draw(0, planned[0])[0].jpeg)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server lives: home, work and temporary are folders in it."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def page(model: Path, folder: Path) -> Iterator[Page]:
    settings = PageSettings(
        models=(str(model),), allow_private=True, max_megabytes=1, max_megapixels=9, fetch_seconds=1
    )
    with page_served(settings, folder) as address, chromium(*CAMERA) as browser:
        browser.driver.set_page_load_timeout(PATIENCE)
        yield Page(browser, address)


@pytest.fixture
def opened(page: Page) -> Iterator[Page]:
    """The page as a new visitor sees it; at the end it has shown no trace and asked nobody else."""
    page.open()
    yield page
    assert "Traceback" not in page.text()
    assert "Something went wrong here" not in page.text()
    assert page.all("[data-testid=stException]") == []
    assert page.browser.requests_elsewhere() == []


@pytest.fixture
def server(two_faces: Path) -> Iterator[PictureServer]:
    answers = {
        "/two%20faces.jpg": body(two_faces.read_bytes()),
        "/page.html": body(b"<html><script>alert(1)</script></html>"),
        "/slow": silent,
        "/huge": body(b"\xff\xd8\xff" + b"x" * (1 << 21)),
    }
    with picture_server(answers) as server:
        yield server


def expected(model: Path, picture: Path | bytes, detector: str = "haar") -> NDArray[np.float32]:
    """(N, K, 2) points of the faces, by the library."""
    faces = flmd.load(model).predict(picture, detector)
    return np.stack([face.landmarks for face in faces])


def points_of_coco(path: Path) -> NDArray[np.float64]:
    rows = [entry["keypoints"] for entry in json.loads(path.read_text())["annotations"]]
    return np.array(rows, float).reshape(len(rows), -1, 3)[:, :, :2]


def dots(pixels: NDArray[np.uint8], places: NDArray[np.floating], reach: int) -> NDArray[np.float64]:
    """(N, 2) centroids of what has the colour of points, in squares around (N, 2) places."""
    near = np.linalg.norm(pixels.astype(float) - POINT, axis=2)
    weight = np.clip(1 - near / 120, 0, 1)
    found = []
    for x, y in np.rint(places).astype(int):
        part = weight[y - reach : y + reach + 1, x - reach : x + reach + 1]
        rows, columns = np.mgrid[y - reach : y + reach + 1, x - reach : x + reach + 1]
        assert part.sum() > 1, f"no point near {x}, {y}"
        found.append(((columns * part).sum() / part.sum(), (rows * part).sum() / part.sum()))
    return np.array(found)


def test_points_appear_at_their_places_and_go_home(
    opened: Page, model: Path, two_faces: Path, tmp_path: Path
) -> None:
    opened.upload(two_faces)
    opened.faces(2)
    truth = expected(model, two_faces)
    # On the screen, whatever size the picture has there.
    width, height = flmd.inference.picture.open_picture(two_faces).size
    pixels, (left, top, shown_width, shown_height) = opened.picture_on_screen("[data-testid=stImage] img")
    scale = np.array([shown_width / width, shown_height / height])
    places = (truth.reshape(-1, 2) + 0.5) * scale - 0.5 + [left, top]
    seen = dots(pixels, places, reach=round(6 * scale[0]))
    assert np.abs((seen - places) / scale).max() < 1
    assert len(opened.all(".st-key-each_face img")) == 2
    # In the files.
    coco = opened.downloaded("download_annotations", tmp_path)
    assert coco.name == "two_faces.json"
    assert np.abs(points_of_coco(coco) - truth).max() < 1e-3
    opened.choose("format", "pts")
    packed = opened.downloaded("download_annotations", tmp_path)
    assert packed.name == "two_faces.zip"
    drawn = opened.downloaded("download_picture", tmp_path)
    assert drawn.name == "two_faces_landmarks.png"
    pixels = cv2.imread(str(drawn), cv2.IMREAD_COLOR_RGB)
    assert pixels.shape[:2] == (height, width)
    assert np.abs(dots(pixels, truth.reshape(-1, 2), 5) - truth.reshape(-1, 2)).max() < 0.6


def test_the_detector_is_the_visitors_choice(
    opened: Page, model: Path, two_faces: Path, tmp_path: Path
) -> None:
    opened.upload(two_faces)
    opened.faces(2)
    opened.choose("detector", "whole picture")
    opened.faces(1)
    coco = opened.downloaded("download_annotations", tmp_path)
    assert np.abs(points_of_coco(coco) - expected(model, two_faces, "none")).max() < 1e-3


def test_a_picture_that_is_stored_lying_is_shown_upright(
    opened: Page, model: Path, two_faces: Path, tmp_path: Path
) -> None:
    pixels = cv2.imread(str(two_faces))
    turned = cv2.imencode(".jpg", cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE))[1].tobytes()
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + b"\0\0\0\0"
    path = tmp_path / "lying.jpg"
    path.write_bytes(turned[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + turned[2:])
    opened.upload(path)
    opened.faces(2)
    _, (_, _, width, height) = opened.picture_on_screen("[data-testid=stImage] img")
    assert width / height == pytest.approx(pixels.shape[1] / pixels.shape[0], rel=0.02)
    coco = opened.downloaded("download_annotations", tmp_path)
    stored = expected(model, path)  # COCO's are of the picture as it is shown: a quarter turn clockwise
    shown = np.stack([pixels.shape[1] - 1 - stored[..., 1], stored[..., 0]], axis=-1)
    assert np.abs(points_of_coco(coco) - shown).max() < 1e-3


def test_a_picture_from_an_address(opened: Page, server: PictureServer, tmp_path: Path) -> None:
    opened.way("Web address")
    opened.fetch(server.url("/two%20faces.jpg"))
    opened.faces(2)
    assert opened.downloaded("download_annotations", tmp_path).name == "two_faces.json"


def test_what_is_at_no_address_is_said(opened: Page, server: PictureServer) -> None:
    opened.way("Web address")
    for url, words in {
        server.url("/page.html"): "There is no picture at this address",
        server.url("/slow"): "127.0.0.1 took more than 1 seconds",
        server.url("/huge"): "The picture is larger than 1 MB",
        server.url("/gone.jpg"): "The server answers 404",
        "http://127.0.0.1:9/": "127.0.0.1 does not answer",
        "file:///etc/passwd": "The address must begin with http:// or https://",
        "http://[![x](http://127.0.0.1:9/y.png)": "This is not an address of the web",
        "http://0.0.0.0/": "0.0.0.0 is not a server on the public internet",
    }.items():
        opened.fetch(url)
        opened.message(words)
    assert opened.all("[data-testid=stImage]") == []


def huge_png() -> bytes:
    """A whole PNG of a few hundred bytes that announces 30000 x 30000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(3000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_what_is_no_picture_is_said(opened: Page, two_faces: Path, tmp_path: Path) -> None:
    grey = cv2.imencode(".png", np.full((80, 90, 3), 128, np.uint8))[1].tobytes()
    for name, data, words in (
        ("text.jpg", b"this is not a picture", "This is not a picture. It may be JPEG"),
        ("empty.png", b"", "This file is empty"),
        ("cut.jpg", two_faces.read_bytes()[:2000], "This picture is cut short"),
        ("bomb.png", huge_png(), "too many pixels. The limit is 9 million"),
        ("damaged.png", grey[:40] + bytes(20) + grey[60:], "damaged"),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "This is not a picture"),
        ("nobody.png", grey, "No face was found in this picture"),
    ):
        (tmp_path / name).write_bytes(data)
        opened.upload(tmp_path / name)
        opened.message(words)


def test_a_file_that_is_too_long_is_not_taken(opened: Page, tmp_path: Path) -> None:
    (tmp_path / "long.jpg").write_bytes(b"\xff\xd8\xff" + bytes(2 << 20))
    opened.upload(tmp_path / "long.jpg")
    opened.until(lambda: "must be 1" in opened.text())


def test_a_name_is_only_a_name(opened: Page, two_faces: Path, tmp_path: Path) -> None:
    path = tmp_path / "<img src=x onerror=alert(1)> ![y](z) $x$ :red[a] & ü.jpg"
    path.write_bytes(two_faces.read_bytes())
    opened.upload(path)
    opened.faces(2)
    assert opened.all("img[src=x], img[src=z], .katex") == []
    name = opened.downloaded("download_annotations", tmp_path).name
    assert name == "img_src_x_onerror_alert_1_y_z_x_red_a_ü.json"


def test_the_camera(opened: Page) -> None:
    """Chromium's own moving test picture: no face, but all of it may be taken for one."""
    opened.choose("detector", "whole picture")
    opened.way("Camera")
    # Before the stream's first picture a click takes nothing; after it, it clears the picture.
    shoot = """
        const button = document.querySelector('[data-testid=stCameraInputButton]');
        if (button && !button.disabled && button.innerText.includes('Take')) button.click();
        return !!button && button.innerText.includes('Clear');
    """
    opened.until(lambda: opened.browser.script(shoot))
    opened.faces(1)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_phone_shows_all_of_it(page: Page, two_faces: Path, dark: bool) -> None:
    page.open(width=390, height=844, dark=dark)
    page.upload(two_faces)
    page.faces(2)
    assert page.browser.overflow() == 0
    background = page.browser.script(
        "return getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
    )
    level = np.mean([int(n) for n in background.removeprefix("rgb(").removesuffix(")").split(",")])
    assert level < 60 if dark else level > 200
    sides = {image.size["width"] for image in page.all(".st-key-each_face img")}
    assert max(sides) <= 180
    assert page.browser.errors() == []


def test_real_faces_are_where_the_library_finds_them(
    opened: Page, model: Path, shared_data: Path, tmp_path: Path
) -> None:
    picture = shared_data / "dlib_faces" / "2008_001322.jpg"
    truth = expected(model, picture)
    opened.upload(picture)
    opened.faces(len(truth))
    coco = opened.downloaded("download_annotations", tmp_path)
    assert np.abs(points_of_coco(coco) - truth).max() < 1e-3


def test_four_ways_give_the_same_points(page: Page, model: Path, two_faces: Path, tmp_path: Path) -> None:
    """What ``python -m benchmarks.agreement`` does with fifty real pictures."""
    rgb = flmd.inference.picture.open_picture(two_faces).pixels
    bgr = np.ascontiguousarray(rgb[:, :, ::-1])
    large = cv2.resize(bgr, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    lossy = [cv2.IMWRITE_JPEG_QUALITY, 60]
    for name, pixels, options in (
        ("grey.jpg", cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), lossy),
        ("deep.png", bgr.astype(np.uint16) * 257, []),
        ("clear.png", np.dstack([bgr, np.full(bgr.shape[:2], 90, np.uint8)]), []),
        ("large.jpg", large, lossy),
    ):
        (tmp_path / name).write_bytes(cv2.imencode(Path(name).suffix, pixels, options)[1].tobytes())
    pictures = sorted(tmp_path.iterdir())
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    python = four_ways.by_python(model, pictures, "haar")
    assert {len(points) for points in python.values()} == {2}
    for points in (
        four_ways.by_command(model, pictures, "haar", tmp_path / "predicted"),
        four_ways.by_onnx(model, pictures, "haar", tmp_path / "model.onnx"),
        four_ways.by_page(page, pictures, "haar", downloads),
    ):
        rows = compared(python, points)
        assert [row for row in rows if not row.agrees] == []
        assert len(rows) == 4


def test_nothing_that_was_sent_stays(page: Page, folder: Path) -> None:
    """Runs last: what all the tests above sent."""
    assert page.address
    left = [p for place in ("home", "work", "temporary") for p in (folder / place).rglob("*") if p.is_file()]
    assert left == []
    assert "Traceback" not in (folder / "log").read_text()
