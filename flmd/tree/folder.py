"""A folder, or a single file, as a tree."""

from __future__ import annotations

import contextlib
import os
import posixpath
from collections.abc import Sequence
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
        if (refusal := self._refusal(name)) is not None:
            raise refusal
        return self._root / name

    def name_in(self, other: FileTree, name: str) -> str | None:
        """See :meth:`FileTree.name_in`: folders of which one may lie in the other."""
        if not isinstance(other, PathTree):
            return None
        path, root = (self._root / name).resolve(), other._root.resolve()
        found = path.relative_to(root).as_posix() if path.is_relative_to(root) else ""
        return found if found in other else None

    def _unreadable(self, name: str, error: OSError) -> InputError:
        return InputError(error.strerror or str(error), where=self.where(name))


class FileBesideOthers(PathTree):
    """One file of a folder, and of what lies beside it only what is asked for by name.

    ``names`` are those of the files right in the folder, and in the folder below it that has the file's
    stem. Whether a file deeper below is there is looked up when it is asked for. Nothing that cannot be read
    matters until it is read.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        folder = path.parent
        super().__init__(folder, {}, "folder", shown(str(folder)))
        self._limits = limits
        self._top = os.path.realpath(folder)
        self._index = {path.name: None, **self._listed(path.stem)}
        self.names = sorted(self._index)
        self._deeper: dict[str, bool] = {}
        self._all: list[str] | None = None

    def all_names(self) -> Sequence[str]:
        """All files of the folder and of those below, but for hidden folders and virtual environments."""
        if self._all is None:
            found, _ = _walk(self._shown_root, self._limits, lenient=True)
            self._all = sorted({*found, *self.names})
        return self._all

    def __contains__(self, name: object) -> bool:
        if super().__contains__(name):
            return True
        if not isinstance(name, str) or "/" not in name:
            return False
        if name not in self._deeper:
            self._deeper[name] = self._is_there(name)
        return self._deeper[name]

    def _listed(self, stem: str) -> dict[str, None]:
        found: dict[str, None] = {}
        with contextlib.suppress(OSError), os.scandir(self._root) as scan:
            for entry in scan:
                if not _is_plain(entry.name) or is_junk(entry.name):
                    continue
                if entry.is_symlink() and (wrong := _wrong_link(entry.path, self._top)) is not None:
                    self.passed_over[entry.name] = _refused(wrong, self._shown_root / entry.name, self._top)
                elif entry.is_file():
                    found[entry.name] = None
                elif entry.name == stem and entry.is_dir():
                    inside, _ = _walk(self._shown_root / stem, self._limits, lenient=True)
                    found |= {f"{stem}/{name}": None for name in inside}
        return found

    def _is_there(self, name: str) -> bool:
        if posixpath.normpath(name) != name or name.startswith(("/", "../")) or "\0" in name or is_junk(name):
            return False
        path = self._root / name
        if (wrong := _wrong_link(str(path), self._top)) is None:
            return path.is_file()
        if wrong == LEAVES:
            self.passed_over[name] = _refused(wrong, self._shown_root / name, self._top)
            return True
        return False

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_all": None}


LEAVES, NOWHERE = "a symbolic link that leaves the folder", "a symbolic link that leads nowhere"


def open_folder(path: Path, limits: Limits) -> PathTree:
    """Index a folder; links that leave it are passed over.

    Raises InputError for a device, or a folder that cannot be read.
    """
    found, wrong = _walk(path, limits)
    tree = PathTree(path, found, "folder", shown(str(path)))
    tree.passed_over = wrong
    return tree


def open_file(path: Path) -> PathTree:
    """One plain file as a tree of one name."""
    return PathTree(path.parent, {path.name: None}, "file", shown(path.name))


def _walk(
    top: Path, limits: Limits, *, lenient: bool = False
) -> tuple[dict[str, None], dict[str, InputError]]:
    """The regular files below a folder, and the links that are no use, with what is wrong with them.

    ``lenient``: what cannot be read, hidden folders and virtual environments are left out as if they were
    not there, and so is what lies beyond the limit of files.
    """
    root = os.path.realpath(top)
    found: dict[str, None] = {}
    wrong: dict[str, InputError] = {}
    # Each folder to visit, with the real folders it lies in: a link back to one of those is a loop, and
    # what it leads to is listed already under its own name.
    waiting: list[tuple[str, frozenset[str]]] = [("", frozenset({root}))]
    while waiting:
        folder, above = waiting.pop()
        try:
            with os.scandir(Path(root, folder)) as scan:
                entries = list(scan)
        except OSError as error:
            if lenient:
                continue
            raise InputError(shown(os_error_message(error))) from error
        if lenient and any(entry.name == "pyvenv.cfg" for entry in entries):
            continue
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if not _is_plain(entry.name):
                if lenient:
                    continue
                name = member_name(name, str(top))
            if is_junk(entry.name):
                continue
            if entry.is_symlink() and (reason := _wrong_link(entry.path, root)) is not None:
                wrong[name] = _refused(reason, top / name, root)
            elif entry.is_dir():
                if not (lenient and entry.name.startswith(".")):
                    real = os.path.realpath(entry.path)
                    if real not in above:
                        waiting.append((name, above | {real}))
            elif entry.is_file():
                found[name] = None
                if lenient and len(found) >= limits.max_members:
                    return found, wrong
                limits.check_members(len(found), str(top))
            elif not lenient:
                raise InputError(
                    "it is neither a file nor a folder (a fifo, socket or device)",
                    where=shown(str(top / name)),
                    hint="remove it",
                )
    return found, wrong


def _is_plain(name: str) -> bool:
    """Whether the name of a folder's entry is surely safe: most are, and asking further takes time."""
    return "\\" not in name and name[1:2] != ":"


def _wrong_link(path: str, root: str) -> str | None:
    """What is wrong with where a path leads; None when it stays inside."""
    try:
        target = os.path.realpath(path, strict=True)
    except OSError:
        return NOWHERE
    return None if target == root or target.startswith(root.rstrip(os.sep) + os.sep) else LEAVES


def _refused(what: str, where: Path, root: str) -> InputError:
    if what == NOWHERE:
        return InputError(what, where=shown(str(where)), hint="remove or mend it")
    expected = f"links that stay inside {shown(root)}"
    return InputError(what, where=shown(str(where)), expected=expected, hint="put the file itself there")
