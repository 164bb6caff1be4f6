"""iBUG's .pts: one text file beside each picture."""

from __future__ import annotations

import errno
import posixpath
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from flmd.face import Face, SkipFace, Skipped, visibility_of
from flmd.formats.base import Certainty, Detection, Format, WriteReport
from flmd.formats.layout import PicturesBeside, photo_of, resolve, split_of_path, whole_or_nothing
from flmd.formats.merl_rav_signs import has_merl_rav_signs
from flmd.formats.pts_file import (
    from_base_1,
    head_of,
    looks_like_pts,
    picture_read_back,
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
from flmd.tree.names import is_junk


class Pts(Format):
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

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield the face of each file in order; see the class for what is skipped."""
        pictures = PicturesBeside(tree)
        for name in files:
            where = tree.where(name)
            try:
                points = points_of(tree, name, scheme.count)
                if has_merl_rav_signs(points):
                    what = "negative coordinates that mark hidden points, as MERL-RAV writes them"
                    raise SkipFace("merl_rav_signs", what + "; read with merl-rav-pts", 1)
            except SkipFace as fault:
                yield fault.at(where)
                continue
            landmarks = from_base_1(points)
            image = pictures.name_for(name)
            yield Face(
                image=image,
                landmarks=landmarks,
                visibility=visibility_of(landmarks),
                subject=photo_of(image),
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
                image = resolve("", face.image)
                name = names.name(image) if image is not None else None
                points = np.where(face.visibility[:, None] == 0, np.nan, to_base_1(face.landmarks))
                if name is None or not write_file(scratch, name, text_of(points)):
                    report.lost["face with unwritable image name"] += 1
                    continue
                report.faces += 1
                read_back = picture_read_back(name)
                if rounds(face):
                    report.lost["sub-pixel"] += 1
                if image == face.image != read_back:
                    report.lost["image name"] += 1
                split = split_of_path(posixpath.dirname(name)) or ""
                keeps = ("unlabelled points",)
                count_lost(report, face, keeps=keeps, subject=photo_of(read_back), split=split)
        return report


def write_file(folder: Path, name: str, data: bytes) -> bool:
    """Write a new file, and the folders it lies in; False for a name that the disk or a tree cannot hold.

    Such names have parts that are too long, name a file that is there, lie in one as if in a folder, or are
    those that a tree leaves out as junk.
    """
    if is_junk(name):
        return False
    path = folder / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(data)
    except OSError as error:
        if not is_bad_name(error):
            raise
        return False
    except UnicodeEncodeError:
        return False
    return True


def is_bad_name(error: OSError) -> bool:
    """Whether a file could not be made for its name, rather than for the disk's or its owner's sake."""
    return error.errno in (errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EILSEQ)
