"""Reading big JSON item by item: memory holds one item of an array, decoded by orjson or json's C scanner."""

from __future__ import annotations

import codecs
import io
import json
import re
import sys
from collections import deque
from collections.abc import Iterator
from typing import Any, BinaryIO

from flmd.errors import InputError
from flmd.formats.common.json_fast import Between

LARGEST_ITEM = 8 << 20  # characters of one item, which decoded takes up to 40 times as many bytes
_CHUNK = 1 << 18
_TAIL = 16  # an error this near to the end of the text may be one of text that is still to come
_NUMBER_TAIL = 4  # "12" may go on as "12.5" and "1" as "1e+5"
_BLANK = re.compile(r"[ \t\n\r]*")


class _JsonText:
    """The text of a document as far as it was read, and the place in it."""

    def __init__(self, stream: BinaryIO, where: str) -> None:
        self._stream, self._where = stream, where
        head = stream.read(4)
        encoding = "utf-16" if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8"
        head = head.removeprefix(codecs.BOM_UTF8) if encoding == "utf-8" else head
        # A surrogate escape cannot stand for half a UTF-16 unit, so there an error is an error.
        self._decode = codecs.getincrementaldecoder(encoding)(
            "surrogateescape" if encoding == "utf-8" else "strict"
        ).decode
        self._text, self._at, self._ended = "", 0, False
        self._counted, self._line, self._column = 0, 1, 0
        self._between = Between()
        if encoding == "utf-16":
            self._between.switch_off()
        self._decode_more(head, _CHUNK)

    def fail(self, what: str, *, hint: str | None = None) -> InputError:
        """The error for what was found at the place that was reached."""
        self._count_lines(self._at)
        return InputError(what, where=f"{self._where}:{self._line}", hint=hint)

    def _comma_or(self, close: str) -> bool:
        """Take a comma (False) or the closing bracket (True)."""
        found = self._peek()
        if found not in (",", close) or not found:
            raise self._broken(f"a comma or {close}")
        self._at += 1
        return found == close

    def _take(self, character: str) -> None:
        if self._peek() != character:
            raise self._broken(character)
        self._at += 1

    def _peek(self) -> str:
        """The next character that is not blank; "" at the end."""
        while True:
            match = _BLANK.match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _finish(self) -> None:
        if self._peek():
            raise self._broken("the end of the file")

    def _more(self) -> bool:
        """Read on, twice as much as is kept, so that a long item is decoded a few times only."""
        kept = len(self._text) - self._at
        return not self._ended and self._decode_more(b"", max(_CHUNK, min(2 * kept, LARGEST_ITEM - kept)))

    def _decode_more(self, data: bytes, size: int) -> bool:
        """Drop what was read and append what follows; False, with nothing dropped, at the end."""
        try:
            read = self._stream.read(size)
            self._ended = not read
            self._between.look_at(data + read)
            text = self._decode(data + read, self._ended)
        except UnicodeDecodeError as error:
            self._ended = True
            raise self._problem(f"not UTF-16 text ({error.reason})") from None
        if text:
            self._count_lines(self._at)
            self._text = self._text[self._at :] + text
            self._at = self._counted = 0
        return bool(text) or not self._ended

    def _count_lines(self, end: int) -> None:
        lines = self._text.count("\n", self._counted, end)
        if lines:
            self._line += lines
            self._column = end - self._text.rfind("\n", self._counted, end) - 1
        else:
            self._column += end - self._counted
        self._counted = end

    def _truncated(self) -> str | None:
        while self._at > len(self._text) - _TAIL:
            if not self._more():
                return "the file seems to be cut off"
        return None

    def _broken(self, expected: str) -> InputError:
        found = self._peek()
        what = f"broken JSON ({found!r} where {expected} belongs)" if found else f"it ends before {expected}"
        return self._problem(what, self._truncated())

    def _problem(self, what: str, hint: str | None = None) -> InputError:
        if self._counted <= self._at:
            self._count_lines(self._at)
        return self.fail(f"{what} at column {self._column + 1}", hint=hint)


