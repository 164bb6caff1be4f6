"""Which picture of a tree a Label Studio task means: its data hold URLs of several kinds."""

from __future__ import annotations

import posixpath
import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from flmd.formats.common.json_lists import PicturesByPath
from flmd.formats.layout import is_picture, resolve
from flmd.tree import FileTree

_DEEPEST = 8
_UPLOAD = re.compile(r"data/upload/(?:[0-9]+/)?(?:[0-9a-f]{8}-)?([^/]+)")
_TOKEN = re.compile(r"[0-9a-f]{8}-(?=.)")


class PicturesByUrl:
    """Finds the pictures of one file of tasks."""

    def __init__(self, tree: FileTree, listed_in: str, split: str) -> None:
        self._tree, self._folder = tree, posixpath.dirname(listed_in)
        self._by_path = PicturesByPath(tree, listed_in, split)

    def find(self, data: dict[str, Any]) -> str | None:
        """The tree's name of a task's picture, there or not; None when it cannot be in the tree."""
        paths = _paths(_url(data))
        for path in paths:
            if (image := self._in_tree(path)) is not None:
                return image
        if not paths:
            return None
        upload = _UPLOAD.fullmatch(paths[0])
        return resolve(self._folder, upload[1] if upload else paths[0])

    def _in_tree(self, path: str) -> str | None:
        image = resolve(self._folder, path)
        if image is None or image in self._tree:
            return image if image is not None and image in self._tree else None
        parts = path.split("/")[-_DEEPEST:]
        ends = ["/".join(parts[i:]) for i in range(len(parts))]
        for end in [*ends, _TOKEN.sub("", parts[-1])]:
            if end in self._tree:
                return end
            if (found := self._by_path.ending_with(end)) is not None:
                return found
        return None


def _url(data: dict[str, Any]) -> str:
    """The value of "image", else the first that looks like a picture's name; "" without any."""
    words = {key: value for key, value in data.items() if isinstance(value, str)}
    if words.get("image"):
        return words["image"]
    for value in words.values():
        if is_picture(value):
            return value
    return ""


def _paths(url: str) -> list[str]:
    """Relative paths that a URL may mean, likeliest first."""
    try:
        parts = urlsplit(url)
        if "/local-files/" in parts.path:
            query = parse_qsl(parts.query, errors="surrogateescape", max_num_fields=100)
            paths = [value for key, value in query if key == "d"]
        elif len(parts.scheme) > 1 and parts.netloc:
            paths = [unquote(parts.path, errors="surrogateescape")]
        else:
            paths = list(dict.fromkeys((url, unquote(url, errors="surrogateescape"))))
    except ValueError:
        return []
    return [path for path in (path.lstrip("/") for path in paths) if path]
