"""A Hugging Face data set: a folder of Parquet, a row for each face, the pictures inside."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from flmd.core.orientation import SHOWN
from flmd.errors import InputError, ParamsError
from flmd.face import Face, SkipFace, Skipped
from flmd.formats import hf_table
from flmd.formats.base import Certainty, Detection, Format, WriteReport
from flmd.formats.common.face_record import face_of, scheme_of_record
from flmd.formats.common.json_file import json_in
from flmd.formats.hf_dataset_writer import write
from flmd.formats.layout import resolve, split_of
from flmd.schemes import Scheme
from flmd.tree import FileTree
from flmd.tree.names import shown

_LOOKED_AT = 50


class HfDataset(Format):
    """``data/train-00000-of-00002.parquet``, …, as ``datasets.load_dataset`` reads a folder; a row is a face.

    Columns: ``image`` (the picture's own bytes), ``landmarks`` (K pairs x, y in the picture's pixels,
    float32; NaN where a point is not labelled; base 0), ``visibility`` (K times 0 not labelled, 1 hidden,
    2 visible), ``box`` (x, y, width, height, or null), ``box_source``, ``width`` and ``height`` of the
    picture (or null), ``file_name`` (the picture's), ``subject``, ``split``, ``subset``, ``dataset``,
    ``scheme`` and ``attributes`` (JSON). Reading and writing need pyarrow: ``pip install 'flmd[hf]'``.

    Reading
    -------
    Only ``landmarks`` has to be there. Without ``visibility`` every point that is not NaN
    is visible; without ``split`` it is that of the file's name. Pictures are those in ``image``; in a
    data set that was not written here they are named by file and row, as the paths in it need not differ.
    A few rows are in memory at a time, of pictures one row group, and the names of all pictures.

    Skipped reasons: ``wrong_point_count``, ``not_a_number``, ``bad_visibility``, ``bad_box``, ``bad_json``
    (attributes), ``bad_path`` (a ``file_name`` out of the tree). InputError: Parquet that is damaged, after
    the rows before the damage. ParamsError: pyarrow is not installed.

    Writing
    -------
    A folder with ``README.md`` (the card, which tells ``datasets`` the splits) and, in
    ``data/``, files for each split: ``train``, ``validation``, ``test`` and ``unsplit``, a new one after
    400 MiB. Pictures are copied byte by byte, once for each face in them. The same faces give the same
    bytes. Lost, by key of ``WriteReport.lost``: ``picture`` (there is none), ``box`` (not finite or not
    positive), ``attributes`` (not finite), ``subject``, ``subset``, ``dataset`` and ``image name`` (no
    UTF-8). Not written at all: ``face with unwritable image name``.
    """

    name = "hf-dataset"
    title = "Hugging Face data set (Parquet, pictures inside; needs pyarrow)"
    frame = SHOWN
    detected_by = "*.parquet with a column landmarks of lists"
    boxes = True
    visibility = True
    needs = frozenset({"pixels"})

    def detect(self, tree: FileTree) -> Detection:
        """Any ``*.parquet`` with that column; of more than 50, all when the first has it."""
        names = [name for name in tree.names if name.lower().endswith(".parquet")]
        if not names:
            return Detection((), "no *.parquet")
        try:
            kinds = {name: hf_table.misfit(tree, name) for name in names[:_LOOKED_AT]}
        except ParamsError as error:
            return Detection(tuple(names), f"Parquet that nobody looked into: {error}", Certainty.POSSIBLE)
        found = [name for name, wrong in kinds.items() if wrong is None]
        if not found:
            miss = next((f" ({shown(posixpath.basename(n))}: {shown(w)})" for n, w in kinds.items() if w), "")
            return Detection((), f"no {self.detected_by}{miss}")
        files = found + (names[_LOOKED_AT:] if kinds[names[0]] is None else [])
        return Detection(tuple(files), f"{len(files)} Parquet files of landmarks")

    def accepts(self, tree: FileTree, name: str) -> bool:
        """Whether it is Parquet with that column."""
        return name.lower().endswith(".parquet") and hf_table.misfit(tree, name) is None

    def scheme_in(self, tree: FileTree, files: tuple[str, ...]) -> str:
        """The scheme that the first row names, else the one meant by its number of points."""
        for name in files:
            for _, row in hf_table.rows_of(tree, name):
                if found := scheme_of_record(row):
                    return found
        where = tree.where(files[0]) if files else tree.origin
        raise InputError("no row with landmarks", where=where, hint="name the scheme with --scheme")

    def pictures(self, tree: FileTree) -> FileTree:
        """The pictures in the rows; all columns but the pictures are read once to find them."""
        index: dict[str, tuple[str, int]] = {}
        for name in self.detect(tree).files:
            try:
                for number, row in hf_table.rows_of(tree, name):
                    if row["has_picture"]:
                        index.setdefault(row["image"], (name, number))
            except InputError:
                continue  # reading the faces says it, after the good ones before it
        return hf_table.TablePictures(tree, index)

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield a face for each row of every file, in order."""
        for name in files:
            split = split_of(name) or ""
            for number, row in hf_table.rows_of(tree, name):
                where = f"{tree.where(name)} (row {number})"
                try:
                    yield _face(row, scheme.count, split, where)
                except SkipFace as fault:
                    yield fault.at(where)

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a folder of Parquet files and the card; see the class for what is lost."""
        return write(faces, target, scheme, pictures)


def _face(row: dict[str, Any], count: int, split: str, where: str) -> Face:
    image = resolve("", row["image"])
    if image is None:
        raise SkipFace("bad_path", f"{row['image'][:200]!r} is not a picture in the tree")
    attributes = row.get("attributes")
    if isinstance(attributes, str):
        row["attributes"] = json_in(attributes.encode("utf-8", "surrogatepass")) if attributes else {}
    return face_of(row, count, image, split, where)
