"""Decoding: what is refused, what decodes, and that every path keeps pixel centres where they belong."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from flmd.core import geometry, images
from flmd.core.images import ImageError
from tests.factories import blob_picture, centroid


def encoded(rgb: np.ndarray, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, kind, **options)
    return stream.getvalue()


def smooth_picture(height: int = 120, width: int = 160) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    planes = [np.sin(x / 17.0), np.cos(y / 23.0), np.sin((x + y) / 29.0)]
    return (127 + 100 * np.stack(planes, axis=2)).astype(np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_kinds_come_back_exactly(kind: str) -> None:
    rgb = smooth_picture()
    data = encoded(rgb, kind)
    assert images.probe(data) == (160, 120)
    assert (images.decode(data) == rgb).all()


def test_jpeg_equals_pillows_decoder_to_two_levels() -> None:
    data = encoded(smooth_picture(), "JPEG", quality=95)
    independent = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert abs(images.decode(data).astype(int) - independent).max() <= 2


def test_without_simplejpeg_the_pixels_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(smooth_picture(), "JPEG", quality=90)
    with_it = [images.decode(data, n) for n in (1, 2, 4, 8)]
    monkeypatch.setattr(images, "simplejpeg", None)
    assert images.probe(data) == (160, 120)
    for n, expected in zip((1, 2, 4, 8), with_it, strict=True):
        assert (images.decode(data, n) == expected).all()


def test_grey_cmyk_alpha_and_16_bits_become_rgb() -> None:
    rgb = smooth_picture()
    grey = np.asarray(Image.fromarray(rgb).convert("L"))
    assert (images.decode(encoded(grey, "PNG"))[:, :, 1] == grey).all()
    alpha = np.dstack([rgb, np.full(rgb.shape[:2], 7, np.uint8)])
    assert (images.decode(encoded(alpha, "PNG")) == rgb).all()
    stream = io.BytesIO()
    Image.fromarray(rgb).convert("CMYK").save(stream, "JPEG", quality=95)
    assert abs(images.decode(stream.getvalue()).astype(int) - rgb).mean() < 3
    ok, deep = cv2.imencode(".png", grey.astype(np.uint16) * 257)
    assert ok
    assert (images.decode(deep.tobytes())[:, :, 0] == grey).all()


def test_exif_orientation_is_ignored() -> None:
    rgb = smooth_picture(40, 80)
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees to show"
    turned = encoded(rgb, "JPEG", quality=95, exif=exif)
    assert images.decode(turned).shape == (40, 80, 3)
    assert images.probe(turned) == (80, 40)


@pytest.mark.parametrize("reduction", [1, 2, 4, 8])
def test_reduced_decoding_keeps_pixel_centres(reduction: int) -> None:
    point = (101.3, 67.8)
    data = encoded(blob_picture(211, 149, point, sigma=9), "JPEG", quality=100, subsampling=0)
    small = images.decode(data, reduction)
    expected = geometry.apply(geometry.resize_affine(1 / reduction), [point])[0]
    assert small.shape[:2] == (-(-149 // reduction), -(-211 // reduction))
    assert centroid(small[:, :, 1]) == pytest.approx(tuple(expected), abs=0.05)


@pytest.mark.parametrize("shrink", [0.8, 1.0, 1.7, 2.0, 3.3, 6.0])
def test_warp_keeps_pixel_centres_at_every_scale(shrink: float) -> None:
    point = (140.3, 119.6)
    picture = blob_picture(301, 277, point, sigma=4.0 * max(shrink, 1))
    affine = geometry.square_crop(np.array([50.0, 40, 181, 171]), 1.0, round(181 / shrink))
    size = round(181 / shrink)
    crop = images.warp(picture, affine, size)
    expected = geometry.apply(affine, [point])[0]
    assert centroid(crop[:, :, 0]) == pytest.approx(tuple(expected), abs=0.05)


def test_shrinking_averages_instead_of_skipping_pixels() -> None:
    # A checkerboard of single pixels is mid-grey at half size; picking pixels would give 0 or 255.
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    small = images.warp(board, geometry.resize_affine(0.25), 16)
    assert abs(small[2:-2, 2:-2].astype(int) - 127).max() <= 1


def test_outside_the_picture_is_black() -> None:
    white = np.full((10, 10), 255, np.uint8)
    affine = np.array([[1.0, 0, 5], [0, 1.0, 5]])
    crop = images.warp(white, affine, 20)
    assert crop[:5].max() == 0
    assert crop[5:15, 5:15].min() == 255
    far = images.warp(white, np.array([[0.1, 0, 900.0], [0, 0.1, 900.0]]), 20)
    assert far.max() == 0


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header announces any size and whose pixels are missing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "image_empty"),
        (b"this is a text file called .jpg\n", "image_unknown"),
        (png_of(30000, 30000), "image_too_large"),
        (b"\xff\xd8\xff" + b"\0" * 50, "image_damaged"),
    ],
)
def test_refused_before_decoding(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError) as caught:
        images.probe(data, max_pixels=2e8)
    assert caught.value.reason == reason
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.97])
def test_truncated_pictures_are_refused(kind: str, share: float) -> None:
    rng = np.random.default_rng(0)
    data = encoded(rng.integers(0, 255, (90, 90, 3), dtype=np.uint8), kind)
    with pytest.raises(ImageError) as caught:
        images.decode(data[: int(len(data) * share)])
    assert caught.value.reason == "image_truncated"


def test_header_of_a_huge_jpeg_is_enough_to_refuse_it() -> None:
    data = bytearray(encoded(smooth_picture(16, 16), "JPEG"))
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", 30000, 30000)
    with pytest.raises(ImageError, match="30000x30000"):
        images.probe(bytes(data), max_pixels=2e8)


def test_stray_bytes_between_segments_do_not_lose_a_good_picture() -> None:
    rgb = smooth_picture()
    data = encoded(rgb, "JPEG", quality=95)
    cut = data.index(b"\xff\xdb")
    stray = data[:cut] + b"\x00\x00\x00" + data[cut:]
    assert (images.decode(stray) == images.decode(data)).all()


def test_real_jpegs_equal_opencvs_full_decoder(shared_data: Path) -> None:
    for path in sorted((shared_data / "ibug_300w" / "afw").glob("*.jpg"))[:20]:
        bgr = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        assert (images.decode(path.read_bytes()) == bgr[:, :, ::-1]).all()


def test_a_file_that_pillow_would_hand_to_another_program_is_no_picture() -> None:
    page = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\nshowpage\n%%EOF\n"
    with Image.open(io.BytesIO(page)) as opened:  # it knows the kind
        assert opened.format == "EPS"
    for look in (images.probe, images.decode):
        with pytest.raises(images.ImageError):
            look(page)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("side", [1e5, 1e9, 1e20, 1e30])
def test_a_box_of_absurd_size_shows_a_speck_and_takes_little_memory(side: float) -> None:
    white = np.full((32, 32, 3), 255, np.uint8)
    affine = geometry.square_crop(np.array([[5.0, 5.0, side, side]]), 1.3, 32)[0]
    seen = images.warp(white, affine, 32)
    assert seen.shape == (32, 32, 3)
    assert seen.mean() < 1


@given(
    st.floats(-180, 180),
    st.floats(0.55, 3),
    st.tuples(st.floats(-300, 100), st.floats(-300, 100)),
    st.sampled_from([(97, 120), (61, 80, 3)]),
    st.sampled_from(["linear", "cubic"]),
)
@settings(max_examples=60, deadline=None)
def test_the_way_on_arm_gives_the_same_pixels(degrees, zoom, shift, shape, interpolation) -> None:
    """Whole numbers of our own through cv2.remap, beside cv2.warpAffine."""
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    cos, sin = zoom * np.cos(np.radians(degrees)), zoom * np.sin(np.radians(degrees))
    inverse = images.backwards(np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]]))
    mode = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}[interpolation]
    ours = cv2.remap(picture, *images.places(inverse, 64), mode, borderMode=cv2.BORDER_CONSTANT)
    assert np.array_equal(images.resample(picture, inverse, 64, interpolation), ours)


def test_matrices_are_inverted_onto_a_grid_that_float64_multiplies_exactly() -> None:
    affine = np.array([[0.7, 0.1, 3.3], [-0.2, 0.9, 5.1]])
    inverse = images.backwards(affine)
    assert np.array_equal(inverse * 2**20, np.rint(inverse * 2**20))
    np.testing.assert_allclose(geometry.compose(affine, inverse), [[1, 0, 0], [0, 1, 0]], atol=1e-5)