class JsonStream(_JsonText):
    """A JSON document whose top-level array, or arrays in a top-level object, are read item by item.

    Iterate :meth:`members` and, in it, :meth:`items` or :meth:`value`; what is asked of neither is
    passed over. Bytes are UTF-8, or UTF-16 with a byte order mark; undecodable bytes of UTF-8 are kept
    as surrogate escapes. ``NaN`` and ``Infinity``, which are no JSON, arrive as their names ("NaN"), which
    no check for a number accepts. A key that an item repeats has its last value, as with ``json``; a key
    that the top-level object repeats is yielded again.

    Attributes
    ----------
    kind : "object", "array", or "" for anything else.
    line : of the item at hand, from 1.

    Raises
    ------
    InputError : with line and column, from any method: broken or truncated JSON, nesting too deep for the
        decoder, a whole number of thousands of digits, an item above LARGEST_ITEM, text after the end.
    """

    def __init__(self, stream: BinaryIO, where: str) -> None:
        super().__init__(stream, where)
        self._decode_item = json.JSONDecoder(parse_constant=str).raw_decode
        self._open = False  # a value stands at hand that nobody asked for yet
        self.line = 1
        self.kind = {"{": "object", "[": "array"}.get(self._peek(), "")

    def members(self) -> Iterator[str]:
        """Keys of the top-level object, in file order."""
        yield from self._members()
        self._finish()

    def items(self) -> Iterator[Any]:
        """Items of the array at hand, decoded; of the top-level one where the document is an array."""
        top = not self._open
        self._open = False
        yield from self._items()
        if top:
            self._finish()

    def at_array(self) -> bool:
        """Whether the value at hand is an array."""
        return self._peek() == "["

    def value(self) -> Any:
        """The value at hand, decoded whole."""
        self._open = False
        return self._item()

    def _members(self) -> Iterator[str]:
        self._take("{")
        if self._peek() == "}":
            self._at += 1
            return
        while True:
            if self._peek() != '"':
                raise self._broken("a key in quotes")
            key = self._item()
            self._take(":")
            self._peek()
            self._open = True
            yield key
            if self._open:
                self._pass_over()
            if self._comma_or("}"):
                return

    def _items(self) -> Iterator[Any]:
        self._take("[")
        if self._peek() == "]":
            self._at += 1
            return
        self._between.forget()
        while True:
            item = self._quick_item() if self._between.usable else None
            yield self._item(learn=True) if item is None else item
            if self._comma_or("]"):
                return

    def _quick_item(self) -> Any:
        """The item at hand, decoded by orjson; None where it is not seen where it ends."""
        self._peek()
        reach = min(self._between.reach, LARGEST_ITEM)
        end = self._between.end_of(self._text, self._at)
        while end < 0 and len(self._text) - self._at < reach and self._more():
            if not self._between.usable:  # for what was just read
                return None
            end = self._between.end_of(self._text, self._at)
        if not 0 < end - self._at <= LARGEST_ITEM:
            self._between.miss()
            return None
        item = self._between.decoded(self._text[self._at : end])
        if item is not None:
            self._count_lines(self._at)
            self.line = self._line
            self._at = end
        return item

    def _pass_over(self) -> None:
        """Leave out a value; arrays and objects one level deep are not held as a whole."""
        self._open = False
        first = self._peek()
        if first == "[":
            deque(self._items(), maxlen=0)
        elif first == "{":
            for _ in self._members():
                self._open = False
                self._item()
        else:
            self._item()

    def _item(self, *, learn: bool = False) -> Any:
        self._peek()
        self._count_lines(self._at)
        self.line = self._line
        while True:
            try:
                value, end = self._decode_item(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.pos > len(self._text) - _TAIL or error.msg.startswith("Unterminated string")
                if cut and len(self._text) - self._at > LARGEST_ITEM:
                    raise self._problem(f"an item of more than {LARGEST_ITEM} characters") from None
                if cut and self._more():
                    continue
                self._at = min(error.pos, len(self._text))
                raise self._problem(f"broken JSON ({error.msg})", self._truncated()) from None
            except RecursionError:
                raise self._problem("nested too deeply") from None
            except (
                ValueError
            ):  # int() takes no text of thousands of digits; how many are read by now is chance
                most = sys.get_int_max_str_digits()
                raise self._problem(f"a number that cannot be read (of more than {most} digits)") from None
            number = type(value) is int or type(value) is float
            if number and end > len(self._text) - _NUMBER_TAIL and self._more():
                continue
            if end - self._at > LARGEST_ITEM:
                raise self._problem(f"an item of more than {LARGEST_ITEM} characters")
            if learn:
                self._between.learn(self._text, self._at, end)
            self._at = end
            return value


def outline(data: bytes) -> tuple[str, dict[str, list[Any]]]:
    """What the first bytes of a document tell: its kind, and of each array in it the first item.

    The array of a document that is one has the key "". Values that are not arrays have no items either.
    Never raises: what follows a cut or a fault is left out.
    """
    first: dict[str, list[Any]] = {}
    kind = ""
    try:
        json_stream = JsonStream(io.BytesIO(data), "")
        kind = json_stream.kind
        if kind == "array":
            first[""] = []
            _keep_first(json_stream, first[""])
        elif kind == "object":
            for key in json_stream.members():
                first[key] = []
                if json_stream.at_array():
                    _keep_first(json_stream, first[key])
    except InputError:
        pass
    return kind, first


def _keep_first(json_stream: JsonStream, first: list[Any]) -> None:
    for item in json_stream.items():
        if not first:
            first.append(item)
