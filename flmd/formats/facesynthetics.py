"""FaceSynthetics: rendered faces, a text of 70 points beside each picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from flmd.errors import InputError
from flmd.face import Face, SkipFace, visibility_of
from flmd.formats.base import Certainty, Detection
from flmd.formats.common.point_lines import lines_in, points_in
from flmd.formats.common.sidecar_files import Points, SidecarFormat
from flmd.formats.common.text_list import first_lines, numbers
from flmd.formats.layout import FURTHER_FACE, PicturesBeside
from flmd.formats.writing import number_text
from flmd.schemes import scheme_of_count
from flmd.tree import FileTree

_LOOKED_AT = 16


class FaceSynthetics(SidecarFormat):
    """``000000_ldmks.txt``: 70 lines ``x y``, beside ``000000.png`` (and ``000000_seg.png``, not read).

    iBUG's 68 points and then the person's right and left pupil. Floats. Their base is not published: 0 is
    taken, and ``--base 1`` is the option. There is no box and no visibility: every point counts as visible.

    Reading
    -------
    A file is a face. Its picture is the one beside it under the stem without ``_ldmks``, ``<stem>.png``
    where there is none; ``<stem>_face2_ldmks.txt`` is a further face of it. The split is that of the deepest
    folder that says one; the subject is the picture's path without ending and ``_mirror``. Any number of
    points: 70 are openpose70.

    A bad file is Skipped, and the next one is read: ``wrong_point_count`` (not the scheme's number of lines,
    or a file above 1 MiB), ``bad_line`` (not two cells), ``not_a_number`` (also nan, inf),
    ``unreadable_file``. No InputError but for a tree in which no file says how many points it has.

    Writing
    -------
    A folder with ``<image stem>_ldmks.txt``, and ``_face2``, ``_face3`` before the ``_ldmks`` for further
    faces. Numbers are the shortest that read back as the same float64. Lost, by key of
    ``WriteReport.lost``: ``box``, ``visibility``, ``split`` (unless a folder of the image's name says it),
    ``subject``, ``subset``, ``dataset``, ``attributes``, ``image name`` (not a .png, so that only the
    picture itself tells its ending; or it comes back otherwise). Not written at all: ``face with unlabelled
    points``, ``face with unwritable image name``.
    """

    name = "facesynthetics"
    title = "FaceSynthetics landmarks, a .txt for each picture (70 points)"
    detected_by = "*_ldmks.txt that begin with a line of two numbers"
    ending = "_ldmks.txt"

    def detect(self, tree: FileTree) -> Detection:
        """Every such name, when one of the first 16 begins with a line of two numbers."""
        names = [name for name in tree.names if name.lower().endswith(self.ending)]
        if not any(_count(tree, name) for name in names[:_LOOKED_AT]):
            return Detection((), f"no {self.detected_by}")
        return Detection(tuple(names), f"{len(names)} texts of points", Certainty.LIKELY)

    def accepts(self, tree: FileTree, name: str) -> bool:
        """Whether it is named so and begins with a line of two numbers."""
        return name.lower().endswith(self.ending) and _count(tree, name) > 0

    def scheme_in(self, tree: FileTree, files: tuple[str, ...]) -> str:
        """The scheme meant by the number of lines of the first file that has points."""
        for name in files[:_LOOKED_AT]:
            if count := _count(tree, name):
                return scheme_of_count(count)
        where = tree.where(files[0]) if files else tree.origin
        raise InputError("no line of two numbers", where=where, hint="name the scheme with --scheme")

    def points(self, tree: FileTree, name: str, count: int) -> Points:
        """The points of a file, all of them visible."""
        lines = lines_in(tree, name)
        if len(lines) != count:
            raise SkipFace("wrong_point_count", f"{len(lines)} lines, expected {count}")
        landmarks = points_in(lines)
        return landmarks, visibility_of(landmarks)

    def text(self, face: Face) -> bytes:
        """A line for each point."""
        rows = (" ".join(map(number_text, point)) for point in face.landmarks.tolist())
        return "\n".join([*rows, ""]).encode()

    def unwritable(self, face: Face) -> str | None:
        """Whether a point has no place."""
        labelled = face.visibility.all() and np.isfinite(face.landmarks).all()
        return None if labelled else "face with unlabelled points"

    def picture_finder(self, tree: FileTree) -> Callable[[str], str]:
        """The picture beside a file."""
        beside = PicturesBeside(tree)
        return lambda name: beside.find(self._stem(name) + ".txt") or self.picture_read_back(name)

    def picture_read_back(self, name: str) -> str:
        """``000000.png`` for ``000000_ldmks.txt``."""
        return FURTHER_FACE.sub("", self._stem(name)) + ".png"

    def _stem(self, name: str) -> str:
        return name[: -len(self.ending)]


def _count(tree: FileTree, name: str) -> int:
    """How many lines of two numbers a file has, if it begins with them; 0 otherwise."""
    lines = [line.split() for line in first_lines(tree, name)]
    fits = bool(lines) and all(len(cells) == 2 and numbers(cells) is not None for cells in lines[:2])
    return len(lines) if fits else 0
