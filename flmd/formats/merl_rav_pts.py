"""MERL-RAV: .pts files whose signs say which points are hidden."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flmd.face import HIDDEN, NOT_LABELLED, VISIBLE, Face, SkipFace, Skipped
from flmd.formats.base import Certainty, Detection, Format, WriteReport
from flmd.formats.layout import PICTURE_ENDINGS, PicturesBeside, resolve, split_of_path, whole_or_nothing
from flmd.formats.merl_rav_signs import has_merl_rav_signs
from flmd.formats.pts import write_file
from flmd.formats.pts_file import (
    data_of,
    from_base_1,
    looks_like_pts,
    picture_read_back,
    points_in,
    points_of,
    pts_names,
    rounds,
    scheme_of,
    spread,
    text_of,
    to_base_1,
)
from flmd.formats.writing import SidecarNames, check_points, count_lost
from flmd.schemes import Scheme
from flmd.tree import FileTree
from flmd.tree.names import shown

_LAYOUT = re.compile(r"(?:.*/)?(?:frontal|left|lefthalf|right|righthalf)/(?:train|test)set/(?:labels/)?[^/]+")
HEAD = 1 << 16
_FACE = re.compile(r"_[1-9][0-9]*$")


class MerlRavPts(Format):
    """MERL-RAV's .pts: ``x y`` is visible, ``-x -y`` is hidden at (x, y), ``-1 -1`` is not placed at all.

    The files are iBUG's otherwise. The data set's own page gives these three meanings: unoccluded,
    externally occluded with an estimated place, self-occluded without one. They are visibility 2, 1
    and 0. Points are counted from 1 as in every .pts (base 1); the page does not say it.

    Which files are meant is decided for a tree, not for a point: negative coordinates are legal places
    outside the picture in plain .pts. A tree is MERL-RAV's when its .pts lie as published,
    ``<frontal|left|lefthalf|right|righthalf>/<trainset|testset>/[labels/]``, or when one file of it bears
    signs that no plain file can (``flmd.formats.merl_rav_signs``); a plain reader skips such a file.

    Reading
    -------
    A file is a face. Its picture is the one beside it under the same stem; else AFLW's, anywhere in the
    tree, whose stem is what stands before ``_1``, ``_2``, …, which number the faces of one picture;
    ``<stem>.jpg`` where there is none. That AFLW stem is the subject, so that faces of one picture, and the
    copies of it, stay together. The split is that of the deepest folder that says one.

    Skipped: as in plain .pts (``flmd.formats.pts.Pts``), and ``mixed_signs``: one coordinate of a point is
    negative or 0 and the other is not, or both are 0. No InputError.

    Writing
    -------
    A folder with ``<image stem>.pts``, and ``_face2``, ``_face3`` for further faces. Lost: as in plain
    .pts, but visibility is kept. Not written at all: ``face with unwritable image name``, and ``face with a
    point that signs cannot tell`` (outside the picture to the left or above, or hidden at its top-left
    pixel).
    """

    name = "merl-rav-pts"
    title = "MERL-RAV .pts (68 points of AFLW, hidden ones negative)"
    detected_by = "*.pts in <pose>/<trainset|testset>/, or with coordinates that only MERL-RAV writes"
    base = 1
    visibility = True

    def detect(self, tree: FileTree) -> Detection:
        """Every ``*.pts``, by layout or by the signs in one of at most 64 files, evenly spread."""
        names = pts_names(tree)
        if not names:
            return Detection((), "no *.pts")
        why = "the published folders" if all(map(_LAYOUT.fullmatch, names)) else ""
        readable = False
        for name in spread(names):
            try:
                data = data_of(tree, name, HEAD)
                readable = readable or looks_like_pts(data)
                if not why and has_merl_rav_signs(points_in(data)):
                    why = f"coordinates that only MERL-RAV writes in {shown(name)}"
            except SkipFace:
                continue
            if why and readable:
                return Detection(tuple(names), f"{len(names)} .pts files; {why}", Certainty.CERTAIN)
        return Detection((), "no *.pts in <pose>/<trainset|testset>/ nor with MERL-RAV's negative points")

    def scheme_in(self, tree: FileTree, files: tuple[str, ...]) -> str:
        """The scheme meant by the number of points of the first file that can be read."""
        return scheme_of(tree, files)

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield the face of each file in order; see the class for what is skipped."""
        pictures = _Pictures(tree)
        for name in files:
            where = tree.where(name)
            try:
                points = points_of(tree, name, scheme.count)
                landmarks, visibility = _meant(points)
            except SkipFace as fault:
                yield fault.at(where)
                continue
            yield Face(
                image=pictures.name_for(name),
                landmarks=landmarks,
                visibility=visibility,
                subject=_photo(name),
                split=split_of_path(posixpath.dirname(name)) or "",
                where=where,
            )

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a folder of .pts files; see the class for what is lost."""
        report = WriteReport()
        names = SidecarNames(".pts")
        with whole_or_nothing(target) as scratch:
            scratch.mkdir()
            for face in faces:
                check_points(face, scheme)
                points = _signed(face)
                if points is None:
                    report.lost["face with a point that signs cannot tell"] += 1
                    continue
                image = resolve("", face.image)
                name = names.name(image) if image is not None else None
                if name is None or not write_file(scratch, name, text_of(points)):
                    report.lost["face with unwritable image name"] += 1
                    continue
                report.faces += 1
                if rounds(face):
                    report.lost["sub-pixel"] += 1
                if image == face.image != picture_read_back(name):
                    report.lost["image name"] += 1
                split = split_of_path(posixpath.dirname(name)) or ""
                keeps = ("visibility", "unlabelled points")
                count_lost(report, face, keeps=keeps, subject=_photo(name), split=split)
        return report


class _Pictures:
    """Finds pictures beside the files, else AFLW's by what their name begins with."""

    def __init__(self, tree: FileTree) -> None:
        self._beside = PicturesBeside(tree)
        self._aflw: dict[str, str] = {}
        for name in tree.names:
            stem, ending = posixpath.splitext(posixpath.basename(name))
            if ending.lower() in PICTURE_ENDINGS:
                self._aflw.setdefault(stem, name)

    def name_for(self, name: str) -> str:
        """The picture's name in the tree, or the one it would have beside the file."""
        return self._beside.find(name) or self._aflw.get(_photo(name)) or self._beside.name_for(name)


