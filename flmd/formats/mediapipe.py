"""MediaPipe's face landmarks: JSON or text protobuf beside a picture, in shares of its size."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import NOT_LABELLED, Attribute, Face, SkipFace, Skipped, visibility_of
from flmd.formats.base import Certainty, Detection, Format, WriteReport
from flmd.formats.common.depth import DEPTH, numbers_of, numbers_text
from flmd.formats.common.json_file import LARGEST_FILE, data_of, json_in, json_text
from flmd.formats.common.json_lists import shortest, size_in
from flmd.formats.common.picture_files import Layout, write_beside
from flmd.formats.common.picture_sizes import PictureSizes
from flmd.formats.layout import LARGEST, PicturesBeside, photo_of, split_of_path
from flmd.schemes import Scheme
from flmd.schemes.mediapipe import MEDIAPIPE478, MESH
from flmd.tree import FileTree

POINTS = MEDIAPIPE478.count
_KEYS = ("faceLandmarks", "face_landmarks", "multiFaceLandmarks", "multi_face_landmarks")
_JSON = re.compile(
    rb'\s*(?:\{.{0,4096}?"(?:%s)"\s*:\s*\[|\{\s*"landmark"\s*:\s*\[\s*\{|\[\s*\[\s*\{\s*"[xyz]")'
    % "|".join(_KEYS).encode(),
    re.DOTALL,
)
_TEXT = re.compile(rb"\s*\[?\s*landmark\s*:?\s*\{")
_BLOCK = re.compile(r"landmark\s*:?\s*\{([^{}]*)\}")
_FIELD = re.compile(r"([a-z_]+)\s*:\s*([^\s,;]+)")
_TEXT_ENDINGS = (".pbtxt", ".textproto", ".prototxt", ".txt")
_LOOKED_AT = 64
_HEAD = 1 << 13
_LEAST = 400  # points in a file that says no more than "landmark": hands and bodies have 21 and 33


class MediaPipe(Format):
    """``{"faceLandmarks": [[{"x": 0.5, "y": 0.4, "z": -0.01}, …]]}``: x and y over the picture's size.

    A file for each picture. JSON as the face landmarker's result has it in JavaScript (``faceLandmarks``)
    and Python (``face_landmarks``), or the older Face Mesh (``multi_face_landmarks``, ``{"landmark":
    […]}``), or the list alone; or text protobuf, ``landmark { x: 0.5 y: 0.4 z: -0.01 }`` 478 times. 468
    points are those without the irises, which are not labelled then. x and y may leave 0 … 1. MediaPipe
    does not say where in a pixel 0 lies: x is multiplied by the width (base 0); ``--base 0.5`` is for the
    picture's corner. There is no box; ``visibility`` and ``presence``, which are 0 for faces, are not
    read: every point is visible.

    Reading
    -------
    z, in the unit of x, becomes the text attribute ``z`` of 478 numbers. Blend shapes and matrices are not
    read. The picture is the one beside the file under the same stem, ``<stem>.jpg`` where there is none; its
    size is read from it unless the file was written here and says it. The split is that of the deepest folder
    that says one; the subject is the picture's path without ending and ``_mirror``.

    Skipped, a face or a file, and the next one is read: ``wrong_point_count`` (neither 478 nor 468),
    ``not_a_number``, ``image_missing`` and the like (a picture whose size is needed), ``bad_json``,
    ``bad_structure``, ``unreadable_file`` (also one above 8 MiB). No InputError.

    Writing
    -------
    A folder with ``<image stem>.json``, as in JavaScript, and the picture's size under ``flmd``, which
    other readers pass over. z is 0 where a face has none. A face without irises has 468 points. Lost, by
    key of ``WriteReport.lost``: ``box``, ``visibility``, ``split`` (unless a folder says it),
    ``subject``, ``subset``, ``dataset``, ``attributes``, ``image name`` (a picture that is not there
    comes back as a .jpg). Not written at all: ``face without picture size``, ``face with unlabelled
    points``, ``face with unwritable image name``, ``another picture of this stem``.
    """

    name = "mediapipe"
    title = "MediaPipe face landmarks, JSON or text protobuf for each picture (478 points)"
    detected_by = '*.json with "faceLandmarks" or "face_landmarks"; text protobuf of landmark { x: y: z: }'
    scheme = "mediapipe478"
    needs = frozenset({"image_size"})

    def detect(self, tree: FileTree) -> Detection:
        """Files that begin so; where more than 64 of an ending are there, all when most of 64 do."""
        files: list[str] = []
        for ending in (".json", *_TEXT_ENDINGS):
            names = [name for name in tree.names if name.lower().endswith(ending)]
            step = -(-len(names) // _LOOKED_AT) or 1
            fits = [name for name in names[::step] if _looks_right(tree, name)]
            files += names if step > 1 and 2 * len(fits) > len(names[::step]) else fits
        if not files:
            return Detection((), f"no {self.detected_by}")
        return Detection(tuple(sorted(files)), f"{len(files)} files of MediaPipe", Certainty.LIKELY)

    def accepts(self, tree: FileTree, name: str) -> bool:
        """Whether it begins so."""
        return name.lower().endswith((".json", *_TEXT_ENDINGS)) and _looks_right(tree, name)

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield the faces of each file; memory holds one file."""
        _check(scheme)
        beside, sizes = PicturesBeside(tree), PictureSizes(tree, self.frame)
        for name in files:
            where = tree.where(name)
            image = beside.name_for(name)
            try:
                found, size = _content(tree, name)
            except SkipFace as fault:
                yield fault.at(where)
                continue
            for number, points in enumerate(found):
                here = f"{where} (face {number})"
                asked = size or sizes.of(image, here)
                if isinstance(asked, Skipped):
                    yield asked
                    continue
                try:
                    landmarks, attributes = _face(points, asked)
                except SkipFace as fault:
                    yield fault.at(here)
                    continue
                yield Face(
                    image=image,
                    landmarks=landmarks,
                    visibility=visibility_of(landmarks),
                    subject=photo_of(image),
                    split=split_of_path(posixpath.dirname(name)) or "",
                    image_size=asked,
                    attributes=attributes,
                    where=here,
                )

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a folder of .json files; see the class for what is lost."""
        _check(scheme)
        return write_beside(
            faces, target, scheme, Layout(".json", _document, _items_in, _item, ("unlabelled points",))
        )


def _check(scheme: Scheme) -> None:
    if scheme.count != POINTS:
        raise InputError(f"scheme {scheme.name} has {scheme.count} points", expected=str(POINTS))


def _looks_right(tree: FileTree, name: str) -> bool:
    try:
        head = tree.read(name, 0, _HEAD).removeprefix(b"\xef\xbb\xbf")
        if not name.lower().endswith(".json"):
            return _TEXT.match(head) is not None
        if _JSON.match(head) is None:
            return False
        known = any(f'"{key}"'.encode() in head for key in _KEYS)
        return known or tree.read(name, 0, LARGEST_FILE).count(b'"x"') >= _LEAST
    except InputError:
        return False


def _content(tree: FileTree, name: str) -> tuple[list[Any], tuple[int, int] | None]:
    """The faces of a file, each a list of dictionaries, and the picture's size where the file says it."""
    data = data_of(tree, name)
    if not name.lower().endswith(".json"):
        return _split(_points_of_text(data)), None
    content = json_in(data)
    size = None
    if isinstance(content, dict):
        own = content.get("flmd")
        size = size_in(own) if isinstance(own, dict) else None
        faces = next((content[key] for key in _KEYS if key in content), None)
        if faces is None:
            faces = [content.get("landmark")]
    else:
        faces = content
    if not isinstance(faces, list):
        raise SkipFace("bad_structure", "no list of faces")
    return [face.get("landmark") if isinstance(face, dict) else face for face in faces], size


