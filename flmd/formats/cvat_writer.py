"""Writing CVAT for images: :class:`flmd.formats.cvat.Cvat` says what is kept and what is lost."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from flmd.face import HIDDEN, Attribute, Face
from flmd.formats.base import WriteReport
from flmd.formats.cvat_meta import BOX_LABEL, HEAD, NO_SUBSET, copy_body, declared_labels, escaped, meta_of
from flmd.formats.cvat_shapes import CORNER, value_of
from flmd.formats.layout import SPLIT_WORDS, photo_of, split_of, whole_or_nothing
from flmd.formats.writing import check_points, count_lost, is_file_target, usable_box
from flmd.schemes import Scheme

SUBSETS = {"train": "Train", "val": "Validation", "test": "Test"}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(faces: Iterable[Face], target: Path, scheme: Scheme) -> WriteReport:
    """Write one file (``*.xml``), or a folder with ``annotations.xml``; whole, or not there."""
    report = WriteReport()
    with whole_or_nothing(target) as scratch:
        path = scratch
        if not is_file_target(target, ".xml"):
            scratch.mkdir()
            path = scratch / "annotations.xml"
        images = path.with_name(path.name + ".images")  # the labels stand first and are known last
        try:
            with images.open("w+b") as body, path.open("wb") as file:
                document = _Document(body, scheme, split_of(target.name if path == scratch else path.name))
                for face in faces:
                    document.add(face, report)
                document.end()
                file.write(document.head().encode())
                copy_body(body, file, document.subsets)
                file.write(b"</annotations>\n")
        finally:
            with contextlib.suppress(FileNotFoundError):
                images.unlink()
    return report


class AttributeTexts:
    """The attributes of faces as elements, and their types, which are those of the first values."""

    def __init__(self) -> None:
        self._types: dict[str, str] = {}

    def of(self, given: Mapping[str, Attribute]) -> tuple[str, dict[str, bool]]:
        """Elements for the attributes; which were written, and whether each comes back as it is."""
        lines, kept = [], {}
        for name, value in given.items():
            text = ("false", "true")[value] if isinstance(value, bool) else str(value)
            if not is_xml(name + text) or (isinstance(value, float) and not math.isfinite(value)):
                continue
            kind = "checkbox" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
            kind = self._types.setdefault(name, kind)
            back = value_of(text, kind)
            kept[name] = back == value and type(back) is type(value)
            lines.append(f'      <attribute name="{escaped(name)}">{escaped(text)}</attribute>\n')
        return "".join(lines), kept

    def declared(self) -> str:
        """The types, as a label in ``<meta>`` declares them."""
        return "".join(
            f"<attribute><name>{escaped(name)}</name><mutable>False</mutable>"
            f"<input_type>{kind}</input_type><default_value></default_value><values></values></attribute>"
            for name, kind in self._types.items()
        )


def is_named(label: Attribute | None) -> bool:
    """Whether the attribute ``label`` can be the label of a shape, rather than "face"."""
    return isinstance(label, str) and label not in ("", "face") and is_xml(label)


def is_xml(text: str) -> bool:
    """Whether XML can hold a text."""
    return not _NOT_XML.search(text)


class _Document:
    """The images of one file being written, and the labels they use."""

    def __init__(self, body: BinaryIO, scheme: Scheme, split_of_name: str | None) -> None:
        self._body, self._scheme, self._split_of_name = body, scheme, split_of_name or ""
        self._image: tuple[object, ...] | None = None
        self._count = self._group = 0
        self.subsets: dict[str, int] = {}  # and how many pictures each has
        self._labels: dict[str, None] = {}
        self._attributes = AttributeTexts()
        self._points = tuple(map(escaped, scheme.points))

    def add(self, face: Face, report: WriteReport) -> None:
        """Append a face, its losses counted; consecutive faces of one picture share its element."""
        check_points(face, self._scheme)
        if not face.image or _NOT_XML.search(face.image):
            report.lost["face with unwritable image name"] += 1
            return
        subset = SUBSETS.get(face.split, "") or face.subset
        if not face.split and (subset.lower() in (*SPLIT_WORDS, "default") or _NOT_XML.search(subset)):
            subset = ""
        if not face.split and not subset and self._split_of_name:
            subset = "unsplit"  # else the file's name would say one
        self._start_image(face, subset)
        label = face.attributes.get("label")
        named = is_named(label)
        lines, kept = self._attributes.of(
            {k: v for k, v in face.attributes.items() if k != "label" or not named}
        )
        if named:
            kept["label"] = True
        label = str(label) if named else "face"
        self._labels[label] = None
        self._group += 1
        exact = self._skeleton(face, label, lines)
        exact &= self._box(face, report)
        if not exact:
            report.lost["sub-pixel"] += 1
        if not all(kept.values()):
            report.lost["attribute type"] += 1
        split = self._split_of_name if not face.split and subset not in ("", "unsplit") else face.split
        count_lost(
            report,
            face,
            keeps=(
                "box", "visibility", "unlabelled points", "image size",
                *(("box source",) if face.box_source == "detector" else ()),
            ),
            subject=photo_of(face.image),
            split=split,
            subset="" if subset == "unsplit" or face.split else subset,
            attributes=kept,
        )  # fmt: skip
        report.faces += 1

    def end(self) -> None:
        """Close the last picture."""
        if self._image is not None:
            self._put("  </image>\n")

    def head(self) -> str:
        """Everything before the first picture, its labels as CVAT wants them for a task."""
        labels = declared_labels(self._labels, self._scheme, self._attributes.declared())
        counts = self.subsets or {"": 0}
        tasks = {said: f"<size>{n}</size><mode>annotation</mode>" for said, n in counts.items()}
        return HEAD + meta_of(tasks, labels)

    def _start_image(self, face: Face, subset: str) -> None:
        image = face.image, face.image_size, subset
        if image == self._image:
            return
        self.end()
        self._image = image
        size = f' width="{face.image_size[0]}" height="{face.image_size[1]}"' if face.image_size else ""
        said = f' subset="{escaped(subset)}"' if subset else NO_SUBSET
        self._put(f'  <image id="{self._count}" name="{escaped(face.image)}"{said}{size}>\n')
        self._count += 1
        self.subsets[subset] = self.subsets.get(subset, 0) + 1

    def _skeleton(self, face: Face, label: str, attributes: str) -> bool:
        """Write the points; True when reading them gives the same float32."""
        points = face.landmarks.astype(np.float64) + CORNER
        labelled = (face.visibility > 0) & np.isfinite(points).all(axis=1)
        lines = [
            f'    <skeleton label="{escaped(label)}" source="manual" z_order="0" group_id="{self._group}">\n'
        ]
        for name, (x, y), known, seen in zip(
            self._points, points.tolist(), labelled.tolist(), face.visibility.tolist(), strict=True
        ):
            place = f"{x!r},{y!r}" if known else "0.0,0.0"
            lines.append(
                f'      <points label="{name}" source="manual" outside="{int(not known)}"'
                f' occluded="{int(seen == HIDDEN)}" points="{place}"/>\n'
            )
        self._put("".join((*lines, attributes, "    </skeleton>\n")))
        back = (points - CORNER).astype(np.float32)
        return bool((back == face.landmarks)[labelled].all())

    def _box(self, face: Face, report: WriteReport) -> bool:
        if face.box is None:
            return True
        if not usable_box(face):
            report.lost["box"] += 1
            return True
        x, y, width, height = face.box.tolist()
        right, bottom = x + width, y + height
        source = "auto" if face.box_source == "detector" else "manual"
        edges = f'xtl="{x!r}" ytl="{y!r}" xbr="{right!r}" ybr="{bottom!r}"'
        back = np.array([right - x, bottom - y]).astype(np.float32)
        if not (back > 0).all():
            report.lost["box"] += 1
            return True
        self._put(
            f'    <box label="{BOX_LABEL}" source="{source}" occluded="0" {edges} z_order="0"'
            f' group_id="{self._group}"/>\n'
        )
        return bool((back == face.box[2:]).all())

    def _put(self, text: str) -> None:
        self._body.write(text.encode())
