"""Structure-aware mutation of the binary formats: MATLAB 5 and 7.3, SQLite, and videos.

Changed is what a file says of itself: types, sizes, shapes, names, references, links, tables, columns,
rows, numbers of frames. Each case runs in a child with limits: a library may hang, or take all memory.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
import struct
import tempfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import h5py
import numpy as np

from flmd import formats
from flmd.errors import FlmdError
from flmd.inference.video.video import open_video
from flmd.tree import open_tree
from tests import fuzzing
from tests.siege.damage import overwritten
from tests.siege.guarded import guarded

MAT5 = ("aflw2000", "300w-lp", "cofw68")
COUNTS = (0, 1, 2, 7, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1)
Files = fuzzing.Files


@cache
def _seeds(name: str) -> Files:
    with tempfile.TemporaryDirectory() as folder:
        return fuzzing.own_seeds(name, Path(folder))[0]


def _read(name: str, files: Files) -> str:
    """Read files as a format; "" or what gave way."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "case"
        for file, data in files.items():
            (place / file).parent.mkdir(parents=True, exist_ok=True)
            (place / file).write_bytes(data)
        return fuzzing._read(name, place)


def _case(name: str, rng: random.Random, ending: str, change: Callable[[bytes, random.Random], bytes]) -> str:
    files = dict(_seeds(name))
    victim = rng.choice([file for file in files if file.endswith(ending)])
    files[victim] = change(files[victim], rng)
    what = guarded(lambda: _read(name, files))
    return f"{name}: {what}" if what else ""


def mat5(seed: int, number: int) -> str:
    """A MATLAB 5 file whose elements are changed."""
    rng = random.Random(f"{seed} mat5 {number}")
    return _case(MAT5[number % len(MAT5)], rng, ".mat", _mat5)


def _mat5(data: bytes, rng: random.Random) -> bytes:
    parts = [_unpacked(kind, body) for kind, body in _elements(data[128:])]
    for _ in range(rng.choice((1, 1, 2, 4))):
        at, choice = rng.randrange(len(parts)), rng.randrange(7)
        kind, body = parts[at]
        if choice == 0:
            del parts[at]
        elif choice == 1:
            parts[at:at] = [parts[at]] * rng.choice((1, 2, 300))
        elif choice == 2:  # one variable in another
            parts[at] = kind, body + _tag(*parts[rng.randrange(len(parts))])
        elif choice == 3 and kind == 14:
            parts[at] = kind, _changed_inside(body, rng)
        elif choice == 4 and kind == 14:
            flags = bytearray(body)
            if len(flags) > 8:
                flags[8] = rng.randrange(20)  # class: cell, struct, object, char, sparse, numbers, function
            parts[at] = kind, bytes(flags)
        elif choice == 5:
            parts[at] = (
                15,
                zlib.compress(_tag(kind, body) * rng.choice((1, 2)) + bytes(rng.choice((0, 1 << 24)))),
            )
        else:
            parts[at] = rng.choice((0, 1, 9, 14, 15, 99)), body
        if not parts:
            break
    out = bytearray(data[:128] + b"".join(_tag(*part) for part in parts))
    if rng.randrange(4) == 0 and len(out) > 136:  # a size that lies
        struct.pack_into("<I", out, 132, rng.choice(COUNTS))
    return bytes(out)


