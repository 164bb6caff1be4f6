"""What OpenCV prints of its own accord, kept from the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silent() -> Iterator[None]:
    """OpenCV says nothing on stderr in the block: of a video it names each backend that it tries."""
    import cv2

    logs = cv2.utils.logging
    before = logs.getLogLevel()
    logs.setLogLevel(0)
    try:
        yield
    finally:
        logs.setLogLevel(before)
