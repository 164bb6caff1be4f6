"""XML as a stream of bytes: no tree, no entities, no DTD, no network, exact line numbers.

Expat rather than lxml, for two measured reasons: beyond line 65,535 lxml's ``sourceline`` is an estimate,
one off for every box of a 300-W list, and a loop over its elements is slower than handlers called by expat.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO
from xml.parsers import expat

from flmd.errors import InputError

CHUNK = 1 << 16
LONGEST = 1 << 20  # bytes between two ends of a line or tag
_BARE_AMPERSAND = re.compile(rb"&(?!(?:amp|lt|gt|quot|apos|#[0-9]+|#x[0-9A-Fa-f]+);)")
_CDATA = re.compile(rb"(<!\[CDATA\[|\]\]>)")
# dlib's writer puts one <image> on a line and escapes nothing: a < or ' in the file name breaks the XML.
_IMAGE_LINE = re.compile(
    rb"<image file='([^'<\n]*[<'][^\n]*?)'((?: width='[0-9]+' height='[0-9]+')?[ ]?/?>[ ]*\r?\n)"
)
_NEXT_ATTRIBUTE = re.compile(rb"'\s+[\w:.-]+\s*=\s*['\"]")
_ENDS_EARLY = {
    expat.errors.codes[getattr(expat.errors, name)]
    for name in (
        "XML_ERROR_NO_ELEMENTS",
        "XML_ERROR_UNCLOSED_TOKEN",
        "XML_ERROR_PARTIAL_CHAR",
        "XML_ERROR_UNCLOSED_CDATA_SECTION",
    )
}


def new_parser(where: str) -> expat.XMLParserType:
    """A parser that refuses any DOCTYPE with an InputError naming its line, before a byte of it is used.

    Without a DOCTYPE there is no entity to expand and nothing outside the file to fetch.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def refuse(name: str, system: str | None, public: str | None, internal: bool) -> None:
        raise InputError(
            f"a DOCTYPE ({name[:40]!r}) in the XML",
            where=f"{where}:{parser.CurrentLineNumber}",
            expected="none: entities are never expanded and nothing outside the file is read",
            hint="remove the DOCTYPE if you trust the file",
        )

    parser.StartDoctypeDeclHandler = refuse
    return parser


def feed(stream: BinaryIO, parser: expat.XMLParserType, where: str, *, whole: bool = True) -> Iterator[None]:
    """Feed a stream to a parser piece by piece; control comes back after each one.

    What dlib's writer leaves unescaped is mended on the way, in encodings that contain ASCII and without
    moving a line: a bare ``&`` anywhere outside CDATA, and a ``<`` or ``'`` in the file name of an
    ``<image file='...'>`` that has a line to itself.

    Parameters
    ----------
    whole : the stream goes to the end of the document; False for a probe of its first bytes.

    Raises
    ------
    InputError : broken or truncated XML, an encoding that is not known; names the line.
    """
    mend = _Mender()
    pending = b""
    try:
        while piece := stream.read(CHUNK):
            pending += piece
            # Whole lines, or whole tags when there is no line end, so that nothing to mend is cut in two.
            cut = pending.rfind(b"\n") + 1 or pending.rfind(b">") + 1
            if not cut and len(pending) > LONGEST:
                raise InputError(
                    f"more than {LONGEST} bytes without an end of line or tag",
                    where=f"{where}:{parser.CurrentLineNumber}",
                )
            if cut:
                parser.Parse(mend(pending[:cut]), False)
                pending = pending[cut:]
                yield
        if whole:
            parser.Parse(mend(pending), True)
            yield
    except expat.ExpatError as error:
        raise _broken(error, where) from None
    except (LookupError, ValueError) as error:
        if parser.CurrentLineNumber > 1:  # not pyexpat's word on the declared encoding
            raise
        raise InputError(
            f"its encoding cannot be read ({error})", where=f"{where}:1", expected="UTF-8 or ISO-8859-1"
        ) from None


def _broken(error: expat.ExpatError, where: str) -> InputError:
    text = expat.ErrorString(error.code)
    early = error.code in _ENDS_EARLY
    return InputError(
        f"the XML ends early ({text})" if early else f"broken XML ({text}, column {error.offset + 1})",
        where=f"{where}:{error.lineno}",
        hint="get the file again" if early else "a < in an attribute is written &lt;, a quote &apos;",
    )


class _Mender:
    """Escapes what was left bare; remembers across pieces whether a CDATA section is open."""

    def __init__(self) -> None:
        self._cdata = False
        self._ascii: bool | None = None

    def __call__(self, piece: bytes) -> bytes:
        if self._ascii is None:  # UTF-16 and UTF-32 have a zero byte, or a mark of their own, at the start
            self._ascii = not (b"\0" in piece[:4] or piece[:2] in (b"\xff\xfe", b"\xfe\xff"))
        if not self._ascii:
            return piece
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
