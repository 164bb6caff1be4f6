"""Columns of faces on disk, appended block by block: how a conversion of any size keeps its memory flat."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.face import Attribute, Face
from flmd.store.values import attributes_of

NO_BOX = np.full(4, np.nan, np.float32)
NUMBERS = ("landmarks", "visibility", "box", "image_size")
TEXTS = ("image", "subject", "split", "subset", "dataset", "box_source", "attributes")


class Column:
    """Rows of one dtype and shape in one file; rows are appended, then read back by index."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: str) -> None:
        self._file = path.open("wb+")
        self._path, self._shape, self._dtype = path, shape, np.dtype(dtype)
        self._map: NDArray[Any] = np.empty((0, *shape), self._dtype)
        self.count = 0

    def append(self, rows: NDArray[Any]) -> None:
        """Add (n, *shape) rows."""
        rows = np.ascontiguousarray(rows, dtype=self._dtype).reshape(-1, *self._shape)
        self._file.write(rows.tobytes())
        self.count += len(rows)

    def rows(self) -> NDArray[Any]:
        """All rows so far, as a read-only memory map."""
        if len(self._map) != self.count:
            self._file.flush()
            # As a plain array: every slice of a np.memmap object costs microseconds more.
            self._map = np.asarray(np.memmap(self._path, self._dtype, "r", 0, (self.count, *self._shape)))
        return self._map

    def close(self) -> None:
        """Close the file; it stays on disk until its folder is removed."""
        self._file.close()


class TextColumn:
    """Texts in one file, found by their offsets."""

    def __init__(self, folder: Path, name: str) -> None:
        self._bytes = Column(folder / f"{name}.text", (), "u1")
        self._ends = Column(folder / f"{name}.ends", (), "i8")
        self.width = 0

    def append(self, texts: list[str]) -> None:
        """Add texts."""
        encoded = [t.encode("utf-8", "surrogateescape") for t in texts]
        lengths = np.array([len(e) for e in encoded], dtype=np.int64)
        self._ends.append(self._bytes.count + np.cumsum(lengths))
        self._bytes.append(np.frombuffer(b"".join(encoded), np.uint8))
        self.width = max(self.width, int(lengths.max(initial=0)))

    def texts(self, start: int, stop: int) -> list[str]:
        """The texts of rows start ... stop - 1."""
        ends = self._ends.rows()
        begin = int(ends[start - 1]) if start else 0
        last = int(ends[stop - 1]) if stop else 0
        raw = self._bytes.rows()[begin:last].tobytes()
        edges = [begin, *ends[start:stop].tolist()]
        return [
            raw[a - begin : b - begin].decode("utf-8", "surrogateescape")
            for a, b in itertools.pairwise(edges)
        ]

    def close(self) -> None:
        """Close the files."""
        self._bytes.close()
        self._ends.close()


class ColumnBuffer:
    """Faces of K points on disk, with whatever further numeric columns are asked for.

    Parameters
    ----------
    folder : an empty folder of its own; the caller removes it.
    points : K.
    extra : further columns, name -> (shape, dtype).
    texts : further text columns.
    """

    def __init__(
        self,
        folder: Path,
        points: int,
        extra: dict[str, tuple[tuple[int, ...], str]] | None = None,
        texts: tuple[str, ...] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        shapes = {
            "landmarks": ((points, 2), "f4"),
            "visibility": ((points,), "u1"),
            "box": ((4,), "f4"),
            "image_size": ((2,), "i4"),
            **(extra or {}),
        }
        self._numeric = {name: Column(folder / name, *kind) for name, kind in shapes.items()}
        self._text = {name: TextColumn(folder, name) for name in (*TEXTS, *texts)}

    origin = ""  # of no file

    def __len__(self) -> int:
        return self._numeric["landmarks"].count

    def append(self, faces: list[Face], **extra: Any) -> None:
        """Add faces and the rows of the further columns."""
        if not faces:
            return
        self._numeric["landmarks"].append(np.stack([f.landmarks for f in faces]))
        self._numeric["visibility"].append(np.stack([f.visibility for f in faces]))
        self._numeric["box"].append(np.stack([NO_BOX if f.box is None else f.box for f in faces]))
        self._numeric["image_size"].append(np.array([f.image_size or (0, 0) for f in faces]))
        for name in TEXTS[:-1]:
            self._text[name].append([getattr(f, name) for f in faces])
        self._text["attributes"].append([attributes_json(f) for f in faces])
        for name, rows in extra.items():
            column: Any = self._numeric.get(name) or self._text[name]
            column.append(rows)

    def append_columns(self, numbers: Mapping[str, NDArray[Any]], texts: Mapping[str, list[str]]) -> None:
        """Add the same rows of every column."""
        for name, column in self._numeric.items():
            column.append(numbers[name])
        for name, text in self._text.items():
            text.append(texts[name])

    def column(self, name: str) -> NDArray[Any]:
        """All rows of a numeric column, as a read-only memory map."""
        return self._numeric[name].rows()

    def texts(self, name: str, rows: slice = slice(None)) -> list[str]:
        """Rows of a text column."""
        start, stop, _ = rows.indices(len(self))
        return self._text[name].texts(start, stop)

    def text_width(self, name: str) -> int:
        """Bytes of UTF-8 of the longest text of a column."""
        return self._text[name].width

    def faces(self, start: int, stop: int) -> list[Face]:
        """Faces start ... stop - 1, arrays copied out of the file."""
        rows = slice(start, stop)
        numbers = {name: np.array(self.column(name)[rows]) for name in NUMBERS}
        return faces_of(numbers, {name: self.texts(name, rows) for name in TEXTS})

    def close(self) -> None:
        """Close all files."""
        for number in self._numeric.values():
            number.close()
        for text in self._text.values():
            text.close()


def attributes_json(face: Face) -> str:
    """A face's attributes as sorted JSON, empty text when there are none."""
    return attributes_text(face.attributes)


def attributes_text(attributes: Mapping[str, Attribute]) -> str:
    """Attributes as sorted JSON, empty text when there are none."""
    return json.dumps(attributes, sort_keys=True, ensure_ascii=False) if attributes else ""


def faces_of(numbers: Mapping[str, NDArray[Any]], texts: Mapping[str, list[str]]) -> list[Face]:
    """Face records from the columns NUMBERS and TEXTS, a row each."""
    sizes, boxes = numbers["image_size"].tolist(), numbers["box"]
    return [
        Face(
            landmarks=numbers["landmarks"][i],
            visibility=numbers["visibility"][i],
            box=None if np.isnan(boxes[i]).any() else boxes[i],
            image_size=(sizes[i][0], sizes[i][1]) if sizes[i][0] > 0 else None,
            attributes=attributes_of(texts["attributes"][i]),
            **{name: texts[name][i] for name in TEXTS[:-1]},
        )
        for i in range(len(boxes))
    ]
