"""Which picture a frame of a CVAT video is: :class:`flmd.formats.cvat_video.CvatVideo` has the rules."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flmd.formats.layout import is_picture, resolve
from flmd.tree import FileTree

MOST_FRAMES = 10_000_000
_NUMBERED = re.compile(r"frame_([0-9]{1,9})")
_STEP = re.compile(r"step=([0-9]{1,6})")


@dataclass
class VideoMeta:
    """What ``<meta>`` says of a video.

    ``source``: the name of the video or "". ``start``, ``stop``, ``step``: of its frames. ``size``: (width,
    height) of the pictures or None.
    """

    source: str = ""
    start: int = 0
    stop: int = 0
    step: int = 1
    size: tuple[int, int] | None = None

    def take(self, meta: Any) -> None:
        """Take in a ``<meta>`` element."""
        self.source = _text(meta, "source") or self.source
        self.start = frame_in(_text(meta, "start_frame")) or 0
        self.stop = frame_in(_text(meta, "stop_frame")) or frame_in(_text(meta, "size")) or self.start
        step = _STEP.fullmatch(_text(meta, "frame_filter"))
        self.step = max(1, int(step[1])) if step else 1
        sides = [frame_in(_text(meta, f"original_size/{{*}}{side}")) or 0 for side in ("width", "height")]
        self.size = (sides[0], sides[1]) if min(sides) > 0 else None


def _text(meta: Any, path: str) -> str:
    element = meta.find(f".//{{*}}{path}")
    return "" if element is None else "".join(element.itertext()).strip()


def frame_in(text: str) -> int | None:
    """The number of a frame; None for what is no whole number from 0."""
    whole = text.isascii() and text.isdecimal() and len(text) < 10
    return int(text) if whole and int(text) < MOST_FRAMES else None


class FramePictures:
    """Finds the pictures of the frames of one file; ``names``: those that the file itself says."""

    def __init__(self, tree: FileTree, name: str, meta: VideoMeta, names: Mapping[int, str]) -> None:
        self._folder = posixpath.dirname(name)
        self._video = video_of(tree, name, meta)
        self.names = names
        self._found = _numbered(tree, self._folder) or _listed(tree, self._folder, meta)

    def find(self, frame: int) -> str | None:
        """The picture of a frame, or the name it would have; None for a name that leaves the tree."""
        if frame in self.names:
            return resolve(self._folder, self.names[frame])
        return self._found.get(frame) or frame_name(self._folder, self._video, frame)


def frame_name(folder: str, video: str | None, frame: int) -> str:
    """``images/frame_000010.PNG``, as CVAT exports them; ``clip/frame_000010.png`` where a video is there."""
    if video is not None:
        return f"{posixpath.splitext(video)[0]}/frame_{frame:06d}.png"
    return posixpath.join(folder, f"images/frame_{frame:06d}.PNG")


def video_of(tree: FileTree, name: str, meta: VideoMeta) -> str | None:
    """The video of a file, if it lies beside it and is of a kind that can be read."""
    video = resolve(posixpath.dirname(name), meta.source)
    return video if video is not None and video.lower().endswith(".avi") and video in tree else None


def _pictures_in(tree: FileTree, folder: str) -> list[str]:
    return [name for name in tree.names if posixpath.dirname(name) == folder and is_picture(name)]


def _numbered(tree: FileTree, folder: str) -> dict[int, str]:
    """The pictures named ``frame_000010``, in ``images/`` or beside the file."""
    for place in (posixpath.join(folder, "images"), folder):
        found = {}
        for name in _pictures_in(tree, place):
            number = _NUMBERED.fullmatch(posixpath.splitext(posixpath.basename(name))[0])
            if number:
                found[int(number[1])] = name
        if found:
            return found
    return {}


def _listed(tree: FileTree, folder: str, meta: VideoMeta) -> dict[int, str]:
    """The pictures of a folder that was the video, where as many as frames: CVAT sorts them by name.

    All of them up to the last frame, or those that the task shows.
    """
    stem = posixpath.splitext(posixpath.basename(meta.source))[0]
    shown = range(meta.start, meta.stop + 1, meta.step)
    for place in (posixpath.join(folder, inside) for inside in ("images", stem) if inside):
        pictures = _pictures_in(tree, place)
        if pictures and len(pictures) == len(shown):
            return dict(zip(shown, pictures, strict=True))
        if pictures and len(pictures) == meta.stop + 1:
            return dict(enumerate(pictures))
    return {}
