"""What lies behind an fsspec address (``s3://``, ``http://``, ``zip://``, ``sftp://`` ...), as a tree."""

from __future__ import annotations

import io
import posixpath
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from tqdm import tqdm

from flmd.core.atomic import ScratchFile, default_folder
from flmd.errors import InputError, masked, one_line
from flmd.tree.base import FileTree, Limits, clip
from flmd.tree.names import is_junk, member_name, shown

T = TypeVar("T")
CHUNK = 1 << 20
EXTRAS = {"s3": "s3", "s3a": "s3", "ssh": "ssh", "sftp": "ssh"}


def is_address(source: Path | str) -> bool:
    """Whether a source is an fsspec address rather than a path: it has a ``scheme://`` in it."""
    return isinstance(source, str) and "://" in source


class RemoteTree(FileTree):
    """Files of one folder of an fsspec file system, each read when it is wanted.

    ``sizes`` maps relative names to bytes. Pickles with the file system's own settings, so that each
    process makes its own connection.
    """

    kind = "folder"

    def __init__(self, system: Any, root: str, sizes: dict[str, int], origin: str) -> None:
        super().__init__(masked(origin), sizes)
        self._system, self._root, self._sizes = system, root, sizes
        self._closed = False

    def where(self, name: str) -> str:
        return f"{self.origin.rstrip('/')}/{shown(name)}"

    def size(self, name: str) -> int:
        if name not in self:
            raise self._missing(name)
        return self._sizes[name]

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        path = self._path(name)
        if start == 0 and size is None:
            return self._do(name, lambda: self._whole(path))
        first, end = clip(start, size, self._sizes[name])
        return self._do(name, lambda: self._part(path, first, end)) if end > first else b""

    def open(self, name: str) -> BinaryIO:
        path = self._path(name)
        raw = self._do(name, lambda: self._system.open(path, "rb"))
        return io.BufferedReader(_Stream(raw, self.where(name)), CHUNK)

    def close(self) -> None:
        self._closed = True

    def _whole(self, path: str) -> bytes:
        return bytes(self._system.cat_file(path))

    def _part(self, path: str, first: int, end: int) -> bytes:
        with self._system.open(path, "rb") as stream:
            stream.seek(first)
            return bytes(stream.read(end - first))

    def _path(self, name: str) -> str:
        if self._closed:
            raise ValueError(f"{self.origin} is closed")
        if name not in self:
            raise self._missing(name)
        return f"{self._root}/{name}" if self._root else name

    def _do(self, name: str, call: Callable[[], T]) -> T:
        with _told(self.where(name)):
            return call()


class RemoteFileBesideOthers(RemoteTree):
    """One file of a remote folder, and of what lies beside it only what is asked for by name."""

    def __init__(self, address: str, limits: Limits) -> None:
        system, path = file_system(address)
        folder, _, file = path.rpartition("/")
        origin = address.rpartition("/")[0]
        with _told(address):
            entries = system.ls(folder, detail=True)
        sizes = {file: 0}
        for entry in entries:
            name = str(entry["name"]).rstrip("/").rpartition("/")[2]
            if entry.get("type") == "file" and not is_junk(name):
                sizes[name] = int(entry.get("size") or 0)
        super().__init__(system, folder, sizes, origin)
        self._limits = limits
        self._all: list[str] | None = None
        self._absent: set[str] = set()

    def all_names(self) -> Sequence[str]:
        """All files of the folder and of those below."""
        if self._all is None:
            listed = _listing(self._system, self._root, self.origin, self._limits)
            self._sizes |= listed
            self._all = sorted({*listed, *self.names})
        return self._all

    def __contains__(self, name: object) -> bool:
        if name in self._sizes:
            return True
        if not isinstance(name, str) or "/" not in name or name in self._absent:
            return False
        try:
            info = self._system.info(f"{self._root}/{name}" if self._root else name)
        except Exception:  # each file system has exceptions of its own
            info = {}
        if info.get("type") != "file":
            self._absent.add(name)
            return False
        self._sizes[name] = int(info.get("size") or 0)
        return True


