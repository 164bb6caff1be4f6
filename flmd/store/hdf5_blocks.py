"""The blocks that an HDF5 file's description consists of, each read once and within bounds.

Source: "HDF5 File Format Specification Version 3.0", III.A-E (B-trees, symbol tables, heaps), IV.A.1 (object
headers of version 1).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

from flmd.store.hdf5_values import DamagedError, unpack

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MOST_BYTES = 64 << 20  # of description that are read of a file; ours have some kilobytes
MOST_LINKS = 10_000  # of a group
_MORE = 16  # the kind of message that says where more messages are
_SOFT = 2


class Bytes:
    """The bytes of a description. ``taken`` : start -> length of what was read. ``size`` : of the file."""

    def __init__(self, stream: BinaryIO) -> None:
        self._descriptor = stream.fileno()
        self.size = os.fstat(self._descriptor).st_size
        self.taken: dict[int, int] = {}
        self._heaps: dict[int, dict[int, bytes]] = {}
        self._left = MOST_BYTES
        if os.pread(self._descriptor, len(SIGNATURE), 0) != SIGNATURE:
            raise DamagedError("not an HDF5 file")

    def take(self, address: int, size: int) -> bytes:
        """Some bytes; DamagedError outside the file, and where they were taken before: a loop."""
        if address + size > self.size:
            raise DamagedError("a part of it lies outside the file")
        if address in self.taken:
            raise DamagedError("a part of it is used twice")
        self._left -= size
        if self._left < 0:
            raise DamagedError(f"a description of more than {MOST_BYTES >> 20} MiB")
        if size:
            self.taken[address] = size
        return os.pread(self._descriptor, size, address)

    def block(self, address: int, signature: bytes, size: int) -> bytes:
        """Some bytes that begin with a signature."""
        data = self.take(address, size)
        if not data.startswith(signature):
            raise DamagedError(f"no {signature.decode('ascii', 'replace')} block where one should be")
        return data

    def text(self, address: int, index: int) -> bytes:
        """An item of a global heap: where texts of any length are."""
        if address not in self._heaps:
            self._heaps[address] = self._heap(address)
        if index not in self._heaps[address]:
            raise DamagedError("a text is not where it should be")
        return self._heaps[address][index]

    def _heap(self, address: int) -> dict[int, bytes]:
        (size,) = unpack("Q", self.block(address, b"GCOL\1", 16), 8)
        data = self.take(address + 16, max(size - 16, 0))
        items: dict[int, bytes] = {}
        at = 0
        while at + 16 <= len(data):
            index, _, _, length = unpack("HHIQ", data, at)
            if index == 0:  # the rest is free
                break
            if index in items or at + 16 + length > len(data):
                raise DamagedError("a heap of texts is in disorder")
            items[index] = data[at + 16 : at + 16 + length]
            at += 16 + -(-length // 8) * 8
        return items


def messages(file: Bytes, address: int) -> Iterator[tuple[int, int, bytes, int]]:
    """Kind, flags, content and the content's offset in the file, of each message in an object's header."""
    version, _, count, _, size = unpack("BBHII", file.take(address, 16))
    if version != 1:
        raise DamagedError("a header of another version than 1")
    blocks = [(address + 16, size)]
    for start, length in blocks:  # grows while it is gone through; a block is taken but once
        data, at = file.take(start, length), 0
        while count and at + 8 <= len(data):
            kind, size, flags = unpack("HHB", data, at)
            content = data[at + 8 : at + 8 + size]
            if len(content) < size:
                raise DamagedError("a header ends early")
            if kind == _MORE:
                blocks.append(unpack("QQ", content))
            yield kind, flags, content, start + at + 8
            at, count = at + 8 + size, count - 1
    if count:
        raise DamagedError(f"a header lacks {count} of its parts")


def links(file: Bytes, tree: int, heap: int) -> dict[str, int]:
    """Name -> address of all that is in a group, given its B-tree and its heap of names.

    DamagedError for a soft link: flmd never writes one.
    """
    size, _, start = unpack("QQQ", file.block(heap, b"HEAP\0", 32), 8)
    names = file.take(start, size)
    found: dict[str, int] = {}
    for leaf in _leaves(file, tree):
        _, _, count = unpack("4sHH", file.block(leaf, b"SNOD\1", 8))
        table = file.take(leaf + 8, 40 * count)
        for row in range(count):
            offset, address, kind = unpack("QQI", table, 40 * row)
            end = names.find(b"\0", offset) if offset < len(names) else -1
            try:
                name = names[offset:end].decode() if end > offset else ""
            except UnicodeDecodeError:
                name = ""
            if not name or "/" in name or name in found:
                raise DamagedError("a name in it is damaged")
            if kind == _SOFT:
                raise DamagedError(f"{name!r} is a soft link")
            found[name] = address
            if len(found) > MOST_LINKS:
                raise DamagedError(f"a group of more than {MOST_LINKS} members")
    return found


def _leaves(file: Bytes, tree: int) -> Iterator[int]:
    """Addresses of the leaves of a group's B-tree."""
    nodes: list[tuple[int, int | None]] = [(tree, None)]
    while nodes:
        address, expected = nodes.pop()
        kind, level, count = unpack("BBH", file.block(address, b"TREE", 24), 4)
        if kind != 0 or expected not in (None, level):
            raise DamagedError("a B-tree is in disorder")
        body = file.take(address + 24, 8 + 16 * count)
        children = unpack("Q" + "QQ" * count, body)[1::2]
        if level == 0:
            yield from children
        else:
            nodes += [(child, level - 1) for child in reversed(children)]
