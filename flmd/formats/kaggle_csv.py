"""training.csv of Kaggle's Facial Keypoints Detection: 15 points and the grey values in each row."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import Face, Skipped, visibility_of
from flmd.formats.base import Detection, Format, WriteReport
from flmd.formats.kaggle_csv_rows import (
    COORDINATES,
    SIDE,
    Row,
    Rows,
    header_of,
    holds_pixels,
    is_near,
    picture_of,
    row_pictures,
    wrong_header,
)
from flmd.formats.kaggle_csv_writer import write
from flmd.formats.layout import number_in, photo_of, split_of, without_unions
from flmd.schemes import Scheme
from flmd.tree import FileTree
from flmd.tree.names import shown


class KaggleCsv(Format):
    """CSV with the columns ``left_eye_center_x`` … ``mouth_center_bottom_lip_y`` and ``Image``, in any order.

    ``Image`` holds the 96 x 96 grey values 0 to 255 of the picture, row by row, separated by spaces. Points
    are 0-based pixel centres (base 0). There is no box and no visibility: labelled points count as visible.

    Reading
    -------
    A point whose x and y are both blank is not labelled. A row's picture is ``training/00001.png`` for
    the first row of ``training.csv``; :meth:`pictures` is the tree that holds it as a PNG. A row whose
    ``Image`` is blank has such a name too, but no picture. The split comes from the file's name, the
    subject is the picture: rows of one person cannot be told. No cell may hold a comma or a line break.
    ``test.csv`` (``ImageId,Image``) has no points and is left out.

    Skipped reasons: ``short_row``, ``long_row``, ``not_a_number`` (a word, nan, inf, one blank coordinate
    of two). A picture of a different number of values is an ImageError of the tree when it is read.
    InputError, with the line: a column is missing, unknown or there twice; a line of 256 KiB or more.

    Writing
    -------
    One file when the target ends in ``.csv``, else a folder with ``keypoints_<split>.csv``. Columns in
    Kaggle's order; each number is the shortest that reads back as the same float32. A picture of 96 x 96
    pixels is stored as it is, in grey; any other is resampled once through the square of 1.25 times the
    longer side of the face's box (of its points without one; the whole picture without both) to 96 x 96,
    its points along with it. Without a picture the column is blank and the points are as they were.
    Lost, by key of ``WriteReport.lost``: ``picture resampled to 96x96``, ``colour``, ``picture`` (there
    was none, or it cannot be decoded), ``image name``, ``box``, ``visibility``, ``split``, ``subject``,
    ``subset``, ``dataset``, ``attributes``, ``image size`` (of a face whose picture is missing).
    """

    name = "kaggle-csv"
    title = "Kaggle Facial Keypoints CSV (15 points, pixels inside)"
    detected_by = "*.csv with the columns left_eye_center_x … and Image"
    suffix = ".csv"
    scheme = "kaggle15"
    needs = frozenset({"pixels"})

    def detect(self, tree: FileTree) -> Detection:
        """Any ``*.csv`` with the 31 columns, or nearly so: reading says what is wrong."""
        found: list[str] = []
        miss = ""
        for name in tree.names:
            if not name.lower().endswith(".csv"):
                continue
            try:
                header = header_of(tree.read(name, 0, 1 << 12).split(b"\n", 1)[0])
            except InputError:
                continue
            if is_near(header):
                found.append(name)
            elif sorted(header) == ["Image", "ImageId"]:
                miss = miss or f" ({shown(posixpath.basename(name))} has pictures but no points)"
            else:
                miss = miss or f" ({shown(posixpath.basename(name))}: {shown(wrong_header(header) or '')})"
        if not found:
            return Detection((), f"no *.csv with the columns left_eye_center_x … and Image{miss}")
        files, unions = without_unions(found)
        why = f"keypoint lists: {', '.join(map(shown, files))}"
        if unions:
            why += f"; left out as the union of these: {', '.join(map(shown, unions))}"
        return Detection(tuple(files), why)

    def pictures(self, tree: FileTree) -> FileTree:
        """The pictures in the rows; reads every file once to find them."""
        return row_pictures(tree, self.detect(tree).files)

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield the faces of every file in order; memory holds one row."""
        _check_scheme(scheme)
        for name in files:
            rows = Rows(tree, name)
            split, where = split_of(name) or "", tree.where(name)
            for row in rows:
                yield _face(row, rows.header, picture_of(name, row.number), split, f"{where}:{row.line}")

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a ``.csv`` file or a folder of them; see the class for what is lost."""
        _check_scheme(scheme)
        return write(faces, target, scheme, pictures)


def _check_scheme(scheme: Scheme) -> None:
    if 2 * scheme.count != len(COORDINATES):
        what = f"scheme {scheme.name} has {scheme.count} points"
        raise InputError(what, expected=f"{len(COORDINATES) // 2}, as Kaggle's CSV holds")


def _face(row: Row, header: list[str], image: str, split: str, where: str) -> Face | Skipped:
    if len(row.cells) != len(header):
        reason = "short_row" if len(row.cells) < len(header) else "long_row"
        return Skipped(reason, where, f"{len(row.cells)} cells, expected {len(header)}")
    cells = dict(zip(header, row.cells, strict=True))
    landmarks = _landmarks([cells[column].decode("ascii", "replace").strip(' "') for column in COORDINATES])
    if isinstance(landmarks, str):
        return Skipped("not_a_number", where, landmarks)
    return Face(
        image=image,
        landmarks=landmarks,
        visibility=visibility_of(landmarks),
        subject=photo_of(image),
        split=split,
        image_size=(SIDE, SIDE) if holds_pixels(cells["Image"]) else None,
        where=where,
    )


def _landmarks(texts: list[str]) -> NDArray[np.float32] | str:
    """(15, 2) points, NaN where both cells are blank; or what is wrong, in words."""
    out = np.full(len(texts), np.nan, np.float32)
    for i, text in enumerate(texts):
        if not text and not texts[i ^ 1]:
            continue
        value = number_in(text)
        if value is None:
            return f"column {COORDINATES[i]} holds {text[:40]!r}, expected a number"
        out[i] = value
    return out.reshape(-1, 2)
