"""Pictures with the faces in them, as they go to a server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from flmd.conversion.frames import Turner
from flmd.core.orientation import SHOWN
from flmd.face import Face, Skipped
from flmd.formats.layout import resolve
from flmd.formats.writing import usable_box
from flmd.tree import FileTree


@dataclass(frozen=True)
class Picture:
    """A picture and its faces, in pixels of the picture as it is shown.

    Attributes
    ----------
    name : in the tree; what it is called when its faces come back. size : width and height as it is shown.
    """

    name: str
    size: tuple[int, int]
    faces: tuple[Face, ...]
    tree: FileTree

    def content(self) -> bytes:
        """The file's bytes."""
        return self.tree.read(self.name)


@dataclass
class Outgoing:
    """What can go out, and what cannot.

    Attributes
    ----------
    pictures : in the order of their first faces. left_out : reason -> faces.
    """

    pictures: list[Picture] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def outgoing(faces: Iterable[Face | Skipped], tree: FileTree, frame: str) -> Outgoing:
    """Group faces by picture.

    Parameters
    ----------
    tree : in which ``Face.image`` is a name. frame : of the coordinates of faces that do not say theirs.
    """
    turner, done = Turner(tree, frame, SHOWN), Outgoing()
    by_name: dict[str, list[Face]] = {}
    for item in faces:
        if isinstance(item, Skipped):
            done.left_out[item.reason] += 1
            continue
        reason = _unwritable(item, tree)
        if reason:
            done.left_out[reason] += 1
        else:
            by_name.setdefault(item.image, []).append(turner(item))
    for name, held in by_name.items():
        header = turner.header(name)
        if header is None:
            done.left_out["picture unreadable"] += len(held)
            continue
        size = header.size(SHOWN)
        done.pictures.append(Picture(name, size, tuple(replace(f, image_size=size) for f in held), tree))
    return done


def _unwritable(face: Face, tree: FileTree) -> str:
    if resolve("", face.image) is None:
        return "bad picture name"
    if any("\ud800" <= letter <= "\udfff" for letter in face.image):
        return "picture name that is no UTF-8"
    if face.image not in tree:
        return "picture missing"
    return "" if usable_box(face) or (face.visibility > 0).any() else "no box and no points"