def _photo(name: str) -> str:
    """``image20991`` for ``left/trainset/labels/image20991_2.pts``: AFLW's name of the picture."""
    stem = posixpath.splitext(posixpath.basename(picture_read_back(name)))[0]
    return _FACE.sub("", stem) or stem


def _meant(points: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """0-based points and visibility of the coordinates as written."""
    hidden = (points < 0).all(axis=1)
    missing = np.isnan(points).any(axis=1) | (points == -1).all(axis=1)
    mixed = ~(hidden | missing | (points > 0).all(axis=1))
    if mixed.any():
        point = int(np.flatnonzero(mixed)[0])
        what = f"point {point + 1} is {points[point].tolist()}, expected two positive or two negative numbers"
        raise SkipFace("mixed_signs", what, 1)
    places = np.where(missing[:, None], np.nan, np.abs(points))
    visibility = np.where(missing, NOT_LABELLED, np.where(hidden, HIDDEN, VISIBLE)).astype(np.uint8)
    return from_base_1(places), visibility


def _signed(face: Face) -> NDArray[np.float64] | None:
    """The coordinates to write; None where their signs would say something else."""
    missing, hidden = face.visibility == NOT_LABELLED, face.visibility == HIDDEN
    points = to_base_1(face.landmarks)
    if not (points[~missing] > 0).all() or (points[hidden] == 1).all(axis=1).any():
        return None
    signed = np.where(hidden[:, None], -points, points)
    return np.where(missing[:, None], -1.0, signed)
