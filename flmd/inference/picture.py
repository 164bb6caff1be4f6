"""A picture somebody hands in: a file, its bytes or an array; decoded, and the way up that EXIF says.

Coordinates are those of the stored pixels everywhere. EXIF only says how the picture is looked at:
:attr:`Picture.to_upright` maps stored pixels to what people see (``flmd.core.orientation``).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flmd.core import images
from flmd.core.orientation import TURNED, orientation_affine, orientation_of
from flmd.errors import InputError

ImageLike = str | os.PathLike[str] | bytes | NDArray[np.uint8]

MAX_PIXELS = 2e8
MAX_BYTES = 1 << 30


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes
    ----------
    name : as messages and annotations name it; "" for an array or bytes.
    pixels : (H, W, 3) uint8 RGB, as stored.
    orientation : EXIF's 1 to 8; 1 is upright.
    encoded : the file of a JPEG, which can be decoded again at a part of its size; else empty.
    """

    name: str
    pixels: NDArray[np.uint8]
    orientation: int = 1
    encoded: bytes = field(default=b"", repr=False)
    _reduced: dict[int, NDArray[np.uint8]] = field(default_factory=dict, repr=False, compare=False)

    def reduced(self, reduction: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB as the decoder makes it at 1/``reduction`` of the size; kept once made."""
        if reduction == 1:
            return self.pixels
        if reduction not in self._reduced:
            self._reduced[reduction] = images.decode(self.encoded, reduction)
        return self._reduced[reduction]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the stored pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def to_upright(self) -> NDArray[np.float64]:
        """(2, 3) from stored pixels to upright ones; exact, as it only swaps and mirrors axes."""
        return orientation_affine(self.orientation, *self.size)

    @cached_property
    def upright(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB the way people see it."""
        pixels = self.pixels.transpose(1, 0, 2) if self.orientation >= 5 else self.pixels
        x_turned, y_turned = TURNED[self.orientation]
        return np.ascontiguousarray(pixels[:: -1 if y_turned else 1, :: -1 if x_turned else 1])


def open_picture(
    image: ImageLike, *, name: str | None = None, exif: bool = True, max_pixels: float = MAX_PIXELS
) -> Picture:
    """Read and decode a picture.

    Parameters
    ----------
    image : path of a file, the bytes of one, or an array: (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA
        uint8; alpha is dropped.
    name : for messages and annotations; the path by default.
    exif : look at it the way EXIF says; False: as it is stored.
    max_pixels : a file that announces more is not decoded.

    Raises
    ------
    InputError : no such file, not a picture, damaged or too large (``flmd.core.images.ImageError``), an array
        of another shape or type.
    """
    if isinstance(image, np.ndarray):
        return Picture(name or "", _array(image, name))
    if isinstance(image, bytes | bytearray | memoryview):
        data, where = bytes(image), name or ""
    elif isinstance(image, str | os.PathLike):
        path = Path(image)
        data, where = _read(path), name if name is not None else str(image)
    else:
        raise InputError(
            f"an image of type {type(image).__name__}",
            where=name,
            expected="a path, bytes or a uint8 array",
        )
    try:
        images.probe(data, max_pixels=max_pixels)
        encoded = data if images.is_jpeg(data) else b""
        return Picture(where, images.decode(data), orientation_of(data) if exif else 1, encoded)
    except InputError as error:
        raise located(error, where) from None


def located(error: InputError, where: str) -> InputError:
    """The same error, with the name of the picture before it when it has none."""
    if error.where or not where:
        return error
    if isinstance(error, images.ImageError):
        return images.ImageError(error.reason, error.what, where=where)
    return InputError(error.what, where=where, expected=error.expected, hint=error.hint)


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise InputError("a folder", where=str(path), expected="a picture")
    if not path.is_file():
        raise InputError("no such file", where=str(path))
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InputError(f"{size} bytes", where=str(path), expected=f"a picture of at most {MAX_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error


def _array(image: NDArray[np.uint8], name: str | None) -> NDArray[np.uint8]:
    expected = "(H, W), (H, W, 3) RGB or (H, W, 4) RGBA uint8"
    if image.dtype != np.uint8:
        raise InputError(f"an array of {image.dtype}", where=name, expected=expected)
    if image.ndim not in (2, 3) or 0 in image.shape or (image.ndim == 3 and image.shape[2] not in (3, 4)):
        raise InputError(f"an array of shape {image.shape}", where=name, expected=expected)
    if image.ndim == 2:
        return np.repeat(image[:, :, None], 3, axis=2)
    return np.ascontiguousarray(image[:, :, :3])
