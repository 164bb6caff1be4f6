"""EXIF orientation: how a picture is stored, and how people are shown it.

A file stores rows of pixels, and may say in its EXIF that they are to be turned or mirrored to be looked at.
So its pixels have two frames of coordinates: ``stored``, as a decoder that ignores EXIF hands them out, and
``shown``, as viewers, browsers and most annotation tools turn them. The two are one where a picture has no
orientation, or says 1. In both, (0, 0) is the centre of the top-left pixel.

Going from one frame to the other moves points and boxes with the pixels that they lie on. It renames no
point, not even where the orientation mirrors (2, 4, 5, 7). A name was given to a spot in the picture that the
annotator saw, and the spot stays the same eye in either frame. Schemes tell left from right as the face is
seen, so a network must see the picture that the annotator saw: crops are cut from the frame of the labels,
and there every name is right as it stands. A mirrored picture whose labels are written in its other frame is
the one case where a name and what is seen there disagree; writing counts it.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from flmd.core import geometry
from flmd.core.picture_limits import JPEG, PNG, kind_of_ftyp

EXIF_ORIENTATION = 0x0112
STORED, SHOWN = "stored", "shown"
FRAMES = (STORED, SHOWN)
MIRRORING = (2, 4, 5, 7)
ORIENTATION, FRAME = "exif_orientation", "exif_frame"  # attributes of faces in pictures with an orientation
_TAGGED = (JPEG, PNG, b"RIFF")  # kinds whose decoders leave the stored pixels as they are and the tag to us
# A picture without any of these says nothing of its orientation, and need not be parsed.
_MARKS = (b"Exif", b"eXIf", b"EXIF", b"exif", b"Orientation")

# Orientation -> whether x and y are turned round, after the axes were swapped where it is 5 or more.
TURNED = {
    1: (False, False),
    2: (True, False),
    3: (True, True),
    4: (False, True),
    5: (False, False),
    6: (True, False),
    7: (True, True),
    8: (False, True),
}


def orientation_of(data: bytes) -> int:
    """EXIF's orientation, 1 to 8, of the bytes of a picture; 1 when it says none that makes sense."""
    avif = kind_of_ftyp(data) == "AVIF"  # its own boxes say it too; Pillow gives them as EXIF
    tagged = data.startswith(_TAGGED) and any(mark in data for mark in _MARKS)
    if not (tagged or avif):
        return 1
    from PIL import Image as PillowImage  # slow to import, and seldom needed

    from flmd.core import images

    kinds = ("AVIF",) if avif else images.PILLOW_KINDS
    # Only the header is read; a large picture is refused elsewhere, and not by taking it as not turned.
    limit, PillowImage.MAX_IMAGE_PIXELS = PillowImage.MAX_IMAGE_PIXELS, None
    try:
        with PillowImage.open(io.BytesIO(data), formats=kinds) as picture:
            value = picture.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # a damaged tag does not spoil a picture that decodes
        return 1
    finally:
        PillowImage.MAX_IMAGE_PIXELS = limit
    return value if isinstance(value, int) and value in TURNED else 1


def holds_header(head: bytes) -> bool:
    """Whether the first bytes of a picture hold all that it says before its pixels, or it says nothing.

    EXIF comes before the pixels of a JPEG, but may come after those of a PNG or WebP.
    """
    if not head.startswith(JPEG):
        return not head.startswith(_TAGGED) and kind_of_ftyp(head) != "AVIF"
    place = 2
    while place + 4 <= len(head):
        if head[place] != 0xFF:
            return True  # no JPEG that anybody decodes
        marker = head[place + 1]
        if marker == 0xFF:  # fill
            place += 1
        elif marker == 0xDA:  # the pixels begin
            return True
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:  # without a length
            place += 2
        else:
            place += 2 + int.from_bytes(head[place + 2 : place + 4], "big")
    return False


def orientation_affine(orientation: int, width: int, height: int) -> NDArray[np.float64]:
    """(2, 3) from the stored pixels of a picture of that stored size to its shown ones; exact.

    Source: EXIF 2.32, tag Orientation: which sides of the scene the 0th row and column are.
    """
    affine = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    if orientation >= 5:
        affine, width, height = affine[::-1].copy(), height, width
    for axis, (turned, side) in enumerate(zip(TURNED[orientation], (width, height), strict=True)):
        if turned:
            affine[axis] *= -1
            affine[axis, 2] += side - 1
    return affine


def attributes_of(orientation: int, frame: str) -> dict[str, int | str]:
    """The attributes that tell the frame of a face; none where its picture has no orientation."""
    return {} if orientation == 1 else {ORIENTATION: orientation, FRAME: frame}


def turned(
    orientation: int,
    stored: tuple[int, int],
    wanted: str,
    points: NDArray[np.floating],
    box: NDArray[np.floating] | None,
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Points (K, 2) and box (4,) of a face in the other frame of its picture; no point is renamed.

    ``wanted`` : that frame. ``stored`` : width and height of the picture's stored pixels.
    """
    affine = orientation_affine(orientation, *stored)
    if wanted == STORED:
        affine = geometry.invert(affine)
    placed = None if box is None else map_boxes(affine, box[None])[0].astype(np.float32)
    return geometry.apply(affine, points).astype(np.float32), placed


def turned_size(orientation: int, size: tuple[int, int]) -> tuple[int, int]:
    """Width and height in the other frame."""
    return (size[1], size[0]) if orientation >= 5 else size


def map_boxes(affine: NDArray[np.float64], boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, 4) boxes x, y, width, height under an affine of :func:`orientation_affine`, or its inverse.

    A box covers pixels x ... x + width - 1, so both corner pixels are mapped; exact, as axes stay axes.
    """
    corners = np.stack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:] - 1], axis=1, dtype=np.float64)
    placed = geometry.apply(affine, corners)
    low, high = placed.min(axis=1), placed.max(axis=1)
    return np.concatenate([low, high - low + 1], axis=1)