def _elements(data: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<II", data, at)
        if kind >> 16:
            kind, size, start, after = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        else:
            start, after = at + 8, at + 8 + size + (0 if kind == 15 else -size % 8)
        found.append((kind, data[start : start + size]))
        at = after
    return found


def _unpacked(kind: int, body: bytes) -> tuple[int, bytes]:
    return _elements(zlib.decompress(body))[0] if kind == 15 else (kind, body)


def _tag(kind: int, body: bytes) -> bytes:
    return struct.pack("<II", kind, len(body)) + body + bytes(0 if kind == 15 else -len(body) % 8)


def _changed_inside(body: bytes, rng: random.Random) -> bytes:
    """Flags, shape, name or values of a variable taken out, repeated, swapped, of another type or count."""
    parts = _elements(body)
    if not parts:
        return body
    at, other, choice = rng.randrange(len(parts)), rng.randrange(len(parts)), rng.randrange(5)
    kind, inside = parts[at]
    if choice == 0:
        del parts[at]
    elif choice == 1:
        parts[at], parts[other] = parts[other], parts[at]
    elif choice == 2:
        parts[at] = rng.randrange(20), inside
    elif choice == 3 and len(inside) >= 4:
        changed = bytearray(inside)
        struct.pack_into("<I", changed, 4 * rng.randrange(len(inside) // 4), rng.choice(COUNTS))
        parts[at] = kind, bytes(changed)
    else:
        parts[at] = kind, inside * rng.choice((0, 2, 50))
    return b"".join(_tag(*part) for part in parts)


def mat7(seed: int, number: int) -> str:
    """COFW's HDF5 whose parts are changed, or bytes of whose description are."""
    return _case("cofw", random.Random(f"{seed} mat7 {number}"), ".mat", _mat7)


def _mat7(data: bytes, rng: random.Random) -> bytes:
    if rng.randrange(2):
        return _description(data, rng)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.mat"
        path.write_bytes(data)
        with (
            h5py.File(path, "r+") as file,
            contextlib.suppress(ValueError, KeyError, RuntimeError, OSError, TypeError, AttributeError),
        ):
            for _ in range(rng.choice((1, 1, 2, 3))):
                _changed_group(file, rng)
        return path.read_bytes()


def _description(data: bytes, rng: random.Random) -> bytes:
    """Bytes near names, headers and tables set to 0, 255 or anything."""
    out = bytearray(data)
    marks = [m for m in (b"MATLAB_", b"TREE", b"HEAP", b"SNOD", b"\x89HDF", b"phis", b"bboxes") if m in data]
    for _ in range(rng.choice((1, 1, 2, 8))):
        mark = rng.choice(marks)
        places = [at for at in range(len(data)) if data.startswith(mark, at)]
        at = min(len(out) - 1, max(0, rng.choice(places) + rng.randrange(-96, 96)))
        out[at] = rng.choice((0, 0, 255, 1, rng.randrange(256)))
    return bytes(out)


def _changed_group(file: h5py.File, rng: random.Random) -> None:
    name = rng.choice([key for key in file if not key.startswith("#")])
    other = rng.choice(list(file))
    choice = rng.randrange(9)
    if any(isinstance(file.get(key, getlink=True), h5py.ExternalLink) for key in (name, other)):
        return  # /dev/zero, which libhdf5 would open here, fail to close, and crash over later
    rows = file[name]
    if choice == 0:
        del file[name]
    elif choice == 1:
        del file[name]
        file[name] = file[other]
    elif choice == 2:
        del file[name]
        file[name] = rng.choice(
            (h5py.SoftLink("/" + name), h5py.ExternalLink("/dev/zero", "/"), h5py.SoftLink("/"))
        )
    elif choice == 3:
        shape = rng.choice(((), (0,), (1,), (87, 0), (87, 1), (4, 2**20), (2**12, 2**12), (3, 3, 3)))
        del file[name]
        file.create_dataset(
            name, shape, rng.choice(("f8", "u1", "S3", "i8", h5py.ref_dtype)), chunks=True if shape else None
        )
    elif choice == 4:
        values = rows[()]
        del file[name]
        options = rng.choice(
            ({"compression": "lzf"}, {"scaleoffset": 2}, {"compression": "gzip", "shuffle": True})
        )
        file.create_dataset(
            name, data=values.astype("f4") if values.dtype.kind == "f" else values, chunks=True, **options
        )
    elif choice == 5:
        del file[name]
        file.create_group(name)
    elif choice == 6 and h5py.check_ref_dtype(rows.dtype) is h5py.Reference:
        rows[...] = rng.choice((file.ref, file[name].ref, file[other].ref, h5py.Reference()))
    elif choice == 7:
        rows.attrs[rng.choice(("MATLAB_empty", "MATLAB_class", "x"))] = rng.choice(
            (np.uint8(1), "cell", np.zeros(5000))
        )
    elif rows.dtype.kind == "f":
        rows[...] = rng.choice((np.nan, np.inf, 1e300, -1e300, 0, 1e39))


def sqlite(seed: int, number: int) -> str:
    """AFLW's data base whose tables, columns, rows or pages are changed."""
    return _case("aflw", random.Random(f"{seed} sqlite {number}"), ".sqlite", _sqlite)


_TABLES = (
    "Faces",
    "FaceImages",
    "FaceRect",
    "FeatureCoords",
    "FeatureCoordTypes",
    "FacePose",
    "FaceMetaData",
)
_VALUES = (
    *("NULL", "-1", "1e999", "-1e999", "9223372036854775807", "''", "'x'", "x'00ff'", "1.5", "'1'"),
    *("'../../etc/passwd'", "zeroblob(5000000)", "hex(zeroblob(400000))", "char(0)"),
)


def _sqlite(data: bytes, rng: random.Random) -> bytes:
    if rng.randrange(4) == 0:
        return overwritten(data, rng.randrange(1 << 30))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.sqlite"
        path.write_bytes(data)
        base = sqlite3.connect(path, isolation_level=None)
        with contextlib.closing(base):
            for _ in range(rng.choice((1, 1, 2, 4))):
                with contextlib.suppress(sqlite3.Error):
                    base.execute(_statement(base, rng))
        return path.read_bytes()


def _statement(base: sqlite3.Connection, rng: random.Random) -> str:
    table = rng.choice(_TABLES)
    columns = [row[1] for row in base.execute(f"PRAGMA table_info({table})")] or ["face_id"]
    column, other, value = rng.choice(columns), rng.choice(columns), rng.choice(_VALUES)
    endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x, x, x, x FROM c"
    return rng.choice(
        (
            f"DROP TABLE {table}",
            f"DELETE FROM {table}",
            f"ALTER TABLE {table} DROP COLUMN {column}",
            f"ALTER TABLE {table} RENAME COLUMN {column} TO y",
            f"ALTER TABLE {table} RENAME TO old; ",
            f"ALTER TABLE {table} ADD COLUMN late AS ({column} || hex(zeroblob(99999)))",
            f"UPDATE {table} SET {column} = {value}",
            f"UPDATE {table} SET {column} = {value} WHERE rowid % 2",
            f"UPDATE {table} SET {column} = {other}",
            f"INSERT INTO {table} SELECT * FROM {table}",
            f"INSERT OR REPLACE INTO {table} ({column}) VALUES ({value})",
            f"CREATE VIEW v AS {endless}",
            f"CREATE TABLE new_{table} AS SELECT * FROM {table}, {table} AS twice, {table} AS thrice",
            "PRAGMA encoding = 'UTF-16'",
            "PRAGMA page_size = 65536",
            "VACUUM",
        )
    )  # fmt: skip


@cache
def _videos() -> dict[str, bytes]:
    """A small video of each container that FFmpeg writes here."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, code in (("a.avi", "MJPG"), ("b.avi", "FFV1"), ("c.mp4", "mp4v"), ("d.mkv", "mp4v")):
            path = Path(folder) / name
            writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*code), 25, (64, 48))
            for number in range(12):
                writer.write(np.random.default_rng(number).integers(0, 255, (48, 64, 3), dtype=np.uint8))
            writer.release()
            if path.is_file() and path.stat().st_size > 1000:
                found[name] = path.read_bytes()
    return found


def video(seed: int, number: int) -> str:
    """A video cut short, or with a header that is damaged or lies of sizes and numbers of frames."""
    rng = random.Random(f"{seed} video {number}")
    name, data = rng.choice(sorted(_videos().items()))
    out = bytearray(data)
    choice = rng.randrange(4)
    if choice == 0:
        out = out[: rng.randrange(len(out))]
    elif choice == 1:
        for _ in range(rng.choice((1, 2, 8, 64))):
            out[rng.randrange(len(out))] = rng.randrange(256)
    else:  # the header, and the index at the end
        for _ in range(rng.choice((1, 1, 2, 4))):
            at = (
                rng.randrange(min(800, len(out) - 4))
                if choice == 2
                else rng.randrange(len(out) - 900, len(out) - 4)
            )
            struct.pack_into(rng.choice("<>") + "I", out, at, rng.choice((*COUNTS, 65535, 100_000)))
    what = guarded(lambda: _watched(name, bytes(out)))
    return f"{name}: {what}" if what else ""


def _watched(name: str, data: bytes) -> str:
    cv2.setNumThreads(0)
    folder = Path(tempfile.mkdtemp())
    try:
        (folder / name).write_bytes(data)
        with open_tree(folder) as tree, open_video(tree, name) as reader:
            for frame in reader:
                if frame.pixels.ndim != 3 or frame.number > 5000:
                    return f"frame {frame.number} of shape {frame.pixels.shape}"
        if reader.broken.count("\n"):
            return f"not one line: {reader.broken}"
    except FlmdError as error:
        return "" if str(error) and "\n" not in str(error) else f"not one line: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:150]!r}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return ""


formats.get("cofw")  # imported once, before children fork
