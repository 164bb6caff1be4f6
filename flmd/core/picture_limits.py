"""What a picture may cost before it is decoded: scans of a JPEG, and memory for each pixel of its kind.

Both come from the first bytes and the markers of a file. Sources: ITU-T T.81 annex B (JPEG's markers), ISO
14496-12 (the brands of AVIF and HEIC).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MOST_SCANS = 100
"""Scans of a JPEG; a progressive one of a camera or of the web has 3 to 12."""
JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_START_OF_SCAN, _END = 0xDA, 0xD9
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# What stands in coded data: FF 00 is a byte FF, FF D0 to FF D7 are restarts.
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
# Beginnings of kinds that OpenCV decodes line by line, and copies once.
_BY_LINES = (PNG, b"BM", b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"RIFF", b"GIF87a", b"GIF89a")
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def kind_of_ftyp(data: bytes) -> str | None:
    """ "AVIF" or "HEIC", by the brands that a file of that family names first; None for all others."""
    if data[4:8] != b"ftyp":
        return None
    end = min(len(data), int.from_bytes(data[:4], "big"), 256)
    brands = {data[8:12], *(data[i : i + 4] for i in range(16, end - 3, 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    return "HEIC" if brands & _HEIC else None


def weight_of(data: bytes) -> int:
    """How many times the memory of a baseline JPEG the decoder of a picture may take for each pixel.

    With 200 million pixels of weight 1 a process stays below 1 GiB: 3 bytes a pixel are the result itself.
    Decoders that copy it once, or keep all coefficients of a progressive JPEG, take up to 9 bytes; those of a
    TIFF in one strip of 16 bits, or a progressive JPEG of four inks, 14; of JPEG 2000, AVIF and all that
    Pillow decodes 18.

    Returns
    -------
    1, 2, 3 or 4.
    """
    if data.startswith(JPEG):
        progressive, planes = _frame(data)
        return 1 + progressive + (planes > 3)
    if data.startswith(_BY_LINES):
        return 2
    return 3 if data.startswith(_TIFF) else 4


def has_too_many_scans(jpeg: bytes, most: int = MOST_SCANS) -> bool:
    """Whether the bytes of a JPEG hold more than ``most`` scans: each goes over the whole picture again."""
    if jpeg.count(b"\xff\xda") <= most:  # those of a thumbnail in the metadata included
        return False
    return sum(marker == _START_OF_SCAN for marker, _ in _markers(jpeg)) > most


def _frame(jpeg: bytes) -> tuple[bool, int]:
    """Whether a JPEG is progressive, and how many planes it has; (False, 3) where its header is not there."""
    for marker, at in _markers(jpeg):
        if marker in _FRAMES:
            planes = jpeg[at + 7] if len(jpeg) > at + 7 else 3
            return marker in _PROGRESSIVE, planes
        if marker == _START_OF_SCAN:
            break
    return False, 3


def _markers(jpeg: bytes) -> Iterator[tuple[int, int]]:
    """Each marker up to the end of the picture, and where its length stands."""
    at = 2
    while (found := _MARKER.search(jpeg, at)) is not None:
        marker, at = found[1][0], found.end()
        if marker == _END:
            return
        if marker in (0x01, 0xD8):  # without content
            continue
        yield marker, at
        at += max(2, int.from_bytes(jpeg[at : at + 2], "big"))
