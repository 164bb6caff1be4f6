"""RetinaFace's lists: WIDER FACE's pictures and, below each, a line for each face with five points."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flmd.core.geometry import box_of_points
from flmd.errors import InputError
from flmd.face import HIDDEN, NOT_LABELLED, VISIBLE, Attribute, Face, SkipFace, Skipped
from flmd.formats.base import Detection, Format, WriteReport
from flmd.formats.common.json_lists import shortest
from flmd.formats.common.text_list import (
    ListedPictures,
    first_lines,
    first_word,
    lines_of,
    listable,
    numbers,
    text_files,
)
from flmd.formats.layout import LARGEST, is_picture, photo_of, split_of_path, without_unions
from flmd.formats.writing import check_points, count_lost, list_files, number_text, usable_box
from flmd.schemes import Scheme
from flmd.tree import FileTree
from flmd.tree.names import shown

POINTS = 5
_BOX, _FACE = 4, 4 + 3 * POINTS  # numbers in a line: a box alone; a box and the points
_WITH_SCORE = _FACE + 1
_BOXES_ONLY = "only boxes, no points"


class RetinaFace(Format):
    """A line ``# 0--Parade/a.jpg``; below it a line ``x y w h``, 5 x ``x y flag``, ``score`` for each face.

    Coordinates and box are kept as they are: base 0, floats. A flag below 0 (``-1 -1 -1``) is a point
    that is not labelled (0), 0 is visible (2), anything above is hidden (1). The points are the pupils, the
    tip of the nose and the corners of the mouth, that on the left of the picture first. The picture's size
    may stand after its path: ``# 0--Parade/a.jpg 1024 768``. The score, which some lists lack, becomes the
    float attribute ``score``.

    Reading
    -------
    Memory holds one line. The path may hold spaces; two numbers at its end are a size where a picture's
    ending stands before them. The picture is looked for beside the list, then wherever in the tree a name
    ends in the path. The split comes from the list's name, else from the deepest folder that says one
    (``train/label.txt``); the subject is the picture's path without ending and ``_mirror``.

    Skipped reasons: ``no_points`` (a box alone), ``wrong_point_count`` (any other number of columns),
    ``not_a_number`` (also nan, inf), ``bad_box`` (width or height not positive), ``bad_path`` (leaves the
    tree, or no line ``#`` stands above). InputError, with the line: a line of 1 MiB or more; without it: a
    scheme that has not 5 points.

    Writing
    -------
    One file when the target ends in ``.txt``, else a folder with ``label_<split>.txt`` for each split.
    Numbers have the fewest decimals that give the same float32. The size is not written: most readers take
    all of the line for the path. Lost, by key of ``WriteReport.lost``: ``box`` (there was none: that of the
    points is written), ``box source``, ``split``, ``subject``, ``subset``, ``dataset``, ``attributes``
    (other than the score), ``image name``. Not written at all: ``face without box and points``, ``face with
    unwritable image name`` (a line break, white space at an end, a path out of the tree, one that ends like
    a size).
    """

    name = "retinaface"
    title = "RetinaFace lists of WIDER FACE (5 points)"
    detected_by = (
        "*.txt with a line `# path`, and below it lines of 19 or 20 numbers: x y w h, 5 x (x y flag), score"
    )
    scheme = "mtfl5"
    boxes = True
    visibility = True
    suffix = ".txt"

    def detect(self, tree: FileTree) -> Detection:
        """Any ``*.txt`` (the 200 largest) that begins with ``#`` and has a face in its first lines."""
        kinds = {name: _misfit(tree, name) for name in text_files(tree)}
        files, unions = without_unions(name for name, wrong in kinds.items() if wrong is None)
        if not files:
            miss = next(
                (f" ({shown(posixpath.basename(n))}: {wrong})" for n, wrong in kinds.items() if wrong), ""
            )
            return Detection((), f"no {self.detected_by}{miss}")
        why = f"RetinaFace lists: {', '.join(map(shown, files))}"
        if unions:
            why += f"; left out as the union of these: {', '.join(map(shown, unions))}"
        return Detection(tuple(files), why)

    def accepts(self, tree: FileTree, name: str) -> bool:
        """Whether it begins with ``#`` and has a face in its first lines."""
        return name.lower().endswith(".txt") and _misfit(tree, name) is None

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield a face for each line that is not a picture's; see the class for what is skipped."""
        _check(scheme)
        for name in files:
            yield from _read(tree, name)

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a ``.txt`` file or a folder of them; see the class for what is lost."""
        _check(scheme)
        report = WriteReport()
        last: dict[str, str] = {}
        with list_files(target, self.suffix, "label") as out:
            for face in faces:
                check_points(face, scheme)
                box = _box_to_write(face)
                if (
                    box is None
                    or not listable(face.image)
                    or _header(f"# {face.image}") != (face.image, None)
                ):
                    why = "face without box and points" if box is None else "face with unwritable image name"
                    report.lost[why] += 1
                    continue
                key = "" if out.one else face.split
                head = "" if last.get(key) == face.image else f"# {face.image}\n"
                last[key] = face.image
                line = head + " ".join(map(number_text, [*box, *_points(face), *_score(face)])) + "\n"
                out.of(face.split).write(line.encode("utf-8", "surrogateescape"))
                report.faces += 1
                if not usable_box(face):
                    report.lost["box"] += 1
                count_lost(
                    report,
                    face,
                    keeps=("box", "visibility", "unlabelled points"),
                    subject=photo_of(face.image),
                    split=out.split_read_back(face.split),
                    attributes=["score"] if _score(face) else [],
                )
        return report


def _check(scheme: Scheme) -> None:
    if scheme.count != POINTS:
        raise InputError(f"scheme {scheme.name} has {scheme.count} points", expected=str(POINTS))


def _misfit(tree: FileTree, name: str) -> str | None:
    """Why a file is no such list, "" when it is something else altogether; None when it is."""
    lines = first_lines(tree, name)
    if not lines or not lines[0].startswith("#"):
        return ""
    counts = {
        len(line.split()) for line in lines if not line.startswith("#") and numbers(line.split()) is not None
    }
    if counts & {_FACE, _WITH_SCORE}:
        return None
    return _BOXES_ONLY if counts == {_BOX} else ""


def _header(line: str) -> tuple[str, tuple[int, int] | None]:
    """Path and size in a line ``# path W H``; the size is None where there is none."""
    path = line[1:].strip()
    parts = path.rsplit(None, 2)
    if len(parts) == 3 and all(part.isascii() and part.isdecimal() and len(part) < 10 for part in parts[1:]):
        size = int(parts[1]), int(parts[2])
        if is_picture(parts[0]) and min(size) > 0:
            return parts[0], size
    return path, None


def _read(tree: FileTree, name: str) -> Iterator[Face | Skipped]:
    where = tree.where(name)
    pictures = ListedPictures(tree, name)
    split = split_of_path(name) or ""
    path, image, size = "", None, None
    with tree.open(name) as stream:
        for number, line in lines_of(stream, where):
            if line.startswith("#"):
                path, size = _header(line)
                image = pictures.find(path)
                continue
            try:
                if image is None:
                    what = f"{path[:200]!r} is not a picture in the tree" if path else "no line # path above"
                    raise SkipFace("bad_path", what)
                landmarks, visibility, box, attributes = _face_in(line)
            except SkipFace as fault:
                yield fault.at(f"{where}:{number}")
                continue
            yield Face(
                image=image,
                landmarks=landmarks,
                visibility=visibility,
                box=box,
                box_source="annotated",
                subject=photo_of(image),
                split=split,
                image_size=size,
                attributes=attributes,
                where=f"{where}:{number}",
            )


def _face_in(
    line: str,
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32], dict[str, Attribute]]:
    cells = line.split()
    if len(cells) == _BOX:
        raise SkipFace("no_points", "a box without points")
    if len(cells) not in (_FACE, _WITH_SCORE):
        raise SkipFace("wrong_point_count", f"{len(cells)} numbers, expected {_FACE} or {_WITH_SCORE}")
    values = numbers(cells)
    if values is None:
        raise SkipFace("not_a_number", f"{cells[first_word(cells) or 0][:40]!r}, expected a number")
    box = values[:_BOX].astype(np.float32)
    if not (box[2:] > 0).all():
        raise SkipFace("bad_box", f"width {box[2]:g}, height {box[3]:g}, expected above 0")
    x_y_flag = values[_BOX:_FACE].reshape(POINTS, 3)
    flags = x_y_flag[:, 2]
    landmarks = x_y_flag[:, :2].astype(np.float32)
    landmarks[flags < 0] = np.nan
    visibility = np.where(flags < 0, NOT_LABELLED, np.where(flags == 0, VISIBLE, HIDDEN)).astype(np.uint8)
    return landmarks, visibility, box, {"score": float(values[-1])} if len(values) > _FACE else {}


def _labelled(face: Face) -> NDArray[np.bool_]:
    return np.asarray((face.visibility != NOT_LABELLED) & np.isfinite(face.landmarks).all(axis=1))


def _box_to_write(face: Face) -> list[float] | None:
    """The face's box, else that of its labelled points; None where there is neither."""
    if face.box is not None and usable_box(face):
        return shortest(face.box)
    points = face.landmarks[_labelled(face)]
    if not len(points):
        return None
    box = np.asarray(box_of_points(points), np.float32)
    return shortest(box) if np.isfinite(box).all() else None


def _points(face: Face) -> list[float]:
    known = _labelled(face)
    flags = np.where(known, np.where(face.visibility == HIDDEN, 1, 0), -1)
    values = shortest(np.where(known[:, None], face.landmarks, np.float32(-1)))
    return np.column_stack([np.reshape(values, (POINTS, 2)), flags]).ravel().tolist()


def _score(face: Face) -> list[float]:
    """The score, where a face has one that can be written."""
    value = face.attributes.get("score")
    usable = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST
    return [float(value)] if usable and value is not None else []
