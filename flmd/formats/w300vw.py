"""300-VW: videos, and a .pts file for each frame."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from flmd.face import Face, SkipFace, Skipped, visibility_of
from flmd.formats.base import Certainty, Detection, Format, WriteReport
from flmd.formats.layout import split_of_path
from flmd.formats.pts_file import from_base_1, points_of, pts_names, scheme_of
from flmd.formats.w300vw_writer import write
from flmd.schemes import Scheme
from flmd.tree import FileTree

VIDEO = "vid.avi"
_ANNOTATION = re.compile(r"(?:(?P<folder>.*)/)?annot/(?P<frame>[0-9]{1,9})\.pts", re.IGNORECASE | re.DOTALL)


class W300Vw(Format):
    """300-VW: ``<id>/vid.avi``, and ``<id>/annot/000001.pts`` for its first frame.

    The .pts are iBUG's: counted from 1 (base 1), without box or visibility; ``flmd.formats.pts.Pts`` tells
    of them. Frames are counted from 1 too.

    Reading
    -------
    A .pts file is a face. Its picture is ``<id>/vid/000001.png``, which is no file: ``pictures`` gives the
    tree in which reading that name decodes the frame (``video_frames.VideoFrames``). A frame beyond the
    video's end, or of a video that cannot be decoded, is found out there: an unreadable picture. The
    subject is ``<id>``, one person. The split is that of the deepest folder that says one. Other .pts files
    of the tree, and those without a video, are not read.

    Skipped, a file, and the next one is read: as in plain .pts, but for ``merl_rav_signs``; and
    ``bad_frame_number`` (0). No InputError.

    Writing
    -------
    A folder of ``<id>/vid.avi`` and ``<id>/annot/``. The id of a picture named ``<id>/vid/000001.png`` is
    kept; of others it is the subject, where that is a person and not the picture itself, else the
    picture's folder, else ``video``. Each face gets the next frame, numbered from 1 in the order of the
    faces, so pictures with several faces are repeated. A video has one id and one size: where either
    changes, the next one begins, ``<id>_2`` when the id is taken. Videos are FFV1, without loss, at 25
    frames a second; pictures of odd width or height get one column or row more, a copy of the last.

    Without ``pictures``, only the annotations are written, for videos that are put beside them by hand: the
    frame is the one that the picture's name says, or the next.

    Lost, by key of ``WriteReport.lost``: ``image name`` (it comes back as another), ``picture size`` (it
    was odd), ``pictures`` (there were none), ``pixels`` (this OpenCV has no FFV1: the video is MJPG),
    ``sub-pixel`` (less than 1e-15 px), ``box``, ``visibility``, ``split``, ``subject``, ``subset``,
    ``dataset``, ``attributes``. Not written at all: ``face without readable picture``, ``face with
    unwritable image name`` (it leaves the folder, or the disk refuses it).
    """

    name = "300vw"
    title = "300-VW videos with a .pts file for each frame"
    detected_by = "<id>/annot/000001.pts beside <id>/vid.avi"
    scheme = None
    base = 1
    needs = frozenset({"pixels"})

    def detect(self, tree: FileTree) -> Detection:
        """By names alone."""
        names = pts_names(tree)
        files = [name for name in names if _frame_of(tree, name)]
        if not files:
            return Detection((), "no <id>/annot/*.pts beside <id>/vid.avi")
        videos = len({posixpath.dirname(name) for name in files})
        why = f"{len(files)} annotated frames of {videos} videos"
        if len(files) < len(names):
            why += f"; left out: {len(names) - len(files)} .pts files without a video"
        return Detection(tuple(files), why, Certainty.CERTAIN)

    def scheme_in(self, tree: FileTree, files: tuple[str, ...]) -> str:
        """The scheme meant by the number of points of the first file that can be read."""
        return scheme_of(tree, files)

    def pictures(self, tree: FileTree) -> FileTree:
        """The tree with every annotated frame as a picture; videos are opened when frames are read."""
        from flmd.formats.common.video_frames import VideoFrames

        found = ((name, _frame_of(tree, name)) for name in pts_names(tree))
        return VideoFrames(tree, {_picture(name): frame for name, frame in found if frame})

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield the face of each frame in order; no video is opened."""
        for name in files:
            where = tree.where(name)
            folder = posixpath.dirname(posixpath.dirname(name))
            try:
                frame = posixpath.splitext(posixpath.basename(name))[0]
                if not frame.strip("0"):
                    raise SkipFace("bad_frame_number", f"frame {frame}, expected 1 or more", 1)
                landmarks = from_base_1(points_of(tree, name, scheme.count))
            except SkipFace as fault:
                yield fault.at(where)
                continue
            yield Face(
                image=_picture(name),
                landmarks=landmarks,
                visibility=visibility_of(landmarks),
                subject=posixpath.basename(folder or tree.origin),
                split=split_of_path(folder) or "",
                where=where,
            )

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a folder of videos and .pts files; see the class for what is lost."""
        return write(faces, target, scheme, pictures)


def _frame_of(tree: FileTree, name: str) -> tuple[str, int] | None:
    """Video and number of the frame that a .pts file describes; None when there is no such video."""
    found = _ANNOTATION.fullmatch(name)
    video = posixpath.join(found["folder"] or "", VIDEO) if found else ""
    return (video, int(found["frame"])) if found and video in tree else None


def _picture(name: str) -> str:
    """The name of the picture that a .pts file describes: ``7/vid/000001.png``."""
    folder, file = posixpath.split(name)
    return posixpath.join(posixpath.dirname(folder), "vid", posixpath.splitext(file)[0] + ".png")
