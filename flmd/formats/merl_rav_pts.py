"""MERL-RAV: .pts files whose signs say which points are hidden."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from flmd.face import HIDDEN, NOT_LABELLED, VISIBLE, Face, SkipFace
from flmd.formats.base import Certainty, Detection
from flmd.formats.common.sidecar_files import Points, SidecarFormat, picture_read_back
from flmd.formats.layout import PICTURE_ENDINGS, PicturesBeside
from flmd.formats.merl_rav_signs import has_merl_rav_signs
from flmd.formats.pts_file import (
    data_of,
    from_base_1,
    looks_like_pts,
    points_in,
    points_of,
    pts_names,
    rounds,
    scheme_of,
    spread,
    text_of,
    to_base_1,
)
from flmd.tree import FileTree
from flmd.tree.names import shown

_LAYOUT = re.compile(r"(?:.*/)?(?:frontal|left|lefthalf|right|righthalf)/(?:train|test)set/(?:labels/)?[^/]+")
HEAD = 1 << 16
_FACE = re.compile(r"_[1-9][0-9]*$")


class MerlRavPts(SidecarFormat):
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
    ending = ".pts"
    keeps = ("visibility", "unlabelled points")

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

    def points(self, tree: FileTree, name: str, count: int) -> Points:
        """The points of a file and what their signs say."""
        return _meant(points_of(tree, name, count))

    def text(self, face: Face) -> bytes:
        """The file of a face, signs and all."""
        missing, hidden = face.visibility == NOT_LABELLED, face.visibility == HIDDEN
        points = to_base_1(face.landmarks)
        signed = np.where(hidden[:, None], -points, points)
        return text_of(np.where(missing[:, None], -1.0, signed))

    def unwritable(self, face: Face) -> str | None:
        """Whether the signs of a point would say something else."""
        missing, hidden = face.visibility == NOT_LABELLED, face.visibility == HIDDEN
        points = to_base_1(face.landmarks)
        told = (points[~missing] > 0).all() and not (points[hidden] == 1).all(axis=1).any()
        return None if told else "face with a point that signs cannot tell"

    def rounded(self, face: Face) -> bool:
        """Whether counting from 1 costs a coordinate its last bits."""
        return rounds(face)

    def picture_finder(self, tree: FileTree) -> Callable[[str], str]:
        """The picture beside a file, else AFLW's."""
        return _Pictures(tree).name_for

    def subject(self, name: str, image: str) -> str:
        """AFLW's name of the picture, which its copies and the further faces in it share."""
        return _photo(name)


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
