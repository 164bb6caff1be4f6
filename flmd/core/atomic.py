"""Files and folders that are whole or not there, and scratch space that goes when its process goes.

What is not finished lies in a *place* beside its target: a hidden folder ``.<name>.<number>.tmp`` that holds
a file ``lock``, locked by the owner of the place, and a folder ``new`` with the content. Who needs a place
takes the first number that no living process owns, and empties what a dead one left there.

The lock alone tells whether an owner lives. Its process number does not: numbers are reused, and differ
between containers that share a disk. A file system without locks cannot tell either, so there nothing of
another process is touched.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import re
import shutil
import stat
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Self

UNFINISHED = re.compile(r"\..+\.[0-9]+\.tmp", re.DOTALL)
"""Names of places."""
_LOCK, _NEW, _OLD = "lock", "new", "old"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def whole_or_nothing(target: Path, *, durable: bool = True) -> Iterator[Path]:
    """A free path, named like ``target``, for a file or folder that becomes ``target`` at the end.

    A file replaces a file. The files of a folder are renamed one by one into a folder that is there already,
    at any depth. Whenever the block fails, or its process is killed, what was at ``target`` stays.

    Parameters
    ----------
    durable : put a file on the disk itself before it gets its name, so that it outlives a power cut too.

    Raises
    ------
    OSError : it cannot be written, because the disk is full for one; it names ``target``.
    """
    with naming(target), Scratch(target.parent, _name_of(target)) as scratch:
        new = scratch.folder / _name_of(target)
        yield new
        if durable and new.is_file():
            _sync(new)
        move_onto(new, target)
        if durable:
            sync_folder(target.parent)


class Scratch:
    """An empty folder in ``parent``, on the same disk as what is beside it, for as long as this object lives.

    It is removed at the end of a ``with`` block, by :meth:`discard`, when the object is collected, or at
    exit; that of a killed process by the next one that asks for the same name. A forked child removes
    nothing.

    Attributes
    ----------
    folder : the folder, readable by this user alone.
    """

    def __init__(self, parent: Path, name: str) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        self._place, lock = _claim(parent, name)
        self.folder = self._place / _NEW
        self._finalizer = weakref.finalize(self, _leave, self._place, lock, os.getpid())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def discard(self) -> None:
        """Remove the folder. Does nothing the second time."""
        self._finalizer()

    def replace_folder(self, new: Path, target: Path) -> None:
        """Put a folder that was made here in the place of the one at ``target``, beside which this lies.

        There is a moment without ``target``; a process that is killed then leaves the old folder to the
        next that asks for this scratch folder, which puts it back.
        """
        old = self._place / _OLD / target.name
        old.parent.mkdir()
        try:
            target.rename(old)
            new.rename(target)
        finally:
            _put_back(self._place)


class ScratchFile:
    """A new file in a scratch folder of its own, open for writing as ``stream``; see :class:`Scratch`."""

    def __init__(self, parent: Path, name: str) -> None:
        self._scratch = Scratch(parent, name)
        self.path = self._scratch.folder / name
        self.stream = self.path.open("wb")

    def discard(self) -> None:
        """Delete the file. Does nothing the second time."""
        self._scratch.discard()
        with contextlib.suppress(OSError):  # what was still to be written may not fit on the disk
            self.stream.close()


@contextlib.contextmanager
def naming(target: Path) -> Iterator[None]:
    """Let an OSError name ``target`` instead of what lies unfinished beside it, or of nothing."""
    try:
        yield
    except OSError as error:
        unnamed = error.filename is None and error.errno in _FULL
        if unnamed or str(error.filename).startswith(str(target.parent / f".{_name_of(target)}.")):
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise


def default_folder() -> Path:
    """Where scratch files go when nothing else is said: the system's temporary folder."""
    return Path(tempfile.gettempdir())


def move_onto(source: Path, target: Path) -> None:
    """Rename a file over another, or the files of a folder, at any depth, into one that is there already."""
    if source.is_dir() and not source.is_symlink() and target.is_dir():
        for inside in sorted(source.iterdir()):
            move_onto(inside, target / inside.name)
    else:
        source.replace(target)


def lock_file(path: Path) -> tuple[int, bool]:
    """Open a file for as long as its descriptor is open, making it if need be, and lock it.

    Returns
    -------
    The descriptor, and whether the lock is held: some file systems have none.

    Raises
    ------
    BlockingIOError : another descriptor, of this process or another, holds the lock.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise
        except OSError:
            return descriptor, False
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.lstat()):
                return descriptor, True
        os.close(descriptor)  # its owner renamed or removed it just before it was locked


def _claim(parent: Path, name: str) -> tuple[Path, int]:
    """A place of our own with an empty folder ``new``, and its lock. Places of the dead are removed."""
    places = (parent / f".{name}.{number}.tmp" for number in itertools.count())
    place, lock = next((place, lock) for place in places if (lock := _take(place)) is not None)
    with contextlib.suppress(OSError):
        for left in itertools.takewhile(Path.exists, places):
            other = _take(left)
            if other is not None:
                _leave(left, other, os.getpid())
    return place, lock


def _take(place: Path) -> int | None:
    """The lock on a place, made or emptied; None when it is another's, or nobody can tell."""
    while True:
        made = _make(place)
        try:
            if not made and not _is_ours(place):
                return None
            lock, held = lock_file(place / _LOCK)
        except FileNotFoundError:  # its owner has just left
            continue
        except BlockingIOError:
            return None
        except OSError:
            if not made:
                return None
            place.rmdir()
            raise
        break
    if not held and not made:
        os.close(lock)
        return None
    try:
        _put_back(place)
        shutil.rmtree(place / _NEW, ignore_errors=True)
        (place / _NEW).mkdir()
    except FileExistsError:  # it cannot be emptied
        os.close(lock)
        return None
    except BaseException:
        _leave(place, lock, os.getpid())
        raise
    return lock


def _make(place: Path) -> bool:
    """Whether the folder was made, rather than there already."""
    try:
        place.mkdir(mode=0o700)
    except FileExistsError:
        return False
    return True


def _is_ours(place: Path) -> bool:
    """Whether a place is a folder of this user: in a folder that all may write to, another may set traps."""
    found = place.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _put_back(place: Path) -> None:
    """Undo what :meth:`Scratch.replace_folder` was killed at."""
    old = place / _OLD
    if old.is_dir():
        for path in old.iterdir():
            if not (place.parent / path.name).exists():
                path.rename(place.parent / path.name)
        shutil.rmtree(old, ignore_errors=True)


def _leave(place: Path, lock: int, owner: int) -> None:
    """Remove a place; the lock is let go of last, but for the empty folder, which another may take over."""
    if os.getpid() != owner:
        return
    shutil.rmtree(place / _NEW, ignore_errors=True)
    (place / _LOCK).unlink(missing_ok=True)
    os.close(lock)
    with contextlib.suppress(OSError):  # another process has taken it over
        place.rmdir()


def _name_of(target: Path) -> str:
    return target.name if target.name not in ("", "..") else _NEW


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` outlive a power cut, where the file system can."""
    with contextlib.suppress(OSError):
        _sync(folder)
