"""Writing LabelMe's files: ``labelme.LabelMe`` says what is lost."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from flmd.face import HIDDEN, NOT_LABELLED, Face
from flmd.formats.base import WriteReport
from flmd.formats.common.json_file import json_in, json_text
from flmd.formats.common.json_lists import writable_attributes
from flmd.formats.common.picture_files import Layout, write_beside
from flmd.formats.labelme_shapes import CORNER, HIDDEN_FLAG, group_key
from flmd.formats.layout import photo_of
from flmd.formats.writing import usable_box
from flmd.schemes import Scheme

_KEEPS = ("box", "box source", "visibility", "unlabelled points", "dataset", "image size")
_VERSION = "5.7.0"  # of LabelMe, whose files these are like


def write(faces: Iterable[Face], target: Path, scheme: Scheme) -> WriteReport:
    """Write a folder with a file for each picture; whole, or not there."""
    layout = Layout(
        ".json", _document, _items_in, partial(_item, scheme), _keeps, str, described=True, rounded=_rounded
    )
    return write_beside(faces, target, scheme, layout)


def _item(scheme: Scheme, face: Face) -> tuple[dict[str, Any], Collection[str]] | str:
    """The shapes of a face, and what else is said of it; the attributes among that."""
    labelled = (face.visibility != NOT_LABELLED) & np.isfinite(face.landmarks).all(axis=1)
    if not labelled.any():
        return "face without points"
    shapes = []
    edges = _edges(face)
    if edges is not None:
        shapes.append(_shape("face", [edges[:2], edges[2:]], "rectangle", False))
    places = (face.landmarks.astype(np.float64) + CORNER).tolist()
    for name, place, known, seen in zip(
        scheme.points, places, labelled.tolist(), face.visibility.tolist(), strict=True
    ):
        if known:
            shapes.append(_shape(name, [place], "point", seen == HIDDEN))
    kept = writable_attributes(face.attributes)
    said = {
        "subject": "" if face.subject in ("", photo_of(face.image)) else face.subject,
        "subset": face.subset,
        "dataset": face.dataset,
        "box_source": "" if face.box_source in ("annotated", "none") else face.box_source,
        "attributes": kept,
    }
    own: dict[str, Any] = {"split": face.split, **{key: value for key, value in said.items() if value}}
    return {"shapes": shapes, "own": own, "size": face.image_size}, kept


def _shape(label: str, points: list[list[float]], kind: str, hidden: bool) -> dict[str, Any]:
    flags = {HIDDEN_FLAG: True} if hidden else {}
    return {"label": label, "points": points, "shape_type": kind, "flags": flags, "description": ""}


def _edges(face: Face) -> list[float] | None:
    """Left, top, right and bottom of the box; None where it cannot be written."""
    if face.box is None or not usable_box(face):
        return None
    x, y, width, height = face.box.tolist()
    edges = [x, y, x + width, y + height]
    back = np.array([edges[2] - x, edges[3] - y]).astype(np.float32)
    return edges if (back > 0).all() else None


def _keeps(face: Face) -> Collection[str]:
    """What is written of a face: all of it, but for a box that has no edges."""
    return _KEEPS if face.box is None or _edges(face) is not None else _KEEPS[1:]


def _rounded(face: Face) -> bool:
    """Whether points or box come back otherwise."""
    back = ((face.landmarks.astype(np.float64) + CORNER) - CORNER).astype(np.float32)
    edges = _edges(face)
    same_box = True
    if edges is not None and face.box is not None:
        sides = np.array([edges[2] - edges[0], edges[3] - edges[1]]).astype(np.float32)
        same_box = bool((sides == face.box[2:]).all())
    return not (np.array_equal(back, face.landmarks, equal_nan=True) and same_box)


def _document(image: str, items: list[Any]) -> bytes:
    """The file of a picture; the shapes of its first face have group_id 0."""
    shapes = [shape | {"group_id": group} for group, item in enumerate(items) for shape in item["shapes"]]
    size = next((item["size"] for item in items if item["size"]), None)
    width, height = size or (None, None)
    return json_text(
        {
            "version": _VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": posixpath.basename(image),
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
            "flmd": {str(group): item["own"] for group, item in enumerate(items)},
        }
    )


def _items_in(document: bytes) -> list[Any]:
    content = json_in(document)
    size = None if content["imageWidth"] is None else (content["imageWidth"], content["imageHeight"])
    return [
        {"shapes": [s for s in content["shapes"] if group_key(s) == group], "own": own, "size": size}
        for group, own in content["flmd"].items()
    ]
