"""Datumaro's own JSON: items with points or skeletons, and the order of their points in the categories."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from flmd.core.orientation import SHOWN
from flmd.errors import InputError
from flmd.face import Face, Skipped
from flmd.formats.base import Detection, Format, WriteReport
from flmd.formats.common.json_lists import HEAD, json_heads, text_of
from flmd.formats.datumaro_reader import DatumaroReader, scheme_of_file
from flmd.formats.datumaro_writer import picture_name, write
from flmd.schemes import Scheme
from flmd.tree import FileTree
from flmd.tree.names import shown

_OWN = re.compile(r'"(?:dm_format_version|label_id|parent)"\s*:')
_POINTS = re.compile(r'"type"\s*:\s*"(?:points|skeleton)"')
_MOST_LOOKED_THROUGH = 1 << 22


class Datumaro(Format):
    """``annotations/train.json``: ``{"categories": {…}, "items": [{"id", "annotations", "image"}]}``.

    A face is an annotation of type "points" (``points`` [x, y, …], ``visibility`` of each), or "skeleton", as
    CVAT's copy of Datumaro writes it: ``points`` [x, y, visibility, …], or ``elements`` with a label and a
    place each. ``categories.points`` names the points of each label in the order of the annotations; known
    names are put into the scheme's order, however spelt (``flmd.schemes.point_names``; ``--names`` says
    otherwise). Visibility is the store's: 0 not labelled, 1 hidden, 2 visible. Coordinates are kept as they
    are: base 0; what was exported from CVAT measures from the picture's corner: ``--base 0.5``.

    Reading
    -------
    A ``bbox`` of the same ``group``, which is not 0, is the face's box; without a group it is the only
    one that holds most of its points. The label is the attribute ``label`` unless "face"; ``attributes``
    are kept, those of single points are not. A picture lies in ``images/<subset>/`` or ``images/`` beside
    ``annotations/``, else where its path ends alike. The subset is the file's name: the split where it
    says one (train, val, test), else ``Face.subset``, unless "default". The subject is the picture's path
    without ending and ``_mirror``, unless the file was written here. Memory holds one item; a file is
    read twice.

    Skipped reasons: ``wrong_point_count``, ``not_a_number``, ``bad_visibility`` (neither 0, 1 nor 2, or
    not one a point), ``unknown_point`` (an element's label is no point), ``duplicate_point``,
    ``bad_box``, ``bad_path``, ``bad_annotation``. InputError, with the line: broken or truncated JSON
    (``json_stream``), no "items", names of which the order cannot be told.

    Writing
    -------
    A folder with ``annotations/<split>.json`` (``default.json`` for faces without a split), of type "points"
    as the package datumaro loads them; pictures belong into ``images/<split>/``. Numbers have the fewest
    decimals that give the same float32. Subject, data set and box source stand under ``flmd``, which others
    pass over. Lost, by key of ``WriteReport.lost``: ``box`` (not finite or not positive), ``subset``,
    ``attributes`` (not finite), ``image name``. Not written at all: ``face with unwritable image name``.
    """

    name = "datumaro"
    title = "Datumaro JSON (points and skeletons)"
    frame = SHOWN
    detected_by = '*.json, an object with "categories" and "items" that have points or skeletons'
    boxes = True
    visibility = True
    named = True

    def detect(self, tree: FileTree) -> Detection:
        """Any ``*.json`` object with categories as Datumaro has them, and points in its first 4 MiB."""
        found: list[str] = []
        miss = ""
        for name, head in json_heads(tree):
            wrong = _misfit(tree, name, head)
            if wrong is None:
                found.append(name)
            elif wrong:
                miss = miss or f" ({shown(posixpath.basename(name))}: {wrong})"
        if not found:
            return Detection((), f"no {self.detected_by}{miss}")
        return Detection(tuple(sorted(found)), f"Datumaro: {', '.join(map(shown, sorted(found)[:5]))}")

    def scheme_in(self, tree: FileTree, files: tuple[str, ...]) -> str:
        """The scheme that the points' names tell, else the one meant by their number."""
        for name in files:
            if found := scheme_of_file(tree, name, self.names):
                return found
        where = tree.where(files[0]) if files else tree.origin
        raise InputError("no annotation of points", where=where, hint="name the scheme with --scheme")

    def picture_name(self, face: Face) -> str:
        """``images/<split>/`` before the picture's own name."""
        return picture_name(face.image, face.split)

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield the faces of every item, file by file."""
        orders = self.names.orders(scheme)
        for name in files:
            yield from DatumaroReader(tree, name, scheme, orders).faces()

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a folder of .json files; see the class for what is lost."""
        return write(faces, target, scheme)


def _misfit(tree: FileTree, name: str, head: bytes) -> str | None:
    """Why a file is not Datumaro's with points, "" when it is something else altogether; None when it is."""
    text = text_of(head)
    if not text.lstrip().startswith("{") or '"categories"' not in text or not _OWN.search(text):
        return ""
    if '"images"' in text and '"file_name"' in text:
        return ""
    if not _POINTS.search(text) and len(head) == HEAD:
        try:
            text = text_of(head, tree.read(name, 0, _MOST_LOOKED_THROUGH))
        except InputError:
            return ""
    if '"items"' not in text:
        return ""
    return None if _POINTS.search(text) else "only boxes or other annotations, no points"
