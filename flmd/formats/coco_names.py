"""The key points' names in the categories of a COCO file, and the order that they give its key points."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import SkipFace
from flmd.formats.common.named_points import Layout, layout_of
from flmd.schemes import Scheme
from flmd.schemes.name_choice import PointOrders
from flmd.schemes.point_names import key_of
from flmd.tree import FileTree

FACE_IN = {133: 23, 136: 26}  # points of a whole body (COCO-WholeBody, Halpe) -> first of its 68 of the face
FACE = 68
_TAIL = 1 << 20  # bytes at a file's end, where categories are looked for
_CATEGORIES = re.compile(r'"categories"\s*:')

Categories = dict[Hashable, tuple[str, ...]]


def categories_in(items: Iterable[Any]) -> Categories:
    """Names of the key points of each category, by its id; of none when they are not named."""
    found: Categories = {}
    for category in items:
        if isinstance(category, dict) and isinstance(category.get("id"), int | str):
            names = category.get("keypoints")
            named = isinstance(names, list) and all(isinstance(name, str | int) for name in names)
            found[category["id"]] = tuple(map(str, names)) if named and names is not None else ()
    return found


def categories_at_end(tree: FileTree, name: str) -> Categories | None:
    """The categories that stand within the last MiB of a file, where COCO itself has them; else None."""
    try:
        size = tree.size(name)
        tail = tree.read(name, max(0, size - _TAIL), _TAIL).decode("utf-8", "ignore")
    except InputError:
        return None
    for match in reversed(list(_CATEGORIES.finditer(tail))):
        try:
            rest = json.loads(
                "{" + tail[match.start() :]
            )  # whole only if these belong to the top-level object
        except (ValueError, RecursionError):
            continue
        if isinstance(rest["categories"], list):
            return categories_in(rest["categories"])
    return None


class CocoNames:
    """The names in one file.

    Attributes
    ----------
    categories : None until they were found.
    """

    def __init__(self, scheme: Scheme, orders: PointOrders, where: str) -> None:
        self._scheme, self._orders, self._where = scheme, orders, where
        self._layouts: dict[tuple[Hashable, int], Layout | None] = {}
        self.categories: Categories | None = None

    def find_at_end(self, tree: FileTree, name: str) -> bool:
        """Look for categories that stand behind what was read so far; whether they are known now."""
        if self.categories is None:
            self.categories = categories_at_end(tree, name)
        return self.categories is not None

    def layout(self, category: Any, count: int) -> Layout | None:
        """Where the ``count`` key points of an annotation of that category go; None: all of them, in order.

        Raises
        ------
        SkipFace : more, or fewer, key points than the category has names. InputError : names that cannot be
            trusted to be in order.
        """
        key = category if isinstance(category, int | str) else None
        if self.categories is None:  # what is found now may change when they are known
            return self._find(key, count)
        if (key, count) not in self._layouts:
            self._layouts[key, count] = self._find(key, count)
        return self._layouts[key, count]

    def _find(self, category: Hashable, count: int) -> Layout | None:
        names = self._names(category)
        body = count in FACE_IN and self._scheme.count == FACE
        if not names or (body and len(names) != count):
            return Layout(np.arange(FACE) + FACE_IN[count], np.arange(FACE), FACE) if body else None
        if len(names) != count:
            raise SkipFace("wrong_point_count", f"{count} key points, but its category names {len(names)}")
        where = f"{self._where} (category {str(category)[:40]})"
        if not body:
            return layout_of(names, self._scheme, self._orders, where)
        columns = face_columns(names)
        layout = layout_of([names[column] for column in columns], self._scheme, self._orders, where)
        if layout is None:
            return Layout(columns, np.arange(FACE), FACE)
        return replace(layout, columns=columns[layout.columns])

    def _names(self, category: Hashable) -> tuple[str, ...]:
        known = self.categories or {}
        if category in known:
            return known[category]
        named = {names for names in known.values() if names}
        return next(iter(named)) if len(named) == 1 else ()


def face_columns(names: tuple[str, ...]) -> NDArray[np.intp]:
    """Which 68 of the names of a whole body are the face's: ``face-0`` up, else those of the known order."""
    face = [column for column, name in enumerate(names) if key_of(name)[0] == "face"]
    if len(face) != FACE:
        first = FACE_IN[len(names)]
        face = list(range(first, first + FACE))
    return np.array(face)
