"""EXIF orientation against Pillow's own turning of pictures: points, boxes, sizes, headers."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from flmd.core import geometry
from flmd.core.orientation import (
    EXIF_ORIENTATION,
    MIRRORING,
    attributes_of,
    holds_header,
    map_boxes,
    orientation_affine,
    orientation_of,
    turned_size,
)

orientations = st.integers(1, 8)
sides = st.integers(1, 12)


def shown(stored: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W) as Pillow turns it."""
    image = Image.fromarray(stored)
    image.getexif()[EXIF_ORIENTATION] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


@given(orientation=orientations, width=sides, height=sides, data=st.data())
def test_points_boxes_and_sizes_go_where_pillow_puts_the_pixels(
    orientation: int, width: int, height: int, data: st.DataObject
) -> None:
    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x1, y1 = data.draw(st.integers(x0, width - 1)), data.draw(st.integers(y0, height - 1))
    stored = np.zeros((height, width), np.uint8)
    stored[y0 : y1 + 1, x0 : x1 + 1] = 100
    stored[y0, x0] = 255
    turned = shown(stored, orientation)
    affine = orientation_affine(orientation, width, height)
    assert turned_size(orientation, (width, height)) == (turned.shape[1], turned.shape[0])
    ((row, column),) = np.argwhere(turned == 255)
    assert geometry.apply(affine, np.array([x0, y0])).tolist() == [column, row]
    ys, xs = np.nonzero(turned)
    box = np.array([[x0, y0, x1 - x0 + 1, y1 - y0 + 1]])
    wanted = [[xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]]
    assert map_boxes(affine, box).tolist() == wanted
    assert map_boxes(geometry.invert(affine), np.array(wanted)).tolist() == box.tolist()


@given(orientation=orientations, width=st.integers(1, 9000), height=st.integers(1, 9000), data=st.data())
def test_there_and_back_is_exact_and_mirroring_is_a_negative_determinant(
    orientation: int, width: int, height: int, data: st.DataObject
) -> None:
    point = np.array([data.draw(st.integers(-9000, 9000)) / 8, data.draw(st.integers(-9000, 9000)) / 8])
    affine = orientation_affine(orientation, width, height)
    assert geometry.apply(geometry.invert(affine), geometry.apply(affine, point)).tolist() == point.tolist()
    assert (np.linalg.det(affine[:, :2]) < 0) == (orientation in MIRRORING)


def encoded(kind: str, orientation: int | None, *, icc: int = 0, noise: int = 8) -> bytes:
    exif = Image.Exif()
    if orientation is not None:
        exif[EXIF_ORIENTATION] = orientation
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (noise, noise, 3), dtype=np.uint8)
    options = {"icc_profile": bytes(icc)} if icc else {}
    Image.fromarray(pixels).save(stream, kind, exif=exif, **options)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_what_pillow_writes_is_read(kind: str) -> None:
    assert [orientation_of(encoded(kind, n)) for n in range(1, 9)] == list(range(1, 9))
    assert [orientation_of(encoded(kind, n)) for n in (None, 0, 9)] == [1, 1, 1]


def test_a_picture_too_large_for_pillow_tells_its_orientation() -> None:
    """20000x15000 announced in the header, above what Pillow opens by itself."""
    data = bytearray(encoded("JPEG", 6))
    frame = data.index(b"\xff\xc0") + 5
    data[frame : frame + 4] = (15000).to_bytes(2, "big") + (20000).to_bytes(2, "big")
    assert orientation_of(bytes(data)) == 6


def test_an_orientation_beside_the_exif_is_read_as_pillow_reads_it() -> None:
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><tiff:Orientation>8</tiff:Orientation></x:xmpmeta>'
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "JPEG", xmp=packet)
    assert orientation_of(stream.getvalue()) == 8


def test_a_header_is_whole_when_the_pixels_of_a_jpeg_begin() -> None:
    data = encoded("JPEG", 6, icc=200_000, noise=300)
    begin = data.index(b"\xff\xda")
    assert holds_header(data[: begin + 4])
    assert not holds_header(data[:begin])
    assert not holds_header(data[:3])
    assert not holds_header(encoded("PNG", 6)[:40])  # EXIF may come after the pixels
    assert not holds_header(encoded("WEBP", 6)[:40])
    assert holds_header(b"BM" + bytes(40))
    assert holds_header(b"\xff\xd8\xff\xe0\0\x10" + bytes(40))  # no marker where one must be


def test_only_turned_pictures_have_attributes() -> None:
    assert attributes_of(1, "shown") == {}
    assert attributes_of(7, "shown") == {"exif_orientation": 7, "exif_frame": "shown"}
