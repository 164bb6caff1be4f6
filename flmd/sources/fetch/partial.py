"""A download that is not whole yet: its bytes, and what is needed to go on with it another day."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from flmd.core.atomic import lock_file, sync_folder, whole_or_nothing
from flmd.errors import SourceError

LONGEST_WAIT = 60.0  # seconds between two attempts, whatever a server asks for


@dataclass(frozen=True)
class Version:
    """Which bytes an address serves: a strong ETag or a date that changes when they do, and how many.

    ``validator`` is None when the server gives nothing to tell versions apart by, ``total`` when it does
    not say how long the body is.
    """

    address: str
    validator: str | None = None
    total: int | None = None


class Transient(Exception):  # noqa: N818  # never seen by users
    """An attempt that failed in a way worth another; ``wait`` is what the server asked for, in seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class PartFile:
    """``<name>.part`` in ``folder`` with a ``<name>.part.json`` that says which version it belongs to.

    The lock on it is held until :meth:`close`; SourceError when another process holds it. Every append
    reaches the operating system at once, so a killed process loses nothing.
    """

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{name}.part"
        self._notes = folder / f"{name}.part.json"
        self._fd = _lock(self.path)
        self.version = self._read_notes()

    @property
    def size(self) -> int:
        """Bytes had so far."""
        return os.fstat(self._fd).st_size

    @property
    def whole(self) -> bool:
        """Whether every byte that was announced is here."""
        return self.version is not None and self.version.total is not None and self.size == self.version.total

    def restart(self, version: Version) -> None:
        """Throw away what is there and begin to collect ``version``."""
        os.ftruncate(self._fd, 0)  # first: the old bytes must never stand under the new notes
        with whole_or_nothing(self._notes) as notes:
            notes.write_text(json.dumps(asdict(version), sort_keys=True), encoding="utf-8")
        self.version = version

    def append(self, data: bytes) -> None:
        """Add bytes at the end. OSError names the file when the disk is full."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.pwrite(self._fd, view, self.size) :]
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def sync(self) -> None:
        """Put the bytes on the disk itself."""
        os.fsync(self._fd)

    def forget(self) -> None:
        """Delete the bytes and the notes."""
        self.path.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)

    def move_to(self, target: Path) -> None:
        """Rename over ``target``; across disks, copy beside it first."""
        os.fchmod(self._fd, 0o644)
        self.sync()
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.parent.stat().st_dev == self.path.parent.stat().st_dev:
            self.path.replace(target)
            sync_folder(target.parent)
        else:
            copy_whole(self.path, target)
        self.forget()

    def close(self) -> None:
        """Release the lock; what was collected stays."""
        os.close(self._fd)

    def _read_notes(self) -> Version | None:
        try:
            data = json.loads(self._notes.read_text("utf-8"))
            version = Version(data["address"], data["validator"], data["total"])
        except (OSError, ValueError, KeyError, TypeError):
            return None  # without notes the bytes could be of anything
        return version if isinstance(version.total, int | None) else None


def copy_whole(source: Path, target: Path, each: Callable[[bytes], object] = len) -> None:
    """Copy a file to ``target``, which appears only when whole; ``each`` is called with every piece."""
    with whole_or_nothing(target) as new, source.open("rb") as stream, new.open("wb") as copy:
        while piece := stream.read(1 << 20):
            copy.write(piece)
            each(piece)


def persist(
    attempt: Callable[[], None], part: PartFile, *, address: str, retries: int, backoff: float
) -> None:
    """Call ``attempt`` until it returns, at most ``retries`` times more, waiting longer each time.

    The waits are ``backoff`` x 1, 2, 4, ... seconds or what the server asked for, never above
    ``LONGEST_WAIT``. Raises SourceError with the last reason when all have failed.
    """
    for failures in range(retries + 1):
        try:
            attempt()
        except Transient as problem:
            if failures == retries:
                had = f"; {part.size} bytes are kept" if part.size else ""
                raise SourceError(
                    f"{problem} (attempt {failures + 1} of {retries + 1}){had}",
                    where=address,
                    hint="check the network and run again: the download goes on where it stopped",
                ) from problem
            time.sleep(min(LONGEST_WAIT, max(problem.wait, backoff * 2**failures)))
        else:
            return


def _lock(path: Path) -> int:
    try:
        return lock_file(path)[0]
    except BlockingIOError:
        raise SourceError(
            "another process is downloading this file",
            where=str(path),
            hint="wait for it, or end it and run again",
        ) from None
