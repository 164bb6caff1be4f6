"""One file read at given offsets by any number of threads, and views on it that look like files."""

from __future__ import annotations

import errno
import io
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from flmd.errors import InputError, os_error_message

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class ByteRange(Protocol):
    """What the headers of an archive are read from: bytes at given offsets."""

    origin: str

    @property
    def size(self) -> int:
        """Bytes in all."""

    def pread(self, size: int, offset: int) -> bytes:
        """``size`` bytes at ``offset``; fewer only at the end. Raises InputError."""


class SharedFile:
    """A file opened on first use and read with ``pread``, so that no position is ever shared.

    Pickling carries the path with size and modification time; a process that opens it later is told
    when the file is no longer the one that was indexed.
    """

    def __init__(self, path: Path, origin: str) -> None:
        self.path = path.absolute()  # a worker may run in another folder
        self.origin = origin
        self._stamp: tuple[int, int] | None = None
        self._fd: int | None = None
        self._closed = False
        self._opening = threading.Lock()
        self._descriptor()

    @property
    def size(self) -> int:
        """Bytes in the file when it was first opened."""
        assert self._stamp is not None
        return self._stamp[0]

    def pread(self, size: int, offset: int) -> bytes:
        """``size`` bytes at ``offset``; fewer only where the file ends. Raises InputError."""
        fd = self._descriptor()
        try:
            data = os.pread(fd, size, offset)
            if len(data) == size or not data:
                return data
            pieces = [data]  # the kernel returns at most 2 GiB at once
            done = len(data)
            while done < size and (data := os.pread(fd, size - done, offset + done)):
                pieces.append(data)
                done += len(data)
        except OSError as error:
            raise InputError(os_error_message(error), where=self.origin) from error
        return b"".join(pieces)

    def close(self) -> None:
        """Close the handle; reading afterwards is a ValueError."""
        self._closed = True
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _descriptor(self) -> int:
        fd = self._fd
        if fd is not None:
            return fd
        with self._opening:
            if self._closed:
                raise ValueError(f"{self.origin} is closed")
            if self._fd is None:
                self._fd = self._open()
            return self._fd

    def _open(self) -> int:
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise InputError(os_error_message(error)) from error
        found = os.fstat(fd)
        stamp = (found.st_size, found.st_mtime_ns)
        if self._stamp not in (None, stamp):
            os.close(fd)
            raise InputError("the file changed while it was in use", where=self.origin, hint="run again")
        self._stamp = stamp
        return fd

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path, "origin": self.origin, "_stamp": self._stamp}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state, _fd=None, _closed=False, _opening=threading.Lock())

    def __del__(self) -> None:
        if getattr(self, "_fd", None) is not None:
            self.close()


class SeekableRaw(io.RawIOBase):
    """The positions of a read-only stream of known length; a subclass supplies ``readinto``."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, f"negative seek position {base + offset}")
        self._at = base + offset
        return self._at


class Region(SeekableRaw):
    """Bytes ``offset`` to ``offset + length`` of a shared file, as a stream of its own."""

    def __init__(self, file: SharedFile, offset: int, length: int, where: str) -> None:
        super().__init__(length)
        self._file, self._offset, self._where = file, offset, where

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        wanted = max(0, min(len(view), self._length - self._at))
        data = self._file.pread(wanted, self._offset + self._at) if wanted else b""
        if len(data) < wanted:
            raise InputError("the archive ends inside this file: it is truncated", where=self._where)
        view[:wanted] = data
        self._at += wanted
        return wanted


class HeaderView(SeekableRaw):
    """A file as ``tarfile`` and ``zipfile`` want it while they read headers, and nothing else.

    One read may ask for at most ``max_read`` bytes: a header that claims gigabytes is an attack or damage.
    """

    def __init__(self, file: ByteRange, max_read: int) -> None:
        super().__init__(file.size)
        self._file, self._max_read = file, max_read

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self._length - self._at)
        size = left if size is None else size
        if size < 0 and left <= self._max_read:
            size = left
        if not 0 <= size <= self._max_read:
            raise InputError(f"the archive is corrupt: a header claims {size} bytes", where=self._file.origin)
        data = self._file.pread(size, self._at)
        self._at += len(data)
        return data
