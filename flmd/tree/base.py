"""What every tree has in common: its names, its reads, and how its files are named in messages."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Literal, Self

from flmd.errors import InputError
from flmd.tree.names import shown

if TYPE_CHECKING:
    from flmd.core.params import DownloadParams

Kind = Literal["folder", "tar", "zip", "file"]

ARCHIVE_FLOOR = 1 << 20  # bytes; what an archive may always expand to, whatever the ratio
MEMBER_FLOOR = 64 << 20  # bytes; the same for one member: a flat bitmap deflates a thousandfold


@dataclass(frozen=True)
class Limits:
    """How far an archive may expand before it is refused as a decompression bomb.

    ``max_total_bytes``: bytes of all members together. ``max_ratio``: uncompressed / compressed bytes.
    Both are asked only where bytes are made that do not lie on the disk already, so a folder or a plain
    tar of any size is fine. ``max_members``: regular files in the tree, of any kind.
    """

    max_total_bytes: int = 20 << 30
    max_ratio: float = 200.0
    max_members: int = 2_000_000

    @classmethod
    def of(cls, download: DownloadParams) -> Self:
        """As section ``download`` of params.yaml says."""
        return cls(int(download.max_total_gib * 2**30), download.max_ratio)

    def check_expansion(self, total: int, packed: int, where: str) -> None:
        """Raise InputError when ``packed`` bytes have become, or claim to become, too many (``total``)."""
        if total <= packed:
            return
        if total > self.max_total_bytes:
            raise InputError(
                f"it expands to more than {self.max_total_bytes} bytes",
                where=where,
                expected="an archive of a data set, not a decompression bomb",
                hint="unpack it yourself and name the folder if you trust it",
            )
        self.check_ratio(total, packed, where, ARCHIVE_FLOOR)

    def check_ratio(self, total: int, packed: int, where: str, floor: int) -> None:
        """Raise InputError when ``total`` is above ``floor`` and more than ``max_ratio`` times ``packed``."""
        if total > floor and total > self.max_ratio * packed:
            raise InputError(
                f"{packed} compressed bytes expand to {total} or more",
                where=where,
                expected=f"a ratio of at most {self.max_ratio:g} (a decompression bomb?)",
                hint="unpack it yourself and name the folder if you trust it",
            )

    def check_members(self, count: int, where: str) -> None:
        """Raise InputError when a tree has more than ``max_members`` files."""
        if count > self.max_members:
            raise InputError(f"it holds more than {self.max_members} files", where=where)


DEFAULT_LIMITS = Limits()


class FileTree(ABC):
    """A read-only view over the files of a folder, an archive, or one file.

    Pickling carries the path and the index; each process opens its own handle on its first read.
    Reads may run in any number of threads at once. Use it as a context manager, or call :meth:`close`.

    Attributes
    ----------
    names : sorted relative POSIX paths of the regular files, junk such as ``__MACOSX/`` left out.
        Bytes of a name that are not UTF-8 are kept as surrogate escapes.
    origin : how messages name the tree: ``faces.zip``, or a folder's path.
    kind : ``folder``, ``tar``, ``zip`` or ``file``.
    passed_over : what is not in ``names`` though it lies there, with the error that reading it raises:
        symbolic links that leave a folder or lead nowhere. Anything below such a link counts as there.
    """

    kind: Kind

    def __init__(self, origin: str, index: Mapping[str, object]) -> None:
        self.origin = origin
        self.names: list[str] = sorted(index)
        self.passed_over: dict[str, InputError] = {}
        self._index = index

    def all_names(self) -> Sequence[str]:
        """``names``, and of a tree that lists one folder only, what lies in the folders below, too."""
        return self.names

    def only(self, names: Iterable[str]) -> Self:
        """A view of some of the files; it shares the handles of this tree, and is not closed."""
        view = copy.copy(self)
        view.names = sorted(names)
        view._index = dict.fromkeys(view.names)
        return view

    @abstractmethod
    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        """Bytes ``start`` to ``start + size`` of a file, clipped at its end; to the end without ``size``.

        Raises InputError when the file is not in the tree, cannot be read, or is corrupt. The checksum
        of a zip member is verified whenever the read begins at 0 and reaches the end.
        """

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """A seekable stream over one file, with a position of its own. Raises as :meth:`read` does."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Bytes in one file, uncompressed. Raises InputError when it is not in the tree."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file handle and of any unpacked copy. Reading afterwards is a ValueError."""

    def name_in(self, other: FileTree, name: str) -> str | None:
        """The name in ``other`` of a file of this tree, where it is one file on the disk; None elsewhere."""
        return None

    def where(self, name: str) -> str:
        """A file as messages name it: ``faces.zip!helen/x.jpg``, or its plain path outside archives."""
        return f"{self.origin}!{shown(name)}"

    def __contains__(self, name: object) -> bool:
        return name in self._index or self._refusal(name) is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{self.kind} tree {self.origin}: {len(self.names)} files>"

    def _refusal(self, name: object) -> InputError | None:
        """The error of what was passed over: a link, or what lies below it."""
        if not self.passed_over or not isinstance(name, str):
            return None
        parts = name.split("/")
        paths = ("/".join(parts[: end + 1]) for end in range(len(parts)))
        return next((self.passed_over[path] for path in paths if path in self.passed_over), None)

    def _missing(self, name: str) -> InputError:
        return InputError("no such file", where=self.where(name), expected=f"one of {len(self.names)} names")


def clip(start: int, size: int | None, total: int) -> tuple[int, int]:
    """The (start, end) of a read, clipped to ``total`` bytes; ValueError when either is negative."""
    if start < 0 or (size is not None and size < 0):
        raise ValueError(f"start and size must be 0 or more, got {start} and {size}")
    start = min(start, total)
    return start, total if size is None else min(total, start + size)
