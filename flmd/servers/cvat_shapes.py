"""A face as the shapes of CVAT's REST API, and these as CVAT for images 1.1."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np

from flmd.face import HIDDEN, Face
from flmd.formats.cvat_meta import escaped
from flmd.formats.cvat_shapes import CORNER
from flmd.formats.writing import usable_box


@dataclass(frozen=True)
class Labels:
    """The labels of a project that faces need.

    Attributes
    ----------
    face : the number of the skeleton's label. points : of its points', in the scheme's order.
    box : of the rectangle's; None where there is none.
    """

    face: int
    points: tuple[int, ...]
    box: int | None


def shapes_of(face: Face, frame: int, group: int, labels: Labels) -> list[dict[str, Any]]:
    """A skeleton, and a rectangle in the same group where the face has a box and the project a label for it.

    Parameters
    ----------
    frame : the picture's number in its task. group : a number that no other face of the task has.
    """
    common = {"frame": frame, "source": "auto", "z_order": 0, "attributes": []}
    points = face.landmarks.astype(np.float64) + CORNER
    labelled = (face.visibility > 0) & np.isfinite(points).all(axis=1)
    elements = [
        {
            **common, "type": "points", "label_id": label, "group": 0,
            "outside": not known, "occluded": seen == HIDDEN,
            "points": [x, y] if known else [0.0, 0.0],
        }
        for label, (x, y), known, seen in zip(
            labels.points, points.tolist(), labelled.tolist(), face.visibility.tolist(), strict=True
        )
    ]  # fmt: skip
    skeleton = {
        **common, "type": "skeleton", "label_id": labels.face, "group": group, "outside": False,
        "occluded": False, "points": [], "elements": elements,
    }  # fmt: skip
    if labels.box is None or face.box is None or not usable_box(face):
        return [skeleton]
    x, y, width, height = face.box.tolist()
    corners = [x, y, x + width, y + height]
    rectangle = {**common, "type": "rectangle", "label_id": labels.box, "group": group, "points": corners}
    return [skeleton, {**rectangle, "outside": False, "occluded": False}]


class Document:
    """Writes one file of CVAT for images 1.1; its labels stand first.

    Parameters
    ----------
    labels : of the project, as the server lists them.
    """

    def __init__(self, file: TextIO, labels: Iterable[Mapping[str, Any]]) -> None:
        self._file, self._count = file, 0
        self._names: dict[int, str] = {}
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
        file.write("  <meta><project><labels>\n")
        for label in labels:
            self._declare(label, "")
            for point in label.get("sublabels") or ():
                self._declare(point, str(label["name"]))
        file.write("</labels></project></meta>\n")

    def add(
        self, answer: Mapping[str, Any], frames: list[dict[str, Any]], name_of: Callable[[str], str]
    ) -> int:
        """Append the pictures of a task that have shapes; returns how many.

        Raises KeyError, TypeError, ValueError or the like where the answer makes no sense.
        """
        by_frame: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
        for shape in answer["shapes"]:
            if not 0 <= int(shape["frame"]) < len(frames):
                raise IndexError(shape["frame"])
            by_frame[int(shape["frame"])].append(shape)
        for number in sorted(by_frame):
            frame = frames[number]
            self._file.write(
                f'  <image id="{self._count}" name="{escaped(name_of(frame["name"]))}"'
                f' width="{frame["width"]}" height="{frame["height"]}">\n'
            )
            self._count += 1
            for shape in by_frame[number]:
                self._shape(shape)
            self._file.write("  </image>\n")
        return len(by_frame)

    def end(self) -> None:
        """Close the document."""
        self._file.write("</annotations>\n")

    def _declare(self, label: Mapping[str, Any], parent: str) -> None:
        name = escaped(str(label["name"]))
        self._names[int(label["id"])] = name
        inside = f"<parent>{escaped(parent)}</parent>" if parent else ""
        kind = escaped(str(label.get("type", "any")))
        self._file.write(
            f"<label><name>{name}</name><type>{kind}</type><attributes></attributes>{inside}</label>\n"
        )

    def _shape(self, shape: Mapping[str, Any]) -> None:
        kind, points = shape["type"], [float(value) for value in shape["points"]]
        group = f' group_id="{int(shape["group"])}"' if shape.get("group") else ""
        label, source = self._names[int(shape["label_id"])], escaped(str(shape.get("source", "manual")))
        said = f'label="{label}" source="{source}" occluded="{int(bool(shape.get("occluded")))}"'
        outside = f' outside="{int(bool(shape.get("outside")))}"'
        if kind == "skeleton":
            self._file.write(f"    <skeleton {said}{group}>\n")
            for element in shape["elements"]:
                self._shape(element)
            self._file.write("    </skeleton>\n")
        elif kind == "rectangle":
            left, top, right, bottom = points
            edges = f'xtl="{left!r}" ytl="{top!r}" xbr="{right!r}" ybr="{bottom!r}"'
            turned = f' rotation="{float(shape["rotation"])!r}"' if shape.get("rotation") else ""
            self._file.write(f"    <box {said} {edges}{turned}{group}/>\n")
        elif kind == "points":
            pairs = ";".join(f"{x!r},{y!r}" for x, y in zip(points[::2], points[1::2], strict=True))
            self._file.write(f'    <points {said}{outside} points="{pairs}"{group}/>\n')
