"""The parts of a dlib box: points by name, some of which may not be labelled."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any, BinaryIO

import numpy as np
from lxml import etree
from numpy.typing import NDArray

from flmd.face import SkipFace
from flmd.formats.common.xml_stream import XmlStream
from flmd.formats.layout import LARGEST, number_in

Part = tuple[str | None, str | None, str | None]  # name, x, y

_UNLABELLED = re.compile(r" not labelled: ([0-9]{1,5}(?: [0-9]{1,5})*) ")
_NUMBER = re.compile(r"[0-9]{1,5}")


def unlabelled_comment(points: Iterable[int]) -> str:
    """The comment in a box that tells which points have no part; dlib and its tools pass over it."""
    return f"<!-- not labelled: {' '.join(map(str, points))} -->"


def said_unlabelled(box: Any) -> set[int]:
    """The points that such a comment in a box names."""
    found = [_UNLABELLED.fullmatch(comment.text or "") for comment in box.iter(etree.Comment)]
    return {int(number) for match in found if match for number in match[1].split()}


def parts_of(box: Any) -> list[Part]:
    """The parts of a ``<box>`` as they are written."""
    return [(part.get("name"), part.get("x"), part.get("y")) for part in box.iter("{*}part")]


def named_points(stream: BinaryIO, where: str) -> Iterable[tuple[int, list[str]]]:
    """How many points each box with parts is for, and their names; no names where some have no part.

    Numbers tell the count by the highest one, counted from 0 or all from 1 up.
    """
    xml = XmlStream(stream, where, ("box",), comments=True)
    for event, _, element in xml:
        if event == "start":
            xml.keep(element)
            continue
        names = list(dict.fromkeys(part.get("name") or "" for part in element.iter("{*}part")))
        if not names:
            continue
        if not all(map(_NUMBER.fullmatch, names)):
            yield len(names), names
            continue
        numbers = set(map(int, names)) | said_unlabelled(element)
        from_1 = min(numbers) == 1 and max(numbers) == len(numbers)
        count = max(numbers) + (0 if from_1 else 1)
        yield count, names if count == len(names) else []


class PartReader:
    """Reads the parts of boxes into K points.

    Parts are named ``00`` or ``0`` up, in any order. Where some are missing, their points are not labelled:
    those that a comment names, or those that leave a gap below the highest part. Parts that only end early
    may be another scheme's, or cut off, and are no face.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._in_order = tuple(f"{i:02}" for i in range(count))
        self._index = {f"{i:{width}}": i for width in ("", "02") for i in range(count)}

    def landmarks(self, parts: Sequence[Part], unlabelled: Collection[int]) -> NDArray[np.float32]:
        """(K, 2) in the scheme's order, NaN where a point is not labelled; SkipFace when it is no face.

        ``unlabelled`` : the points that a comment names.
        """
        out = np.full((self._count, 2), np.nan, np.float32)
        if not parts:
            return out
        try:
            names, xs, ys = zip(*parts, strict=True)
            texts = xs + ys
            values = np.fromiter(map(float, texts), np.float64, len(texts)).reshape(2, -1)
            plain = "_" not in "".join(texts) and bool((np.abs(values) <= LARGEST).all())
        except (TypeError, ValueError):
            plain = False
        if not plain:
            raise self._fault(parts)
        if names == self._in_order:
            return values.T.astype(np.float32, order="C")
        order = [self._index.get(name, -1) for name in names]
        if min(order) < 0 or len(set(order)) < len(order) or self._ends_early(order, unlabelled):
            raise self._fault(parts)
        out[order] = values.T
        return out

    def _ends_early(self, order: list[int], unlabelled: Collection[int]) -> bool:
        missing = set(range(self._count)).difference(order)
        return bool(missing) and missing != set(unlabelled) and max(order) + 1 == len(order)

    def _fault(self, parts: Sequence[Part]) -> SkipFace:
        """What is wrong with the parts of a box that is known to be no face: names first, then numbers."""
        seen: set[int] = set()
        for name, _, _ in parts:
            index = self._index.get(name or "")
            if index is None:
                what = "a part without a name" if name is None else f"part {name[:40]!r}"
                wanted = f"expected {self._in_order[0]} to {self._in_order[-1]}"
                return SkipFace("unknown_part", f"{what}, {wanted}")
            if index in seen:
                return SkipFace("duplicate_part", f"part {name!r} occurs twice")
            seen.add(index)
        for name, *point in parts:
            for axis, text in zip("xy", point, strict=True):
                if number_in(text) is None:
                    what = f"{axis} of part {name!r} is {quoted(text)}, expected a number"
                    return SkipFace("not_a_number", what)
        return SkipFace("wrong_point_count", f"{len(parts)} parts, expected {self._count}")


def quoted(text: str | None) -> str:
    """A value in words."""
    return "missing" if text is None else repr(text[:40])
