"""Pictures that people hand in: any kind, any way up, whole or broken."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from flmd.core import geometry, images
from flmd.core.orientation import EXIF_ORIENTATION
from flmd.errors import InputError
from flmd.inference.picture import Picture, open_picture

SCENE = np.random.default_rng(3).integers(0, 255, (6, 9, 3), dtype=np.uint8)


def encoded(image: Image.Image, kind: str, orientation: int | None = None, **options: object) -> bytes:
    exif = Image.Exif()
    if orientation is not None:
        exif[EXIF_ORIENTATION] = orientation
    stream = io.BytesIO()
    image.save(stream, kind, exif=exif, **options)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_is_what_pillow_shows(kind: str, orientation: int) -> None:
    image = Image.fromarray(np.kron(SCENE, np.ones((8, 8, 1), np.uint8)))
    options = {} if kind == "PNG" else {"quality": 95}
    data = encoded(image, kind, orientation, **options)
    picture = open_picture(data)
    with Image.open(io.BytesIO(data)) as stored:
        wanted = np.asarray(ImageOps.exif_transpose(stored).convert("RGB")).astype(int)
    assert picture.orientation == orientation
    assert picture.size == (72, 48)
    assert picture.upright.shape == wanted.shape
    assert np.abs(picture.upright.astype(int) - wanted).mean() < 3  # decoders of lossy kinds differ a little


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_pixel_goes_where_its_coordinates_go(orientation: int) -> None:
    pixels = np.zeros((6, 9, 3), np.uint8)
    pixels[1, 7] = 255
    picture = Picture("", pixels, orientation)
    y, x = np.argwhere(picture.upright[..., 0] == 255)[0]
    np.testing.assert_array_equal(geometry.apply(picture.to_upright, [[7.0, 1.0]]), [[x, y]])


def test_exif_can_be_ignored() -> None:
    data = encoded(Image.fromarray(SCENE), "PNG", 6)
    assert open_picture(data, exif=False).orientation == 1
    np.testing.assert_array_equal(open_picture(data, exif=False).upright, SCENE)


def test_a_path_its_bytes_and_its_array_are_one_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(SCENE).save(path)
    for image in (path, str(path), path.read_bytes(), SCENE):
        np.testing.assert_array_equal(open_picture(image).pixels, SCENE)
    assert open_picture(str(path)).name == str(path)


def test_every_kind_of_pixel_becomes_rgb() -> None:
    grey = SCENE[..., 0]
    rgba = np.dstack([SCENE, np.full(SCENE.shape[:2], 128, np.uint8)])
    np.testing.assert_array_equal(open_picture(grey).pixels, np.dstack([grey] * 3))
    np.testing.assert_array_equal(open_picture(rgba).pixels, SCENE)
    np.testing.assert_array_equal(open_picture(encoded(Image.fromarray(grey), "PNG")).pixels[..., 2], grey)
    np.testing.assert_array_equal(open_picture(encoded(Image.fromarray(rgba, "RGBA"), "PNG")).pixels, SCENE)
    wide = Image.fromarray(grey.astype(np.uint16) * 256 + 7)  # 16 bits; their upper half is kept
    np.testing.assert_array_equal(open_picture(encoded(wide, "PNG")).pixels[..., 1], grey)
    palette = Image.fromarray(grey).convert("P")
    np.testing.assert_array_equal(open_picture(encoded(palette, "PNG")).pixels[..., 0], grey)
    assert open_picture(encoded(Image.fromarray(SCENE).convert("CMYK"), "JPEG")).pixels.shape == SCENE.shape
    assert open_picture(encoded(palette, "GIF")).pixels.shape == SCENE.shape


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (SCENE.astype(np.float32), "an array of float32; expected (H, W), (H, W, 3) RGB or"),
        (SCENE[..., :2], "an array of shape (6, 9, 2)"),
        (SCENE[:0], "an array of shape (0, 9, 3)"),
        (SCENE[None], "an array of shape (1, 6, 9, 3)"),
        (17, "an image of type int; expected a path, bytes or a uint8 array"),
        (b"", "the picture has no bytes"),
        (b"<html>not found</html>", "not a picture: it starts with b'<html>no'"),
        (b"\xff\xd8\xff\xe0 no more", "picture header: "),
        ("no/such.jpg", "no/such.jpg: no such file"),
        (".", ".: a folder; expected a picture"),
    ],
)
def test_what_is_no_picture_is_said_in_one_line(image: object, message: str) -> None:
    with pytest.raises(InputError) as error:
        open_picture(image)  # type: ignore[arg-type]
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_a_small_file_that_announces_a_huge_picture_is_not_decoded() -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    with pytest.raises(InputError, match="60000x60000 pixels, the limit is 100 million for its kind"):
        open_picture(bomb)


WHOLE = {
    "png": encoded(Image.fromarray(np.kron(SCENE, np.ones((4, 4, 1), np.uint8))), "PNG", 6),
    "jpeg": encoded(Image.fromarray(np.kron(SCENE, np.ones((4, 4, 1), np.uint8))), "JPEG", 6),
    "webp": encoded(Image.fromarray(np.kron(SCENE, np.ones((4, 4, 1), np.uint8))), "WEBP", 6),
    "tiff": encoded(Image.fromarray(SCENE), "TIFF", 6),
}


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(WHOLE)),
    st.floats(0, 1),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
)
def test_damaged_bytes_end_in_a_picture_or_in_one_line(
    kind: str, kept: float, changes: list[tuple[float, int]]
) -> None:
    data = bytearray(WHOLE[kind][: round(len(WHOLE[kind]) * max(kept, 0.02))])
    for place, value in changes:
        data[min(int(place * len(data)), len(data) - 1)] = value
    with contextlib.suppress(InputError):  # its text is one line, whatever it is made of
        picture = open_picture(bytes(data), max_pixels=1e6)
        assert picture.upright.dtype == np.uint8
        assert picture.upright.ndim == 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_decoders_turn_tiffs_themselves_so_that_what_is_stored_is_upright(orientation: int) -> None:
    data = encoded(Image.fromarray(SCENE), "TIFF", orientation)
    picture = open_picture(data)
    with Image.open(io.BytesIO(data)) as stored:
        wanted = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    assert picture.orientation == 1
    np.testing.assert_array_equal(picture.upright, wanted)
    assert picture.size == images.probe(data)  # what flmd-data takes for the size
