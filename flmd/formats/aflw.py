"""AFLW, "Annotated Facial Landmarks in the Wild": its data base, and the list of 19 points made of it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from flmd.errors import InputError
from flmd.face import Attribute, Face, Skipped, visibility_of
from flmd.formats.aflw_mat import is_list, read_list
from flmd.formats.base import Detection, Format, WriteReport
from flmd.formats.layout import LARGEST, photo_of, resolve
from flmd.schemes import Scheme
from flmd.tree import FileTree
from flmd.tree.names import shown

POINTS = 19
_FOLDERS = ("flickr", "", "images", "data/flickr")
_NAMED = re.compile(r"aflw.*\.mat|.*\.(sqlite3?|db)", re.DOTALL)
_MOST_OPENED = 300  # files; Windows leaves a Thumbs.db in every folder


class Aflw(Format):
    """``aflw.sqlite``, with tables ``Faces``, ``FeatureCoords``, …; or ``AFLWinfo_release.mat`` (MATLAB 5).

    AFLW has 21 features; the 19 points are those without the ears, features 13 and 17 (counted from 1, as
    ``feature_id``), in AFLW's order. That pixels are counted from 1 (base 1) could not be established:
    read with ``--base 0`` where it is known better. A face has a rectangle x, y, width, height in the
    data base and left, right, top, bottom in the list, whose width is right - left.

    Reading
    -------
    Data base: only labelled points have a row in ``FeatureCoords``; the others, and NULLs, are not
    labelled. Every labelled point is visible (2). Features are known by ``FeatureCoordTypes``, else by
    their number. The picture is ``FaceImages.filepath``, else ``Faces.file_id``, below ``flickr/``, beside
    the data base, in ``images/`` or in ``data/flickr/``. ``sex``, ``occluded``, ``glasses``, ``bw`` and
    ``roll``, ``pitch``, ``yaw`` (radians) become attributes. There is no split.

    List: ``data`` (N, 38) 19 x, then 19 y; ``mask_new`` (N, 19): 0 makes a point hidden (1); NaN or
    (0, 0) is not labelled. ``nameList`` (N, 1) are the pictures. ``ra`` (1, N) is the permutation of
    AFLW-19: the faces that its first 20,000 name are "train", the others "test".

    Where both are there the list is read: it repeats the data base's faces, with the split.

    Skipped reasons: ``not_a_number`` (text, inf, beyond float32; a mask that is not finite), ``bad_box``
    (not positive, incomplete), ``bad_path`` (no picture, or one that leaves the tree).
    InputError: no data base, damaged, a table or variable is missing, is a view, or of another shape; a
    query that would not end.

    Writing
    -------
    A data base: one file when the target ends in ``.sqlite``, else ``aflw.sqlite`` in a folder. Its bytes
    depend on the faces and on SQLite's version. Unlabelled points get no row.
    Lost, by key of ``WriteReport.lost``: ``visibility`` (hidden points), ``split``, ``box`` (of no positive
    size), ``box source``, ``subject``, ``subset``, ``dataset``, ``attributes`` (others than the seven above,
    or of another type), ``image name``. Not written at all: ``face with unwritable image name``.
    """

    name = "aflw"
    title = "AFLW (data base, or list of 19 points)"
    detected_by = "an SQLite file with a table FeatureCoords, or AFLW*.mat with MATLAB 5's header"
    suffix = ".sqlite"
    scheme = "aflw19"
    base = 1
    boxes = True

    def detect(self, tree: FileTree) -> Detection:
        """Lists named ``AFLW*.mat``, else any ``*.sqlite`` or ``*.db`` whose first 64 KiB name the tables."""
        named = [n for n in tree.names if _NAMED.fullmatch(posixpath.basename(n).lower())][:_MOST_OPENED]
        lists = [n for n in named if n.lower().endswith(".mat") and is_list(tree, n)]
        bases = [n for n in named if not n.lower().endswith(".mat") and _is_database(tree, n)]
        if not lists and not bases:
            return Detection((), "no *.sqlite with a table FeatureCoords and no AFLW*.mat")
        why = f"AFLW: {', '.join(map(shown, lists or bases))}"
        if lists and bases:
            why += f"; left out as repeated by the list: {', '.join(map(shown, bases))}"
        return Detection(tuple(lists or bases), why)

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield the faces of every file in order; memory holds one face of a data base, a whole list."""
        _check_scheme(scheme)
        for name in files:
            if name.lower().endswith(".mat"):
                yield from read_list(tree, name, partial(_picture, tree, name))
            else:
                yield from _read_database(tree, name)

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a data base; see the class for what is lost."""
        from flmd.formats.aflw_writer import write

        _check_scheme(scheme)
        return write(faces, target, scheme)


def _check_scheme(scheme: Scheme) -> None:
    if scheme.count != POINTS:
        raise InputError(f"scheme {scheme.name} has {scheme.count} points", expected=f"{POINTS}, as AFLW-19")


def _is_database(tree: FileTree, name: str) -> bool:
    from flmd.formats.aflw_db import MAGIC

    try:
        head = tree.read(name, 0, 1 << 16)
    except InputError:
        return False
    return head.startswith(MAGIC) and b"featurecoords" in head.lower()


def _picture(tree: FileTree, name: str, path: str) -> str | None:
    """The tree's name of a picture, whether it is there or not; None when it cannot be in the tree."""
    beside = posixpath.dirname(name)
    for folder in _FOLDERS:
        image = resolve(posixpath.join(beside, folder), path)
        if image is not None and image in tree:
            return image
    return resolve(beside, path)


