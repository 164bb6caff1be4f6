"""Names of files in a tree: made uniform, refused when unsafe, shown safely in messages."""

from __future__ import annotations

import re

from flmd.core.atomic import UNFINISHED
from flmd.errors import InputError, printable

JUNK = frozenset({"__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini", ".git", ".hg", ".svn"})


def shown(text: str) -> str:
    """``text`` with control characters and undecodable bytes written as escapes, safe on any terminal."""
    return printable(text)


def is_junk(name: str) -> bool:
    """Whether a file was left by an operating system or a version control tool, not by the data's author.

    So is what another process has not finished writing (:mod:`flmd.core.atomic`).
    """
    return any(
        part in JUNK or part.startswith("._") or UNFINISHED.fullmatch(part) for part in name.split("/")
    )


def member_name(raw: str, origin: str) -> str:
    """``raw`` as a relative POSIX path without empty or ``.`` parts; '' for the top folder itself.

    Raises InputError naming the member when the path is absolute, has a drive letter, a ``..`` part or
    a NUL: such a name points outside the tree, and whatever unpacks it could be made to write there.
    """
    if reason := _unsafe(raw):
        raise refuse(raw, origin, f"the name {reason}", expected="a relative path inside the archive")
    return "/".join(part for part in raw.split("/") if part not in ("", "."))


def _unsafe(raw: str) -> str | None:
    if raw.startswith(("/", "\\")):
        return "is an absolute path"
    if re.match(r"[A-Za-z]:", raw):
        return "begins with a drive letter"
    if ".." in re.split(r"[/\\]", raw):
        return "has a '..' part"
    if "\0" in raw:
        return "holds a NUL byte"
    return None


def refuse(name: str, origin: str, what: str, *, expected: str | None = None) -> InputError:
    """The error for a member that a tree does not accept."""
    hint = "make the archive again without it" if expected else None
    return InputError(what, where=f"{origin}!{shown(name)}", expected=expected, hint=hint)
