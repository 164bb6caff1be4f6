"""Pictures: recognised by their first bytes, checked before decoding, decoded small when that is enough.

Arrays are uint8, (H, W, 3) in RGB order unless said otherwise. EXIF orientation is ignored: annotations
do not follow it. The centre of the top-left pixel is (0, 0).
"""

from __future__ import annotations

import io
import math
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError, features

from flmd.core import exact, geometry, processor
from flmd.core.picture_limits import JPEG as _JPEG
from flmd.core.picture_limits import MOST_SCANS, has_too_many_scans, kind_of_ftyp, weight_of
from flmd.core.picture_limits import PNG as _PNG
from flmd.errors import InputError

try:
    import simplejpeg
except ImportError:  # slower, but the same pixels
    simplejpeg = None

Pixels = NDArray[np.uint8]
Interpolation = Literal["linear", "cubic"]
MOST_SHRUNK = 1024  # pixels of a block that are averaged: it is padded to its whole size
FAR_OUTSIDE = 1e9  # pixels
REDUCTIONS = (8, 4, 2, 1)
_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
# Of the dozens of kinds that Pillow opens, those that hold pixels: it hands EPS to another program.
PILLOW_KINDS = (
    "JPEG",
    "JPEG2000",
    "PNG",
    "GIF",
    "BMP",
    "DIB",
    "TIFF",
    "WEBP",
    "PPM",
    "TGA",
    "ICO",
    "PCX",
    "SGI",
)


class ImageError(InputError):
    """A picture that cannot be used.

    Attributes
    ----------
    reason : "image_empty", "image_unknown", "image_unsupported" (a package is missing), "image_truncated",
        "image_damaged", "image_too_large" or "image_too_many_scans".
    """

    def __init__(self, reason: str, what: str, *, where: str | None = None) -> None:
        self.reason = reason
        super().__init__(what, where=where)


def probe(data: bytes, *, max_pixels: float = 2e8) -> tuple[int, int]:
    """Width and height from a picture's header, without decoding it.

    Parameters
    ----------
    max_pixels : of a baseline JPEG; a kind whose decoder takes more memory for a pixel may have a half, a
        third or a quarter of it (:func:`flmd.core.picture_limits.weight_of`), so that a process which decodes
        one within the default limit stays below 1 GiB.

    Raises
    ------
    ImageError : no bytes, not a picture, or more pixels announced than its kind may have.
    """
    if not data:
        raise ImageError("image_empty", "the picture has no bytes")
    width, height = _jpeg_size(data) or _size_by_pillow(data)
    if width < 1 or height < 1:
        raise ImageError("image_damaged", f"the header announces {width}x{height} pixels")
    limit = max_pixels / weight_of(data)
    if width * height > limit:
        kind = "" if limit == max_pixels else f" for its kind, {limit / max_pixels:.2g} of the whole"
        what = f"the header announces {width}x{height} pixels, the limit is {limit / 1e6:.4g} million{kind}"
        raise ImageError("image_too_large", what)
    return width, height


def decode(data: bytes, reduction: int = 1) -> Pixels:
    """Decode a picture to RGB.

    Parameters
    ----------
    data : the bytes of the file.
    reduction : 1, 2, 4 or 8; a JPEG comes back at ``ceil(size / reduction)``, where a point lies at
        ``(x + 0.5) / reduction - 0.5``. Other kinds have no cheap reduction: pass 1.

    Returns
    -------
    (H, W, 3) uint8. Alpha is dropped, 16 bits become 8, grey and CMYK become RGB.

    Raises
    ------
    ImageError : truncated, damaged, or a JPEG of more than 100 scans.
    """
    if data.startswith(_JPEG):
        if has_too_many_scans(data):
            raise ImageError("image_too_many_scans", f"a JPEG of more than {MOST_SCANS} scans")
        _require_end(data, b"\xff\xd9", "JPEG")
        if simplejpeg is not None:
            pixels = _decode_jpeg(data, reduction)
            if pixels is not None:
                return pixels
    elif data.startswith(_PNG):
        _require_end(data, b"IEND", "PNG")
    flag = _REDUCED[reduction] | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error as error:
        raise ImageError("image_damaged", f"cannot be decoded: {error.err}") from None
    if bgr is None:
        return _decode_with_pillow(data, reduction)
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def is_jpeg(data: bytes) -> bool:
    """True for a JPEG, the one kind that decodes cheaply at a reduced size."""
    return data.startswith(_JPEG)


