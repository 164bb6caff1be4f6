"""XML as a stream through lxml's ``iterparse``: flat memory, no entities, DTD or network, exact lines.

lxml is handed UTF-8 only, in pieces each of which begins with an element of interest. So what it parses is
what was looked at here, in every encoding, and the line of an element is that of its piece; lxml's own
``sourceline`` is that of the end of a tag, and beyond line 65,535 an estimate.
"""

from __future__ import annotations

import codecs
import io
import itertools
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from lxml import etree

from flmd.errors import InputError
from flmd.tree.names import shown

CHUNK = 1 << 16
LONGEST = 1 << 20  # bytes between two ends of a line or tag, and before the root element
LARGEST_KEPT = 1 << 23  # bytes of one element that is kept whole
_MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
    b"<\0": "utf-16-le",
    b"\0<": "utf-16-be",
}
_DECLARED = re.compile(rb"<\?xml\s[^>]*?\sencoding\s*=\s*['\"]([^'\">]*)")
_PROLOG = re.compile(
    rb"(?>\s+|<\?.*?\?>|<!--.*?-->)*+"
    rb"(?:(?P<doctype><!DOCTYPE)\s*(?P<name>[^\s\[>]*)|<(?P<root>[^!?\s/>]+)[\s/>]|[^<\s])",
    re.DOTALL,
)
_BARE_AMPERSAND = re.compile(rb"&(?!(?:amp|lt|gt|quot|apos|#[0-9]+|#x[0-9A-Fa-f]+);)")
_CDATA = re.compile(rb"(<!\[CDATA\[|\]\]>)")
# dlib's writer puts one <image> on a line and escapes nothing: a < or ' in the file name breaks the XML.
_IMAGE_LINE = re.compile(
    rb"<image file='([^'<\n]*[<'][^\n]*?)'((?: width='[0-9]+' height='[0-9]+')?[ ]?/?>[ ]*\n)"
)
_NEXT_ATTRIBUTE = re.compile(rb"'\s+[\w:.-]+\s*=\s*['\"]")


class XmlStream:
    """The elements of an XML document with some names, one after the other.

    What dlib's writer leaves unescaped is mended on the way without moving a line: a bare ``&`` anywhere
    outside CDATA, and a ``<`` or ``'`` in the file name of an ``<image file='...'>`` that has a line to
    itself.

    Parameters
    ----------
    stream, where : the document, and its name in messages.
    names : of the elements to hand out, in any namespace; ``line`` is for those of the last name.
    whole : the stream goes to the end of the document; False for a probe of its first bytes.
    comments : leave comments among the elements.

    Attributes
    ----------
    root : the tag of the root element, "" when the document has none.
    line : where an element of the last name starts, at its "start"; where the root does, at first.

    Raises
    ------
    InputError : from the constructor for any DOCTYPE, before a byte of it is parsed, and an encoding that is
        not known; while iterating, after the elements before it, for broken or truncated XML. Names the line.
    """

    def __init__(
        self,
        stream: BinaryIO,
        where: str,
        names: tuple[str, ...],
        *,
        whole: bool = True,
        comments: bool = False,
    ) -> None:
        self._where, self._names, self._whole, self._comments = where, names, whole, comments
        self._start = re.compile(rb"<(?:[\w.-]+:)?%s[\s/>]" % names[-1].encode())
        self._texts = _decoded(stream, where)
        self._lines = self.line = 1
        self._tree: Any = None
        self._kept: Any = None
        self._room = 0
        self._ended = False
        self.root = self._find_root()
        self._pieces = self._cut()

    def __iter__(self) -> Iterator[tuple[str, str, Any]]:
        """``(event, name, element)``: "start" with nothing but attributes to rely on, and "end"."""
        names = [f"{{*}}{name}" for name in (self.root.rpartition(":")[2], *self._names) if name]
        closed = False
        try:
            for event, element in etree.iterparse(
                self,
                events=("start", "end"),
                tag=names,
                encoding="utf-8",
                remove_comments=not self._comments,
                remove_pis=True,
                resolve_entities=False,
                load_dtd=False,
                no_network=True,
                huge_tree=False,
            ):
                if self._tree is None:
                    self._tree = element
                name = element.tag.rpartition("}")[2]
                if name in self._names:
                    yield event, name, element
                else:
                    closed = event == "end" and element is self._tree
        except etree.XMLSyntaxError as error:
            if self._ended and not closed and not 0 < error.lineno < self._lines:
                if not self._whole:
                    return
                raise InputError(
                    "the XML ends early", where=f"{self._where}:{self._lines}", hint="get the file again"
                ) from None
            what = shown(error.msg.rpartition(", line ")[0].strip()[:200])
            raise InputError(
                f"broken XML ({what}, column {error.offset})",
                where=f"{self._where}:{error.lineno}",
                hint="a < in an attribute is written &lt;, a quote &apos;",
            ) from None

    def keep(self, element: Any) -> None:
        """Leave what is in an element until the next call; the rest goes when it was handed out."""
        self._kept, self._room = element, LARGEST_KEPT

    def keeps(self, element: Any) -> bool:
        """Whether all of the element is there; not, when it had more than LARGEST_KEPT bytes."""
        return element is self._kept

    def read(self, size: int = -1) -> bytes:
        """What lxml parses next, whatever the size; called when all elements so far were handed out."""
        piece = next(self._pieces, b"")
        self._ended = not piece
        return piece

    def _forget(self) -> None:
        """Delete what is closed, but for the last at every level, and what is kept."""
        node = self._tree
        while node is not None and node is not self._kept and len(node):
            del node[:-1]
            node = node[-1]

    def _find_root(self) -> str:
        """The root's tag, its line noted; reads up to it and refuses a DOCTYPE."""
        head, match = b"", None
        for text in self._texts:
            head += text
            if match := _PROLOG.match(head):
                break
            if len(head) > LONGEST:
                what = f"more than {LONGEST} bytes before the root element"
                raise InputError(what, where=f"{self._where}:1")
        self._texts = itertools.chain((head,), self._texts)
        if match is None:
            return ""
        self.line = 1 + head.count(b"\n", 0, max(match.start("doctype"), match.start("root"), 0))
        if match["doctype"]:
            raise InputError(
                f"a DOCTYPE ({match['name'].decode(errors='replace')[:40]!r}) in the XML",
                where=f"{self._where}:{self.line}",
                expected="none: entities are never expanded and nothing outside the file is read",
                hint="remove the DOCTYPE if you trust the file",
            )
        return (match["root"] or b"").decode(errors="replace")

    def _cut(self) -> Iterator[bytes]:
        """Mended pieces, ``line`` being set for each that begins with an element of interest."""
        for text in self._mended():
            self._room -= len(text)
            if self._room < 0:
                self._kept = None
            self._forget()
            starts = (found.start() for found in self._start.finditer(text))
            for start, end in itertools.pairwise((0, *starts, len(text))):
                if self._start.match(text, start):
                    self.line = self._lines
                if start < end:
                    yield text[start:end]
                    self._lines += text.count(b"\n", start, end)

    def _mended(self) -> Iterator[bytes]:
        mend = _Mender()
        pending = b""
        for text in self._texts:
            pending += text
            # Whole lines, or whole tags when there is no line end, so that nothing to mend is cut in two.
            cut = pending.rfind(b"\n") + 1 or pending.rfind(b">") + 1
            if cut:
                yield mend(pending[:cut])
            elif len(pending) > LONGEST:
                raise InputError(
                    f"more than {LONGEST} bytes without an end of line or tag",
                    where=f"{self._where}:{self._lines}",
                )
            pending = pending[cut:]
        yield mend(pending)


