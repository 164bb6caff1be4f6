"""A JSON file about one picture, read whole."""

from __future__ import annotations

import json
from typing import Any

from flmd.errors import InputError
from flmd.face import SkipFace
from flmd.tree import FileTree

LARGEST_FILE = 8 << 20  # bytes; a JSON text takes up to 30 times that much memory when read


def content_of(tree: FileTree, name: str, *, most: int = LARGEST_FILE) -> dict[str, Any]:
    """The object that a file of up to ``most`` bytes holds. ``NaN`` and ``Infinity``, no JSON, are read too.

    Raises
    ------
    SkipFace : ``unreadable_file``, ``bad_json``, ``bad_structure`` (no object, or one that has a key twice).
    """
    content = json_in(data_of(tree, name, most=most))
    if not isinstance(content, dict):
        raise SkipFace("bad_structure", f"{type(content).__name__}, expected an object")
    return content


def data_of(tree: FileTree, name: str, *, most: int = LARGEST_FILE) -> bytes:
    """The bytes of a file; SkipFace ``unreadable_file``, also for more than ``most`` of them."""
    try:
        data = tree.read(name, 0, most + 1)
    except InputError as error:
        raise SkipFace("unreadable_file", error.what) from None
    if len(data) > most:
        raise SkipFace("unreadable_file", f"more than {most} bytes in a file for one picture")
    return data


def json_in(data: bytes) -> Any:
    """What the bytes of a JSON text hold; SkipFace ``bad_json``, ``bad_structure`` (a key twice)."""
    try:
        text = data.decode("utf-8-sig", "surrogateescape")
        return json.loads(text, object_pairs_hook=_without_repeats)
    except json.JSONDecodeError as error:
        raise SkipFace("bad_json", f"line {error.lineno}: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; endless brackets
        raise SkipFace("bad_json", f"{type(error).__name__} while reading it") from None


def json_text(content: Any) -> bytes:
    """The bytes of a JSON text, with a line end; ValueError for numbers that JSON cannot hold."""
    return (json.dumps(content, allow_nan=False) + "\n").encode()


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise SkipFace("bad_structure", f"{name[:40]!r} occurs twice in one object")
        found[name] = value
    return found
