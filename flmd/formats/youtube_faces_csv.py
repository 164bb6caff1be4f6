"""The CSV of 68 keypoints over YouTube Faces frames, as Udacity published it."""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import Face, Skipped, visibility_of
from flmd.formats.base import Detection, Format, WriteReport
from flmd.formats.layout import LARGEST, number_in, resolve, split_of, without_unions
from flmd.formats.youtube_faces_csv_writer import COLUMNS, FOLDERS, POINTS, PUBLISHED, person_of, write
from flmd.schemes import Scheme
from flmd.tree import FileTree
from flmd.tree.names import shown

_NEAR = 8  # columns that may be wrong for a header to be taken for ours, and reported
_LONGEST = 1 << 20


class YouTubeFacesCsv(Format):
    """CSV with the header ``,0,1,…,135``; a row is a picture's name and x, y of 68 points in turn.

    Points are 0-based pixel centres (base 0), and may lie outside the picture. There is no box and no
    visibility: labelled points count as visible.

    Reading
    -------
    The split comes from the file's name (``training_frames_keypoints.csv``, ``test_frames_keypoints.csv``);
    pictures lie in ``training/`` or ``test/`` beside the CSV, else beside it, and a name that is not in the
    tree is kept as if it lay in its split's folder. One name may be in both files, with different
    pixels: faces are told apart by that folder. Both coordinates blank: the point is not labelled.
    Pictures that no row names are not faces. The subject is the name without folder, ending and
    ``_<frame>``: ``Luis_Fonsi`` for ``Luis_Fonsi_21.jpg``.

    Skipped reasons: ``short_row``, ``long_row``, ``not_a_number`` (a word, nan, inf, one blank coordinate
    of two), ``duplicate_row`` (a name seen before in the same file), ``bad_path`` (no name, or one that
    leaves the tree). InputError, with the line: an empty file, a header that is not the published one
    (names the missing column), a quote that is never closed.

    Writing
    -------
    One file when the target ends in ``.csv``, else a folder with the published names; faces of other
    splits than train and test go to the training file. Every number is the shortest that reads back as
    the same float32, ``45.0`` when whole. Lost, by key of ``WriteReport.lost``: ``box``, ``visibility``,
    ``split``, ``subject``, ``subset``, ``dataset``, ``attributes``, ``image name`` (comes back otherwise:
    back-slashes, ``//``). Not written at all: ``another face of one picture``.
    """

    name = "youtube-faces-csv"
    title = "YouTube Faces keypoints CSV (68 points)"
    detected_by = "*.csv with the header ,0,1,…,135"
    suffix = ".csv"
    scheme = "ibug68"

    def detect(self, tree: FileTree) -> Detection:
        """Any ``*.csv`` with the header, or nearly so, or of a published name: reading says what is wrong."""
        found: list[str] = []
        miss = ""
        for name in tree.names:
            if not name.lower().endswith(".csv"):
                continue
            header = _first_row(tree, name)
            wrong = _wrong_header(header)
            near = len(set(COLUMNS) ^ set(header)) <= _NEAR
            if near or posixpath.basename(name) in PUBLISHED.values():
                found.append(name)
            else:
                miss = miss or f" ({shown(posixpath.basename(name))}: {wrong})"
        if not found:
            return Detection((), f"no *.csv with the header ,0,1,…,{COLUMNS[-1]}{miss}")
        files, unions = without_unions(found)
        why = f"keypoint lists: {', '.join(map(shown, files))}"
        if unions:
            why += f"; left out as the union of these: {', '.join(map(shown, unions))}"
        return Detection(tuple(files), why)

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield the faces of every file in order; memory holds one row, and the names seen in the file."""
        _check_scheme(scheme)
        for name in files:
            with tree.open(name) as stream:
                yield from _read(tree, name, stream)

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a ``.csv`` file or a folder of them; see the class for what is lost."""
        _check_scheme(scheme)
        return write(faces, target)


def _check_scheme(scheme: Scheme) -> None:
    if scheme.count != POINTS:
        what = f"scheme {scheme.name} has {scheme.count} points"
        raise InputError(what, expected=f"{POINTS}, as the YouTube Faces CSV holds")


def _first_row(tree: FileTree, name: str) -> list[str]:
    """The first line of a file, at most 4 KiB of it; empty when it cannot be read."""
    try:
        line = tree.read(name, 0, 1 << 12).decode("utf-8-sig", "replace").splitlines()[:1]
        return next(csv.reader(line), [])
    except (InputError, csv.Error):
        return []


