"""The small parts of an HDF5 file: types, shapes and values, from the bytes of their messages.

Source: "HDF5 File Format Specification Version 3.0", IV.A.2 (messages). Read is what HDF5's earliest
layout holds of files like ours; anything else is a :class:`Strange` value or a StoreError.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

UNDEFINED = 0xFFFFFFFFFFFFFFFF
VARIABLE = "text of any length"
_FLOATS = {  # class and version, bits of the field, size, offset, precision, exponent, mantissa, bias
    bytes.fromhex("11201f000400000000002000170800177f000000"): "<f4",
    bytes.fromhex("11203f000800000000004000340b0034ff030000"): "<f8",
    bytes.fromhex("11211f000400000000002000170800177f000000"): ">f4",
    bytes.fromhex("11213f000800000000004000340b0034ff030000"): ">f8",
}
_CLASSES = (
    "whole number",
    "floating-point number",
    "time",
    "text",
    "bit field",
    "opaque value",
    "table of several fields",
    "reference",
    "enumeration",
    "list of any length",
    "array",
)


class DamagedError(Exception):
    """Bytes that no HDF5 file has at this place."""


@dataclass(frozen=True)
class Strange:
    """A value, type or place of a kind that flmd never writes. ``what`` : in words."""

    what: str

    def __repr__(self) -> str:
        return self.what


Type = np.dtype[Any] | Strange
Shape = tuple[int, ...] | None
"""None: a null dataspace, which holds nothing."""


def unpack(layout: str, data: bytes, at: int = 0) -> tuple[Any, ...]:
    """``struct.unpack_from``, little-endian; DamagedError when the data end early."""
    try:
        return struct.unpack_from("<" + layout, data, at)
    except struct.error:
        raise DamagedError("a part ends early") from None


def type_of(message: bytes) -> Type:
    """The type in a datatype message."""
    head, low, middle, high, size = unpack("BBBBI", message)
    kind, bits = head & 15, low | middle << 8 | high << 16
    if head >> 4 not in (1, 2, 3):
        raise DamagedError(f"a type of version {head >> 4}")
    if kind == 0:
        order, signed, (first, precision) = bits & 1, bits >> 3 & 1, unpack("HH", message, 8)
        if size in (1, 2, 4, 8) and (first, precision) == (0, 8 * size) and bits & ~9 == 0:
            return np.dtype(f"{'<>'[order]}{'ui'[signed]}{size}")
    elif kind == 1:
        name = _FLOATS.get(bytes([0x11]) + message[1:20])
        if name is not None:
            return np.dtype(name)
    elif kind == 3 and bits & 15 < 2 and bits >> 4 < 2 and 0 < size < 2**31:
        return np.dtype(f"S{size}")
    elif kind == 9 and bits & 15 == 1 and size == 16:
        return Strange(VARIABLE)
    if kind >= len(_CLASSES):
        raise DamagedError(f"a type of class {kind}")
    return Strange(f"a {_CLASSES[kind]} of {size} bytes as flmd never writes it")


def shape_of(message: bytes) -> Shape:
    """The shape in a dataspace message; () is a single value."""
    version, rank, _, kind = unpack("BBBB", message)
    if version not in (1, 2) or rank > 32:
        raise DamagedError(f"a shape of version {version}, rank {rank}")
    if version == 2 and kind == 2:
        return None
    at = 8 if version == 1 else 4
    shape: tuple[int, ...] = unpack(f"{rank}Q", message, at)
    return shape


def attribute(message: bytes, heap: Callable[[int, int], bytes]) -> tuple[str, Any, int]:
    """Name, value, and place of the value in the message, of an attribute message.

    ``heap`` : address and index of a text -> its bytes. The value is an int, a float, a str or Strange.
    """
    version, flags, *sizes = unpack("BBHHH", message)
    if version not in (1, 2, 3):
        raise DamagedError(f"an attribute of version {version}")
    at, parts = 8 + (version == 3), []
    for size in sizes:
        parts.append(message[at : at + size])
        at += -(-size // 8) * 8 if version == 1 else size
    if at > len(message):
        raise DamagedError("an attribute ends early")
    try:
        name = parts[0].split(b"\0")[0].decode()
    except UnicodeDecodeError:
        raise DamagedError("the name of an attribute is not UTF-8") from None
    if version > 1 and flags & 3:
        return name, Strange("of a type that lies elsewhere"), at
    kind, shape = type_of(parts[1]), shape_of(parts[2])
    if shape is None:
        return name, Strange("nothing"), at
    if shape != ():
        return name, Strange(f"an array of shape {shape}"), at
    return name, _value(kind, message[at:], heap), at


def _value(kind: Type, data: bytes, heap: Callable[[int, int], bytes]) -> Any:
    """One value."""
    if isinstance(kind, Strange):
        if kind.what != VARIABLE:
            return kind
        length, address, index = unpack("IQI", data)
        raw = heap(address, index)[:length] if length else b""
        if len(raw) < length:
            raise DamagedError("a text ends early")
    elif len(data) < kind.itemsize:
        raise DamagedError("a value ends early")
    elif kind.kind != "S":
        return np.frombuffer(data, kind, 1)[0].item()
    else:
        raw = data[: kind.itemsize].rstrip(b"\0")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return Strange("text that is not UTF-8")


def contiguous(message: bytes) -> tuple[int, int] | Strange:
    """Address and bytes of the rows, from a layout message; Strange for any but a contiguous layout."""
    version, kind = unpack("BB", message)
    if version == 3 and kind == 1:
        address, size = unpack("QQ", message, 2)
        return address, size
    names = ("inside its description", "one after the other", "in chunks", "in other files (virtual)")
    known = version in (3, 4) and kind < len(names)
    return Strange(names[kind] if known else f"in a layout of version {version}, kind {kind}")
