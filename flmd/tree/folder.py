"""A folder, or a single file, as a tree."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from flmd.errors import InputError, os_error_message
from flmd.tree.base import FileTree, Kind, Limits, clip
from flmd.tree.names import is_junk, member_name, shown


class PathTree(FileTree):
    """Files that lie on the disk as they are, read by opening each when it is wanted.

    ``root`` is the folder as the user named it, ``index`` the relative names in it.
    """

    def __init__(self, root: Path, index: dict[str, None], kind: Kind, origin: str) -> None:
        super().__init__(origin, index)
        self.kind = kind
        self._shown_root = root
        self._root = root.absolute()  # a worker may run in another folder
        self._closed = False

    def where(self, name: str) -> str:
        return shown(str(self._shown_root / name))

    def size(self, name: str) -> int:
        try:
            return self.path(name).stat().st_size
        except OSError as error:
            raise self._unreadable(name, error) from error

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        with self.open(name) as stream:
            try:
                if start or size is not None:
                    first, end = clip(start, size, os.fstat(stream.fileno()).st_size)
                    stream.seek(first)
                    return stream.read(end - first)
                return stream.read()
            except OSError as error:
                raise self._unreadable(name, error) from error

    def open(self, name: str) -> BinaryIO:
        try:
            return self.path(name).open("rb")
        except OSError as error:
            raise self._unreadable(name, error) from error

    def close(self) -> None:
        self._closed = True

    def path(self, name: str) -> Path:
        """Where a file lies on the disk, absolute; for what can only be read there, such as videos."""
        if self._closed:
            raise ValueError(f"{self.origin} is closed")
        if name not in self:
            raise self._missing(name)
        return self._root / name

    def _unreadable(self, name: str, error: OSError) -> InputError:
        return InputError(error.strerror or str(error), where=self.where(name))


def open_folder(path: Path, limits: Limits) -> PathTree:
    """Index a folder. Raises InputError for a link that leaves it, a device, or an unreadable folder."""
    return PathTree(path, _walk(path, limits), "folder", shown(str(path)))


def open_file(path: Path) -> PathTree:
    """One plain file as a tree of one name."""
    return PathTree(path.parent, {path.name: None}, "file", shown(path.name))


def _walk(top: Path, limits: Limits) -> dict[str, None]:
    root = os.path.realpath(top)
    found: dict[str, None] = {}
    # Each folder to visit, with the real folders it lies in: a link back to one of those is a loop, and
    # what it leads to is listed already under its own name.
    waiting: list[tuple[str, frozenset[str]]] = [("", frozenset({root}))]
    while waiting:
        folder, above = waiting.pop()
        try:
            with os.scandir(Path(root, folder)) as scan:
                entries = list(scan)
        except OSError as error:
            raise InputError(shown(os_error_message(error))) from error
        for entry in entries:
            name = member_name(f"{folder}/{entry.name}" if folder else entry.name, str(top))
            if is_junk(name):
                continue
            if entry.is_symlink():
                _check_link(entry.path, root, top / name)
            if entry.is_dir():
                real = os.path.realpath(entry.path)
                if real not in above:
                    waiting.append((name, above | {real}))
            elif entry.is_file():
                found[name] = None
                limits.check_members(len(found), str(top))
            else:
                raise InputError(
                    "it is neither a file nor a folder (a fifo, socket or device)",
                    where=shown(str(top / name)),
                    hint="remove it",
                )
    return found


def _check_link(path: str, root: str, where: Path) -> None:
    try:
        target = os.path.realpath(path, strict=True)
    except OSError as error:
        raise InputError(
            "a symbolic link that leads nowhere", where=shown(str(where)), hint="remove or mend it"
        ) from error
    if target != root and not target.startswith(root.rstrip(os.sep) + os.sep):
        raise InputError(
            "a symbolic link that leaves the folder",
            where=shown(str(where)),
            expected=f"links that stay inside {shown(root)}",
            hint="put the file itself there",
        )
