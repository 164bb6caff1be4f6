"""dlib imglab's XML, as the iBUG 300-W large face landmark dataset is published in."""

from __future__ import annotations

import contextlib
import itertools
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import Attribute, Face, SkipFace, Skipped, visibility_of
from flmd.formats.base import Detection, Format, WriteReport
from flmd.formats.common.xml_stream import LARGEST_KEPT, XmlStream
from flmd.formats.dlib_xml_lists import REQUIRED, find_lists
from flmd.formats.dlib_xml_names import PartPoints
from flmd.formats.dlib_xml_parts import PartReader, named_points, parts_of, quoted, said_unlabelled
from flmd.formats.dlib_xml_writer import FLAGS, NUMBERS, write
from flmd.formats.layout import number_in, photo_of, resolve, split_of
from flmd.schemes import Scheme, scheme_of_count
from flmd.schemes.base import MOST_POINTS, USUAL
from flmd.schemes.name_choice import PointOrders
from flmd.tree import FileTree
from flmd.tree.names import shown

PEEKED = 50  # boxes that say how many points a list has
_BOX = ("left", "top", "width", "height")
_IN_BOX = frozenset(_BOX)


class DlibXml(Format):
    """dlib imglab XML: ``<dataset><images><image file=><box top= left= width= height=><part name= x= y=/>``.

    Points are 0-based pixel centres (base 0); dlib writes whole numbers, fractions are read too. A box's
    ``left top width height`` is stored as it is: dlib's width counts pixels (right = left + width - 1), as
    the store's does, and may reach outside the picture. ``occluded difficult truncated ignore`` become
    bool attributes, ``angle pose age detection_score`` float, ``gender label`` and anything else str.
    A point that is not labelled has no part; a comment in
    the box names those points. Every labelled point is visible (2): ``occluded`` is about the face.

    Reading
    -------
    Parts are keyed by name, in any order: numbers from 0 or from 1, as all of a box's tell, or the scheme's
    names, however spelt (``flmd.schemes.point_names``). Where numbers are missing below the highest one, or a
    comment written here names them, their points are not labelled; parts that only end early are
    Skipped("wrong_point_count"). A box without parts is a face of which no point is labelled, or
    Skipped("ignored") when it says ``ignore='1'``; an ignored box with parts stays a face with that
    attribute. A picture without boxes holds no face and yields nothing. File names are
    taken relative to the XML's folder; a picture that is not in the tree keeps its name. A name whose
    bytes were written as UTF-8 under dlib's ISO-8859-1 header is read right when the tree has it so.
    The bare ``&``, ``<`` and ``'`` that dlib's writer leaves in file names are mended (``xml_stream``).
    Splits come from the file's name: ``train``, ``test``, ``val``. The subject is the picture's path
    without ending and ``_mirror``.

    Skipped reasons: ``wrong_point_count``, ``duplicate_part``, ``unknown_part``, ``not_a_number`` (also
    inf, nan, a missing x or y), ``bad_box`` (missing, not a number, not positive, nested), ``bad_path``
    (no file name, or one that leaves the tree), ``ignored``. InputError, with the line: broken or
    truncated XML (after the faces before the break), any DOCTYPE, another root element.

    Writing
    -------
    One file when the target ends in ``.xml``, else a folder with ``labels_<split>.xml`` for each split
    (``labels.xml`` when no face says one). Numbers are rounded as dlib itself does, ``floor(x + 0.5)``.
    XML-escaped; ISO-8859-1, or UTF-8 when a name needs it. Lost, by key of ``WriteReport.lost``:
    ``sub-pixel`` (a point or box is not whole), ``visibility``, ``box`` (there was none: the box of the
    points is written), ``box source`` (it was not annotated), ``split``, ``subject``, ``subset``,
    ``dataset``, ``attributes``, ``image name`` (comes back otherwise: back-slashes, ``//``). Not written
    at all: ``face without box and points``, ``face with unwritable image name`` (not XML characters).
    """

    name = "dlib-xml"
    title = "dlib imglab XML (iBUG 300-W large face landmark dataset)"
    detected_by = "*.xml with the root element <dataset> and <images> in it"
    suffix = ".xml"
    precision = 1.0
    boxes = True
    named = True

    def detect(self, tree: FileTree) -> Detection:
        """Any ``*.xml`` with ``<dataset>`` and ``<images>`` in its first 64 KiB.

        Lists that repeat others are left out: those that say no split in a folder where others do, and,
        where one name extends another (``training.xml``, ``training_with_face_landmarks.xml``) and only
        one of the two has any part, the one without.
        """
        return find_lists(tree)

    def scheme_in(self, tree: FileTree, files: tuple[str, ...]) -> str:
        """By the names and number of parts that most of the first PEEKED boxes have; ibug68 without any."""
        counts: Counter[int] = Counter()
        named: dict[int, list[str]] = {}
        for name in files:
            with contextlib.suppress(InputError), tree.open(name) as stream:
                boxes = named_points(stream, tree.where(name))
                for count, names in itertools.islice(boxes, PEEKED - counts.total()):
                    counts[count] += 1
                    if names:
                        named.setdefault(count, names)
            if counts.total() >= PEEKED:
                break
        if not counts:
            return "ibug68"
        usual = max(counts, key=lambda count: (counts[count], count in USUAL))
        told = self.names.scheme_of(named[usual]) if usual in named else None
        return told or scheme_of_count(min(usual, MOST_POINTS))

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield the faces of every file in order, in bounded memory; see the class for what is skipped."""
        orders = self.names.orders(scheme)
        for name in files:
            with tree.open(name) as stream:
                yield from _Reader(tree, scheme, name, orders).faces(stream)

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write an ``.xml`` file or a folder of them; see the class for what is lost."""
        return write(faces, target, scheme)


