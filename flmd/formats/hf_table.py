"""The table of a Hugging Face data set in Parquet: its columns, its files, and the pictures in it.

pyarrow is imported on first use: it belongs to the extra ``hf``.
"""

from __future__ import annotations

import contextlib
import json
import posixpath
import threading
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any

from flmd.errors import InputError, ParamsError, one_line
from flmd.formats.common.inner_pictures import InnerPictures
from flmd.formats.layout import PICTURE_ENDINGS
from flmd.tree import FileTree

MAGIC = b"PAR1"
OWN = b"flmd"  # key of the schema's metadata in files written here
TEXTS = ("box_source", "file_name", "subject", "split", "subset", "dataset", "scheme", "attributes")
_BATCH = 64  # rows read at a time


def parquet() -> Any:
    """The module ``pyarrow.parquet``; ParamsError naming the extra where it is not installed."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise ParamsError("hf-dataset needs pyarrow", hint="pip install 'flmd[hf]'") from None
    return pyarrow.parquet


def schema() -> Any:
    """The Arrow schema of what is written, with the features that ``datasets`` gives its columns."""
    parquet()
    import pyarrow as pa

    fields = [
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("landmarks", pa.list_(pa.list_(pa.float32()))),
        ("visibility", pa.list_(pa.uint8())),
        ("box", pa.list_(pa.float32())),
        ("width", pa.int32()),
        ("height", pa.int32()),
        *((name, pa.string()) for name in TEXTS),
    ]
    features = {name: _feature(kind) for name, kind in fields}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}), OWN: b"1"}
    return pa.schema(fields, metadata)


def _feature(kind: Any) -> dict[str, Any]:
    """How ``datasets`` calls an Arrow type."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return {"_type": "Image"}
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "Sequence"}
    return {"dtype": {"float": "float32"}.get(str(kind), str(kind)), "_type": "Value"}


@contextlib.contextmanager
def opened(tree: FileTree, name: str) -> Iterator[Any]:
    """A file as ``pyarrow.parquet.ParquetFile``; what pyarrow finds wrong inside is an InputError."""
    module = parquet()
    import pyarrow as pa

    try:
        with tree.open(name) as stream, module.ParquetFile(stream) as file:
            yield file
    except (pa.ArrowException, OSError, ValueError, OverflowError, KeyError, IndexError) as error:
        what = f"Parquet that cannot be read ({one_line(error)[:200]})"
        raise InputError(what, where=tree.where(name), hint="get the file again") from None


def misfit(tree: FileTree, name: str) -> str | None:
    """Why a file is no table of landmarks, "" when it is no Parquet; None when it is."""
    try:
        if tree.read(name, 0, len(MAGIC)) != MAGIC:
            return ""
        with opened(tree, name) as file:
            columns = file.schema_arrow
            if "landmarks" not in columns.names:
                return "no column landmarks"
            import pyarrow as pa

            kind = columns.field("landmarks").type
            return (
                None if pa.types.is_list(kind) or pa.types.is_large_list(kind) else "landmarks are no lists"
            )
    except InputError as error:
        return error.what


def rows_of(tree: FileTree, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number, from 0, and values of every row, all but the bytes of pictures; a few rows at a time.

    ``image`` is the name of the row's picture: in files written here what ``file_name`` says, in others
    ``<file>/0000000.jpg``. ``has_picture`` says whether there are bytes.
    """
    stem = posixpath.splitext(name)[0]
    with opened(tree, name) as file:
        own = OWN in (file.schema_arrow.metadata or {})
        wanted = ["landmarks", "visibility", "box", "width", "height", *TEXTS]
        columns = [column for column in wanted if column in file.schema_arrow.names]
        inner = _has_pictures(file)
        number = 0
        for batch in file.iter_batches(
            _BATCH, columns=[*columns, *(["image.path"] if inner else [])], use_threads=False
        ):
            for row in batch.to_pylist():
                image = row.get("image") or {}
                path = image.get("path")
                ending = posixpath.splitext(path or "")[1]
                ending = ending if ending.lower() in PICTURE_ENDINGS else ".jpg"
                said = row.get("file_name") if own else None
                row["image"] = said or f"{stem}/{number:07d}{ending}"
                row["has_picture"] = inner and (path is not None or not own)
                yield number, row
                number += 1


def _has_pictures(file: Any) -> bool:
    import pyarrow as pa

    if "image" not in file.schema_arrow.names:
        return False
    kind = file.schema_arrow.field("image").type
    return bool(pa.types.is_struct(kind) and {"bytes", "path"} <= {field.name for field in kind})


class TablePictures(InnerPictures):
    """The pictures in the column ``image``; the place of one is (file, row). Memory holds one row group."""

    _pictures: list[bytes | None]

    def __init__(self, tree: FileTree, index: Mapping[str, tuple[str, int]]) -> None:
        super().__init__(tree, index)
        self._begin()

    def encode(self, place: tuple[str, int]) -> bytes:
        file, row = place
        with self._lock:
            if not (self._file == file and self._first <= row < self._first + len(self._pictures)):
                self._turn_to(file, row)
            data: bytes | None = self._pictures[row - self._first]
        if data is None:
            raise InputError("no picture in this row", where=f"{self._tree.where(file)} (row {row})")
        return data

    def _turn_to(self, name: str, row: int) -> None:
        with opened(self._tree, name) as file:
            sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
            ends = list(accumulate(sizes))
            group = bisect_right(ends, row)
            if group == len(ends):
                raise InputError(f"no row {row}", where=self._tree.where(name))
            column = file.read_row_group(group, columns=["image.bytes"], use_threads=False).column("image")
            self._pictures = [(image or {}).get("bytes") for image in column.to_pylist()]
            self._file, self._first = name, ends[group] - sizes[group]

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._file, self._first = "", 0
        self._pictures = []

    def __getstate__(self) -> dict[str, Any]:
        kept = ("_lock", "_file", "_first", "_pictures")
        return {key: value for key, value in self.__dict__.items() if key not in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()
