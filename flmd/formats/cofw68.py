"""COFW-68: the 68 points of COFW's test faces, a MATLAB file for each face."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import HIDDEN, NOT_LABELLED, VISIBLE, Face, Skipped
from flmd.formats.base import Certainty, Detection, Format, WriteReport
from flmd.formats.cofw68_writer import BOXES, POINTS, write
from flmd.formats.common.mat5 import HEADER, Variable, is_mat5, read_mat5
from flmd.formats.layout import LARGEST, PicturesBeside, photo_of, split_of_path
from flmd.schemes import Scheme
from flmd.tree import FileTree
from flmd.tree.names import shown

LARGEST_FILE = 1 << 20  # bytes; a face has 1,300, the boxes of all have 2,700
_EXPANDED = 1 << 22
_NAME = re.compile(r"([0-9]{1,9})_points\.mat")
_LOOKED_AT = 3


class Cofw68(Format):
    """``<n>_points.mat`` (MATLAB 5) for each face: ``Points`` (68, 2), ``Occ`` (1, 68); boxes apart.

    Points are 1-based pixel centres (base 1): 1 is taken off on reading. A point whose ``Occ`` is not 0 is
    hidden (1), the others are visible (2). Row n of ``bboxes`` (N, 4) in ``cofw68_test_bboxes.mat`` beside
    is the box of face n: x, y, width, height, x and y 1-based too.

    Reading
    -------
    Files in the order of their numbers. NaN in both coordinates: the point is not labelled. The picture is
    that of the same stem, ``<n>_points.jpg``, or of the number, ``<n>.jpg``, ``<n>.png``, …; where there
    is none the name is ``<n>.png``. The split comes from the path, else from the boxes' file ("test" as
    published). Without a boxes' file, or a row in it, a face has no box.

    Skipped reasons: ``wrong_point_count`` (``Points`` or ``Occ`` of another shape, or missing),
    ``not_a_number`` (inf, NaN in one coordinate of two, beyond float32), ``bad_box`` (not positive, not
    finite), ``unreadable_file`` (truncated, damaged, above 1 MiB: other faces are not harmed by it).
    InputError: a boxes' file that is damaged or has no ``bboxes`` (N, 4).

    Writing
    -------
    A folder for each split, ``train/``, ``val/``, ``test/`` or ``unsplit/``, with ``1_points.mat``,
    ``2_points.mat``, … and ``cofw68_<split>_bboxes.mat``. Bytes depend on the faces only. Lost, by key of
    ``WriteReport.lost``: ``image name`` (it becomes ``<n>.png``), ``box source``, ``subject``, ``split``,
    ``subset``, ``dataset``, ``attributes``. A face without box has a row of NaN.
    """

    name = "cofw68"
    title = "COFW-68 test annotations (a .mat for each face)"
    detected_by = "<n>_points.mat with MATLAB 5's header"
    scheme = "ibug68"
    base = 1
    boxes = True
    visibility = True

    def detect(self, tree: FileTree) -> Detection:
        """Files of that name; the first three must have the header."""
        found = sorted(filter(_number, tree.names), key=lambda n: (posixpath.dirname(n), _number(n)))
        if not found:
            return Detection((), "no <n>_points.mat")
        for name in found[:_LOOKED_AT]:
            try:
                head = tree.read(name, 0, HEADER)
            except InputError:
                continue
            if is_mat5(head):
                return Detection(tuple(found), f"{len(found)} <n>_points.mat", Certainty.CERTAIN)
        return Detection((), f"{shown(found[0])} does not begin as a MATLAB 5.0 MAT-file")

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield a face for each file; memory holds one file, and the boxes of one folder."""
        if scheme.count != POINTS:
            raise InputError(f"scheme {scheme.name} has {scheme.count} points", expected=str(POINTS))
        beside = PicturesBeside(tree)
        boxes: dict[str, tuple[NDArray[np.float64], str | None]] = {}
        for name in files:
            folder = posixpath.dirname(name)
            if folder not in boxes:
                boxes = {folder: _boxes_in(tree, folder)}
            yield _face(tree, name, beside, *boxes[folder])

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a folder; see the class for what is lost."""
        return write(faces, target, scheme)


def _number(name: str) -> int:
    """n of ``<n>_points.mat``; 0 for other names."""
    match = _NAME.fullmatch(posixpath.basename(name))
    return int(match[1]) if match else 0


def _variables(tree: FileTree, name: str) -> dict[str, Variable]:
    if tree.size(name) > LARGEST_FILE:
        raise InputError(
            f"{tree.size(name)} bytes", where=tree.where(name), expected=f"{LARGEST_FILE} or less"
        )
    return read_mat5(tree.read(name), tree.where(name), limit=_EXPANDED)


def _boxes_in(tree: FileTree, folder: str) -> tuple[NDArray[np.float64], str | None]:
    """(N, 4) boxes of the faces in a folder, base 1, none when there is no such file; and their split."""
    for name in tree.names:
        if posixpath.dirname(name) == folder and BOXES.fullmatch(posixpath.basename(name)):
            boxes = _variables(tree, name).get("bboxes")
            if not isinstance(boxes, np.ndarray) or boxes.ndim != 2 or boxes.shape[1] != 4:
                raise InputError("no variable bboxes", where=tree.where(name), expected="bboxes (N, 4)")
            return boxes.astype(np.float64), split_of_path(name)
    return np.empty((0, 4)), None


def _face(
    tree: FileTree, name: str, beside: PicturesBeside, boxes: NDArray[np.float64], split: str | None
) -> Face | Skipped:
    number, where = _number(name), tree.where(name)
    try:
        variables = _variables(tree, name)
    except InputError as error:
        return Skipped("unreadable_file", where, error.what)
    points, occluded = variables.get("Points"), variables.get("Occ")
    for key, value, shape in (("Points", points, (POINTS, 2)), ("Occ", occluded, (1, POINTS))):
        if not isinstance(value, np.ndarray) or value.shape != shape:
            what = f"of shape {value.shape}" if isinstance(value, np.ndarray) else "missing"
            return Skipped("wrong_point_count", where, f"{key} is {what}")
    landmarks = _landmarks(points)
    if landmarks is None:
        return Skipped("not_a_number", where, "a coordinate is not finite, or beyond float32")
    row = boxes[number - 1] - np.array([1, 1, 0, 0]) if 0 < number <= len(boxes) else None
    if row is not None and np.isnan(row).all():
        row = None
    if row is not None and not ((np.abs(row) <= LARGEST).all() and (row[2:].astype(np.float32) > 0).all()):
        return Skipped("bad_box", where, f"width {row[2]}, height {row[3]}, expected above 0")
    stem = posixpath.join(posixpath.dirname(name), str(number))
    image = beside.find(name) or beside.find(f"{stem}.mat") or f"{stem}.png"
    hidden = np.asarray(occluded).ravel(order="F") != 0
    labelled = np.isfinite(landmarks).all(axis=1)
    return Face(
        image=image,
        landmarks=landmarks,
        visibility=np.where(labelled, np.where(hidden, HIDDEN, VISIBLE), NOT_LABELLED).astype(np.uint8),
        box=None if row is None else row.astype(np.float32),
        box_source="none" if row is None else "annotated",
        subject=photo_of(image),
        split=split_of_path(name) or split or "",
        where=where,
    )


def _landmarks(points: Any) -> NDArray[np.float32] | None:
    """(68, 2) 0-based from (68, 2) 1-based; None unless every point is finite or NaN in both."""
    values = np.asarray(points, np.float64).reshape(POINTS, 2, order="F") - 1
    missing = np.isnan(values)
    if (missing[:, 0] != missing[:, 1]).any() or (np.abs(values[~missing]) > LARGEST).any():
        return None
    return values.astype(np.float32)
