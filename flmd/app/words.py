"""What the page says: friendly sentences for what went wrong, and texts that Markdown leaves alone."""

from __future__ import annotations

import re
import string
import unicodedata
from pathlib import PurePosixPath

from flmd.app.fetch import FetchError
from flmd.app.kinds import KINDS
from flmd.core.images import ImageError
from flmd.errors import FlmdError

_OF_PICTURES = {
    "image_empty": "This file is empty.",
    "image_unknown": f"This is not a picture. It may be {', '.join(KINDS[:-1])} or {KINDS[-1]}.",
    "image_truncated": "This picture is cut short: part of the file is missing. Try to send it again.",
    "image_damaged": "This picture is damaged and cannot be opened.",
    "image_too_many_scans": "This JPEG has more scans than any camera makes. Save it again, not progressive.",
    "image_unsupported": "This kind of picture cannot be read here. Send it as JPEG or PNG.",
}


def sentence(error: FlmdError, *, max_megapixels: float) -> str:
    """What went wrong with a picture, for the person who sent it."""
    if isinstance(error, ImageError):
        if error.reason == "image_too_large":
            limit = f"{max_megapixels:g} million, less for other kinds than plain JPEG"
            return f"This picture has too many pixels. The limit is {limit}."
        return _OF_PICTURES[error.reason]
    what = f"{error.what}; {error.hint}" if isinstance(error, FetchError) and error.hint else str(error)
    return f"{what[:1].upper()}{what[1:]}."


def plain(text: str) -> str:
    """``text`` as Markdown that shows it as it is: no links, pictures, colours or formulas come of it."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return "".join("\\" + c if c in string.punctuation else c for c in shown)


def file_name(name: str) -> str:
    """The last part of a name that a stranger gave, fit for a file of ours: letters, digits and ``._-``.

    Never empty, hidden, or longer than 80 characters; the ending is kept.
    """
    last = PurePosixPath(unicodedata.normalize("NFC", name).replace("\\", "/")).name
    path = PurePosixPath(re.sub(r"[^\w.-]+", "_", last).strip("._-") or "picture")
    return f"{path.stem[:70]}{path.suffix[:10]}"
