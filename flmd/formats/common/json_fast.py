"""Items of a JSON array decoded by orjson, once it was seen what stands between two of them.

orjson decodes three times as fast as ``json``, but only a text whose end is known. Programs write the items
of an array alike: ``}, {"id":`` follows one as it follows the next. So the text up to there is tried; when it
decodes, it is the item, for no beginning of a JSON object is a whole one. Else ``json`` finds the end.

What orjson would read otherwise than ``json`` is left to ``json``: whole numbers beyond 64 bits, of which it
makes floats, and nesting that it bears and ``json`` may not. What it refuses (NaN, 1e400, half a surrogate
pair, undecodable bytes) is left to ``json`` as well. So both give the same items and the same errors.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import orjson

_BETWEEN = re.compile(r'\}[ \t\n\r]*,[ \t\n\r]*\{[ \t\n\r]*"[^"\\]{1,64}"[ \t\n\r]*:')
_MOST_MISSES = 3  # in a row; and as many items are looked at before it is given up
_RARE = 4
# An item that is so many times as long as the longest before it is left to ``json``: the end of each is
# sought within a stretch that grows with what was read, and so a file takes time that grows with its length.
_LONGER, _SHORTEST = 8, 256
_BEYOND = re.compile(rb"(?<![0-9.])(?:[0-9]{20}|-[0-9]{19})")  # such digits after a point are no matter
# json bears as many levels as the stack has left, orjson 1,024; within 500 wrappings it bears 524.
_SHALLOW, _WRAPPINGS = 400, 500


class Between:
    """What stands between two items of the array at hand.

    Attributes
    ----------
    usable : whether items may be tried.
    reach : characters from the beginning of an item in which its end is sought.
    """

    def __init__(self) -> None:
        self._text, self._before = "", 0  # ``_before``: how much of it belongs to the item, its } included
        self._sought, self._offset = "", 0  # a character of it, rare in items: far quicker to find
        self._misses, self._off = 0, False
        self._last = b""
        self.reach = _SHORTEST

    @property
    def usable(self) -> bool:
        """Whether it is known."""
        return bool(self._text)

    def switch_off(self) -> None:
        """Try no item any more."""
        self._text, self._off = "", True

    def look_at(self, data: bytes) -> None:
        """Look through the bytes that follow for numbers that orjson would read otherwise than ``json``."""
        if not self._off:
            data = self._last + data
            if _has_19_digits(data) and _BEYOND.search(data):
                self.switch_off()
            self._last = data[-20:]

    def forget(self) -> None:
        """Begin with another array."""
        if not self._off:
            self._text, self._misses, self.reach = "", 0, _SHORTEST

    def learn(self, text: str, start: int, end: int) -> None:
        """See what follows the item ``text[start:end]``: nothing is learnt where it occurs inside too."""
        self._measure(end - start)
        if self._text or self._off or self._misses >= _MOST_MISSES or text[start] != "{":
            return
        found = _BETWEEN.match(text, end - 1)
        if found is None:
            self._misses += 1
            return
        for before in (1, 2, 3):
            between = text[end - before : found.end()]
            if not any(c.isdecimal() for c in between[: before - 1]) and between not in text[start : end - 1]:
                self._text, self._before, self._misses = between, before, 0
                rare = (c for c in "\n}" if c in between and text.count(c, start, end) <= _RARE)
                self._sought = next(rare, between)
                self._offset = between.index(self._sought)
                return
        self._misses += 1

    def end_of(self, text: str, at: int) -> int:
        """Where the item that begins ``at`` may end; -1 where that is not within reach."""
        last = at + self.reach
        found = text.find(self._sought, at, last)
        while found >= 0:
            start = found - self._offset
            if start >= at and text.startswith(self._text, start):
                return start + self._before
            found = text.find(self._sought, found + 1, last)
        return -1

    def decoded(self, text: str) -> Any:
        """The item whose text this is; None, and counted, where it is not a whole one."""
        try:
            item = _loads(text)
        except ValueError:  # orjson's error is one
            self.miss()
            return None
        self._misses = 0
        self._measure(len(text))
        return item

    def miss(self) -> None:
        """Count an item that was not decoded; after some in a row no more are tried in this array."""
        self._misses += 1
        if self._misses >= _MOST_MISSES:
            self._text = ""

    def _measure(self, length: int) -> None:
        self.reach = max(self.reach, _LONGER * length)


def _loads(text: str) -> Any:
    """``orjson.loads``; ValueError for what is nested more deeply than ``json`` bears everywhere too."""
    if text.count("[") + text.count("{") <= _SHALLOW:
        return orjson.loads(text)
    item = orjson.loads("[" * _WRAPPINGS + text + "]" * _WRAPPINGS)
    for _ in range(_WRAPPINGS):
        (item,) = item  # a text of several, such as "{}],[{}", is no item
    return item


def _has_19_digits(data: bytes) -> bool:
    """Whether so many follow each other somewhere; as quick as reading the bytes once or twice."""
    run = (np.frombuffer(data, np.uint8) - np.uint8(ord("0"))) < 10
    for step in (1, 2, 4, 8, 3):  # ``run``: of 2, 4, 8, 16 and 19 digits from here
        run = run[:-step] & run[step:]
    return bool(run.any())
