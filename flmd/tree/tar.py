"""A tar, plain or compressed, as a tree. A compressed one is unpacked once into a scratch file."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from tqdm import tqdm

from flmd.core.atomic import ScratchFile, default_folder
from flmd.errors import InputError, one_line
from flmd.tree.base import DEFAULT_LIMITS, FileTree, Limits, clip
from flmd.tree.handle import ByteRange, HeaderView, Region, SharedFile
from flmd.tree.names import is_junk, member_name, refuse, shown

BLOCK = 512
MAX_HEADER = 1 << 20  # bytes of one pax or long-name header; real ones have hundreds
TAIL = 1 << 20
GNU_NOTES = (b"D", b"V")  # a listing of a folder, a label of the volume
CORRUPT = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


class TarTree(FileTree):
    """Members of a plain tar, read by offset. ``unpacked`` is the copy of a compressed one."""

    kind = "tar"

    def __init__(
        self, origin: str, file: SharedFile, index: dict[str, tuple[int, int]], unpacked: ScratchFile | None
    ) -> None:
        super().__init__(origin, index)
        self._file, self._entries, self._unpacked = file, index, unpacked

    def size(self, name: str) -> int:
        return self._entry(name)[1]

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        offset, length = self._entry(name)
        first, end = clip(start, size, length)
        data = self._file.pread(end - first, offset + first)
        if len(data) < end - first:
            raise InputError("the archive ends inside this file: it is truncated", where=self.where(name))
        return data

    def open(self, name: str) -> BinaryIO:
        offset, length = self._entry(name)
        return io.BufferedReader(Region(self._file, offset, length, self.where(name)), 1 << 16)

    def close(self) -> None:
        self._file.close()
        if self._unpacked is not None:
            self._unpacked.discard()
            self._unpacked = None

    def _entry(self, name: str) -> tuple[int, int]:
        try:
            return self._entries[name]
        except KeyError:
            raise self._missing(name) from None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_unpacked": None}  # the process that unpacked it is the one that deletes it


def is_tar(block: bytes) -> bool:
    """Whether the first 512 bytes of a file are a tar header, or the end mark of an empty tar."""
    if len(block) < BLOCK:
        return False
    if block[257:262] == b"ustar" or block == bytes(BLOCK):
        return True
    try:  # tars from before POSIX have no magic, but every header carries its checksum
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True


def open_tar(path: Path, limits: Limits) -> TarTree:
    """Index a plain tar. Raises InputError when it is damaged or holds what a tree refuses."""
    origin = shown(path.name)
    file = SharedFile(path, origin)
    return TarTree(origin, file, _index(file, limits), None)


def open_compressed_tar(path: Path, codec: str, limits: Limits, scratch: Path | None) -> TarTree:
    """Unpack a gzip, bzip2 or xz file into ``scratch`` and index the tar in it. Raises InputError."""
    origin = shown(path.name)
    folder = scratch or default_folder()
    folder.mkdir(parents=True, exist_ok=True)
    unpacked = ScratchFile(folder, "flmd-unpacked")
    try:
        _unpack(path, codec, limits, unpacked)
        file = SharedFile(unpacked.path, origin)
        return TarTree(origin, file, _index(file, limits), unpacked)
    except BaseException:
        unpacked.discard()
        raise


def _unpack(path: Path, codec: str, limits: Limits, unpacked: ScratchFile) -> None:
    origin = shown(path.name)
    total = 0
    size = path.stat().st_size
    bar = tqdm(
        total=size, desc=f"unpacking {origin}", unit="B", unit_scale=True, disable=None, leave=False, delay=1
    )
    with path.open("rb") as raw, bar:
        stream = _decoder(codec, raw)
        while chunk := _decode(stream, codec, origin):
            if total == 0 and not is_tar(chunk[:BLOCK]):
                raise InputError(
                    f"{codec} data without a tar inside", where=origin, hint="unpack it and name the file"
                )
            total += len(chunk)
            limits.check_expansion(total, raw.tell(), origin)
            try:
                unpacked.stream.write(chunk)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(unpacked.path)) from error
            bar.update(raw.tell() - bar.n)
        if total == 0:
            raise InputError(f"{codec} data with nothing inside", where=origin)
        unpacked.stream.flush()


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _decoder(codec: str, raw: BinaryIO) -> _Readable:
    if codec == "gzip":
        return gzip.GzipFile(fileobj=raw, mode="rb")
    if codec == "bzip2":
        return bz2.BZ2File(raw)
    return lzma.LZMAFile(raw)


def _decode(stream: _Readable, codec: str, origin: str) -> bytes:
    try:
        return stream.read(1 << 20)
    except CORRUPT as error:
        reason = str(error)
    except OSError as error:
        if error.errno is not None:  # the disk failed; bz2 reports damage as an OSError without a number
            raise
        reason = str(error)
    raise InputError(
        f"the {codec} data is truncated or corrupt ({reason})", where=origin, hint="fetch it again"
    )


class _InnerFile:
    """A file of a tree, as headers are read from it."""

    def __init__(self, tree: FileTree, name: str) -> None:
        self.origin = tree.where(name)
        self._tree, self._name, self._size = tree, name, tree.size(name)

    @property
    def size(self) -> int:
        return self._size

    def pread(self, size: int, offset: int) -> bytes:
        return self._tree.read(self._name, offset, size)


def members_in(tree: FileTree, name: str, limits: Limits = DEFAULT_LIMITS) -> dict[str, tuple[int, int]]:
    """Where each regular file lies in a plain tar that is a file of a tree: name -> (offset, bytes).

    In the order in which they lie there. Raises InputError when it is no tar, damaged, or holds what a tree
    refuses.
    """
    if not is_tar(tree.read(name, 0, BLOCK)):
        raise InputError("not a tar archive", where=tree.where(name))
    return _index(_InnerFile(tree, name), limits)


def _index(file: ByteRange, limits: Limits) -> dict[str, tuple[int, int]]:
    """Where each regular file lies: name -> (offset, bytes)."""
    index: dict[str, tuple[int, int]] = {}
    for member in _members(file):
        _add(index, member, file, limits)
    return index


def _members(file: ByteRange) -> Iterator[tarfile.TarInfo]:
    """Every header, to the end mark and not beyond. Raises InputError."""
    tar: tarfile.TarFile | None = None
    before = -1
    while True:
        try:
            if tar is None:
                view = HeaderView(file, MAX_HEADER)
                tar = tarfile.TarFile(fileobj=view, encoding="utf-8", errors="surrogateescape")
            member = tar.next()
        except InputError:
            raise
        except Exception as error:  # on hostile headers tarfile raises nearly anything
            raise _damaged(file, one_line(error)) from error
        if member is None:
            break
        if tar.offset <= before or member.size < 0:  # tarfile itself would go round for ever
            raise _damaged(file, "a header leads backwards")
        before = tar.offset
        tar.members = []  # type: ignore[attr-defined]  # it would keep every header
        yield member
    _check_end(file, tar.offset)


def _add(index: dict[str, tuple[int, int]], member: tarfile.TarInfo, file: ByteRange, limits: Limits) -> None:
    name = member_name(member.name, file.origin)
    if not name or member.isdir() or member.type in GNU_NOTES or is_junk(name):
        return
    if kind := _special(member):
        raise refuse(member.name, file.origin, f"it is {kind}", expected="regular files and folders only")
    if name in index:
        raise refuse(name, file.origin, "the name occurs twice", expected="one member of each name")
    if member.offset_data + member.size > file.size:
        raise refuse(name, file.origin, "the archive ends inside this file: it is truncated")
    index[name] = (member.offset_data, member.size)
    limits.check_members(len(index), file.origin)


def _special(member: tarfile.TarInfo) -> str | None:
    if member.issym():
        return f"a symbolic link to {shown(member.linkname)}"
    if member.islnk():
        return f"a hard link to {shown(member.linkname)}"
    if member.ischr() or member.isblk():
        return "a device"
    if member.isfifo():
        return "a fifo"
    if member.issparse():
        return "a sparse file"
    return "a part of another volume" if member.type == b"M" else None


def _check_end(file: ByteRange, end: int) -> None:
    """Refuse a tar that stops without its mark, or goes on after it: members would be missing unsaid.

    ``tarfile`` takes a damaged header, a hole of zeros or the end of the file for the end of the archive.
    """
    mark = file.pread(BLOCK, end)
    if not mark:
        raise _damaged(file, "no end mark")
    if mark != bytes(BLOCK):
        raise _damaged(file, f"no valid header at byte {end}")
    tail = max(end, file.size - TAIL)
    if any(file.pread(TAIL, end)) or any(file.pread(TAIL, tail)):
        raise _damaged(file, f"data after the end mark at byte {end}")


def _damaged(file: ByteRange, reason: str) -> InputError:
    return InputError(
        f"the tar archive is truncated or corrupt ({reason})",
        where=file.origin,
        hint="fetch or make it again",
    )
