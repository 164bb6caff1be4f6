"""YOLO-pose label files, as ultralytics trains from."""

from __future__ import annotations

import io
import posixpath
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flmd.core.orientation import SHOWN
from flmd.errors import InputError, ParamsError
from flmd.face import HIDDEN, NOT_LABELLED, VISIBLE, Attribute, Face, SkipFace, Skipped
from flmd.formats.base import Certainty, Detection, Format, WriteReport
from flmd.formats.common.named_points import Layout, layout_of
from flmd.formats.common.picture_sizes import PictureSizes
from flmd.formats.layout import LARGEST, number_in, photo_of
from flmd.formats.yolo_pose_layout import (
    Labels,
    PoseYaml,
    data_yamls,
    read_data_yaml,
    shape_of_samples,
    split_of_label,
)
from flmd.formats.yolo_pose_writer import picture_name, write
from flmd.schemes import Scheme, get_scheme, scheme_of_count
from flmd.schemes.name_choice import PointOrders
from flmd.tree import FileTree
from flmd.tree.names import shown

_LONGEST = 1 << 20


class YoloPose(Format):
    """``images/…/a.jpg`` with ``labels/…/a.txt``, a line ``class cx cy w h x1 y1 [v1] …`` for each face.

    All but class and v is divided by the picture's width or height. Base 0: x = value * W, as ultralytics
    divides pixel coordinates by the size. The box's corner is (cx - w/2) * W. With v: 0 not labelled, 1
    hidden, 2 visible; without, a point with a negative coordinate, or at 0 0, is not labelled.

    Reading
    -------
    With ``kpt_names`` in the data YAML, a list for each class, the names tell the order of the points
    (``flmd.schemes.point_names``). With a data YAML (``kpt_shape: [K, 2 or 3]``, ``train``, ``val``,
    ``test``, ``names``), every label file in its folder and below: ``.txt`` below a folder ``labels``, or
    beside its picture. Without, the same files where all rows have one length that is 5 + 2K or 5 + 3K:
    triples where every third number is 0, 1 or 2, else pairs; where both could be (nothing but 0, 1, 2), a
    YAML is needed. The picture has the same stem, ``images`` for the last ``labels`` of its path; its header
    gives the size. The split is the YAML's (folders, or lists of pictures), else that of the folder next to
    ``labels``, else of words in the path. Class names other than "face" become the attribute ``label``; a
    class without a name, other than 0, the attribute ``class``. The subject is the picture's path without
    ending.

    Skipped reasons, for every line: ``wrong_point_count``, ``not_a_number``, ``bad_box`` (not positive),
    ``bad_visibility`` (not 0, 1 or 2), ``image_missing``, and ImageError's reasons. InputError: a YAML
    that is not right, a different number of points than the scheme's, a line above 1 MiB.

    Writing
    -------
    Always a folder: ``data.yaml`` (with ``flip_idx`` where the scheme has a flip order, and ``scheme``),
    ``labels/<split>/<picture's path>.txt`` with x, y, v; ``<split>`` is ``unsplit`` without one. Pictures
    belong at ``images/<split>/<picture's path>`` (:meth:`picture_name`). Numbers come back bit for bit.
    Lost, by key of ``WriteReport.lost``: ``image name`` (comes back with ``images/<split>/`` before it),
    ``picture ending`` (one that is not found again), ``box`` (there was none: that of the points is
    written), ``box source``, ``sub-pixel`` (a box's x or y below about 1e-6), ``subject``, ``subset``,
    ``dataset``, ``attributes`` (all but a printable ``label``), ``points outside the picture`` (written,
    but ultralytics leaves such pictures out). Not written: ``face without picture size``, ``face without
    box and points``, ``face with unwritable image name``, ``another picture of this stem``. A folder that
    has ``labels`` already is an InputError.
    """

    name = "yolo-pose"
    title = "YOLO-pose label files (ultralytics)"
    frame = SHOWN
    detected_by = "a data YAML with kpt_shape, or labels/*.txt with rows of 5 + 2K or 5 + 3K numbers"
    boxes = True
    visibility = True
    needs = frozenset({"image_size"})
    named = True

    def detect(self, tree: FileTree) -> Detection:
        """The data YAMLs, certain; without any, the label files when their rows tell K, possible."""
        yamls = data_yamls(tree)
        labels = Labels(tree)
        for name in yamls:
            try:
                read_data_yaml(tree, name)
            except InputError as error:
                return Detection((), str(error))
        found = tuple(n for n in yamls if next(labels.under(posixpath.dirname(n)), None) is not None)
        if found:
            return Detection(found, f"data YAML with kpt_shape: {', '.join(map(shown, found))}")
        if yamls:
            return Detection((), f"no label files (labels/*.txt) below {shown(yamls[0])}")
        files = tuple(labels.under(""))
        if not files:
            return Detection((), "no data YAML with kpt_shape, and no labels/*.txt")
        shape = shape_of_samples(tree, list(files))
        if isinstance(shape, str):
            return Detection((), f"no data YAML with kpt_shape, and of labels/*.txt: {shown(shape)}")
        why = f"{len(files)} label files of {shape[0]} points with {shape[1]} numbers each"
        return Detection(files, why, Certainty.POSSIBLE)

    def scheme_in(self, tree: FileTree, files: tuple[str, ...]) -> str:
        """What the YAML's kpt_shape, or the length of the rows, means."""
        yamls = [name for name in files if not name.lower().endswith(".txt")]
        if not yamls:
            shape = shape_of_samples(tree, list(files))
            if isinstance(shape, str):
                raise InputError(shape, where=tree.origin, hint="add a data YAML with kpt_shape")
            return scheme_of_count(shape[0])
        yaml = read_data_yaml(tree, yamls[0])
        try:
            if self.names.word == "auto" and yaml.scheme and get_scheme(yaml.scheme).count == yaml.points:
                return yaml.scheme
        except ParamsError:
            pass
        found = (self.names.scheme_of(names) for names in yaml.point_names.values())
        return next(filter(None, found), None) or scheme_of_count(yaml.points)

    def picture_name(self, face: Face) -> str:
        """``images/<split>/<path>``."""
        return picture_name(face.image, face.split)

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield the faces of every label file; memory holds a line, and the tree's names."""
        labels = Labels(tree)
        sizes = PictureSizes(tree, self.frame)
        orders = self.names.orders(scheme)
        done: set[str] = set()
        for name in files:
            if name.lower().endswith(".txt"):
                yield from _Rows(tree, name, _Points(scheme, None), labels, sizes).faces()
                continue
            yaml = read_data_yaml(tree, name)
            if yaml.points != scheme.count and not yaml.point_names:
                raise InputError(
                    f"kpt_shape of {yaml.points} points",
                    where=tree.where(name),
                    expected=f"{scheme.count}, as scheme {scheme.name} has",
                )
            points = _Points(scheme, yaml, orders, tree.where(name))
            for label in labels.under(posixpath.dirname(name)):
                if label not in done and label not in yaml.lists:
                    done.add(label)
                    yield from _Rows(tree, label, points, labels, sizes).faces()

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a folder; see the class for what is lost."""
        return write(faces, target, scheme)


class _Points:
    """What the points of rows are: how many, of how many numbers, and by what names, if a YAML says that."""

    def __init__(
        self, scheme: Scheme, yaml: PoseYaml | None, orders: PointOrders | None = None, where: str = ""
    ) -> None:
        self.yaml, self._scheme, self._orders, self._where = yaml, scheme, orders, where
        self.count = yaml.points if yaml else scheme.count
        self.dims = (yaml.dim,) if yaml else (2, 3)
        self._layouts: dict[int, Layout | None] = {}

    def layout(self, kind: int) -> Layout | None:
        """Where the points of a class go; None when they are in the scheme's order."""
        names = self.yaml.point_names if self.yaml else {}
        kind = kind if kind in names else -1
        if kind not in names or self._orders is None:
            return None
        if kind not in self._layouts:
            where = f"{self._where} (kpt_names)"
            self._layouts[kind] = layout_of(names[kind], self._scheme, self._orders, where)
        return self._layouts[kind]


