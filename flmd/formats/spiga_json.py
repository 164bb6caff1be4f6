"""SPIGA's JSON lists of faces."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import HIDDEN, NOT_LABELLED, VISIBLE, Attribute, Face, SkipFace, Skipped
from flmd.formats.base import Detection, Format, WriteReport
from flmd.formats.common.json_lists import (
    PicturesByPath,
    box_in,
    json_heads,
    numbers_in,
    points_in,
    shortest,
)
from flmd.formats.common.json_stream import JsonStream, outline
from flmd.formats.layout import photo_of, resolve, split_of, without_unions
from flmd.formats.writing import check_points, count_lost, list_files, usable_box
from flmd.schemes import Scheme, scheme_of_count
from flmd.schemes.name_choice import PointOrders
from flmd.schemes.point_names import LEFT_OUT, PointOrder, numbered_order, start_is_open
from flmd.tree import FileTree
from flmd.tree.names import shown

_POSE = tuple(f"headpose_{i}" for i in range(6))
_POINTS = ("landmarks", "ldmks")
_MOST_SCANNED = 1000
_REQUIRED = 'no *.json that is a list of dictionaries with "imgpath" and "landmarks"'


class SpigaJson(Format):
    """SPIGA JSON: a list of ``{imgpath, bbox [x, y, w, h], headpose, ids, landmarks [[x, y], …], visible}``.

    Coordinates and box are kept as they are (base 0); ``ldmks`` stands for ``landmarks`` in some lists.
    ``visible`` 1 is visible (2), 0 is hidden (1); without it every point is visible. ``headpose``, 3 angles
    in degrees and 3 of a translation, becomes the attributes ``headpose_0`` to ``headpose_5``; null is none.

    ``ids`` name the points, and a point that is not labelled is left out of all three lists, as SPIGA's own
    loader has it. Known are SPIGA's ids of 68 and 98 points, and numbers (``flmd.schemes.point_names``);
    those of the first face (within 1000) with as many as the scheme has points tell which. Where no face is
    complete, numbers count from 0. Without ids, points are in order.

    Reading
    -------
    Pictures: ``imgpath`` from the JSON's folder, else the only picture whose path ends with it. Splits: the
    file's name (``300wpublic_test.json``). Subject: the picture's path. Memory holds one face.

    Skipped reasons: ``wrong_point_count``, ``unknown_id``, ``duplicate_point`` (an id twice),
    ``not_a_number``, ``bad_visibility`` (neither 0 nor 1, or not one for each point), ``bad_box``,
    ``bad_path`` (no imgpath, or one that leaves the tree), ``bad_annotation`` (no dictionary). InputError,
    with the line: broken or truncated JSON (``json_stream``), a file that is no list.

    Writing
    -------
    One file when the target ends in ``.json``, else ``faces_<split>.json`` for each split. ``ids`` count from
    0, so SPIGA needs them named in its data base's settings. Numbers have the fewest decimals that give the
    same float32; ``bbox`` and ``headpose`` are null where there is none. Lost: ``box`` (not finite or not
    positive), ``box source``, ``split``, ``subject``, ``subset``, ``dataset``,
    ``attributes`` (other than headpose), ``image name``. Not written at all: ``face with unwritable image
    name`` (one that leaves the tree).
    """

    name = "spiga-json"
    title = "SPIGA JSON lists (300W, WFLW, COFW-68, MERL-RAV with head poses)"
    detected_by = '*.json, a list of dictionaries with "imgpath" and "landmarks"'
    suffix = ".json"
    boxes = True
    visibility = True
    named = True

    def detect(self, tree: FileTree) -> Detection:
        """Any ``*.json`` list whose first item has a picture's path and landmarks."""
        found: list[str] = []
        miss = ""
        for name, head in json_heads(tree):
            if b"imgpath" not in head.replace(b"\0", b""):
                continue
            kind, first = outline(head)
            item = next(iter(first.get("", [])), None)
            if isinstance(item, dict) and "imgpath" in item and any(key in item for key in _POINTS):
                found.append(name)
            elif not miss:
                wrong = "its first item has no landmarks" if kind == "array" else "not a list"
                miss = f" ({shown(name.rsplit('/', 1)[-1])}: {wrong})"
        if not found:
            return Detection((), _REQUIRED + miss)
        files, unions = without_unions(found)
        why = f"SPIGA lists: {', '.join(map(shown, files[:5]))}"
        if unions:
            why += f"; left out as the union of these: {', '.join(map(shown, unions[:5]))}"
        return Detection(tuple(files), why)

    def scheme_in(self, tree: FileTree, files: tuple[str, ...]) -> str:
        """That of the ids where they are words; else of the most points any of the first 1000 faces has."""
        for name in files:
            most = 0
            ids: dict[str, None] = {}
            for item in _first_items(tree, name):
                points = _points(item)
                most = max(most, len(points) if isinstance(points, list) else 0)
                ids |= dict.fromkeys(_ids(item))
            if most:
                told = not all(map(str.isdecimal, ids)) or self.names.points is not None
                named = self.names.scheme_of(list(ids), whole=False) if told else None
                return named or scheme_of_count(most)
        where = tree.where(files[0]) if files else tree.origin
        raise InputError("no face with landmarks", where=where)

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield the faces of every file in order; see the class for what is skipped."""
        orders = self.names.orders(scheme)
        for name in files:
            order = _order_of_ids(tree, name, scheme, orders)
            with tree.open(name) as stream:
                document = JsonStream(stream, tree.where(name))
                if document.kind != "array":
                    raise document.fail("not a JSON list")
                split = split_of(name) or ""
                pictures = PicturesByPath(tree, name, split)
                for number, item in enumerate(document.items()):
                    where = f"{tree.where(name)}:{document.line} (face {number})"
                    try:
                        face = _face(item, order, scheme.count, pictures)
                    except SkipFace as fault:
                        yield fault.at(where)
                    else:
                        face.split, face.where = split, where
                        yield face

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a ``.json`` file or a folder of them; see the class for what is lost."""
        report = WriteReport()
        with list_files(target, self.suffix, "faces", b"[") as files:
            begun: set[str] = set()
            for face in faces:
                check_points(face, scheme)
                if resolve("", face.image) is None:
                    report.lost["face with unwritable image name"] += 1
                    continue
                key = "" if files.one else face.split
                line = (",\n" if key in begun else "\n") + json.dumps(_item(face), allow_nan=False)
                files.of(face.split).write(line.encode())
                begun.add(key)
                _count_losses(report, face, files.split_read_back(face.split))
                report.faces += 1
            for key in begun or {""}:
                files.of(key).write(b"\n]\n")
        return report


