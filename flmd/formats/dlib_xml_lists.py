"""Which XML files of a tree are dlib lists, and which of those to read."""

from __future__ import annotations

import io
import posixpath
from dataclasses import dataclass

from flmd.errors import InputError
from flmd.formats.base import Detection
from flmd.formats.common.xml_stream import XmlStream
from flmd.formats.layout import without_unions
from flmd.tree import FileTree
from flmd.tree.names import shown

REQUIRED = "<dataset> with <images> in it"
PROBE = 1 << 16


@dataclass(slots=True)
class _Head:
    """What the first bytes of an XML file show."""

    root: str = ""
    images: bool = False
    parts: bool = False
    fault: str = ""


def _probe(tree: FileTree, name: str) -> _Head:
    head = _Head()
    where = shown(posixpath.basename(name))
    try:
        xml = XmlStream(io.BytesIO(tree.read(name, 0, PROBE)), where, ("images", "part"), whole=False)
        head.root = xml.root
        if head.root in ("", "dataset"):
            for _, element, _ in xml:
                head.images |= element == "images"
                head.parts |= element == "part"
                if head.parts:
                    break
    except InputError as error:
        head.fault = str(error)
    return head


def find_lists(tree: FileTree) -> Detection:
    """The lists to read, and in ``why`` those left out; or the nearest miss."""
    lists: dict[str, bool] = {}
    miss = ""
    for name in tree.names:
        if not name.lower().endswith(".xml"):
            continue
        head = _probe(tree, name)
        if head.root == "dataset" and head.images:
            lists[name] = head.parts
        elif not miss or head.root == "dataset":
            base = shown(posixpath.basename(name))
            found = f"the root of {base} is <{shown(head.root[:40])}>" if head.root else f"{base} is not XML"
            miss = head.fault or (f"{base} has no <images>" if head.root == "dataset" else found)
    if not lists:
        return Detection((), f"no *.xml whose root element is {REQUIRED}" + (f" ({miss})" if miss else ""))
    bare = [name for name in lists if any(_repeats(name, other, lists) for other in lists)]
    files, unions = without_unions(name for name in lists if name not in bare)
    why = f"dlib lists: {', '.join(map(shown, files))}"
    if unions:
        why += f"; left out as the union of these: {', '.join(map(shown, unions))}"
    if bare:
        why += f"; left out as they have boxes only: {', '.join(map(shown, bare))}"
    return Detection(tuple(files), why)


def _repeats(name: str, other: str, parts: dict[str, bool]) -> bool:
    """Whether ``name`` lists the boxes of ``other`` without its parts: one stem extends the other."""
    if parts[name] or not parts[other] or posixpath.dirname(name) != posixpath.dirname(other):
        return False
    one, two = (posixpath.splitext(posixpath.basename(n))[0] for n in (name, other))
    short, long = sorted((one, two), key=len)
    return long.startswith(short) and not long[len(short)].isalnum()
