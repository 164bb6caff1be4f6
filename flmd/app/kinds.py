"""The kinds of picture the page takes, known by their first bytes: those of cameras and the web.

Pillow opens dozens more, some by starting other programs; a stranger's file never gets there.
"""

from __future__ import annotations

from flmd.core.picture_limits import kind_of_ftyp

KINDS = ("JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF", "AVIF", "HEIC")


def kind_of(head: bytes) -> str | None:
    """Which of KINDS a file is, by its first 12 bytes or more; None for anything else."""
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith(b"BM") and len(head) > 14:
        return "BMP"
    if head.startswith((b"II*\x00", b"MM\x00*")):
        return "TIFF"
    return kind_of_ftyp(head)