def _points(item: Any) -> Any:
    if not isinstance(item, dict):
        return None
    return item.get("landmarks", item.get("ldmks"))


def _first_items(tree: FileTree, name: str) -> Iterator[Any]:
    """The first 1000 items of a list, as far as it can be read; reading says what is wrong with it."""
    try:
        with tree.open(name) as stream:
            document = JsonStream(stream, tree.where(name))
            if document.kind == "array":
                for _, item in zip(range(_MOST_SCANNED), document.items(), strict=False):
                    yield item
    except InputError:
        return


def _order_of_ids(tree: FileTree, name: str, scheme: Scheme, orders: PointOrders) -> PointOrder:
    """What ids mean, by those of the first complete face, else by all; else they are numbers from 0."""
    seen: dict[str, None] = {}
    for item in _first_items(tree, name):
        ids = _ids(item)
        if len(ids) == scheme.count == len(set(ids)):
            return orders.of(ids, tree.where(name))
        seen |= dict.fromkeys(ids)
    if not seen:
        return PointOrder({})
    names = list(seen)
    from_0 = numbered_order(names, scheme, 0) if start_is_open(names, scheme) else None
    return from_0 or orders.of(names, tree.where(name), whole=False)


def _ids(item: Any) -> list[str]:
    """The ids of a face; none where there are none."""
    ids = item.get("ids") if isinstance(item, dict) else None
    return list(map(_id, ids)) if isinstance(ids, list) else []