class _Reader:
    """The elements of one file, and the state between them."""

    def __init__(self, tree: FileTree, scheme: Scheme, name: str, orders: PointOrders) -> None:
        self._tree, self._folder, self._where = tree, posixpath.dirname(name), tree.where(name)
        self._split = split_of(name) or ""
        self._count, self._points = scheme.count, PartPoints(scheme, orders)
        self._part_reader = PartReader(scheme.count)
        self._line = self._number = 0
        self._file = self._photo = ""
        self._image: str | None = None
        self._size: tuple[int, int] | None = None

    def faces(self, stream: BinaryIO) -> Iterator[Face | Skipped]:
        """Every box of the file as a face or skipped, in order."""
        xml = XmlStream(stream, self._where, ("image", "box"), comments=True)
        if xml.root not in ("", "dataset"):
            raise InputError(
                f"the root element is <{shown(xml.root[:40])}>",
                where=f"{self._where}:{xml.line}",
                expected=REQUIRED,
            )
        box = None
        for event, name, element in xml:
            if name == "image" and event == "start":
                self._start_image(dict(element.items()))
            elif name == "image":
                self._image, self._file = None, ""
            elif event == "start":
                if box is not None:
                    yield Skipped("bad_box", self._here(), "a box within this box")
                box, self._line = element, xml.line
                self._number += 1
                xml.keep(box)
            elif element is box:
                yield self._face(box, xml.keeps(box))
                box = None

    def _start_image(self, attributes: dict[str, str]) -> None:
        self._file = attributes.get("file", "")
        self._image = self._resolve(self._file)
        self._photo = photo_of(self._image or "")
        self._number = 0
        width, height = attributes.get("width", ""), attributes.get("height", "")
        whole = width.isdecimal() and height.isdecimal() and len(width + height) < 20
        size = (int(width), int(height)) if whole else (0, 0)
        self._size = size if min(size) > 0 else None

    def _resolve(self, file: str) -> str | None:
        image = resolve(self._folder, file)
        if image is None or image.isascii() or image in self._tree:
            return image
        try:
            other = resolve(self._folder, file.encode("latin-1").decode("utf-8", "surrogateescape"))
        except UnicodeEncodeError:
            return image
        return other if other is not None and other in self._tree else image

    def _here(self) -> str:
        return f"{self._where}:{self._line} (image {shown(self._file[:200])}, box {self._number})"

    def _face(self, element: Any, complete: bool) -> Face | Skipped:
        where = self._here()
        given = dict(element.items())
        parts = parts_of(element)
        label = "".join(text for label in element.iter("{*}label") for text in label.itertext())
        try:
            if not complete:
                what = f"more than {LARGEST_KEPT} bytes, expected {self._count} parts"
                raise SkipFace("wrong_point_count", what)
            if self._image is None:
                what = f"{self._file[:200]!r} is not a picture in the tree" if self._file else "no image file"
                raise SkipFace("bad_path", what)
            box = _box(given)
            attributes = _attributes(given, label) if len(given) > 4 or label else {}
            if not parts and attributes.get("ignore") is True:
                raise SkipFace("ignored", "a box to be ignored, without parts")
            if len(parts) < self._count:
                landmarks = self._part_reader.landmarks(parts, said_unlabelled(element))
            else:
                landmarks = self._points.of(parts)
        except SkipFace as fault:
            return fault.at(where)
        return Face(
            image=self._image,
            landmarks=landmarks,
            visibility=visibility_of(landmarks),
            box=box,
            box_source="annotated",
            subject=self._photo,
            split=self._split,
            image_size=self._size,
            attributes=attributes,
            where=where,
        )


def _attributes(given: dict[str, str], label: str) -> dict[str, Attribute]:
    out: dict[str, Attribute] = {}
    for key, text in given.items():
        if key in _IN_BOX:
            continue
        number = number_in(text)
        if key in FLAGS and text.lower() in ("0", "1", "true", "false"):
            out[key] = text.lower() in ("1", "true")
        else:
            out[key] = number if key in NUMBERS and number is not None else text
    if label:
        out["label"] = label
    return out


def _box(given: dict[str, str]) -> NDArray[np.float32]:
    values = [number_in(given.get(key)) for key in _BOX]
    for key, value in zip(_BOX, values, strict=True):
        if value is None:
            raise SkipFace("bad_box", f"{key} is {quoted(given.get(key))}, expected a number")
    box = np.array(values, np.float32)
    if not min(box[2:]) > 0:
        raise SkipFace("bad_box", f"width {given['width']}, height {given['height']}, expected above 0")
    return box