class _Rows:
    """One label file."""

    def __init__(
        self, tree: FileTree, name: str, points: _Points, labels: Labels, sizes: PictureSizes
    ) -> None:
        self._tree, self._name, self._points, self._yaml = tree, name, points, points.yaml
        self._sizes = sizes
        self._image = labels.picture(name)
        self._split = split_of_label(name, self._image, points.yaml)

    def faces(self) -> Iterator[Face | Skipped]:
        """Every line as a face or skipped."""
        where = self._tree.where(self._name)
        with (
            self._tree.open(self._name) as stream,
            io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape") as text,
        ):
            number = 0
            while line := text.readline(_LONGEST):
                number += 1
                if len(line) == _LONGEST:
                    raise InputError(f"a line of {_LONGEST} characters or more", where=f"{where}:{number}")
                cells = line.split()
                if cells:
                    yield self._face(cells, f"{where}:{number}")

    def _face(self, cells: list[str], where: str) -> Face | Skipped:
        try:
            dim, values = self._numbers(cells)
            size: tuple[int, int] | Skipped
            if self._image is None:
                return Skipped("image_missing", where, "no picture of this stem, whose size is needed")
            size = self._sizes.of(self._image, where)
            if isinstance(size, Skipped):
                return size
            scale = np.array(size, np.float64)
            with np.errstate(over="ignore"):
                corner = (values[1:3] - values[3:5] / 2) * scale
                box = np.concatenate([corner, values[3:5] * scale]).astype(np.float32)
                points = values[5:].reshape(self._points.count, dim)
                visibility = _visibility(points)
                landmarks = (points[:, :2] * scale).astype(np.float32)
            if not (np.isfinite(box).all() and (box[2:] > 0).all()):
                raise SkipFace("bad_box", f"w {cells[3][:40]!r}, h {cells[4][:40]!r}, expected above 0")
            landmarks[visibility == NOT_LABELLED] = np.nan
            if not np.isfinite(landmarks[visibility != NOT_LABELLED]).all():
                raise SkipFace("not_a_number", "a coordinate beyond what float32 holds")
            layout = self._points.layout(int(values[0]))
            if layout is not None:
                landmarks, visibility = layout.points(landmarks, visibility)
        except SkipFace as fault:
            return fault.at(where)
        return Face(
            image=self._image,
            landmarks=landmarks,
            visibility=visibility,
            box=box,
            box_source="annotated",
            subject=photo_of(self._image),
            split=self._split,
            image_size=size,
            attributes=self._attributes(int(values[0])),
            where=where,
        )

    def _numbers(self, cells: list[str]) -> tuple[int, NDArray[np.float64]]:
        dims, count = self._points.dims, self._points.count
        dim = next((d for d in dims if len(cells) == 5 + d * count), None)
        if dim is None:
            wanted = " or ".join(str(5 + d * count) for d in dims)
            raise SkipFace("wrong_point_count", f"{len(cells)} numbers, expected {wanted}")
        try:
            values = np.array(list(map(float, cells)))
            plain = bool((np.abs(values) <= LARGEST).all()) and "_" not in "".join(cells)
        except ValueError:
            plain = False
        if not plain:
            i = next(i for i, cell in enumerate(cells) if number_in(cell) is None)
            raise SkipFace("not_a_number", f"number {i + 1} is {cells[i][:40]!r}")
        if values[0] < 0 or values[0] != np.floor(values[0]):
            raise SkipFace("not_a_number", f"the class is {cells[0][:40]!r}, expected 0, 1, 2, …")
        return dim, values

    def _attributes(self, kind: int) -> dict[str, Attribute]:
        name = self._yaml.names.get(kind) if self._yaml else None
        if name is not None:
            return {} if name == "face" else {"label": name}
        return {"class": kind} if 0 < kind < 1 << 53 else {}


def _visibility(points: NDArray[np.float64]) -> NDArray[np.uint8]:
    if points.shape[1] == 2:
        blank = (points < 0).any(axis=1) | (points == 0).all(axis=1)
        return np.where(blank, NOT_LABELLED, VISIBLE).astype(np.uint8)
    seen = points[:, 2]
    odd = ~np.isin(seen, (NOT_LABELLED, HIDDEN, VISIBLE))
    if odd.any():
        at = int(np.flatnonzero(odd)[0])
        raise SkipFace("bad_visibility", f"v of point {at} is {seen[at]:g}, expected 0, 1 or 2")
    return seen.astype(np.uint8)