def _id(value: Any) -> str:
    """An id as text: 5, 5.0 and "5" are one, as for SPIGA."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, str) or (isinstance(value, int) and abs(value) < 1 << 64) else "?"


def _face(item: Any, order: PointOrder, count: int, pictures: PicturesByPath) -> Face:
    if not isinstance(item, dict):
        raise SkipFace("bad_annotation", "an item that is no dictionary")
    path = item.get("imgpath")
    image = pictures.find(path) if isinstance(path, str) else None
    if image is None:
        what = f"{path[:200]!r} is not a picture in the tree" if isinstance(path, str) else "no imgpath"
        raise SkipFace("bad_path", what)
    landmarks, visibility = _landmarks(item, order, count)
    box = box_in(item.get("bbox"), "bbox")
    return Face(
        image=image,
        landmarks=landmarks,
        visibility=visibility,
        box=box,
        box_source="none" if box is None else "annotated",
        subject=photo_of(image),
        attributes=_pose(item.get("headpose")),
    )


def _landmarks(
    item: dict[str, Any], order: PointOrder, count: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    points = points_in(_points(item), "landmarks")
    visible = np.ones(len(points))
    if item.get("visible") is not None:
        visible = numbers_in(item["visible"], "visible")
        if visible.shape != (len(points),) or not np.isin(visible, (0, 1)).all():
            what = f"visible of {len(visible)} numbers for {len(points)} points, expected a 0 or 1 for each"
            raise SkipFace("bad_visibility", what)
    ids = item.get("ids")
    wrong_count = f"{len(points)} points, expected {count}"
    if ids is None:
        if len(points) != count:
            raise SkipFace("wrong_point_count", wrong_count)
        places = list(range(count))
    else:
        if not isinstance(ids, list) or len(ids) != len(points):
            what = f"{len(ids) if isinstance(ids, list) else 'no'} ids for {len(points)} points"
            raise SkipFace("wrong_point_count", what)
        if len(points) > count and LEFT_OUT not in order.places.values():
            raise SkipFace("wrong_point_count", wrong_count)
        places = []
        for value in ids:
            place = order.place(_id(value))
            if place is None:
                raise SkipFace("unknown_id", f"id {_id(value)[:40]} is not among the other faces' ids")
            places.append(place)
        meant = [number for number, place in enumerate(places) if place != LEFT_OUT]
        points, visible, places = points[meant], visible[meant], [places[number] for number in meant]
        if len(set(places)) < len(places):
            raise SkipFace("duplicate_point", "an id occurs twice")
    landmarks = np.full((count, 2), np.nan, np.float32)
    visibility = np.full(count, NOT_LABELLED, np.uint8)
    landmarks[places] = points
    visibility[places] = np.where(visible == 1, VISIBLE, HIDDEN)
    return landmarks, visibility


def _pose(value: Any) -> dict[str, Attribute]:
    """The head pose as attributes; SkipFace("not_a_number") when it is not six numbers, or fewer."""
    if value is None:
        return {}
    numbers = numbers_in(value, "headpose")
    if len(numbers) > len(_POSE):
        raise SkipFace("not_a_number", f"headpose has {len(numbers)} numbers, expected 6")
    return dict(zip(_POSE, numbers.tolist(), strict=False))


def _item(face: Face) -> dict[str, Any]:
    labelled = np.isfinite(face.landmarks).all(axis=1) & (face.visibility != NOT_LABELLED)
    values = shortest(face.landmarks[labelled])
    pose = _pose_of(face)
    return {
        "imgpath": face.image,
        "bbox": shortest(face.box) if face.box is not None and usable_box(face) else None,
        "headpose": pose or None,
        "ids": np.flatnonzero(labelled).tolist(),
        "landmarks": [list(pair) for pair in zip(values[0::2], values[1::2], strict=True)],
        "visible": (face.visibility[labelled] == VISIBLE).astype(float).tolist(),
    }


def _pose_of(face: Face) -> list[float]:
    """The head pose in the attributes; nothing unless all six numbers are there."""
    values = [face.attributes.get(key) for key in _POSE]
    numbers = [v for v in values if isinstance(v, float) and abs(v) < 1e38]
    return numbers if len(numbers) == len(_POSE) else []


def _count_losses(report: WriteReport, face: Face, split: str) -> None:
    if face.box is not None and not usable_box(face):
        report.lost["box"] += 1
    count_lost(
        report,
        face,
        keeps=("box", "visibility", "unlabelled points"),
        subject=photo_of(face.image),
        split=split,
        attributes=_POSE if _pose_of(face) else (),
    )