class _Stream(io.RawIOBase):
    """An fsspec file whose failures are InputErrors."""

    def __init__(self, raw: Any, where: str) -> None:
        super().__init__()
        self._raw, self._where = raw, where

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._raw.seekable())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with _told(self._where):
            return int(self._raw.seek(offset, whence))

    def tell(self) -> int:
        return int(self._raw.tell())

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        with _told(self._where):
            data = self._raw.read(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Turn whatever a file system raises into one InputError: each has exceptions of its own."""
    try:
        yield
    except (InputError, KeyboardInterrupt):
        raise
    except FileNotFoundError:
        raise InputError("no such file or folder", where=where) from None
    except Exception as error:
        hint = "see to the address, the network and the credentials"
        raise InputError(f"{type(error).__name__}: {one_line(error)}", where=where, hint=hint) from error


def file_system(address: str) -> tuple[Any, str]:
    """The fsspec file system of an address and the path in it; InputError when there is none."""
    from fsspec.core import url_to_fs

    protocol = address.partition("://")[0].rpartition("::")[2]
    try:
        system, path = url_to_fs(address)
    except ImportError as error:
        extra = EXTRAS.get(protocol)
        hint = f"pip install 'flmd[{extra}]'" if extra else f"install what it names: {one_line(error)}"
        raise InputError(f"{protocol}:// needs a package that is missing", where=address, hint=hint) from None
    except ValueError as error:
        raise InputError(f"not an address that can be read: {one_line(error)}", where=address) from None
    except Exception as error:
        raise InputError(f"{type(error).__name__}: {one_line(error)}", where=address) from error
    return system, str(path)


def is_remote_file(address: str) -> bool:
    """Whether an address names one file; InputError when it names nothing."""
    system, path = file_system(address)
    with _told(address):
        if system.isfile(path):
            return True
        if not system.exists(path):
            raise FileNotFoundError
    return False


def fetch_to(address: str, target: Path, magic: bytes, limits: Limits) -> bool:
    """Copy a remote file that begins with ``magic`` to a new file; False for another file, or a folder."""
    if not is_remote_file(address):
        return False
    system, path = file_system(address)
    with _told(address):
        size = int(system.size(path) or 0)
        with system.open(path, "rb") as stream:
            if stream.read(len(magic)) != magic:
                return False
    with target.open("wb") as copy:
        _fetch(system, path, address, copy, limits, size)
    return True


def open_remote(
    address: str, limits: Limits, scratch: Path | None, open_local: Callable[[Path], FileTree], archive: Any
) -> FileTree:
    """Open an address: a folder, one file, or an archive, which is fetched once into a scratch file.

    ``open_local`` opens a fetched archive; ``archive(head)`` tells one by its first bytes.
    """
    system, path = file_system(address)
    if not is_remote_file(address):
        return RemoteTree(system, path.rstrip("/"), _listing(system, path, address, limits), address)
    with _told(address):
        size = int(system.size(path) or 0)
        with system.open(path, "rb") as stream:
            head = stream.read(512)
    if not archive(head):
        folder, _, name = path.rpartition("/")
        parent = address.rpartition("/")[0]
        return RemoteTree(system, folder, {name: size}, parent)
    copy = ScratchFile(scratch or default_folder(), "fetched")
    try:
        _fetch(system, path, address, copy.stream, limits, size)
        tree = open_local(copy.path)
    except BaseException:
        copy.discard()
        raise
    tree.origin = posixpath.basename(path)
    vars(tree)["_fetched"] = copy  # lives, on the disk, as long as the tree
    return tree


def open_remote_beside(address: str, limits: Limits) -> FileTree:
    """The folder of one remote file; see :func:`flmd.tree.open_beside`."""
    return RemoteFileBesideOthers(address, limits)


def _fetch(system: Any, path: str, address: str, copy: BinaryIO, limits: Limits, size: int) -> None:
    done = 0
    bar = tqdm(desc="fetch", total=size or None, unit="B", unit_scale=True, disable=None)
    with _told(address), system.open(path, "rb") as stream, bar:
        while data := stream.read(CHUNK):
            done += len(data)
            if done > limits.max_total_bytes:
                raise InputError(f"more than {limits.max_total_bytes} bytes", where=address)
            copy.write(data)
            bar.update(len(data))
    if size and done != size:
        raise InputError(f"it ended after {done} of {size} bytes", where=address, hint="try again")
    copy.flush()


def _listing(system: Any, path: str, address: str, limits: Limits) -> dict[str, int]:
    root = path.rstrip("/")
    with _told(address):
        found = system.find(root, detail=True)
    limits.check_members(len(found), address)
    sizes: dict[str, int] = {}
    for full, info in found.items():
        inside = str(full)[len(root) :].lstrip("/") if str(full).startswith(root) else str(full)
        name = member_name(inside, address)
        if name and not is_junk(name):
            sizes[name] = int(info.get("size") or 0)
    return sizes
