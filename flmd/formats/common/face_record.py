"""A face as a record of plain lists and words, which training sets for other trainers hold one of each.

Keys: ``landmarks`` (K pairs x, y; None, or NaN in tables, where a point is not labelled), ``visibility`` (K
times 0, 1 or 2), ``box`` (x, y, width, height, or None), ``box_source``, ``image`` (the picture's name),
``width`` and ``height`` of it or None, ``subject``, ``split``, ``subset``, ``dataset``, ``scheme``,
``attributes``. Pixels; the centre of the top-left one is (0, 0).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.face import BOX_SOURCES, NOT_LABELLED, SPLITS, VISIBLE, Face, SkipFace, visibility_of
from flmd.formats.common.json_lists import attributes_in, box_in, numbers_in, shortest, size_in
from flmd.formats.layout import photo_of
from flmd.formats.writing import usable_box
from flmd.schemes import SCHEMES, Scheme, scheme_of_count

KEEPS = ("box", "box source", "visibility", "unlabelled points", "dataset", "image size")


def record_of(face: Face, scheme: Scheme, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a face, with these of its attributes; numbers of the fewest decimals for a float32."""
    labelled = (face.visibility != NOT_LABELLED) & np.isfinite(face.landmarks).all(axis=1)
    values = shortest(np.where(labelled[:, None], face.landmarks, np.float32(0)))
    points = zip(values[0::2], values[1::2], labelled.tolist(), strict=True)
    width, height = face.image_size or (None, None)
    return {
        "landmarks": [[x, y] if known else None for x, y, known in points],
        "visibility": np.where(labelled, face.visibility, NOT_LABELLED).tolist(),
        "box": shortest(face.box) if face.box is not None and usable_box(face) else None,
        "box_source": face.box_source,
        "image": face.image,
        "width": width,
        "height": height,
        "subject": face.subject,
        "split": face.split,
        "subset": face.subset,
        "dataset": face.dataset,
        "scheme": scheme.name,
        "attributes": dict(attributes),
    }


def face_of(record: Mapping[str, Any], count: int, image: str, split: str, where: str) -> Face:
    """The face of a record, in a picture called ``image``; ``split`` where the record says none.

    Raises
    ------
    SkipFace : ``wrong_point_count``, ``not_a_number``, ``bad_visibility``, ``bad_box``.
    """
    landmarks = _landmarks(record.get("landmarks"), count)
    box = box_in(_list(record.get("box")), "box")
    source = record.get("box_source")
    source = source if source in BOX_SOURCES and source != "none" else "annotated"
    said = record.get("split")
    return Face(
        image=image,
        landmarks=landmarks,
        visibility=_visibility(record.get("visibility"), landmarks),
        box=box,
        box_source="none" if box is None else source,
        subject=_text(record, "subject") or photo_of(image),
        split=said if isinstance(said, str) and said in SPLITS else split,
        subset=_text(record, "subset"),
        dataset=_text(record, "dataset"),
        image_size=size_in(record),
        attributes=attributes_in(record.get("attributes")),
        where=where,
    )


def scheme_of_record(record: Mapping[str, Any]) -> str | None:
    """The scheme that a record names, else the one meant by its number of points; None without points."""
    points = _list(record.get("landmarks"))
    if not isinstance(points, list) or not points:
        return None
    named = record.get("scheme")
    known = SCHEMES.get(named) if isinstance(named, str) else None
    return known.name if known is not None and known.count == len(points) else scheme_of_count(len(points))


def _landmarks(points: Any, count: int) -> NDArray[np.float32]:
    points = _list(points)
    if not isinstance(points, list) or len(points) != count:
        found = len(points) if isinstance(points, list) else "no"
        raise SkipFace("wrong_point_count", f"{found} points, expected {count}")
    out = np.full((count, 2), np.nan, np.float32)
    for i, point in enumerate(points):
        point = _list(point)
        if point is None or _is_nan(point):
            continue
        numbers = numbers_in(point, f"point {i}")
        if len(numbers) != 2:
            raise SkipFace("not_a_number", f"point {i} has {len(numbers)} numbers, expected x and y")
        out[i] = numbers
    return out


def _visibility(values: Any, landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
    """That of each point: 0 exactly where it is NaN, whatever is said; visible where nothing is said."""
    by_place = visibility_of(landmarks)
    values = _list(values)
    if values is None:
        return by_place
    numbers = numbers_in(values, "visibility")
    if len(numbers) != len(landmarks) or not np.isin(numbers, (0, 1, 2)).all():
        raise SkipFace(
            "bad_visibility", f"visibility of {len(numbers)} numbers, expected a 0, 1 or 2 a point"
        )
    said = numbers.astype(np.uint8)
    landmarks[said == NOT_LABELLED] = np.nan
    return np.where(by_place == VISIBLE, said, NOT_LABELLED).astype(np.uint8)


def _list(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _is_nan(point: Any) -> bool:
    return isinstance(point, list) and len(point) == 2 and all(isinstance(v, float) and v != v for v in point)


def _text(record: Mapping[str, Any], key: str) -> str:
    value = record.get(key)
    return value if isinstance(value, str) else ""
