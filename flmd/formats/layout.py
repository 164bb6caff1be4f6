"""How annotation lists lie in a tree and on a disk: splits in names, picture paths, numbers, outputs."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable

from flmd.core.atomic import whole_or_nothing as whole_or_nothing  # plugins import it from here
from flmd.face import Face
from flmd.formats.base import WriteReport
from flmd.tree import FileTree

LARGEST = 3.40282356e38  # the float64 values up to here become finite float32
SPLIT_WORDS = {
    "train": "train", "training": "train", "trainset": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test", "testset": "test",
    "unsplit": "",
}  # fmt: skip
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
PICTURE_ENDINGS = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp", ".avif", ".heic", ".heif")
)
FURTHER_FACE = re.compile(r"_face[1-9][0-9]*$")
# Sibling folders: the annotations lie in one of the first, their pictures in one of the second.
ANNOTATION_FOLDERS = frozenset(
    ("annot", "annots", "annotation", "annotations", "label", "labels", "landmarks", "points", "pts")
)
PICTURE_FOLDERS = ("imgs", "img", "images", "image", "frames", "pictures", "Images", "Frames", "JPEGImages")
_MIRROR = re.compile(r"_mirror$")


def is_picture(name: str) -> bool:
    """Whether a path ends as pictures do; ``....jpg`` does too, though ``splitext`` sees no ending there."""
    return name.lower().endswith(tuple(PICTURE_ENDINGS))


def split_of(name: str) -> str | None:
    """The split that a file's name says: "train" for ``labels_ibug_300W_train.xml`` or ``training.csv``.

    "" for the word ``unsplit``; None when no word of the name, or words of several splits, say one.
    """
    stem = posixpath.splitext(posixpath.basename(name))[0]
    found = {SPLIT_WORDS[w] for w in map(str.lower, _WORD.findall(stem)) if w in SPLIT_WORDS}
    return found.pop() if len(found) == 1 else None


def split_of_path(name: str) -> str | None:
    """The split that the deepest part of a path says: "train" for ``frontal/trainset/labels/x.pts``."""
    for part in reversed(name.split("/")):
        if (split := split_of(part)) is not None:
            return split
    return None


class PicturesBeside:
    """Finds the picture of an annotation file under the same stem: beside it, or in a sibling folder.

    Built once for a tree. A further face of one picture is ``<stem>_face2``, ``<stem>_face3``, …. Where no
    picture lies beside ``001/annot/000006.pts``, it is ``001/imgs/000006.jpg``: a folder of the path that is
    one of ANNOTATION_FOLDERS, the deepest first, stands for its sibling of PICTURE_FOLDERS, the first that
    has the picture.
    """

    def __init__(self, tree: FileTree) -> None:
        self._names: dict[str, str] = {}
        for name in tree.names:
            stem, ending = posixpath.splitext(name)
            if ending.lower() in PICTURE_ENDINGS:
                self._names.setdefault(stem, name)

    def find(self, annotation: str) -> str | None:
        """The picture of an annotation file, or None when there is none."""
        stem = posixpath.splitext(annotation)[0]
        stems = dict.fromkeys((stem, FURTHER_FACE.sub("", stem)))
        beside = filter(None, map(self._names.get, stems))
        return next(beside, None) or next(filter(None, map(self._in_sibling, stems)), None)

    def _in_sibling(self, stem: str) -> str | None:
        """The picture of that stem in the sibling of a folder of annotations."""
        parts = stem.split("/")
        for i in reversed(range(len(parts) - 1)):
            if parts[i].lower() in ANNOTATION_FOLDERS:
                for folder in PICTURE_FOLDERS:
                    found = self._names.get("/".join([*parts[:i], folder, *parts[i + 1 :]]))
                    if found is not None:
                        return found
        return None

    def name_for(self, annotation: str) -> str:
        """The picture's name, ``<stem>.jpg`` where there is none."""
        stem = posixpath.splitext(annotation)[0]
        return self.find(annotation) or FURTHER_FACE.sub("", stem) + ".jpg"


def without_unions(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Sort lists into those to read and those left out as the union of the others, both in name order.

    Where one folder holds lists whose names say a split, the others in that folder repeat their faces:
    ``labels_ibug_300W.xml`` beside ``labels_ibug_300W_train.xml`` and ``labels_ibug_300W_test.xml``.
    """
    folders: dict[str, list[str]] = defaultdict(list)
    for name in names:
        folders[posixpath.dirname(name)].append(name)
    kept: list[str] = []
    for inside in folders.values():
        kept += [name for name in inside if split_of(name) is not None] or inside
    chosen = set(kept)
    return sorted(kept), sorted(n for inside in folders.values() for n in inside if n not in chosen)


def resolve(folder: str, name: str) -> str | None:
    """The tree's name of a picture written as ``name`` in a list that lies in ``folder``.

    Back-slashes count as slashes, ``.`` and ``..`` are resolved. None for what cannot be a file of the
    tree: an absolute path, a drive letter, a path that leaves the tree, a folder, nothing at all.
    """
    path = name.replace("\\", "/")
    if path.startswith("/") or path[1:2] == ":" or "\0" in path:
        return None
    if posixpath.basename(path) in ("", ".", ".."):
        return None
    path = posixpath.normpath(posixpath.join(folder, path))
    return None if path.split("/", 1)[0] == ".." else path


def number_in(text: str | None) -> float | None:
    """The number a text writes out, if float32 can hold it; None for words, nan, inf, ``1_0``, nothing."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if abs(value) <= LARGEST and "_" not in (text or "") else None


def photo_of(image: str) -> str:
    """The picture's path without ending and without ``_mirror``: mirrored twins share it."""
    stem = posixpath.splitext(image)[0]
    return _MIRROR.sub("", stem) or stem


def count_description_losses(report: WriteReport, face: Face, subject: str) -> None:
    """Count what a plain list has no place for; ``subject`` is what reading it back will say."""
    if face.subject not in ("", subject):
        report.lost["subject"] += 1
    if face.subset:
        report.lost["subset"] += 1
    if face.dataset:
        report.lost["dataset"] += 1
    if (face.visibility == 1).any():
        report.lost["visibility"] += 1