def _points_of_text(data: bytes) -> list[dict[str, Any]]:
    """The points of text protobuf, their fields as text."""
    text = data.decode("utf-8", "replace")
    return [dict(_FIELD.findall(block)) for block in _BLOCK.findall(text)]


def _split(points: list[Any]) -> list[list[Any]]:
    """Points of several faces that follow each other; all in one where their number fits none."""
    count = next((count for count in (POINTS, MESH) if points and len(points) % count == 0), len(points) or 1)
    return [points[i : i + count] for i in range(0, len(points), count)] or [[]]


def _face(points: Any, size: tuple[int, int]) -> tuple[NDArray[np.float32], dict[str, Attribute]]:
    if not isinstance(points, list) or len(points) not in (POINTS, MESH):
        count = f"{len(points)} points" if isinstance(points, list) else "no list of points"
        raise SkipFace("wrong_point_count", f"{count}, expected {POINTS} or {MESH}")
    values = np.full((POINTS, 3), np.nan)
    for i, point in enumerate(points):
        if not isinstance(point, dict):
            raise SkipFace("bad_structure", f"point {i} is no object with x, y and z")
        values[i] = [_number(point, axis, i) for axis in "xyz"]
    with np.errstate(over="ignore"):
        landmarks = (values[:, :2] * np.array(size, np.float64)).astype(np.float32)
    if np.isinf(landmarks).any():
        raise SkipFace("not_a_number", "a coordinate beyond what float32 holds")
    return landmarks, {DEPTH: numbers_text(values[:, 2])}


def _number(point: dict[str, Any], axis: str, index: int) -> float:
    """A coordinate; z is 0 where a point has none."""
    value = point.get(axis, 0.0 if axis == "z" else None)
    if isinstance(value, str):  # of text protobuf
        try:
            value = float(value.removesuffix("f"))
        except ValueError:
            value = None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
        said = repr(point.get(axis))[:40]
        raise SkipFace("not_a_number", f"{axis} of point {index} is {said}, expected a number")
    return float(value)


def _item(face: Face) -> tuple[dict[str, Any], Collection[str]] | str:
    """The points of a face and the size of its picture, and the attributes they hold."""
    if face.image_size is None or min(face.image_size) < 1:
        return "face without picture size"
    labelled = (face.visibility != NOT_LABELLED) & np.isfinite(face.landmarks).all(axis=1)
    count = POINTS if labelled[MESH:].any() else MESH
    if not labelled[:count].all():
        return "face with unlabelled points"
    depth = numbers_of(face, DEPTH, POINTS)
    held = depth is not None and np.array_equal(np.isnan(depth), np.arange(POINTS) >= count)
    z = shortest(depth[:count]) if depth is not None and held else [0.0] * count
    x_y = face.landmarks[:count].astype(np.float64).tolist()
    points = [(x, y, depth) for (x, y), depth in zip(x_y, z, strict=True)]
    return {"points": points, "size": face.image_size}, (DEPTH,) if held else ()


def _document(image: str, items: list[Any]) -> bytes:
    """The file of a picture, whose size is the one that its first face says."""
    width, height = items[0]["size"]
    faces = [[{"x": x / width, "y": y / height, "z": z} for x, y, z in item["points"]] for item in items]
    return json_text({"faceLandmarks": faces, "flmd": {"width": width, "height": height}})


def _items_in(document: bytes) -> list[Any]:
    content = json_in(document)
    width, height = size = content["flmd"]["width"], content["flmd"]["height"]
    faces = content["faceLandmarks"]
    return [{"points": [(p["x"] * width, p["y"] * height, p["z"]) for p in f], "size": size} for f in faces]
