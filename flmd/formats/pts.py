"""iBUG's .pts: one text file beside each picture."""

from __future__ import annotations

import numpy as np

from flmd.face import Face, SkipFace, visibility_of
from flmd.formats.base import Certainty, Detection
from flmd.formats.common.sidecar_files import Points, SidecarFormat
from flmd.formats.merl_rav_signs import has_merl_rav_signs
from flmd.formats.pts_file import (
    from_base_1,
    head_of,
    looks_like_pts,
    points_of,
    pts_names,
    rounds,
    scheme_of,
    spread,
    text_of,
    to_base_1,
)
from flmd.tree import FileTree


class Pts(SidecarFormat):
    """iBUG .pts: ``version: 1``, ``n_points:  68``, ``{``, a line ``x y`` for each point, ``}``.

    Points are counted from 1 (base 1): the centre of the top-left pixel is (1, 1). They are floats of any
    sign; those outside the picture are legal. Files of nothing but the lines of points (300-W's afw) are
    read too. A point ``nan nan``, as Menpo writes it, is not labelled. There is no box and no visibility:
    labelled points count as visible.

    Reading
    -------
    A file is a face. Its picture is the one beside it under the same stem, ``<stem>.jpg`` where there is
    none; ``<stem>_face2.pts`` is a further face of it. The split is that of the deepest folder that says
    one (``helen/trainset/``), never of the file's own name. The subject is the picture's path without
    ending and ``_mirror``. Any number of points: 68 are ibug68.

    A bad file is Skipped, and the next one is read: ``bad_header`` (a version other than 1, an unknown
    key, no ``{``), ``truncated_file`` (no ``}``), ``bad_line`` (not two cells, or text after ``}``),
    ``not_a_number`` (also inf, and nan for one of two), ``wrong_point_count`` (not the scheme's number,
    not ``n_points``, or a file above 1 MiB), ``unreadable_file``, ``merl_rav_signs`` (the negative
    coordinates of this file are MERL-RAV's marks, see ``flmd.formats.merl_rav_signs``: read it with
    ``merl-rav-pts``). No InputError.

    Writing
    -------
    A folder with ``<image stem>.pts``, and ``_face2``, ``_face3`` for further faces. Numbers are the
    shortest that read back as the same float64. Lost, by key of ``WriteReport.lost``: ``sub-pixel`` (the
    last bits of a coordinate within 1e-8 of 0: less than 1e-15 px), ``box``, ``visibility``, ``split``
    (unless a folder of the image's name says it), ``subject``, ``subset``, ``dataset``, ``attributes``,
    ``image name`` (not a .jpg, so that only the picture beside the file tells its ending; or it comes back
    otherwise). Not written at all: ``face with unwritable image name`` (it leaves the folder, the disk
    refuses it, a tree leaves it out, or it is another face's file).
    """

    name = "pts"
    title = "iBUG .pts beside each picture (300-W, Menpo)"
    detected_by = "*.pts that begin with version: 1, n_points: or a line of two numbers"
    base = 1
    ending = ".pts"
    keeps = ("unlabelled points",)

    def detect(self, tree: FileTree) -> Detection:
        """Every ``*.pts``, when one of at most 64 of them, evenly spread, begins as such a file does."""
        names = pts_names(tree)
        if not names:
            return Detection((), "no *.pts")
        if not any(looks_like_pts(head_of(tree, name)) for name in spread(names)):
            return Detection((), "no *.pts that begins with version: 1 or with a line of two numbers")
        return Detection(tuple(names), f"{len(names)} .pts files", Certainty.LIKELY)

    def scheme_in(self, tree: FileTree, files: tuple[str, ...]) -> str:
        """The scheme meant by the number of points of the first file that can be read."""
        return scheme_of(tree, files)

    def points(self, tree: FileTree, name: str, count: int) -> Points:
        """The points of a file, all of them visible but those that are nan."""
        points = points_of(tree, name, count)
        if has_merl_rav_signs(points):
            what = "negative coordinates that mark hidden points, as MERL-RAV writes them"
            raise SkipFace("merl_rav_signs", what + "; read with merl-rav-pts", 1)
        landmarks = from_base_1(points)
        return landmarks, visibility_of(landmarks)

    def text(self, face: Face) -> bytes:
        """The file of a face; nan for points without a label."""
        return text_of(np.where(face.visibility[:, None] == 0, np.nan, to_base_1(face.landmarks)))

    def rounded(self, face: Face) -> bool:
        """Whether counting from 1 costs a coordinate its last bits."""
        return rounds(face)