def _read_database(tree: FileTree, name: str) -> Iterator[Face | Skipped]:
    from flmd.formats.aflw_db import POINTS as FEATURES
    from flmd.formats.aflw_db import Database

    index = {feature: i for i, feature in enumerate(FEATURES)}
    with Database(tree, name) as base:
        for record, points in base.faces():
            where = f"{base.where} (face {record['face_id']})"
            values = np.full((POINTS, 2), np.nan)
            wrong = ""
            for feature, *point in points:
                if feature in index and None not in point:
                    if not all(map(_is_number, point)):
                        wrong = f"{feature} is {point!r:.60}, expected two numbers"
                    else:
                        values[index[feature]] = point
            yield Skipped("not_a_number", where, wrong) if wrong else _face(tree, name, record, values, where)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and abs(value) <= LARGEST


def _face(tree: FileTree, name: str, record: dict[str, Any], values: Any, where: str) -> Face | Skipped:
    path = record.get("FaceImages_filepath") or record["file_id"]
    image = _picture(tree, name, path) if isinstance(path, str) else None
    if image is None:
        return Skipped("bad_path", where, f"{path!r:.200} is not a picture in the tree")
    box = [record.get(f"FaceRect_{key}") for key in "xywh"]
    boxed = any(value is not None for value in box)
    if boxed and not (all(map(_is_number, box)) and (np.array(box[2:], np.float32) > 0).all()):
        return Skipped("bad_box", where, f"rectangle {box!r:.100}, expected numbers and a size above 0")
    landmarks = (values - 1).astype(np.float32)
    width, height = record.get("FaceImages_width"), record.get("FaceImages_height")
    sized = (
        isinstance(width, int) and isinstance(height, int) and 0 < width < 1 << 31 and 0 < height < 1 << 31
    )
    return Face(
        image=image,
        landmarks=landmarks,
        visibility=visibility_of(landmarks),
        box=(np.array(box, np.float64) - np.array([1, 1, 0, 0])).astype(np.float32) if boxed else None,
        box_source="annotated" if boxed else "none",
        subject=photo_of(image),
        image_size=(int(width), int(height)) if sized else None,  # type: ignore[arg-type]
        attributes=_attributes(record),
        where=where,
    )


def _attributes(record: dict[str, Any]) -> dict[str, Attribute]:
    out: dict[str, Attribute] = {}
    if isinstance(sex := record.get("FaceMetaData_sex"), str):
        out["sex"] = sex[:40]
    for key in ("occluded", "glasses", "bw"):
        if (value := record.get(f"FaceMetaData_{key}")) in (0, 1):
            out[key] = bool(value)
    for key in ("roll", "pitch", "yaw"):
        if _is_number(value := record.get(f"FacePose_{key}")):
            out[key] = float(value)
    return out
