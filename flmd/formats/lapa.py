"""LaPa's landmarks: a text file for each picture, a count and then a line for each point."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from flmd.face import Face, SkipFace, visibility_of
from flmd.formats.base import Certainty, Detection
from flmd.formats.common.point_lines import lines_in, points_in
from flmd.formats.common.sidecar_files import Points, SidecarFormat, picture_read_back
from flmd.formats.common.text_list import PROBED_FILES, first_lines, numbers, unlisted
from flmd.formats.layout import PicturesBeside
from flmd.formats.writing import number_text
from flmd.schemes import scheme_of_count
from flmd.schemes.base import MOST_POINTS
from flmd.tree import FileTree

REQUIRED = "*.txt with a count in the first line and then lines of two numbers"
_PROBED_IN_FOLDER = 16


class LaPa(SidecarFormat):
    """LaPa .txt: a line ``106``, then a line ``x y`` for each point; ``train/landmarks/NAME.txt``.

    Whether LaPa counts pixels from 0 or from 1 is not published: base 0 is taken, and ``--base 1`` is the
    option. Floats. There is no box and no visibility: every point counts as visible.

    Reading
    -------
    A file is a face. The picture of ``train/landmarks/NAME.txt`` is ``train/images/NAME.jpg``, or whichever
    picture of that stem lies there; else the one beside the file; ``NAME_face2.txt`` is a further face of
    it. The split is that of the deepest folder that says one, never of the file's own name. The subject is
    the picture's path without ending and ``_mirror``. 106 points are lapa106; any other count is read too.

    A bad file is Skipped, and the next one is read: ``bad_header`` (the first line is no count),
    ``wrong_point_count`` (not the scheme's number, not as many lines as the count, or a file above 1 MiB),
    ``bad_line`` (not two cells), ``not_a_number`` (also nan, inf), ``unreadable_file``. No InputError.

    Writing
    -------
    A folder with ``<image stem>.txt``, the folder ``images`` being replaced by ``landmarks``, and
    ``_face2``, ``_face3`` for further faces. Numbers are the shortest that read back as the same float64.
    Lost, by key of ``WriteReport.lost``: ``box``, ``visibility``, ``split`` (unless a folder of the image's
    name says it), ``subject``, ``subset``, ``dataset``, ``attributes``, ``image name`` (not a .jpg, so that
    only the picture itself tells its ending; or it comes back otherwise). Not written at all: ``face with
    unlabelled points``, ``face with unwritable image name`` (it leaves the folder, the disk refuses it, or
    it is another face's file).
    """

    name = "lapa"
    title = "LaPa landmarks, a .txt for each picture (106 points)"
    detected_by = REQUIRED
    ending = ".txt"

    def detect(self, tree: FileTree) -> Detection:
        """The ``*.txt`` of each folder where most of up to 16, evenly spread, are such files; else these."""
        folders = defaultdict(list)
        for name in tree.names:
            if name.lower().endswith(".txt"):
                folders[posixpath.dirname(name)].append(name)
        files: list[str] = []
        probed = fitting = 0
        for inside in folders.values():
            step = -(-len(inside) // _PROBED_IN_FOLDER)
            probes = inside[::step] if probed < PROBED_FILES else []
            fits = [name for name in probes if _looks_like_lapa(tree, name)]
            probed, fitting = probed + len(probes), fitting + len(fits)
            most = 2 * len(fits) > len(probes) if probes else 2 * fitting > probed
            files += inside if most else fits
        if not files:
            return Detection((), f"no {REQUIRED}")
        return Detection(tuple(sorted(files)), f"{len(files)} .txt files of points", Certainty.LIKELY)

    def accepts(self, tree: FileTree, name: str) -> bool:
        """Whether it begins with a count and a line of two numbers."""
        return name.lower().endswith(".txt") and _looks_like_lapa(tree, name)

    def scheme_in(self, tree: FileTree, files: tuple[str, ...]) -> str:
        """lapa106 for 106 points; else what the count of the first good file means."""
        for name in files[:PROBED_FILES]:
            if _looks_like_lapa(tree, name):
                count = int(first_lines(tree, name)[0])
                return "lapa106" if count == 106 else scheme_of_count(count)
        return "lapa106"

    def points(self, tree: FileTree, name: str, count: int) -> Points:
        """The points of a file, all of them visible."""
        landmarks = _points(tree, name, count)
        return landmarks, visibility_of(landmarks)

    def text(self, face: Face) -> bytes:
        """The file of a face."""
        rows = (" ".join(map(number_text, point)) for point in face.landmarks.tolist())
        return "\n".join([str(len(face.landmarks)), *rows, ""]).encode()

    def unwritable(self, face: Face) -> str | None:
        """Whether a point is not labelled, or a picture's name cannot be read back."""
        return unlisted(face)

    def picture_finder(self, tree: FileTree) -> Callable[[str], str]:
        """The picture in the folder ``images``, else beside the file."""
        pictures = PicturesBeside(tree)

        def find(name: str) -> str:
            likely = _in_folder(name, "landmarks", "images")
            return pictures.find(likely) or pictures.find(name) or picture_read_back(likely)

        return find

    def file_stem(self, image: str) -> str:
        """Pictures lie in ``images``, their points in ``landmarks``."""
        return _in_folder(image, "images", "landmarks")

    def picture_read_back(self, name: str) -> str:
        """The .jpg that LaPa would have."""
        return picture_read_back(_in_folder(name, "landmarks", "images"))


def _looks_like_lapa(tree: FileTree, name: str) -> bool:
    lines = first_lines(tree, name)[:2]
    return len(lines) == 2 and _count(lines[0]) is not None and _is_point(lines[1])


def _count(line: str) -> int | None:
    """The number of points a first line says, or None when it says none a scheme could have."""
    text = line.strip()
    if not (text.isascii() and text.isdecimal() and len(text) < 9):
        return None
    return int(text) if 0 < int(text) <= MOST_POINTS else None


def _is_point(line: str) -> bool:
    cells = line.split()
    return len(cells) == 2 and numbers(cells) is not None


def _in_folder(name: str, one: str, other: str) -> str:
    """The same name, in a folder ``other`` where its own is ``one``."""
    folder, base = posixpath.split(name)
    above, last = posixpath.split(folder)
    return posixpath.join(above, other, base) if last == one else name


def _points(tree: FileTree, name: str, count: int) -> NDArray[np.float32]:
    """(count, 2) float32 points of a file; SkipFace when it has not as many, or others."""
    lines = lines_in(tree, name)
    said = _count(" ".join(lines[0][1])) if lines else None
    if said is None:
        what = repr(" ".join(lines[0][1])[:40]) if lines else "an empty file"
        raise SkipFace("bad_header", f"{what}, expected the number of points", 1)
    if not len(lines) - 1 == said == count:
        what = f"{said} points by the first line, {len(lines) - 1} lines, expected {count}"
        raise SkipFace("wrong_point_count", what, 1)
    return points_in(lines[1:])