def _decoded(stream: BinaryIO, where: str) -> Iterator[bytes]:
    """The document in UTF-8 with ``\\n`` for every line end; what cannot be decoded stays no UTF-8."""
    data = stream.read(CHUNK)
    incremental = codecs.getincrementaldecoder(_encoding(data, where))(_UNDECODABLE)
    decoder = io.IncrementalNewlineDecoder(incremental, translate=True)
    while data:
        yield decoder.decode(data).encode("utf-8", "surrogatepass")
        data = stream.read(CHUNK)
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")


def _lone_surrogate(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "\udcff", error.end


_UNDECODABLE = "flmd.lone_surrogate"
codecs.register_error(_UNDECODABLE, _lone_surrogate)


def _encoding(head: bytes, where: str) -> str:
    for mark, name in _MARKS.items():
        if head.startswith(mark):
            return name
    declared = _DECLARED.match(head)
    name = declared[1].decode("latin-1") if declared else "utf-8"
    try:
        one_by_one = len(bytes(range(256)).decode(name, "replace")) == 256
        fault = "" if one_by_one else f"{name}: several bytes a character"
    except (LookupError, ValueError) as error:
        fault = str(error)
    if fault:
        raise InputError(
            f"its encoding cannot be read ({shown(fault[:100])})",
            where=f"{where}:1",
            expected="UTF-8 or ISO-8859-1",
        )
    return name


class _Mender:
    """Escapes what was left bare; remembers across pieces whether a CDATA section is open."""

    def __init__(self) -> None:
        self._cdata = False

    def __call__(self, piece: bytes) -> bytes:
        if not self._cdata and b"<![CDATA[" not in piece:
            if b"&" in piece:
                piece = _BARE_AMPERSAND.sub(b"&amp;", piece)
            return _IMAGE_LINE.sub(_escape_file, piece)
        parts = _CDATA.split(piece)
        for i, part in enumerate(parts):
            if part == b"<![CDATA[":
                self._cdata = True
            elif part == b"]]>":
                self._cdata = False
            elif not self._cdata:
                parts[i] = _BARE_AMPERSAND.sub(b"&amp;", part)
        return b"".join(parts)


def _escape_file(match: re.Match[bytes]) -> bytes:
    name, rest = match.groups()
    if _NEXT_ATTRIBUTE.search(name):  # the quote ended the name after all: well-formed, or beyond mending
        return match[0]
    return b"<image file='" + name.replace(b"<", b"&lt;").replace(b"'", b"&apos;") + b"'" + rest
