"""Items of a JSON array decoded by orjson, once it was seen what stands between two of them.

orjson decodes three times as fast as ``json``, but only a text whose end is known. Programs write the items
of an array alike: ``}, {"id":`` follows one as it follows the next. So the text up to there is tried; when it
decodes, it is the item, for no beginning of a JSON object is a whole one. Else ``json`` finds the end.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import orjson

_BETWEEN = re.compile(r'\}[ \t\n\r]*,[ \t\n\r]*\{[ \t\n\r]*"[^"\\]{1,64}"[ \t\n\r]*:')
_MOST_MISSES = 3  # in a row; and as many items are looked at before it is given up
_RARE = 4
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_BEYOND = b"0" * 20, b"-" + b"0" * 19  # orjson makes a float of a whole number beyond 64 bits


class Between:
    """What stands between two items of the array at hand.

    Attributes
    ----------
    usable : whether items may be tried.
    """

    def __init__(self) -> None:
        self._text, self._before = "", 0  # ``_before``: how much of it belongs to the item, its } included
        self._sought, self._offset = "", 0  # a character of it, rare in items: far quicker to find
        self._misses, self._off = 0, False
        self._last = b""

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
            if _has_19_digits(data):
                plain = data.translate(_DIGITS)
                if any(number in plain for number in _BEYOND):
                    self.switch_off()
            self._last = data[-20:]

    def forget(self) -> None:
        """Begin with another array."""
        if not self._off:
            self._text, self._misses = "", 0

    def learn(self, text: str, start: int, end: int) -> None:
        """See what follows the item ``text[start:end]``: nothing is learnt where it occurs inside too."""
        if self._off or self._misses >= _MOST_MISSES or text[start] != "{":
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
        """Where the item that begins ``at`` may end; -1 where that is not in the text."""
        found = text.find(self._sought, at)
        while found >= 0:
            start = found - self._offset
            if start >= at and text.startswith(self._text, start):
                return start + self._before
            found = text.find(self._sought, found + 1)
        return -1

    def decoded(self, text: str) -> Any:
        """The item whose text this is; None, and counted, where it is not a whole one."""
        try:
            item = orjson.loads(text)
        except orjson.JSONDecodeError:
            self._misses += 1
            if self._misses >= _MOST_MISSES:
                self._text = ""
            return None
        self._misses = 0
        return item


def _has_19_digits(data: bytes) -> bool:
    """Whether so many follow each other somewhere; as quick as reading the bytes once or twice."""
    run = (np.frombuffer(data, np.uint8) - np.uint8(ord("0"))) < 10
    for step in (1, 2, 4, 8, 3):  # ``run``: of 1, 2, 4, 8, 16 and 19 digits from here
        run = run[:-step] & run[step:]
    return bool(run.any())