def _wrong_header(row: list[str]) -> str | None:
    """What is wrong with a header, in words; None when nothing is."""
    if row == COLUMNS:
        return None
    if not row:
        return "it is empty"
    for column in COLUMNS[1:]:
        if column not in row:
            return f"column {column!r} is missing from the header"
    if row[0]:
        return f"the header begins with {row[0][:40]!r}, expected a blank cell"
    extra = next((column for column in row if column not in COLUMNS), None)
    if extra is not None:
        return f"column {extra[:40]!r} in the header is not known"
    wrong = next(i for i, (a, b) in enumerate(zip(row, [*COLUMNS, None], strict=False)) if a != b)
    return f"column {row[wrong]!r} in the header is out of place"


def _lines(stream: BinaryIO, where: str) -> Iterator[str]:
    text = io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline="")
    number = 0
    while line := text.readline(_LONGEST):
        number += 1
        if len(line) == _LONGEST:
            raise InputError(f"a line of {_LONGEST} characters or more", where=f"{where}:{number}")
        yield line


def _read(tree: FileTree, name: str, stream: BinaryIO) -> Iterator[Face | Skipped]:
    where = tree.where(name)
    rows = csv.reader(_lines(stream, where), strict=True)
    seen: set[str] = set()
    line = 1
    try:
        wrong = _wrong_header(next(rows, []))
        if wrong is not None:
            raise InputError(wrong, where=f"{where}:1", expected=f"the header ,0,1,…,{COLUMNS[-1]}")
        line = rows.line_num + 1
        places = _Places(tree, name)
        for row in rows:
            if row:
                yield _face(row, places, seen, f"{where}:{line}")
            line = rows.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"broken CSV ({error})", where=f"{where}:{line}", hint="look for a quote that is never closed"
        ) from None


class _Places:
    """Where the pictures of one CSV may lie, likeliest first."""

    def __init__(self, tree: FileTree, name: str) -> None:
        self._tree = tree
        beside = posixpath.dirname(name)
        self.split = split_of(name) or ""
        inside = FOLDERS.get(self.split, ())
        others = () if self.split else ("training", "test")
        self._folders = [
            *(posixpath.join(beside, folder) for folder in inside),
            beside,
            *(posixpath.join(beside, folder) for folder in others),
        ]

    def find(self, name: str) -> str | None:
        """The tree's name of a picture, whether it is there or not; None when it cannot be in the tree."""
        first = None
        for folder in self._folders:
            image = resolve(folder, name)
            if image is not None and image in self._tree:
                return image
            first = first or image
        return first


def _face(row: list[str], places: _Places, seen: set[str], where: str) -> Face | Skipped:
    name = row[0]
    where = f"{where} (image {shown(name[:200])})"
    if len(row) != len(COLUMNS):
        reason = "short_row" if len(row) < len(COLUMNS) else "long_row"
        return Skipped(reason, where, f"{len(row)} cells, expected {len(COLUMNS)}")
    image = places.find(name)
    if image is None:
        what = f"{name[:200]!r} is not a picture in the tree" if name else "a row without a name"
        return Skipped("bad_path", where, what)
    if image in seen:
        return Skipped("duplicate_row", where, "a picture of this name stands in an earlier row")
    landmarks = _landmarks(row[1:])
    if isinstance(landmarks, str):
        return Skipped("not_a_number", where, landmarks)
    seen.add(image)
    return Face(
        image=image,
        landmarks=landmarks,
        visibility=visibility_of(landmarks),
        subject=person_of(image),
        split=places.split,
        where=where,
    )


def _landmarks(cells: list[str]) -> NDArray[np.float32] | str:
    """(68, 2) points, NaN where both cells are blank; or what is wrong, in words."""
    try:
        values = np.array(list(map(float, cells)))
        if (np.abs(values) <= LARGEST).all() and "_" not in "".join(cells):
            return values.astype(np.float32).reshape(-1, 2)
    except ValueError:
        pass
    out = np.full(len(cells), np.nan, np.float32)
    for i, cell in enumerate(cells):
        if not cell.strip() and not cells[i ^ 1].strip():
            continue
        value = number_in(cell)
        if value is None:
            return f"column {i} holds {cell[:40]!r}, expected a number"
        out[i] = value
    return out.reshape(-1, 2)