def to_grey(rgb: Pixels) -> Pixels:
    """(H, W) grey of an (H, W, 3) RGB picture: the only path to grey there is.

    Decoders that hand out grey themselves differ from this by one level on half the pixels.
    """
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)  # type: ignore[return-value]


def warp(
    pixels: Pixels,
    affine: NDArray[np.float64],
    size: int,
    interpolation: Interpolation = "linear",
) -> Pixels:
    """Resample a picture once into a square.

    Parameters
    ----------
    pixels : (H, W) or (H, W, 3) uint8.
    affine : (2, 3) from the picture's pixels to the square's.
    size : side of the square.

    Returns
    -------
    (size, size[, 3]) uint8; black where the picture has nothing. Where the picture shrinks by 2 or
    more, the part in use is first averaged over whole blocks of pixels, since one bilinear look-up
    would skip pixels (alias).
    """
    (a, b, _), (c, d, _) = affine.tolist()
    shrink = int(min(1 / math.sqrt(abs(a * d - b * c)), MOST_SHRUNK) + 1e-6)
    if shrink >= 2:
        pixels, affine = _average_blocks(pixels, affine, size, shrink)
    return resample(pixels, backwards(affine), size, interpolation)


def backwards(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverses of (2, 3) or (N, 2, 3) in steps of 2**-20: times a pixel's place they are exact in float64."""
    return exact.on_grid(geometry.invert(affine), 20)


def resample(
    pixels: Pixels, inverse: NDArray[np.float64], size: int, interpolation: Interpolation = "linear"
) -> Pixels:
    """:func:`warp` without the averaging, for a picture that shrinks by less than 2.

    Parameters
    ----------
    inverse : (2, 3) from the square's pixels to the picture's, of :func:`backwards`.

    OpenCV's warpAffine makes steps of 1/1024 px of ``inverse``, adds them, cuts to 1/32 px, and mixes pixels
    by a table of 15 bits. On ARM it may take another way, in floats: there :func:`places` makes the same
    whole numbers.
    """
    mode = cv2.INTER_LINEAR if interpolation == "linear" else cv2.INTER_CUBIC
    if processor.ON_X86:
        flags = mode | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(pixels, inverse, (size, size), flags=flags, borderMode=cv2.BORDER_CONSTANT)  # type: ignore[return-value]
    return cv2.remap(pixels, *places(inverse, size), mode, borderMode=cv2.BORDER_CONSTANT)  # type: ignore[return-value]


def places(inverse: NDArray[np.float64], size: int) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
    """Where warpAffine looks: (S, S, 2) int16 pixels, and (S, S) uint16 1/32 of one, 32 times y plus x."""
    steps = np.arange(size)[:, None]
    columns = np.rint(inverse[:, 0] * steps * 1024).astype(np.int32)
    rows = np.rint((inverse[:, 1] * steps + inverse[:, 2]) * 1024).astype(np.int32)
    parts = (rows[:, None] + 16 + columns) >> 5
    whole = np.clip(parts >> 5, -(1 << 15), (1 << 15) - 1).astype(np.int16)
    return whole, ((parts[..., 1] & 31) * 32 + (parts[..., 0] & 31)).astype(np.uint16)


def _average_blocks(
    pixels: Pixels, affine: NDArray[np.float64], size: int, shrink: int
) -> tuple[Pixels, NDArray[np.float64]]:
    """Average blocks of ``shrink`` x ``shrink`` over the part of the picture that the square sees."""
    height, width = pixels.shape[:2]
    corners = np.array([[-1.0, -1], [size, -1], [-1, size], [size, size]])
    seen = geometry.apply(geometry.invert(affine), corners)
    seen = np.clip(seen, -FAR_OUTSIDE, FAR_OUTSIDE)  # a box of 1e20 px has corners that no integer holds
    low = np.floor(seen.min(axis=0)).astype(int) - shrink
    high = np.ceil(seen.max(axis=0)).astype(int) + shrink + 1
    x0, y0 = int(np.clip(low[0], 0, width)), int(np.clip(low[1], 0, height))
    x1, y1 = int(np.clip(high[0], 0, width)), int(np.clip(high[1], 0, height))
    if x1 <= x0 or y1 <= y0:
        return pixels, affine  # nothing of the picture is seen: the warp paints black
    part = pixels[y0:y1, x0:x1]
    # Whole blocks only, so that the scale is exactly 1 / shrink; the last block repeats the edge.
    right, bottom = -(x1 - x0) % shrink, -(y1 - y0) % shrink
    if right or bottom:
        part = cv2.copyMakeBorder(part, 0, bottom, 0, right, cv2.BORDER_REPLICATE)  # type: ignore[assignment]
    small = cv2.resize(part, (part.shape[1] // shrink, part.shape[0] // shrink), interpolation=cv2.INTER_AREA)
    to_part = np.array([[1.0, 0, -x0], [0, 1.0, -y0]])
    to_small = geometry.compose(geometry.resize_affine(1 / shrink), to_part)
    return small, geometry.compose(affine, geometry.invert(to_small))  # type: ignore[return-value]


def _require_end(data: bytes, marker: bytes, kind: str) -> None:
    if marker not in data[-4096:] and marker not in data:
        raise ImageError("image_truncated", f"the {kind} ends early, after {len(data)} bytes")


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a plain JPEG, fast; None for everything else."""
    if simplejpeg is None or not data.startswith(_JPEG):
        return None
    try:
        height, width = simplejpeg.decode_jpeg_header(data)[:2]
    except (ValueError, KeyError):
        return None
    return width, height


def _size_by_pillow(data: bytes) -> tuple[int, int]:
    """Width and height of any picture."""
    try:
        # Pillow only reads the header here; its own limit on pixels is lifted in favour of ours.
        limit, PillowImage.MAX_IMAGE_PIXELS = PillowImage.MAX_IMAGE_PIXELS, None
        try:
            with PillowImage.open(io.BytesIO(data), formats=_pillow_kinds(data)) as picture:
                return picture.size
        finally:
            PillowImage.MAX_IMAGE_PIXELS = limit
    except ImageError:
        raise
    except UnidentifiedImageError:
        if data.startswith((_JPEG, _PNG)):
            raise ImageError("image_damaged", "the picture's header is damaged") from None
        raise ImageError("image_unknown", f"not a picture: it starts with {data[:8]!r}") from None
    except Exception as error:
        raise ImageError("image_damaged", f"picture header: {error}") from None


def _pillow_kinds(data: bytes) -> tuple[str, ...]:
    """What Pillow may take these bytes for; ImageError when that needs a package which is not here."""
    kind = kind_of_ftyp(data)
    if kind == "HEIC":
        try:
            import pillow_heif
        except ImportError:
            what = "a HEIC picture; pip install 'flmd[heic]' to read it"
            raise ImageError("image_unsupported", what) from None
        pillow_heif.register_heif_opener()
        return ("HEIF",)
    if kind == "AVIF":
        if not features.check("avif"):
            raise ImageError("image_unsupported", "an AVIF picture; pip install 'pillow>=11.3' to read it")
        return ("AVIF",)
    return PILLOW_KINDS


def _decode_jpeg(data: bytes, reduction: int) -> Pixels | None:
    """Decode with simplejpeg; None for what it refuses and OpenCV may not (CMYK, stray bytes)."""
    try:
        height, width, color = simplejpeg.decode_jpeg_header(data)[:3]
        if color in ("CMYK", "YCCK"):
            return None
        size = {"min_height": -(-height // reduction), "min_width": -(-width // reduction)}
        return simplejpeg.decode_jpeg(data, "RGB", **size)  # type: ignore[no-any-return]
    except (ValueError, KeyError) as error:
        if "extraneous" in str(error):  # stray bytes between segments: common, and the picture is whole
            return None
        reason = "image_truncated" if "remature" in str(error) else "image_damaged"
        raise ImageError(reason, f"JPEG: {error}") from None


def _decode_with_pillow(data: bytes, reduction: int) -> Pixels:
    """The kinds OpenCV cannot do; the message when nobody can."""
    if reduction != 1:
        raise ImageError("image_damaged", "cannot be decoded")
    try:
        with PillowImage.open(io.BytesIO(data), formats=_pillow_kinds(data)) as picture:
            return np.asarray(picture.convert("RGB"))
    except Exception as error:
        raise ImageError("image_damaged", f"cannot be decoded: {error}") from None
