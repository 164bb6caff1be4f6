"""The faces of a Label Studio task; ``flmd.formats.label_studio`` says what is read and skipped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.face import Face, SkipFace, Skipped, visibility_of
from flmd.formats.common.json_lists import box_in, numbers_in, size_in
from flmd.formats.label_studio_pictures import PicturesByUrl
from flmd.formats.label_studio_tasks import annotations_of, label_of, regions_of
from flmd.formats.layout import LARGEST, photo_of
from flmd.schemes.point_names import LEFT_OUT, PointOrder


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


def faces_of(
    task: Any, where: str, places: Places, count: int, pictures: PicturesByUrl
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


class Places(dict[str, int]):
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


def _face(group: _Group, image: str, where: str, places: Places, count: int) -> Face:
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
    points: list[dict[str, Any]], places: Places, count: int
) -> tuple[NDArray[np.float32], tuple[int, int]] | None:
    """What _points gives, in a tenth of the time; None where it is to look at each region and its faults."""
    try:
        values = [region["value"] for region in points]
        labels = [value["keypointlabels"] for value in values]
        names = [name for (name,) in labels]
        widths = [region["original_width"] for region in points]
        heights = [region["original_height"] for region in points]
        numbers = numbers_in([value[axis] for axis in ("x", "y") for value in values], "x, y")
        size = _size(points[0])
        types = {*map(type, labels)}, {*map(type, names)}, {*map(type, widths + heights)}
        if types != ({list}, {str}, {int}) or {*widths} != {size[0]} or {*heights} != {size[1]}:
            return None
        at = [places[name] for name in names]
    except (KeyError, ValueError, TypeError, IndexError, SkipFace):
        return None
    turned = any(region.get("image_rotation", 0) != 0 for region in points)
    pixels = numbers.reshape(2, -1).T * np.array(size, np.float64) / 100 - 0.5
    if turned or len(set(at)) < len(at) or not (np.abs(pixels) <= LARGEST).all():
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
