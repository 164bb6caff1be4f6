"""Label Studio's JSON export of key points."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.core.orientation import SHOWN
from flmd.errors import InputError
from flmd.face import Face, SkipFace, Skipped, visibility_of
from flmd.formats.base import Detection, Format, WriteReport
from flmd.formats.common.json_lists import (
    HEAD,
    box_in,
    json_heads,
    numbers_in,
    size_in,
    text_of,
)
from flmd.formats.common.json_stream import JsonStream
from flmd.formats.label_studio_pictures import PicturesByUrl
from flmd.formats.label_studio_tasks import (
    MOST_HELD,
    Tasks,
    annotations_of,
    first_labels,
    label_of,
    regions_of,
)
from flmd.formats.label_studio_writer import write
from flmd.formats.layout import LARGEST, photo_of, split_of, without_unions
from flmd.schemes import Scheme
from flmd.schemes.point_names import LEFT_OUT, PointOrder
from flmd.tree import FileTree
from flmd.tree.names import shown

_LIST = re.compile(r"\s*\[\s*\{")
_REQUIRED = "no *.json that is a list of Label Studio tasks with keypointlabels"


class LabelStudio(Format):
    """Label Studio JSON: a list of ``{"data": {"image": …}, "annotations": [{"result": [region, …]}]}``.

    A ``keypointlabels`` region is a point, its label the scheme's name of the point, however spelt, or its
    number: those in the first 100 tasks tell whether they count from 0 or 1 (``flmd.schemes.point_names``).
    A ``rectanglelabels`` region is a box. Both are in percent of the picture (``original_width``,
    ``original_height``), measured from its left and top edge, so pixel x is ``percent * width / 100 - 0.5``
    (base 0.5), for the corner of a box too. A point that has no region is NaN; the others are visible (2).

    Reading
    -------
    Points whose ``parentID`` is one region's id are one face, and the box is that region's where it is a
    rectangle; all points without one are one face, which has the box of the only rectangle when that has
    no points of its own. A rectangle without points is a face without labelled points. Of several
    annotations of a task the first that was not cancelled is read; predictions are not. Pictures: the
    URL's path, or the ``d`` of a local file's, from the JSON's folder, else the only picture whose path
    ends with it or with as much of its end as possible, an upload's prefix ("1a2b3c4d-") taken off.
    Splits: the file's name. Subject: the picture's path. Memory holds one task,
    of files up to 8 MiB their first 100.

    Skipped reasons: ``unknown_label``, ``duplicate_point`` (a label twice), ``not_a_number``, ``bad_box``,
    ``rotated_box``, ``rotated_image`` (by any angle but 0), ``no_image_size`` (the original one),
    ``bad_path`` (no picture's name, or one that leaves the tree), ``cancelled_annotation``,
    ``further_annotation``, ``bad_annotation`` (a task without data or annotations, or with others than
    dictionaries). InputError, with the line: broken or truncated JSON (``json_stream``), no list.

    Writing
    -------
    One file when the target ends in ``.json``, else ``tasks_<split>.json`` for each split; faces of one
    picture that follow each other share a task. Each face is a rectangle labelled ``face`` with its points
    as children; pictures are named as local files (``/data/local-files/?d=a.jpg``). Lost: ``visibility``,
    ``box`` (there was none, or none usable: the box of the points is written), ``box source``, ``split``,
    ``subject``, ``subset``, ``dataset``, ``attributes``, ``image name``. Not written at all: ``face without
    image size``, ``face without box and points``, ``face with unwritable image name``.
    """

    name = "label-studio"
    title = "Label Studio JSON export (key points in rectangles)"
    frame = SHOWN
    detected_by = '*.json, a list of tasks with "annotations", "result" and "keypointlabels"'
    base = 0.5
    suffix = ".json"
    boxes = True
    named = True
    needs = frozenset(("image_size",))

    def detect(self, tree: FileTree) -> Detection:
        """Any ``*.json`` list with results in its first 32 KiB, and keypointlabels there or halfway."""
        found: list[str] = []
        miss = ""
        for name, head in json_heads(tree):
            text = text_of(head)
            if not (_LIST.match(text) and '"result"' in text):
                continue
            if '"keypointlabels"' not in text and '"keypointlabels"' not in _middle(tree, name, head):
                miss = miss or f" ({shown(name.rsplit('/', 1)[-1])}: its results have no keypointlabels)"
                continue
            found.append(name)
        if not found:
            return Detection((), _REQUIRED + miss)
        files, unions = without_unions(found)
        why = f"Label Studio tasks: {', '.join(map(shown, files[:5]))}"
        if unions:
            why += f"; left out as the union of these: {', '.join(map(shown, unions[:5]))}"
        return Detection(tuple(files), why)

    def scheme_in(self, tree: FileTree, files: tuple[str, ...]) -> str:
        """The smallest scheme with all labels of the first 100 tasks, or that of the highest number."""
        labels: dict[str, None] = {}
        for name in files:
            labels |= first_labels(tree, name)
        found = self.names.scheme_of(list(labels), whole=False) if labels else None
        if found is not None:
            return found
        where = tree.where(files[0]) if files else tree.origin
        if not labels:
            raise InputError("no key points", where=where)
        what = f"labels {', '.join(sorted(labels)[:5])[:100]}, …"
        expected = "names or numbers of a scheme's points"
        raise InputError(what, where=where, expected=expected, hint="--names FILE says which is which")

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield the faces of every task in order; see the class for what is skipped."""
        orders = self.names.orders(scheme)
        for name in files:
            with tree.open(name) as stream:
                document = JsonStream(stream, tree.where(name))
                if document.kind != "array":
                    raise document.fail("not a JSON list")
                split = split_of(name) or ""
                pictures = PicturesByUrl(tree, name, split)
                tasks = Tasks(document)
                short = tree.size(name) <= MOST_HELD
                labels = tasks.first_labels() if short else first_labels(tree, name)
                order = orders.of(list(labels), tree.where(name), whole=False) if labels else PointOrder({})
                places = _Places(order)
                for number, (line, task) in enumerate(tasks):
                    where = f"{tree.where(name)}:{line} (task {number})"
                    for face in _faces(task, where, places, scheme.count, pictures):
                        if isinstance(face, Face):
                            face.split = split
                        yield face

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a ``.json`` file or a folder of them; see the class for what is lost."""
        return write(faces, target, scheme)


def _middle(tree: FileTree, name: str, head: bytes) -> str:
    try:
        return text_of(head, tree.read(name, tree.size(name) // 2 & ~1, HEAD))
    except InputError:
        return ""


@dataclass(slots=True)
class _Group:
    """The regions of one face."""

    box: dict[str, Any] | None = None
    points: list[dict[str, Any]] = field(default_factory=list)


def _groups(annotation: dict[str, Any]) -> list[_Group]:
    """The regions of an annotation by face: rectangles with their points first, other points after."""
    by_kind = regions_of(annotation, "rectanglelabels", "keypointlabels")
    groups: dict[str, _Group] = {}
    for number, region in enumerate(by_kind["rectanglelabels"]):
        groups.setdefault(str(region.get("id", f"\0{number}")), _Group(region))
    boxes = list(groups.values())
    alone = _Group()
    for region in by_kind["keypointlabels"]:
        parent = region.get("parentID")
        if not isinstance(parent, str | int):
            group = alone
        else:
            group = groups.get(str(parent)) or groups.setdefault(str(parent), _Group())
        group.points.append(region)
    if len(boxes) == 1 and not boxes[0].points:
        boxes[0].points = alone.points
        alone = _Group()
    return [*groups.values(), *([alone] if alone.points else [])]


def _faces(
    task: Any, where: str, places: _Places, count: int, pictures: PicturesByUrl
) -> Iterator[Face | Skipped]:
    annotations = annotations_of(task)
    if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
        yield Skipped("bad_annotation", where, "a task without data")
        return
    given = task.get("annotations", task.get("completions"))
    if not isinstance(given, list) or len(annotations) < len(given):
        yield Skipped("bad_annotation", where, "annotations that are no list of dictionaries")
    image = pictures.find(task["data"])
    read = False
    for annotation in annotations:
        if annotation.get("was_cancelled") is True:
            yield Skipped("cancelled_annotation", where, "the annotator cancelled it")
        elif read:
            yield Skipped("further_annotation", where, "another annotation of the task was read")
        else:
            read = True
            for number, group in enumerate(_groups(annotation)):
                here = f"{where[:-1]}, face {number})"
                try:
                    if image is None:
                        raise SkipFace("bad_path", "the task's data name no picture in the tree")
                    yield _face(group, image, here, places, count)
                except SkipFace as fault:
                    yield fault.at(here)


class _Places(dict[str, int]):
    """Where the points with these labels go; KeyError for those that are none or are left out."""

    def __init__(self, order: PointOrder) -> None:
        super().__init__()
        self.order = order

    def __missing__(self, label: str) -> int:
        place = self.order.place(label)
        if place is None or place == LEFT_OUT:
            raise KeyError(label)
        self[label] = place
        return place


def _face(group: _Group, image: str, where: str, places: _Places, count: int) -> Face:
    landmarks, size = _plain_points(group.points, places, count) or _points(group.points, places.order, count)
    box = None
    if group.box is not None:
        size = _size(group.box)
        if group.box["value"].get("rotation", 0) != 0:
            raise SkipFace("rotated_box", "a rectangle that is turned")
        try:
            pixels = _pixels(group.box, size, ("x", "y", "width", "height"))
        except SkipFace as fault:
            raise SkipFace("bad_box", fault.what) from None
        box = box_in(pixels.tolist(), "the rectangle")
    return Face(
        image=image,
        landmarks=landmarks,
        visibility=visibility_of(landmarks),
        box=box,
        box_source="none" if box is None else "annotated",
        subject=photo_of(image),
        image_size=size,
        where=where,
    )


def _plain_points(
    points: list[dict[str, Any]], places: _Places, count: int
) -> tuple[NDArray[np.float32], tuple[int, int]] | None:
    """What _points gives, in a tenth of the time; None where a region is any different from the first."""
    try:
        values = [region["value"] for region in points]
        labels = [value["keypointlabels"] for value in values]
        at = [places[label] for (label,) in labels]
        percent = [value["x"] for value in values] + [value["y"] for value in values]
        widths = [region["original_width"] for region in points]
        heights = [region["original_height"] for region in points]
        turned = any(region.get("image_rotation") for region in points)
        alike = widths.count(widths[0]) == heights.count(heights[0]) == len(points) == len(set(at))
    except (KeyError, ValueError, TypeError, IndexError):
        return None
    types = (*map(type, widths), *map(type, heights))
    if turned or not alike or types.count(int) != len(types) or {*map(type, labels)} != {list}:
        return None
    size = _size(points[0])
    pixels = (
        numbers_in(percent, "the regions' x, y").reshape(2, -1).T * np.array(size, np.float64) / 100 - 0.5
    )
    if not (np.abs(pixels) <= LARGEST).all():
        return None
    landmarks = np.full((count, 2), np.nan, np.float32)
    landmarks[at] = pixels
    return landmarks, size


def _points(
    points: list[dict[str, Any]], order: PointOrder, count: int
) -> tuple[NDArray[np.float32], tuple[int, int] | None]:
    """(count, 2) pixels and the picture's size; SkipFace for the first region at fault."""
    size = None
    landmarks = np.full((count, 2), np.nan, np.float32)
    seen: set[int] = set()
    for region in points:
        label = label_of(region)
        place = None if label is None else order.place(label)
        if place == LEFT_OUT:
            continue
        if place is None:
            what = f"label {label[:40]!r}" if label is not None else "a point without one label"
            raise SkipFace("unknown_label", f"{what}, expected a name of the scheme's points, or a number")
        if place in seen:
            raise SkipFace("duplicate_point", f"label {label!r} occurs twice")
        seen.add(place)
        size = _size(region)
        landmarks[place] = _pixels(region, size, ("x", "y"))[:2]
    return landmarks, size


def _size(region: dict[str, Any]) -> tuple[int, int]:
    size = size_in(region, "original_width", "original_height")
    if size is None:
        raise SkipFace("no_image_size", "a region without original_width and original_height")
    if region.get("image_rotation", 0) != 0:
        raise SkipFace("rotated_image", "a region of a picture that was turned")
    return size


def _pixels(region: dict[str, Any], size: tuple[int, int], keys: tuple[str, ...]) -> NDArray[np.float64]:
    """Percent to pixels; x and y, which come first, are positions and so lie half a pixel lower."""
    percent = numbers_in([region["value"].get(key) for key in keys], f"a region's {', '.join(keys)}")
    pixels = percent * np.tile(np.array(size, np.float64), len(keys) // 2) / 100
    pixels[:2] -= 0.5
    numbers_in(pixels.tolist(), "a region in pixels")
    return pixels
