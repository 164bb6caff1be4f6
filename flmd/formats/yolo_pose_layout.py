"""How a YOLO-pose data set lies in a tree: its YAML, its label files, their pictures and splits."""

from __future__ import annotations

import bisect
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flmd.errors import InputError
from flmd.formats.common.yaml_file import read_yaml
from flmd.formats.layout import PICTURE_ENDINGS, SPLIT_WORDS, number_in, resolve, split_of_path
from flmd.schemes.base import MOST_POINTS
from flmd.tree import FileTree

PROBE = 1 << 16
MOST_YAMLS, MOST_SAMPLES = 50, 20
LONGEST_LIST = 1 << 26  # bytes of a list of pictures that a YAML may name


@dataclass(slots=True)
class PoseYaml:
    """What a data YAML says.

    Attributes
    ----------
    points, dim : kpt_shape: K, and 2 (x, y) or 3 (x, y, v).
    names : class index -> name. scheme : of our own writing, "" elsewhere.
    point_names : class index -> names of its points, as many as ``points``; -1 for all classes.
    folders : (picture folder in the tree, split), most of them the YAML's train, val and test.
    listed : stems of pictures that a list file puts into a split.
    """

    points: int
    dim: int
    names: dict[int, str] = field(default_factory=dict)
    scheme: str = ""
    point_names: dict[int, tuple[str, ...]] = field(default_factory=dict)
    folders: list[tuple[str, str]] = field(default_factory=list)
    listed: dict[str, str] = field(default_factory=dict)
    lists: set[str] = field(default_factory=set)


def data_yamls(tree: FileTree) -> list[str]:
    """Names of the YAML files with ``kpt_shape`` in their first 64 KiB."""
    names = [n for n in tree.names if n.lower().endswith((".yaml", ".yml")) and not n.endswith(".flmd.yaml")]
    return [n for n in names[:MOST_YAMLS] if b"kpt_shape" in _head(tree, n)]


def read_data_yaml(tree: FileTree, name: str) -> PoseYaml:
    """A data YAML, checked; InputError naming file and key."""
    where = tree.where(name)
    content = read_yaml(tree, name)
    shape = content.get("kpt_shape")
    if not (
        isinstance(shape, list)
        and len(shape) == 2
        and all(type(n) is int for n in shape)
        and 1 <= shape[0] <= MOST_POINTS
        and shape[1] in (2, 3)
    ):
        what = f"kpt_shape is {str(shape)[:80]!r}"
        raise InputError(what, where=where, expected="[K, 2] or [K, 3] for K points")
    scheme = content.get("scheme")
    found = PoseYaml(shape[0], shape[1], _names(content.get("names")), scheme if type(scheme) is str else "")
    found.point_names = _point_names(content.get("kpt_names"), shape[0], where)
    for split in ("train", "val", "test"):
        given = content.get(split)
        for entry in given if isinstance(given, list) else [given]:
            if isinstance(entry, str):
                _add_entry(tree, name, content, entry, split, found)
    return found


def _names(given: Any) -> dict[int, str]:
    pairs = enumerate(given) if isinstance(given, list) else given.items() if isinstance(given, dict) else ()
    return {i: str(name)[:200] for i, name in pairs if type(i) is int}


def _point_names(given: Any, count: int, where: str) -> dict[int, tuple[str, ...]]:
    """``kpt_names``: a list of names for each class, by its index or in turn; or one list for all."""
    if given is None:
        return {}
    if isinstance(given, list) and not any(isinstance(names, list) for names in given):
        given = {-1: given}
    pairs = given.items() if isinstance(given, dict) else enumerate(given) if isinstance(given, list) else ()
    found = {kind: names for kind, names in pairs if type(kind) is int and isinstance(names, list)}
    for kind, names in found.items():
        if len(names) != count:
            what = (
                f"kpt_names of class {kind} has {len(names)} names"
                if kind >= 0
                else f"{len(names)} kpt_names"
            )
            raise InputError(what, where=where, expected=f"{count}, as kpt_shape says")
    return {kind: tuple(map(str, names)) for kind, names in found.items()}


