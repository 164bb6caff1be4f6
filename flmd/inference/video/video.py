"""Reading and writing videos, frame by frame."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flmd.core import opencv_log
from flmd.core.atomic import ScratchFile, default_folder, naming, whole_or_nothing
from flmd.errors import InputError, one_line
from flmd.inference.video.sources import HEAD, is_video
from flmd.tree import FileTree
from flmd.tree.folder import PathTree

MOST_PIXELS = 1e8  # of a frame
USUAL_FPS = 25.0  # where a video says none that makes sense
# FFmpeg writes each damaged packet to stderr; what is wrong is said in one line by us.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


@dataclass(frozen=True)
class Frame:
    """``number`` from 0, ``time`` in seconds from the start, ``pixels`` (H, W, 3) uint8 RGB, upright."""

    number: int
    time: float
    pixels: NDArray[np.uint8]


class VideoReader:
    """The frames of a video or camera, in order; iterate it once.

    Attributes
    ----------
    where : for messages. fps : frames a second. size : (width, height) of a frame.
    frames_read : so far. announced : frames that the header announces; None when it does not know.
    """

    def __init__(self, capture: cv2.VideoCapture, where: str) -> None:
        self.where, self._capture = where, capture
        if not capture.isOpened():
            raise InputError("cannot be decoded: damaged, cut short or of an unknown codec", where=where)
        width, height = (capture.get(p) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if not 0 < width * height <= MOST_PIXELS:
            raise InputError(f"it announces frames of {width:.0f}x{height:.0f} pixels", where=where)
        self.size = int(width), int(height)
        fps = capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if math.isfinite(fps) and 0 < fps <= 1000 else USUAL_FPS
        count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.announced = int(count) if math.isfinite(count) and 0 < count < 1e9 else None
        self.frames_read = 0

    def __iter__(self) -> Iterator[Frame]:
        last = -1.0
        while True:
            try:
                there, bgr = self._capture.read()
            except cv2.error:
                return
            if not there or bgr is None or bgr.ndim != 3:
                return
            time = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if not math.isfinite(time) or time <= last:  # not every container has a clock
                time = last + 1 / self.fps if last >= 0 else 0.0
            last = time
            self.frames_read += 1
            yield Frame(self.frames_read - 1, time, cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))  # type: ignore[arg-type]

    @property
    def broken(self) -> str:
        """Where the video broke off, in words, once it is read; "" when it is whole.

        Announced lengths are often one off, so that much is not called broken.
        """
        if self.announced is None or self.frames_read >= self.announced - 1:
            return ""
        return (
            f"{self.where}: ends after {self.frames_read} of {self.announced} frames; what was read is kept"
        )


@contextmanager
def open_video(tree: FileTree, name: str) -> Iterator[VideoReader]:
    """Open a video of a tree; one that does not lie on the disk is copied there first.

    Raises
    ------
    InputError : not a video, or it cannot be decoded.
    """
    where = tree.where(name)
    head = tree.read(name, 0, HEAD)
    if not is_video(head):
        raise InputError(f"not a video: it starts with {head[:8]!r}", where=where)
    copy: ScratchFile | None = None
    path = tree.path(name) if isinstance(tree, PathTree) else None
    if path is None or not str(path).isprintable():
        with naming(default_folder() / "flmd-video"):
            copy = ScratchFile(default_folder(), "flmd-video")
            with tree.open(name) as source:
                shutil.copyfileobj(source, copy.stream, 1 << 20)
            copy.stream.flush()
        path = copy.path
    capture = None
    try:
        try:
            with opencv_log.silent():
                capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        except (cv2.error, UnicodeEncodeError) as error:
            raise InputError(f"cannot be opened ({one_line(error)})", where=where) from None
        yield VideoReader(capture, where)
    finally:
        if capture is not None:
            capture.release()
        if copy is not None:
            copy.discard()


class VideoWriter:
    """An MP4 (MPEG-4 part 2) without sound; made by :func:`new_video`.

    Frames of an odd width or height get one more column or row, a copy of the last, as the codec wants.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float, where: str) -> None:
        self._path, self._where, self._frames = path, where, 0
        self._odd = size[0] % 2, size[1] % 2
        even = size[0] + self._odd[0], size[1] + self._odd[1]
        code = cv2.VideoWriter.fourcc(*"mp4v")
        self._writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, fps, even)
        if not self._writer.isOpened():
            raise InputError(f"no video of {even[0]}x{even[1]} at {fps:g} fps can be written", where=where)

    def write(self, rgb: NDArray[np.uint8]) -> None:
        """Add an (H, W, 3) uint8 frame."""
        bgr: Any = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        if any(self._odd):
            bgr = cv2.copyMakeBorder(bgr, 0, self._odd[1], 0, self._odd[0], cv2.BORDER_REPLICATE)
        with opencv_log.silent():  # of a full disk it would say a line for each frame; see finish
            self._writer.write(bgr)
        self._frames += 1

    def finish(self) -> None:
        """Close the file. InputError when it is not whole: FFmpeg does not say that the disk is full."""
        self.close()
        with opencv_log.silent():
            written = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        frames = int(written.get(cv2.CAP_PROP_FRAME_COUNT)) if written.isOpened() else 0
        written.release()
        if frames != self._frames:
            raise InputError(
                f"only {frames} of {self._frames} frames could be written",
                where=self._where,
                hint="see whether the disk is full, and run again",
            )

    def close(self) -> None:
        """Close the file, whole or not."""
        self._writer.release()


@contextmanager
def new_video(path: Path, size: tuple[int, int], fps: float) -> Iterator[VideoWriter]:
    """Write a video of frames of (width, height), which has its name only when it is whole.

    Raises
    ------
    InputError : FFmpeg cannot write it.
    """
    with whole_or_nothing(path) as new:
        writer = VideoWriter(new, size, fps, str(path))
        try:
            yield writer
            writer.finish()
        finally:
            writer.close()
