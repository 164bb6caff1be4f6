"""Frames of videos as pictures of a tree."""

from __future__ import annotations

import io
import os
import shutil
import struct
import threading
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from flmd.core import opencv_log
from flmd.core.atomic import ScratchFile, default_folder
from flmd.errors import InputError
from flmd.tree.base import FileTree, clip
from flmd.tree.folder import PathTree

OPEN_VIDEOS = 2
MOST_PIXELS = 1e8
_COPY = 1 << 20


class VideoFrames(FileTree):
    """A tree to which frames of the AVI videos in it are added as PNG pictures.

    Reading frames in ascending order decodes each video once: it stays open where the last frame ended.
    A frame before that opens the video anew and decodes up to it, because seeking is not exact to the
    frame in every AVI. Videos of a folder are read where they lie; others are unpacked, one at a time, into
    a scratch file. Pickling carries the names; each process opens videos of its own. Threads may share one,
    and wait for each other.

    Parameters
    ----------
    tree : which holds the videos. It is not closed with this one.
    frames : name of each added picture -> name of the video, and number of the frame, from 1. Names that are
        files of the tree stay those files.
    """

    def __init__(self, tree: FileTree, frames: Mapping[str, tuple[str, int]]) -> None:
        added = {name: frame for name, frame in frames.items() if name not in tree}
        super().__init__(tree.origin, {**dict.fromkeys(tree.names), **added})
        self.kind = tree.kind
        self.passed_over = tree.passed_over
        self._tree, self._frames = tree, added
        self._begin()

    def where(self, name: str) -> str:
        if name in self._frames:
            video, number = self._frames[name]
            return f"{self._tree.where(video)} (frame {number})"
        return self._tree.where(name)

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        """Bytes of a file, or of the PNG of a frame.

        InputError also when the video cannot be read, or ends before the frame.
        """
        if name not in self._frames:
            return self._tree.read(name, start, size)
        data = self._png(name)
        first, end = clip(start, size, len(data))
        return data[first:end]

    def open(self, name: str) -> BinaryIO:
        return io.BytesIO(self._png(name)) if name in self._frames else self._tree.open(name)

    def size(self, name: str) -> int:
        return len(self._png(name)) if name in self._frames else self._tree.size(name)

    def __contains__(self, name: object) -> bool:
        return name in self._frames or name in self._tree

    def close(self) -> None:
        """Let go of the videos and of their unpacked copies; the tree below stays open."""
        with self._lock:
            self._forget()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._open_videos: OrderedDict[str, _Video] = OrderedDict()
        self._broken: dict[str, InputError] = {}
        self._last = ("", b"")
        self._owner = os.getpid()

    def _forget(self) -> None:
        for video in self._open_videos.values():
            video.close()
        self._open_videos.clear()
        self._last = ("", b"")

    def _png(self, name: str) -> bytes:
        if self._owner != os.getpid():  # forked: position and handle are the parent's
            self._begin()
        with self._lock:
            if self._last[0] != name:
                video, number = self._frames[name]
                try:
                    self._last = name, png_of(self._video(video).frame(number))
                except InputError as error:
                    raise InputError(error.what, where=self.where(name), expected=error.expected) from None
            return self._last[1]

    def _video(self, name: str) -> _Video:
        if name in self._broken:  # not to be unpacked and tried again for each of its frames
            raise self._broken[name]
        if name in self._open_videos:
            self._open_videos.move_to_end(name)
            return self._open_videos[name]
        while len(self._open_videos) >= OPEN_VIDEOS:
            self._open_videos.popitem(last=False)[1].close()
        try:
            self._open_videos[name] = _Video(self._tree, name)
        except InputError as error:
            self._broken[name] = error
            raise
        return self._open_videos[name]

    def __getstate__(self) -> dict[str, Any]:
        keep = ("origin", "names", "kind", "passed_over", "_index", "_tree", "_frames")
        return {key: self.__dict__[key] for key in keep}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()


class _Video:
    """One open video, and how many frames of it were taken."""

    def __init__(self, tree: FileTree, name: str) -> None:
        self._copy: ScratchFile | None = None
        head = tree.read(name, 0, 12)
        # FFmpeg would follow a play list under this name to other files and addresses.
        if not (head.startswith(b"RIFF") and head.endswith(b"AVI ")):
            raise InputError(f"it begins with {head!r}", where=tree.where(name), expected="an AVI video")
        path = tree.path(name) if isinstance(tree, PathTree) else None
        if path is None or not str(path).isprintable():
            self._copy = ScratchFile(default_folder(), "flmd-video")
            with tree.open(name) as source:
                shutil.copyfileobj(source, self._copy.stream, _COPY)
            self._copy.stream.flush()
            path = self._copy.path
        self._path = str(path)
        self._length: int | None = None
        self._rewind()

    def frame(self, number: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 BGR of a frame, from 1; InputError when there is none."""
        if number < 1:
            raise InputError(f"frame {number}", expected="1 or more")
        if self._length is not None and number > self._length:
            raise self._too_short()
        if number <= self._at:
            self._rewind()
        while self._at < number:
            if not self._capture.grab():
                self._length = self._at
                raise self._too_short()
            self._at += 1
        found, pixels = self._capture.retrieve()
        if not found or pixels.ndim != 3 or pixels.dtype != np.uint8:
            raise InputError("the frame cannot be decoded")
        return pixels  # type: ignore[return-value]

    def _too_short(self) -> InputError:
        return InputError(f"the video ends after {self._length} frames")

    def close(self) -> None:
        """Let go of the handle and the unpacked copy."""
        self._capture.release()
        if self._copy is not None:
            self._copy.discard()

    def _rewind(self) -> None:
        import cv2

        self._at = 0
        try:
            with opencv_log.silent():
                self._capture = cv2.VideoCapture(self._path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        except (cv2.error, UnicodeEncodeError) as error:
            raise InputError(f"the video cannot be opened ({error})") from None
        if not self._capture.isOpened():
            raise InputError("the video cannot be decoded: it is damaged or of an unknown codec")
        width = self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)
        height = self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if not 0 < width * height <= MOST_PIXELS:
            raise InputError(f"the video announces frames of {width:.0f}x{height:.0f} pixels")


def png_of(bgr: NDArray[np.uint8]) -> bytes:
    """The (H, W, 3) picture as a PNG without compression, which is several times as fast to make."""
    height, width = bgr.shape[:2]
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # each row begins with its filter: 0, none
    rows[:, 1:] = bgr[:, :, ::-1].reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.data, 0)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
