"""Temporary files that never outlive their process for long: named by pid, locked while in use."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import secrets
import tempfile
import weakref
from pathlib import Path


class ScratchFile:
    """A new file ``.<stem>.<pid>.<token>.tmp`` in ``folder``, open for writing as ``stream``.

    It is deleted by :meth:`discard`, when collected, or at exit; :meth:`keep_as` renames it into place.
    A killed process deletes nothing, so each new scratch file first removes those of the same stem whose
    owner is gone. That is told by a lock and not by the pid alone: pids are reused, and differ between
    containers that share a disk.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        sweep(folder, stem)
        self.path, fd = _create(folder, stem)
        self.stream = os.fdopen(fd, "wb")
        self._finalizer = weakref.finalize(self, _remove, self.path, os.getpid())

    def discard(self) -> None:
        """Delete the file. Does nothing in a forked child, or the second time."""
        self._finalizer()
        with contextlib.suppress(OSError):  # what was still to be written may not fit on the disk
            self.stream.close()

    def keep_as(self, target: Path) -> None:
        """Flush to the disk, then rename over ``target``: there is the old file or the whole new one."""
        self.stream.flush()
        os.fchmod(self.stream.fileno(), 0o666 & ~_umask())
        os.fsync(self.stream.fileno())
        self.path.replace(target)
        self._finalizer.detach()
        self.stream.close()
        sync_folder(target.parent)


def sweep(folder: Path, stem: str) -> None:
    """Delete scratch files of ``stem`` whose owner is dead; leave what cannot be told."""
    for path in folder.glob(f".{glob.escape(stem)}.*.tmp"):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except OSError:
            pass
        finally:
            os.close(fd)


def default_folder() -> Path:
    """Where scratch files go when nothing else is said: the system's temporary folder."""
    return Path(tempfile.gettempdir())


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` survive a power cut."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def still_named(fd: int, path: Path) -> bool:
    """Whether ``path`` still names the open file: it may have been renamed before it was locked."""
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False


def _create(folder: Path, stem: str) -> tuple[Path, int]:
    while True:
        path = folder / f".{stem}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # another process is sweeping it away
            os.close(fd)
            continue
        except OSError:  # a file system without locks: nobody can sweep there either
            return path, fd
        if still_named(fd, path):
            return path, fd
        os.close(fd)


def _remove(path: Path, owner: int) -> None:
    if os.getpid() == owner:
        path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
