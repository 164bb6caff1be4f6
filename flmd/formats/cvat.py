"""CVAT for images 1.1: the XML that CVAT exports and imports."""

from __future__ import annotations

import io
import posixpath
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from flmd.core.orientation import SHOWN
from flmd.errors import InputError
from flmd.face import Face, Skipped
from flmd.formats.base import Detection, Format, WriteReport
from flmd.formats.common.xml_stream import LARGEST_KEPT, XmlStream
from flmd.formats.cvat_boxes import join_boxes
from flmd.formats.cvat_shapes import Labels, ShapesOfImage, scheme_of_shapes
from flmd.formats.cvat_writer import write
from flmd.formats.layout import SPLIT_WORDS, photo_of, resolve, split_of, without_unions
from flmd.schemes import Scheme
from flmd.schemes.name_choice import PointOrders
from flmd.tree import FileTree
from flmd.tree.names import shown

PROBE = 1 << 20  # what <meta> says of labels with hundreds of points fits in it
_NAMES = ("meta", "track", "image")
_VIDEO = "CVAT for video (<track>)"
_EXPORT = "read it with --from cvat-video"


class Cvat(Format):
    """``<annotations><meta/><image name= width= height= subset=>`` with the shapes of a picture in it.

    CVAT measures from the picture's top-left corner, so the centre of the first pixel is (0.5, 0.5): base
    0.5. A box is stored with x = xtl, y = ytl, width = xbr - xtl: one that covers pixels x … x+w-1 spans
    x … x+w on CVAT's canvas.

    What is a face
    --------------
    - ``<skeleton label=>`` with a ``<points label= outside= occluded= points="x,y"/>`` for each point of the
      scheme. Points are keyed by label (``flmd.schemes.point_names``): the scheme's names, however spelt, or
      numbers, which count from 0 or 1 as those tell that occur among them or in ``<meta>``. For a scheme
      ``points<K>``, which has no names of its own, the first skeleton gives the order. ``outside="1"``: not
      labelled, 0; ``occluded="1"``: hidden, 1.
    - ``<points points="x,y;x,y;…"/>``: all points of a face in one shape, in the scheme's order.
    - several ``<points>`` of one point each, labels as in a skeleton, with one ``group_id``; or without
      ``group_id``, when no label occurs twice in the picture. What has no shape is not labelled.

    A ``<box>`` joins the face of its ``group_id``. Where neither has one, it joins the face when no other
    free box, and of no other free face, holds most of the labelled points. Two boxes in a group, or any
    other ambiguity: the face has none.

    Reading
    -------
    ``subset`` (Train, Test, Validation, …) is the split, any other word but "default" is ``Face.subset``;
    without it the split comes from the XML's name. Pictures lie beside the XML, in ``images/`` or in
    ``images/<subset>/``; a name found nowhere is kept. ``<attribute>`` children of shape and box become
    attributes, bool or number where ``<meta>`` declares a checkbox or number, else text; ``label`` is one
    unless "face", ``occluded`` when the whole shape is, ``rotation`` when the box is. Not read: tags,
    polygons, polylines, ellipses, masks, cuboids, attributes of single points, ids, z_order.

    Skipped reasons: ``wrong_point_count``, ``duplicate_point``, ``unknown_point`` (a label that is no point
    of the scheme, or a number whose start is open), ``not_a_number``, ``bad_box`` (not numbers, not
    positive), ``bad_path``, ``ungrouped_points`` (single points without group, labels repeated),
    ``box_without_points`` (a box that joined no face), ``image_too_long`` (above 8 MiB of XML, or
    millions of points, in one image). InputError: broken or truncated XML (after the faces before it), any
    DOCTYPE, another root element, ``<track>`` (CVAT for video).

    Writing
    -------
    One file when the target ends in ``.xml``, else a folder with ``annotations.xml``; splits go into
    ``subset``. A skeleton for each face, its points named as the scheme's, and its box in the same group.
    ``<meta>`` declares the labels with a drawing, so that CVAT can make the task; with subsets it is a
    project, with a task for each, as CVAT exports them. Lost, by key of
    ``WriteReport.lost``: ``sub-pixel`` (a value so small that adding 0.5, or a box's x, loses it),
    ``box`` (not finite or not positive), ``box source`` (all but annotated and detector), ``subject``,
    ``subset`` (beside a split), ``dataset``, ``attributes`` (not XML characters), ``attribute type`` (text
    in one face, a number in another), ``image name``. Not written: ``face with unwritable image name``.
    """

    name = "cvat"
    title = "CVAT for images 1.1 (XML)"
    frame = SHOWN
    detected_by = "*.xml with the root element <annotations> and <image> or <meta> in it"
    suffix = ".xml"
    base = 0.5
    boxes = True
    visibility = True
    named = True

    def detect(self, tree: FileTree) -> Detection:
        """Any ``*.xml`` with ``<annotations>`` and ``<meta>`` or ``<image>`` in its first 64 KiB."""
        found: list[str] = []
        miss = video = ""
        for name in tree.names:
            if not name.lower().endswith(".xml"):
                continue
            fault = _misfit(tree, name)
            if not fault:
                found.append(name)
            elif fault == _VIDEO:
                video = video or f"{shown(posixpath.basename(name))} is {_VIDEO}; {_EXPORT}"
            else:
                miss = miss or f" ({shown(posixpath.basename(name))}: {fault})"
        if not found:
            why = video or f"no *.xml whose root element is <annotations> with <image> or <meta>{miss}"
            return Detection((), why)
        files, unions = without_unions(found)
        why = f"CVAT lists: {', '.join(map(shown, files))}"
        if unions:
            why += f"; left out as the union of these: {', '.join(map(shown, unions))}"
        return Detection(tuple(files), why)

    def scheme_in(self, tree: FileTree, files: tuple[str, ...]) -> str:
        """The scheme whose points the first shapes name, else the one that their number means."""
        for name in files:
            with tree.open(name) as stream:
                for element, _, labels in _images(stream, tree.where(name)):
                    found = scheme_of_shapes(element, labels, self.names) if element is not None else None
                    if found:
                        return found
        return "ibug68"

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield the faces of every file, picture by picture; memory holds one picture's shapes."""
        orders = self.names.orders(scheme)
        for name in files:
            with tree.open(name) as stream:
                yield from _read(tree, scheme, name, stream, orders)

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write an ``.xml`` file, or a folder with ``annotations.xml``; see the class for what is lost."""
        return write(faces, target, scheme)


def _misfit(tree: FileTree, name: str) -> str:
    """Why a file is not CVAT for images, "" when it is."""
    known = False
    try:
        xml = XmlStream(io.BytesIO(tree.read(name, 0, PROBE)), "it", _NAMES, whole=False)
        if xml.root != "annotations":
            return f"the root is <{shown(xml.root[:40])}>" if xml.root else "not XML"
        for _, element, _ in xml:
            if element == "track":
                return _VIDEO
            known = True
            if element == "image":
                break
    except InputError as error:
        if not known:
            return str(error)
    return "" if known else "neither <image> nor <meta>"


def _images(stream: BinaryIO, where: str) -> Iterator[tuple[Any, str, Labels]]:
    """Every ``<image>`` with its place and the labels that ``<meta>`` declares; None when it is too long."""
    xml = XmlStream(stream, where, _NAMES)
    if xml.root not in ("", "annotations"):
        raise InputError(
            f"the root element is <{shown(xml.root[:40])}>",
            where=f"{where}:{xml.line}",
            expected="<annotations> with <image> in it",
        )
    labels = Labels()
    kept: Any = None
    place = where
    for event, name, element in xml:
        if name == "track":
            raise InputError(f"this is {_VIDEO}", where=where, hint=_EXPORT)
        if event == "start" and kept is None:
            kept, place = element, f"{where}:{xml.line}"
            xml.keep(element)
        elif event == "end" and element is kept:
            whole = xml.keeps(element)
            if name == "image":
                yield (element if whole else None), place, labels
            elif whole:
                labels.declare(element)
            kept = None


def _read(
    tree: FileTree, scheme: Scheme, name: str, stream: BinaryIO, orders: PointOrders
) -> Iterator[Face | Skipped]:
    folder = posixpath.dirname(name)
    split_of_list = split_of(name) or ""
    for element, place, labels in _images(stream, tree.where(name)):
        if element is None:
            yield Skipped("image_too_long", place, f"more than {LARGEST_KEPT} bytes of shapes in one image")
            continue
        file = element.get("name") or ""
        word = element.get("subset") or ""
        split = SPLIT_WORDS.get(word.lower())
        subset = "" if split is not None or word.lower() == "default" else word
        image = _find(tree, folder, file, word)
        size = _size(element)
        where = f"{place} (image {shown(file[:200])}"
        shapes = ShapesOfImage(element, scheme, labels, orders).faces()
        shapes += join_boxes(element, shapes, labels)
        for number, shape in enumerate(shapes, 1):
            at = f"{where}, {shape.kind} {number})"
            if shape.fault:
                yield shape.fault.at(at)
            elif image is None:
                what = f"{file[:200]!r} is not a picture in the tree" if file else "no image name"
                yield Skipped("bad_path", at, what)
            else:
                yield Face(
                    image=image,
                    landmarks=shape.landmarks,
                    visibility=shape.visibility,
                    box=shape.box,
                    box_source=shape.box_source,
                    subject=photo_of(image),
                    split=split_of_list if split is None else split,
                    subset=subset,
                    image_size=size,
                    attributes=shape.attributes,
                    where=at,
                )


def _find(tree: FileTree, folder: str, file: str, subset: str) -> str | None:
    """The tree's name of a picture; as if beside the XML when it is nowhere."""
    beside = resolve(folder, file)
    if beside is None or beside in tree:
        return beside
    for inside in (f"images/{subset}", "images", subset):
        image = resolve(posixpath.join(folder, inside), file)
        if image is not None and image in tree:
            return image
    return beside


def _size(element: Any) -> tuple[int, int] | None:
    width, height = element.get("width") or "", element.get("height") or ""
    whole = width.isdecimal() and height.isdecimal() and len(width + height) < 20
    size = (int(width), int(height)) if whole else (0, 0)
    return size if min(size) > 0 else None
