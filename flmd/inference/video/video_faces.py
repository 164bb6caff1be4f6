"""A video in, the same video with its faces drawn and a table of them out."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from tqdm import tqdm

from flmd.core.atomic import whole_or_nothing
from flmd.errors import InputError
from flmd.formats.common.json_lists import shortest
from flmd.inference.video.drawing import DrawnFace, draw
from flmd.inference.video.tracking import FaceTracker, TrackedFace
from flmd.inference.video.video import Frame, VideoReader, VideoWriter, new_video

_FIRST = ("frame", "time", "track", "box_x", "box_y", "box_width", "box_height", "score")


@dataclass(frozen=True)
class VideoReport:
    """What was done: frames read, rows written, tracks; frames a second; where it broke off, or ""."""

    frames: int
    rows: int
    tracks: int
    fps: float
    broken: str


class FaceTable:
    """A CSV with a row for each face of each frame.

    Columns: ``frame`` from 0, ``time`` in seconds, ``track``, ``box_x, box_y, box_width, box_height``,
    ``score`` (empty where the detector was not asked), ``x_0, y_0, x_1 ...``; pixels of the frame, the
    centre of the top-left one being (0, 0).
    """

    def __init__(self, stream: TextIO, points: int) -> None:
        self._table = csv.writer(stream, lineterminator="\n")
        self._table.writerow([*_FIRST, *(f"{axis}_{i}" for i in range(points) for axis in "xy")])
        self.rows = 0

    def write(self, frame: Frame, faces: Iterable[TrackedFace]) -> None:
        """Add the faces of a frame."""
        for face in faces:
            score = "" if np.isnan(face.score) else f"{face.score:g}"
            start = (frame.number, f"{frame.time:.6f}", face.track)
            self._table.writerow([*start, *shortest(face.box), score, *shortest(face.points)])
            self.rows += 1


@contextmanager
def new_table(path: Path, points: int) -> Iterator[FaceTable]:
    """Write a table, which has its name only when it is whole. ``points`` : K."""
    with whole_or_nothing(path) as new, new.open("w", encoding="utf-8", newline="") as stream:
        yield FaceTable(stream, points)


def predict_video(
    reader: VideoReader,
    tracker: FaceTracker,
    *,
    video: Path | None = None,
    table: Path | None = None,
    numbers: bool = False,
    show: Callable[[Frame], bool] = lambda frame: True,
    most_seconds: float | None = None,
) -> VideoReport:
    """Follow the faces of a video to its end, or to where it breaks off.

    Parameters
    ----------
    reader : of a video or camera. tracker : follows the faces; a fresh one.
    video, table : files to write, or None. numbers : draw the index beside each point.
    show : is handed each drawn frame, and says whether to go on.
    most_seconds : stop after so much time of the video.

    Raises
    ------
    InputError : not one frame can be decoded; nothing is written then.
    """
    started = time.perf_counter()
    tracks: set[int] = set()
    to_the_end = False
    with ExitStack() as stack:
        faces_table: FaceTable | None = None
        if table is not None:
            faces_table = stack.enter_context(new_table(table, tracker.landmarker.scheme.count))
        writer: VideoWriter | None = None
        bar = stack.enter_context(tqdm(desc="predict", total=reader.announced, unit="frame", disable=None))
        for frame in reader:
            faces = tracker(frame.pixels, frame.time)
            tracks.update(face.track for face in faces)
            if faces_table is not None:
                faces_table.write(frame, faces)
            drawn = [DrawnFace(face.points, face.box, str(face.track)) for face in faces]
            draw(frame.pixels, drawn, numbers=numbers, skeleton=tracker.landmarker.scheme.skeleton)
            if video is not None:
                if writer is None:
                    height, width = frame.pixels.shape[:2]
                    writer = stack.enter_context(new_video(video, (width, height), reader.fps))
                writer.write(frame.pixels)
            bar.update()
            if not show(frame) or (most_seconds is not None and frame.time >= most_seconds):
                break
        else:
            to_the_end = True
        if not reader.frames_read:
            raise InputError("not one frame can be decoded", where=reader.where)
    took = time.perf_counter() - started
    rows = 0 if faces_table is None else faces_table.rows
    return VideoReport(
        reader.frames_read, rows, len(tracks), reader.frames_read / took, reader.broken if to_the_end else ""
    )
