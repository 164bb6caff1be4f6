"""OpenFace's CSV: what its FeatureExtraction and FaceLandmarkImg write."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import Attribute, Face, SkipFace, Skipped, visibility_of
from flmd.formats.base import Certainty, Detection, Format, WriteReport
from flmd.formats.layout import PicturesBeside, number_in, photo_of, split_of_path
from flmd.formats.openface_rows import (
    KEPT,
    POINTS,
    FramePictures,
    X,
    Y,
    frame_in,
    frames_of,
    header_of,
    is_sequence,
    name_of_frame,
    picture_beside,
    rows_of,
    video_of,
    wrong_header,
)
from flmd.formats.openface_writer import write
from flmd.schemes import Scheme
from flmd.tree import FileTree
from flmd.tree.names import shown


class OpenFace(Format):
    """CSV with the columns ``confidence``, ``x_0`` … ``x_67``, ``y_0`` … ``y_67``, others beside them.

    Coordinates are pixels. Which base they have is not published: 0 is taken, and ``--base 1`` is the
    option. There is no box and no visibility: every point counts as visible.

    Two kinds. With a column ``frame`` the file is about a video or a folder of pictures: FeatureExtraction
    writes ``clip.csv`` for ``clip.avi`` or the folder ``clip``. With a column ``face`` it is about one
    picture: FaceLandmarkImg writes ``photo.csv``. Columns go by their names, with or without a space after
    the commas.

    Reading
    -------
    A row is a face. ``timestamp``, ``confidence`` and ``pose_Tx`` … ``pose_Rz`` (millimetres and radians)
    become float attributes of these names, ``face_id`` a whole one. Gaze, points in 3D, shape parameters
    and action units are not read. A point whose x and y are both blank is not labelled.

    Pictures of frames: ``clip/000001.jpg``, as ``openface_rows.FramePictures`` finds them; else the frames
    of ``clip.avi``, the first of them being frame 1 (0 where the file counts from 0). Those of faces: the
    picture of the same stem beside the file, or above the folder ``processed``. The subject is the clip, or
    the picture's path without ending; the split that of the deepest folder that says one, never of the
    file's own name. Memory holds one row, and the names of a folder's pictures.

    Skipped reasons: ``not_tracked`` (``success`` is 0), ``short_row``, ``long_row``, ``not_a_number`` (a
    word, nan, inf, one blank coordinate of two), ``bad_frame`` (no whole number). InputError, with the line:
    a header that lacks columns or has one twice, a line of 1 MiB or more.

    Writing
    -------
    A folder: ``<image stem>.csv`` with a row for each face of a picture. A file, where the target ends in
    ``.csv``: a sequence. There a picture named ``<target>/<number>`` keeps its number; any other
    picture than the last one gets the next. The columns are those above; a cell is blank where a face says
    nothing. Numbers have the fewest decimals that give the same float32. Lost, by key of
    ``WriteReport.lost``: ``box``, ``visibility``, ``split`` (unless a folder says it), ``subject``,
    ``subset``, ``dataset``, ``attributes``, ``image name`` (a picture that is not there comes back as a
    .jpg; in a sequence, all that are not numbers). Not written at all: ``face with unwritable image name``,
    ``another picture of this stem``.
    """

    name = "openface"
    title = "OpenFace CSV (68 points, frames of a video or faces of a picture)"
    detected_by = "*.csv with the columns frame or face, confidence, x_0 … x_67 and y_0 … y_67"
    scheme = "ibug68"
    suffix = ".csv"

    def detect(self, tree: FileTree) -> Detection:
        """Any ``*.csv`` with these columns in its first line."""
        found: dict[str, bool] = {}
        miss = ""
        for name in tree.names:
            if not name.lower().endswith(".csv"):
                continue
            header = header_of(tree, name)
            wrong = wrong_header(header)
            if wrong is None:
                found[name] = is_sequence(header)
            elif wrong:
                miss = miss or f" ({shown(posixpath.basename(name))}: {wrong})"
        if not found:
            return Detection((), f"no {self.detected_by}{miss}")
        certainty = Certainty.CERTAIN if any(found.values()) else Certainty.LIKELY
        return Detection(tuple(found), f"{len(found)} CSV files of OpenFace", certainty)

    def accepts(self, tree: FileTree, name: str) -> bool:
        """Whether its first line has these columns."""
        return name.lower().endswith(".csv") and wrong_header(header_of(tree, name)) is None

    def pictures(self, tree: FileTree) -> FileTree:
        """The tree with the frames of videos as pictures; reads the files about a video once."""
        frames: dict[str, tuple[str, int]] = {}
        for name in self.detect(tree).files:
            video = video_of(tree, name)
            if video is not None and is_sequence(header_of(tree, name)):
                numbers = frames_of(tree, name)
                first = 0 if 0 in numbers else 1
                frames |= {name_of_frame(tree, name, n): (video, n - first + 1) for n in numbers}
        if not frames:
            return tree
        from flmd.formats.common.video_frames import VideoFrames

        return VideoFrames(tree, frames)

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield a face for each row; see the class for what is skipped."""
        if scheme.count != POINTS:
            raise InputError(f"scheme {scheme.name} has {scheme.count} points", expected=str(POINTS))
        beside = PicturesBeside(tree)
        for name in files:
            yield from _read(tree, name, beside)

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a ``.csv`` file or a folder of them; see the class for what is lost."""
        return write(faces, target, scheme)


def _read(tree: FileTree, name: str, beside: PicturesBeside) -> Iterator[Face | Skipped]:
    where = tree.where(name)
    split = split_of_path(posixpath.dirname(name)) or ""
    sequence = is_sequence(header_of(tree, name))
    frames = FramePictures(tree, name) if sequence else None
    image = picture_beside(beside, name)
    subject = posixpath.splitext(name)[0] if sequence else photo_of(image)
    for row in rows_of(tree, name):
        try:
            cells = row.by_column()
            if number_in(cells.get("success")) == 0:
                raise SkipFace("not_tracked", "success is 0: OpenFace lost the face here")
            landmarks = _landmarks(cells)
            if frames is not None:
                image = frames.find(_frame(cells["frame"]))
        except SkipFace as fault:
            fault.line = row.line
            yield fault.at(where)
            continue
        yield Face(
            image=image,
            landmarks=landmarks,
            visibility=visibility_of(landmarks),
            subject=subject,
            split=split,
            attributes=_attributes(cells),
            where=f"{where}:{row.line}",
        )


def _frame(text: str) -> int:
    frame = frame_in(text)
    if frame is None:
        raise SkipFace("bad_frame", f"frame {text[:40]!r}, expected a number")
    return frame


def _landmarks(cells: dict[str, str]) -> NDArray[np.float32]:
    """(68, 2) points, NaN where both cells are blank."""
    landmarks = np.full((POINTS, 2), np.nan, np.float32)
    for point, columns in enumerate(zip(X, Y, strict=True)):
        if not cells[columns[0]] and not cells[columns[1]]:
            continue
        for axis, column in enumerate(columns):
            value = number_in(cells[column])
            if value is None:
                what = f"column {column} holds {cells[column][:40]!r}, expected a number"
                raise SkipFace("not_a_number", what)
            landmarks[point, axis] = value
    return landmarks


def _attributes(cells: dict[str, str]) -> dict[str, Attribute]:
    attributes: dict[str, Attribute] = {}
    for column in KEPT:
        value = number_in(cells.get(column))
        if value is not None:
            attributes[column] = value
    face_id = number_in(cells.get("face_id"))
    if face_id is not None and face_id.is_integer():
        attributes["face_id"] = int(face_id)
    return attributes
