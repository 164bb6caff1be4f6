"""Writing dlib imglab XML: see :class:`flmd.formats.dlib_xml.DlibXml` for what is kept and what is lost."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flmd.core import geometry
from flmd.errors import InputError
from flmd.face import Attribute, Face
from flmd.formats.base import WriteReport
from flmd.formats.dlib_xml_parts import unlabelled_comment
from flmd.formats.layout import (
    LARGEST,
    count_description_losses,
    photo_of,
    resolve,
    split_of,
    whole_or_nothing,
)
from flmd.schemes import Scheme

FLAGS = ("occluded", "difficult", "truncated", "ignore")
NUMBERS = ("angle", "pose", "age", "detection_score")
TEXTS = ("gender", "label")
_HEADER = (
    "<?xml version='1.0' encoding='{}'?>\n<dataset>\n<name>flmd</name>\n"
    "<comment>Landmarks are 0-based pixel coordinates.</comment>\n<images>\n"
)
_FOOTER = "</images>\n</dataset>\n"
_ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&apos;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
)
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(faces: Iterable[Face], target: Path, scheme: Scheme) -> WriteReport:
    """Write one file (``*.xml``), or a folder with a file for each split; whole, or not there."""
    one_file = target.suffix.lower() == ".xml"
    report = WriteReport()
    parts = [f"      <part name='{i:02}' x='%d' y='%d'/>\n" for i in range(scheme.count)]
    with whole_or_nothing(target) as scratch:
        if not one_file:
            scratch.mkdir()
        with contextlib.ExitStack() as stack:
            lists: dict[str, _List] = {}

            def list_of(split: str) -> _List:
                if split not in lists:
                    path = scratch if one_file else scratch / f"labels_{split or 'unsplit'}.xml"
                    lists[split] = stack.enter_context(contextlib.closing(_List(path)))
                return lists[split]

            for face in faces:
                body = _box_element(face, scheme, parts, report)
                if body is None:
                    continue
                if one_file and face.split != (split_of(target.name) or ""):
                    report.lost["split"] += 1
                list_of("" if one_file else face.split).add(face, body)
                report.faces += 1
            if not lists:
                list_of("")
        if not one_file and list(lists) == [""]:  # with others beside it, a plain name would mean their union
            (scratch / "labels_unsplit.xml").rename(scratch / "labels.xml")
    return report


class _List:
    """One file being written; faces of one picture that follow each other share its element."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._encoding = "ISO-8859-1"
        self._file = path.open("wb")
        self._image: tuple[str, tuple[int, int] | None] | None = None
        self._put(_HEADER.format(self._encoding))

    def add(self, face: Face, body: str) -> None:
        """Append the box element of a face."""
        image = face.image, face.image_size
        if image != self._image:
            size = f" width='{image[1][0]}' height='{image[1][1]}'" if image[1] else ""
            end = "  </image>\n" if self._image else ""
            self._put(f"{end}  <image file='{face.image.translate(_ESCAPES)}'{size}>\n")
            self._image = image
        self._put(body)

    def close(self) -> None:
        """End the document and the file."""
        if not self._file.closed:
            self._put(("  </image>\n" if self._image else "") + _FOOTER)
            self._file.close()

    def _put(self, text: str) -> None:
        try:
            data = text.encode(self._encoding)
        except UnicodeEncodeError:
            self._start_over_in_utf8()
            data = text.encode(self._encoding)
        self._file.write(data)

    def _start_over_in_utf8(self) -> None:
        self._file.close()
        old = self._path.with_name(self._path.name + ".latin1")
        self._path.rename(old)
        try:
            self._file = self._path.open("wb")
            with old.open(encoding=self._encoding, newline="") as source:
                self._encoding = "UTF-8"
                self._put(_HEADER.format(self._encoding).split("\n")[0] + "\n")
                source.readline()
                while text := source.read(1 << 16):
                    self._put(text)
        finally:
            old.unlink()


def _box_element(face: Face, scheme: Scheme, parts: list[str], report: WriteReport) -> str | None:
    """The text of a face's box with all in it, its losses counted; None when it cannot be written."""
    if face.landmarks.shape != (scheme.count, 2):
        raise InputError(
            f"landmarks of shape {face.landmarks.shape}",
            where=face.where or face.image,
            expected=f"({scheme.count}, 2), as scheme {scheme.name} has",
        )
    if not face.image or _NOT_XML.search(face.image):
        report.lost["face with unwritable image name"] += 1
        return None
    points = face.landmarks.astype(np.float64)
    labelled = np.isfinite(points).all(axis=1)
    points[~labelled] = np.nan
    box = None if face.box is None else face.box.astype(np.float64)
    if box is not None and not (np.isfinite(box).all() and (box[2:] > 0).all()):
        box = None
    if box is None and not labelled.any():
        report.lost["face without box and points"] += 1
        return None
    count_description_losses(report, face, photo_of(face.image))
    if resolve("", face.image) != face.image:
        report.lost["image name"] += 1
    if box is None:
        report.lost["box"] += 1
    elif face.box_source != "annotated":
        report.lost["box source"] += 1
    whole = _rounded(points)
    # A box of points is made of the rounded ones, so that all of them lie in it.
    rounded = geometry.box_of_points(whole) if box is None else _rounded(box)
    rounded[2:] = np.maximum(rounded[2:], 1)
    if (whole != points)[labelled].any() or (box is not None and (rounded != box).any()):
        report.lost["sub-pixel"] += 1
    attributes, label, kept = _box_attributes(face.attributes)
    if kept < len(face.attributes):
        report.lost["attributes"] += 1
    x, y, width, height = map(int, rounded)
    head = f"    <box top='{y}' left='{x}' width='{width}' height='{height}'{attributes}"
    if labelled.all():
        inside = "".join(parts) % tuple(whole.ravel().tolist())
    else:
        inside = "".join(parts[i] % tuple(whole[i].tolist()) for i in np.flatnonzero(labelled))
        if inside:
            inside += f"      {unlabelled_comment(np.flatnonzero(~labelled).tolist())}\n"
    text = label + inside
    return head + (f">\n{text}    </box>\n" if text else "/>\n")


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """To whole numbers as dlib does: halves go up, also below zero."""
    return np.asarray(np.floor(values + 0.5))


def _box_attributes(given: dict[str, Attribute]) -> tuple[str, str, int]:
    """Attributes of the box element, its label element, and how many of the given ones that is."""
    text, label, kept = "", "", 0
    for key, value in given.items():
        if isinstance(value, str):
            fits = key in TEXTS and value != "" and not _NOT_XML.search(value)
            shown = value.translate(_ESCAPES)
        elif isinstance(value, bool):
            fits, shown = key in FLAGS, str(int(value))
        else:
            fits, shown = key in NUMBERS and abs(value) <= LARGEST, repr(value)
        if not fits:
            continue
        kept += 1
        if key == "label":
            label = f"      <label>{shown}</label>\n"
        else:
            text += f" {key}='{shown}'"
    return text, label, kept
