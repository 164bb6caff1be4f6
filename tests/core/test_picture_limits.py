"""What a picture may cost is seen before it is decoded."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flmd.conversion.context_crops import crop_image
from flmd.conversion.settings import CropSettings
from flmd.core import images, picture_limits
from flmd.core.images import ImageError
from flmd.inference.picture import open_picture
from flmd.tree import open_tree
from tests.factories import blob_picture, make_face

ROOT = Path(__file__).resolve().parents[2]


def progressive(side: int, **options: object) -> bytes:
    stream = io.BytesIO()
    rgb = np.full((side, side, 3), 90, np.uint8)
    Image.fromarray(rgb).save(stream, "JPEG", progressive=True, **options)
    return stream.getvalue()


def with_scans(jpeg: bytes, more: int) -> bytes:
    """The last scan again and again."""
    last = jpeg.rindex(b"\xff\xda")
    return jpeg[:-2] + jpeg[last:-2] * more + b"\xff\xd9"


def scans(jpeg: bytes) -> int:
    return jpeg.count(b"\xff\xda")


def test_scans_are_counted_and_100_are_allowed() -> None:
    whole = progressive(64)
    own = scans(whole)
    assert 3 <= own <= 12
    assert not picture_limits.has_too_many_scans(with_scans(whole, 100 - own))
    assert picture_limits.has_too_many_scans(with_scans(whole, 101 - own))
    with pytest.raises(ImageError, match="more than 100 scans") as caught:
        images.decode(with_scans(whole, 101 - own))
    assert caught.value.reason == "image_too_many_scans"


def test_what_only_looks_like_scans_is_none() -> None:
    """A thumbnail in the metadata has scans of its own, and what follows the picture's end is not its."""
    whole = progressive(64, exif=b"Exif\0\0" + b"\xff\xda" * 150)
    assert scans(whole) > 150
    assert images.decode(whole).shape == (64, 64, 3)
    assert images.decode(whole + b"\xff\xda" * 150 + b"\xff\xd9").shape == (64, 64, 3)


def test_every_way_to_a_picture_refuses_a_thousand_scans_at_once(tmp_path: Path) -> None:
    """A picture of 49 million pixels: each scan takes a tenth of a second."""
    (tmp_path / "slow.jpg").write_bytes(with_scans(progressive(7000, quality=5), 1000))
    start = time.process_time()
    with pytest.raises(ImageError) as caught:
        open_picture(tmp_path / "slow.jpg")
    assert caught.value.reason == "image_too_many_scans"
    face = make_face("slow.jpg")
    skipped = crop_image(open_tree(tmp_path), CropSettings(64, 1.3, "grey"), "annotated", [face])
    assert [item.reason for item in skipped] == ["image_too_many_scans"]
    assert time.process_time() - start < 5


MEMORY = """
import io, sys, numpy as np
from PIL import Image
from flmd.core import images, picture_limits
import pillow_heif
pillow_heif.register_heif_opener()

def status(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key)) * 1024

side = 3000
coarse = np.random.default_rng(0).integers(0, 255, (30, 30, 4), dtype=np.uint8)
rgba = Image.fromarray(np.kron(coarse, np.ones((100, 100, 1), np.uint8)), "RGBA")
kinds = {
    "baseline": ("JPEG", "RGB", {}), "progressive": ("JPEG", "RGB", {"progressive": True, "subsampling": 0}),
    "inks": ("JPEG", "CMYK", {"progressive": True}), "png": ("PNG", "RGBA", {"compress_level": 1}),
    "gif": ("GIF", "P", {}), "tiff": ("TIFF", "RGBA", {"strip_size": 1 << 30}),
    "webp": ("WEBP", "RGB", {"method": 0}),
    "bmp": ("BMP", "RGB", {}), "jp2": ("JPEG2000", "RGBA", {}), "tga": ("TGA", "RGBA", {}),
    "avif": ("AVIF", "RGB", {"speed": 10}), "heic": ("HEIF", "RGB", {}),
}
for name, (kind, mode, options) in kinds.items():
    stream = io.BytesIO()
    rgba.convert(mode).save(stream, kind, **options)
    data = stream.getvalue()
    del stream
    before = status("VmRSS")
    open("/proc/self/clear_refs", "w").write("5")
    assert images.decode(data).shape == (side, side, 3)
    print(name, picture_limits.weight_of(data), (status("VmHWM") - before) / side**2)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_the_default_limit_holds_every_kind_below_a_gibibyte() -> None:
    """Bytes a pixel times the pixels that the kind may have, and 150 MB for the program itself."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MEMORY], cwd=ROOT, capture_output=True, text=True, check=True
    )
    rows = [line.split() for line in done.stdout.splitlines()]
    assert len(rows) == 12
    for kind, weight, each in rows:
        assert float(each) * 2e8 / int(weight) + 150e6 < 2**30, (kind, weight, each)


def test_heavier_kinds_may_have_fewer_pixels() -> None:
    stream = io.BytesIO()
    Image.new("L", (1000, 1000)).save(stream, "PNG")
    assert images.probe(stream.getvalue(), max_pixels=2e6) == (1000, 1000)
    with pytest.raises(ImageError, match=r"limit is 0\.95 million for its kind, 0\.5 of the whole") as caught:
        images.probe(stream.getvalue(), max_pixels=1.9e6)
    assert caught.value.reason == "image_too_large"
    assert images.probe(progressive(1000), max_pixels=2e6) == (1000, 1000)
    with pytest.raises(ImageError):
        images.probe(progressive(1000), max_pixels=1.9e6)


def encoded_as(kind: str, rgb: np.ndarray, orientation: int) -> bytes:
    exif, stream = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(rgb).save(stream, kind, quality=95, exif=exif.tobytes())
    return stream.getvalue()


def test_pictures_of_phones_are_read_and_upright() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    rgb = np.repeat(blob_picture(80, 60, (30.3, 20.2), sigma=6)[:, :, :1], 3, axis=2)
    upright = np.rot90(rgb, -1)  # orientation 6: the 0th row is the right-hand side
    for kind, name in (("AVIF", "AVIF"), ("HEIF", "HEIC")):
        for orientation, wanted in ((1, rgb), (6, upright)):
            data = encoded_as(kind, rgb, orientation)
            assert picture_limits.kind_of_ftyp(data) == name
            picture = open_picture(data)
            assert images.probe(data) == picture.size
            assert abs(picture.upright.astype(int) - wanted).mean() < 1


def test_without_its_package_a_picture_of_a_phone_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    rgb = np.zeros((16, 16, 3), np.uint8)
    heic, avif = encoded_as("HEIF", rgb, 1), encoded_as("AVIF", rgb, 1)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(images.features, "check", lambda name: False)
    for data, install in ((heic, r"HEIC.*flmd\[heic\]"), (avif, r"AVIF.*pillow>=11\.3")):
        with pytest.raises(ImageError, match=install) as caught:
            images.probe(data)
        assert caught.value.reason == "image_unsupported"