def _add_entry(
    tree: FileTree, name: str, content: Mapping[str, Any], entry: str, split: str, found: PoseYaml
) -> None:
    """A folder or list of pictures. Paths of the machine it was written on count by their last parts."""
    folder = posixpath.dirname(name)
    path = content.get("path")
    tops = [folder]
    if isinstance(path, str) and (inside := resolve(folder, path.rstrip("/") + "/x")) is not None:
        tops.insert(0, posixpath.dirname(inside))
    parts = [part for part in entry.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    if entry.lower().endswith(".txt"):
        for top in tops:
            listed = resolve(top, "/".join(parts))
            if listed is not None and listed in tree:
                found.lists.add(listed)
                _add_list(tree, listed, split, found)
                return
        return
    for top in tops:
        for start in range(len(parts)):
            inside = resolve(top, "/".join(parts[start:]))
            if inside is not None and _has_folder(tree, inside):
                found.folders.append((inside, split))
                return


def _add_list(tree: FileTree, name: str, split: str, found: PoseYaml) -> None:
    folder = posixpath.dirname(name)
    for line in tree.read(name, 0, LONGEST_LIST).decode("utf-8", "surrogateescape").splitlines():
        picture = resolve(folder, line.strip())
        if picture is not None and picture in tree:
            found.listed[posixpath.splitext(picture)[0]] = split


def _has_folder(tree: FileTree, folder: str) -> bool:
    labels = turned(folder, "images", "labels")
    for inside in {folder + "/", (labels or folder) + "/"}:
        at = bisect.bisect_left(tree.names, inside)
        if at < len(tree.names) and tree.names[at].startswith(inside):
            return True
    return False


def turned(path: str, old: str, new: str) -> str | None:
    """The path with its last part ``old`` replaced; None when it has none."""
    parts = path.split("/")
    for i in range(len(parts) - 1, -1, -1):
        if parts[i] == old:
            return "/".join((*parts[:i], new, *parts[i + 1 :]))
    return None


def label_stem(picture: str) -> str:
    """Where ultralytics looks for a picture's labels: ``labels`` for the last ``images`` of its path."""
    stem = posixpath.splitext(picture)[0]
    folder = turned(posixpath.dirname(stem), "images", "labels")
    return stem if folder is None else posixpath.join(folder, posixpath.basename(stem))


class Labels:
    """The label files of a tree and their pictures.

    A label file is a ``.txt`` below a folder ``labels``, or beside the picture of its stem.
    """

    def __init__(self, tree: FileTree) -> None:
        self._pictures: dict[str, str] = {}
        self._beside: dict[str, str] = {}
        for name in tree.names:
            stem, ending = posixpath.splitext(name)
            if ending.lower() in PICTURE_ENDINGS:
                self._pictures.setdefault(label_stem(name), name)
                self._beside.setdefault(stem, name)
        self._names = tree.names

    def under(self, folder: str) -> Iterator[str]:
        """Label files in a folder and below, in name order."""
        inside = folder + "/" if folder else ""
        for name in self._names:
            if name.startswith(inside) and name.lower().endswith(".txt"):
                stem = posixpath.splitext(name)[0]
                if "labels" in name.split("/")[:-1] or stem in self._beside:
                    yield name

    def picture(self, label: str) -> str | None:
        """The picture of a label file, None when it is not there."""
        stem = posixpath.splitext(label)[0]
        return self._pictures.get(stem) or self._beside.get(stem)


def split_of_label(label: str, found: str | None, yaml: PoseYaml | None) -> str:
    """By the YAML; else by the folder next to ``labels``; else by words of the path.

    ``found`` is the label's picture, where there is one.
    """
    stem = posixpath.splitext(label)[0]
    picture = posixpath.splitext(found)[0] if found else turned(stem, "labels", "images") or stem
    if yaml is not None:
        if picture in yaml.listed:
            return yaml.listed[picture]
        for folder, split in sorted(yaml.folders, key=lambda f: -len(f[0])):
            if picture.startswith(folder + "/") or stem.startswith(folder + "/"):
                return split
    parts = stem.split("/")
    if "labels" in parts[:-1]:
        at = len(parts) - 1 - parts[::-1].index("labels", 1)
        for part in (*parts[at + 1 : -1][:1], *parts[max(at - 1, 0) : at]):
            if part.lower() in SPLIT_WORDS:
                return SPLIT_WORDS[part.lower()]
    return split_of_path(label) or ""


def shape_of_samples(tree: FileTree, labels: list[str]) -> tuple[int, int] | str:
    """K and dim that the first rows of some label files must have; or why that cannot be told."""
    rows: list[list[float]] = []
    for name in labels[:MOST_SAMPLES]:
        head = _head(tree, name)
        lines = head.splitlines()[: -1 if len(head) == PROBE else None][:50]
        for line in lines:
            values = [number_in(cell) for cell in line.decode("latin-1").split()]
            if not values:
                continue
            if len(values) < 7 or None in values:
                return f"a row of {name} is not `class cx cy w h x1 y1 …`"
            rows.append([v for v in values if v is not None])
    if not rows:
        return "no label file has a row"
    counts = {len(row) for row in rows}
    if len(counts) > 1:
        return f"rows of {min(counts)} and of {max(counts)} numbers"
    if any(not (row[0] >= 0 and row[0] == int(row[0]) and 0 < min(row[3:5]) <= 2) for row in rows):
        return "the first five numbers are no class and box divided by the picture's size"
    if any(not -2 <= value <= 3 for row in rows for value in row[1:]):
        return "numbers that are not divided by the picture's size"
    count = counts.pop() - 5
    seen = count % 3 == 0 and all(value in (0, 1, 2) for row in rows for value in row[7::3])
    if seen and count % 2 == 0 and not any(v not in (0, 1, 2) for row in rows for v in row[5:]):
        return f"{count} numbers of points could be pairs or triples: a data YAML with kpt_shape is needed"
    if seen:
        return count // 3, 3
    if count % 2 == 0:
        return count // 2, 2
    return f"{count} numbers after the box are neither x, y pairs nor x, y, v triples"


def _head(tree: FileTree, name: str) -> bytes:
    try:
        return tree.read(name, 0, PROBE)
    except InputError:
        return b""
