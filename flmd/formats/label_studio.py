"""Label Studio's JSON export of key points."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from flmd.core.orientation import SHOWN
from flmd.errors import InputError
from flmd.face import Face, Skipped
from flmd.formats.base import Detection, Format, WriteReport
from flmd.formats.common.json_lists import HEAD, json_heads, text_of
from flmd.formats.common.json_stream import JsonStream
from flmd.formats.label_studio_faces import Places, faces_of
from flmd.formats.label_studio_pictures import PicturesByUrl
from flmd.formats.label_studio_tasks import MOST_HELD, Tasks, first_labels
from flmd.formats.label_studio_writer import write
from flmd.formats.layout import split_of, without_unions
from flmd.schemes import Scheme
from flmd.schemes.name_choice import strangers
from flmd.schemes.point_names import PointOrder
from flmd.tree import FileTree
from flmd.tree.names import shown

_LIST = re.compile(r"\s*\[\s*\{")
_REQUIRED = "no *.json that is a list of Label Studio tasks with keypointlabels"


class LabelStudio(Format):
    """Label Studio JSON: a list of ``{"data": {"image": …}, "annotations": [{"result": [region, …]}]}``.

    A ``keypointlabels`` region is a point, its label the scheme's name of the point, however spelt, or its
    number: those in the first 100 tasks tell whether they count from 0 or 1 (``flmd.schemes.point_names``).
    A ``rectanglelabels`` region is a box. Both are in percent of the picture (``original_width``,
    ``original_height``), measured from its left and top edge, so pixel x is ``percent * width / 100 - 0.5``
    (base 0.5), for the corner of a box too. A point that has no region is NaN; the others are visible (2).

    Reading
    -------
    Points whose ``parentID`` is one region's id are one face, and the box is that region's where it is a
    rectangle; all points without one are one face, which has the box of the only rectangle when that has
    no points of its own. A rectangle without points is a face without labelled points. Of several
    annotations of a task the first that was not cancelled is read; predictions are not. Pictures: the
    URL's path, or the ``d`` of a local file's, from the JSON's folder, else the only picture whose path
    ends with it or with as much of its end as possible, an upload's prefix ("1a2b3c4d-") taken off.
    Splits: the file's name. Subject: the picture's path. Memory holds one task,
    of files up to 8 MiB their first 100.

    Skipped reasons: ``unknown_label``, ``duplicate_point`` (a label twice), ``not_a_number``, ``bad_box``,
    ``rotated_box``, ``rotated_image`` (by any angle but 0), ``no_image_size`` (the original one),
    ``bad_path`` (no picture's name, or one that leaves the tree), ``cancelled_annotation``,
    ``further_annotation``, ``bad_annotation`` (a task without data or annotations, or with others than
    dictionaries). InputError, with the line: broken or truncated JSON (``json_stream``), no list.

    Writing
    -------
    One file when the target ends in ``.json``, else ``tasks_<split>.json`` for each split; faces of one
    picture that follow each other share a task. Each face is a rectangle labelled ``face`` with its points
    as children; pictures are named as local files (``/data/local-files/?d=a.jpg``). Lost: ``visibility``,
    ``box`` (there was none, or none usable: the box of the points is written), ``box source``, ``split``,
    ``subject``, ``subset``, ``dataset``, ``attributes``, ``image name``. Not written at all: ``face without
    image size``, ``face without box and points``, ``face with unwritable image name``.
    """

    name = "label-studio"
    title = "Label Studio JSON export (key points in rectangles)"
    frame = SHOWN
    detected_by = '*.json, a list of tasks with "annotations", "result" and "keypointlabels"'
    base = 0.5
    suffix = ".json"
    boxes = True
    named = True
    needs = frozenset(("image_size",))

    def detect(self, tree: FileTree) -> Detection:
        """Any ``*.json`` list with results in its first 32 KiB, and keypointlabels there or halfway."""
        found: list[str] = []
        miss = ""
        for name, head in json_heads(tree):
            text = text_of(head)
            if not (_LIST.match(text) and '"result"' in text):
                continue
            if '"keypointlabels"' not in text and '"keypointlabels"' not in _middle(tree, name, head):
                miss = miss or f" ({shown(name.rsplit('/', 1)[-1])}: its results have no keypointlabels)"
                continue
            found.append(name)
        if not found:
            return Detection((), _REQUIRED + miss)
        files, unions = without_unions(found)
        why = f"Label Studio tasks: {', '.join(map(shown, files[:5]))}"
        if unions:
            why += f"; left out as the union of these: {', '.join(map(shown, unions[:5]))}"
        return Detection(tuple(files), why)

    def scheme_in(self, tree: FileTree, files: tuple[str, ...]) -> str:
        """The smallest scheme with all labels of the first 100 tasks, or that of the highest number."""
        labels: dict[str, None] = {}
        for name in files:
            labels |= first_labels(tree, name)
        found = self.names.scheme_of(list(labels), whole=False) if labels else None
        if found is not None:
            return found
        where = tree.where(files[0]) if files else tree.origin
        if not labels:
            raise InputError("no key points", where=where)
        odd = sorted(strangers(labels))
        what = f"labels {', '.join(odd[:5])[:100]}" + (", …" if odd[5:] else "")
        expected = "names or numbers of a scheme's points"
        raise InputError(what, where=where, expected=expected, hint="--names FILE says which is which")

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield the faces of every task in order; see the class for what is skipped."""
        orders = self.names.orders(scheme)
        for name in files:
            with tree.open(name) as stream:
                document = JsonStream(stream, tree.where(name))
                if document.kind != "array":
                    raise document.fail("not a JSON list")
                split = split_of(name) or ""
                pictures = PicturesByUrl(tree, name, split)
                tasks = Tasks(document)
                short = tree.size(name) <= MOST_HELD
                labels = tasks.first_labels() if short else first_labels(tree, name)
                order = orders.of(list(labels), tree.where(name), whole=False) if labels else PointOrder({})
                places = Places(order)
                for number, (line, task) in enumerate(tasks):
                    where = f"{tree.where(name)}:{line} (task {number})"
                    for face in faces_of(task, where, places, scheme.count, pictures):
                        if isinstance(face, Face):
                            face.split = split
                        yield face

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a ``.json`` file or a folder of them; see the class for what is lost."""
        return write(faces, target, scheme)


def _middle(tree: FileTree, name: str, head: bytes) -> str:
    try:
        return text_of(head, tree.read(name, tree.size(name) // 2 & ~1, HEAD))
    except InputError:
        return ""
