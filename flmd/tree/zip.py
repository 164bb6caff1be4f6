"""A zip as a tree: indexed once through ``zipfile``, members read by offset and inflated here."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from flmd.errors import InputError, one_line
from flmd.tree.base import MEMBER_FLOOR, FileTree, Limits, clip
from flmd.tree.handle import HeaderView, SeekableRaw, SharedFile
from flmd.tree.names import is_junk, member_name, refuse, shown

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LOCAL_HEADER = struct.Struct("<4s5H3L2H")
METHODS = {9: "deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "xz"}
CHUNK = 1 << 20  # compressed bytes read at once
DIRECTORY_BYTES_PER_MEMBER = 512


class Entry(NamedTuple):
    """One member: where its local header is, its bytes packed and unpacked, CRC-32, and method."""

    header: int
    packed: int
    size: int
    crc: int
    method: int


class ZipTree(FileTree):
    """Members of a zip, stored or deflated. No reader shares a position with another."""

    kind = "zip"

    def __init__(self, origin: str, file: SharedFile, index: dict[str, Entry]) -> None:
        super().__init__(origin, index)
        self._file, self._entries = file, index

    def size(self, name: str) -> int:
        return self._entry(name).size

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        entry = self._entry(name)
        first, end = clip(start, size, entry.size)
        offset = self._data_offset(name, entry)
        if entry.method == zipfile.ZIP_STORED and (first, end) != (0, entry.size):
            return self._packed(name, offset + first, end - first)
        pieces: list[bytes] = []
        at = 0
        for chunk in self._contents(name, entry, offset, end):
            if at + len(chunk) > first:
                pieces.append(chunk[max(0, first - at) : end - at])
            at += len(chunk)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def open(self, name: str) -> BinaryIO:
        return io.BufferedReader(MemberStream(self, name), 1 << 16)

    def close(self) -> None:
        self._file.close()

    def contents(self, name: str) -> Iterator[bytes]:
        """The bytes of a member in pieces; raises InputError in the middle when it proves damaged."""
        entry = self._entry(name)
        return self._contents(name, entry, self._data_offset(name, entry), entry.size)

    def _contents(self, name: str, entry: Entry, offset: int, end: int) -> Iterator[bytes]:
        """Bytes 0 to ``end``, with size and CRC verified when that is the whole member."""
        crc = made = 0
        chunks = self._compressed(name, entry, offset)
        if entry.method != zipfile.ZIP_STORED:
            chunks = self._inflated(name, chunks, min(end + 1, 4 * CHUNK))
        for chunk in chunks:
            made += len(chunk)
            if made > entry.size:
                raise self._damaged(name, f"it inflates to more than the {entry.size} bytes it declares")
            crc = zlib.crc32(chunk, crc)
            yield chunk
            if made >= end and end < entry.size:
                return
        if made < entry.size:
            raise self._damaged(name, f"it holds {made} bytes and declares {entry.size}")
        if crc != entry.crc:
            raise self._damaged(name, f"its CRC-32 is {crc:08x} and should be {entry.crc:08x}")

    def _inflated(self, name: str, chunks: Iterator[bytes], most: int) -> Iterator[bytes]:
        """Raw deflate data unpacked, at most ``most`` bytes at a time."""
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            for chunk in chunks:
                data = chunk
                while data and not inflater.eof:
                    if piece := inflater.decompress(data, most):
                        yield piece
                    data = inflater.unconsumed_tail
            while not inflater.eof and (piece := inflater.decompress(b"", most)):
                yield piece
        except zlib.error as error:
            raise self._damaged(name, str(error)) from error

    def _compressed(self, name: str, entry: Entry, offset: int) -> Iterator[bytes]:
        for at in range(0, entry.packed, CHUNK):
            yield self._packed(name, offset + at, min(CHUNK, entry.packed - at))

    def _packed(self, name: str, offset: int, size: int) -> bytes:
        data = self._file.pread(size, offset)
        if len(data) < size:
            raise self._damaged(name, "the archive ends inside it")
        return data

    def _data_offset(self, name: str, entry: Entry) -> int:
        header = self._file.pread(LOCAL_HEADER.size, entry.header)
        if len(header) < LOCAL_HEADER.size or not header.startswith(b"PK\3\4"):
            raise self._damaged(name, f"no local header at byte {entry.header}")
        *_, name_length, extra_length = LOCAL_HEADER.unpack(header)
        return int(entry.header + LOCAL_HEADER.size + name_length + extra_length)

    def _entry(self, name: str) -> Entry:
        try:
            return self._entries[name]
        except KeyError:
            raise self._missing(name) from None

    def _damaged(self, name: str, reason: str) -> InputError:
        return InputError(
            f"the member is truncated or corrupt: {reason}", where=self.where(name), hint="fetch it again"
        )


class MemberStream(SeekableRaw):
    """A member as a seekable stream. Going back means inflating again from its beginning."""

    def __init__(self, tree: ZipTree, name: str) -> None:
        super().__init__(tree.size(name))
        self._tree, self._name = tree, name
        self._restart()

    def _restart(self) -> None:
        self._chunks = self._tree.contents(self._name)
        self._chunk = b""
        self._chunk_start = 0

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        if self._at < self._chunk_start:
            self._restart()
        while self._at >= self._chunk_start + len(self._chunk):
            self._chunk_start += len(self._chunk)
            try:
                self._chunk = next(self._chunks)
            except StopIteration:
                self._chunk = b""
                return 0
        within = self._at - self._chunk_start
        count = min(len(view), len(self._chunk) - within)
        view[:count] = self._chunk[within : within + count]
        self._at += count
        return count


def open_zip(path: Path, limits: Limits) -> ZipTree:
    """Index a zip. Raises InputError when it is damaged or holds what a tree refuses."""
    origin = shown(path.name)
    file = SharedFile(path, origin)
    view = HeaderView(file, max(1 << 17, limits.max_members * DIRECTORY_BYTES_PER_MEMBER))
    try:
        with zipfile.ZipFile(view) as archive:
            infos = archive.infolist()
    except InputError:
        raise
    except Exception as error:  # on hostile directories zipfile raises nearly anything
        raise InputError(
            f"the zip archive is truncated or corrupt ({one_line(error)})",
            where=origin,
            hint="fetch or make it again",
        ) from error
    limits.check_expansion(sum(info.file_size for info in infos), file.size, origin)
    index: dict[str, Entry] = {}
    for info in infos:
        _add(index, info, file, limits)
    return ZipTree(origin, file, index)


def _add(index: dict[str, Entry], info: zipfile.ZipInfo, file: SharedFile, limits: Limits) -> None:
    raw = _decoded(info).replace("\\", "/")
    name = member_name(raw, file.origin)
    if raw.endswith("/") or is_junk(name):
        return
    if reason := _refused(info):
        raise refuse(raw, file.origin, reason, expected="plain files, stored or deflated")
    if not name:
        raise refuse(raw, file.origin, "a member without a name")
    if name in index:
        raise refuse(raw, file.origin, "the name occurs twice", expected="one member of each name")
    if info.header_offset < 0 or info.header_offset + info.compress_size > file.size:
        raise refuse(raw, file.origin, "the archive ends inside this file: it is truncated")
    limits.check_ratio(info.file_size, info.compress_size, f"{file.origin}!{shown(name)}", MEMBER_FLOOR)
    index[name] = Entry(info.header_offset, info.compress_size, info.file_size, info.CRC, info.compress_type)
    limits.check_members(len(index), file.origin)


def _decoded(info: zipfile.ZipInfo) -> str:
    """The member's name. Many tools write UTF-8 without setting the flag that says so."""
    if info.flag_bits & 0x800:
        return info.orig_filename
    try:
        return info.orig_filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.orig_filename


def _refused(info: zipfile.ZipInfo) -> str | None:
    if info.flag_bits & 0x2041:  # traditional, strong, and masked-directory encryption
        return "it is encrypted"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "it is a symbolic link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "it is a device, fifo or socket"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        method = METHODS.get(info.compress_type, f"method {info.compress_type}")
        return f"it is compressed with {method}"
    return None
