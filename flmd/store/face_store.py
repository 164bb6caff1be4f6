"""The face store: one HDF5 file with every face of a data set, its annotations and a context crop.

Layout, version 1. Root attributes: ``format``, ``version``, ``scheme``, ``crop_size``, ``margin``,
``color``, ``made_from`` (JSON: digests of the raw data and the params used). Datasets, one row a face:

========== ================ ======= ===========================================================
name       shape            dtype   what
========== ================ ======= ===========================================================
crops      (N, S, S)        uint8   square context crop, grey; or (N, 3, S, S) planar RGB
affine     (N, 2, 3)        float64 image pixels -> crop pixels
landmarks  (N, K, 2)        float32 x, y in image pixels, centre of the top-left pixel = (0, 0)
visibility (N, K)           uint8   0 not labelled (NaN), 1 hidden, 2 visible
box        (N, 4)           float32 x, y, width, height in image pixels
image_size (N, 2)           int32   width, height of the original picture
texts      (N,)             UTF-8   image, image_sha256, subject, split, subset, dataset,
                                    box_source, attributes (JSON)
========== ================ ======= ===========================================================

``crops`` and ``affine`` are absent in a store of annotations alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from flmd.core import provenance
from flmd.core.crop_spec import CropSpec
from flmd.errors import StoreError
from flmd.face import Face
from flmd.schemes import Scheme, get_scheme
from flmd.store import h5file
from flmd.store.column_buffer import NUMBERS, FaceSpool, faces_of

FORMAT, VERSION = "flmd-faces", 1
BLOCK = 256
TEXTS = ("image", "image_sha256", "subject", "split", "subset", "dataset", "box_source", "attributes")
UNITS = {
    "crops": "levels 0-255; (N, S, S) grey or (N, 3, S, S) planar RGB",
    "affine": "image pixels -> crop pixels, (2, 3) acting on (x, y, 1)",
    "landmarks": "image pixels, the centre of the top-left pixel is (0, 0); NaN: not labelled",
    "visibility": "0 not labelled, 1 labelled but hidden, 2 visible",
    "box": "x, y, width, height, image pixels; covers pixels x ... x + width - 1",
    "image_size": "width, height, pixels",
}


class StoreBuilder:
    """The datasets of a store of N faces, being filled.

    Made by :func:`building`; every row of every dataset must be put before the block ends.
    """

    def __init__(
        self, file: h5py.File, numeric: dict[str, h5py.Dataset], text: dict[str, h5py.Dataset]
    ) -> None:
        self._file, self._numeric, self._text = file, numeric, text

    def put(self, name: str, start: int, rows: NDArray[Any]) -> None:
        """Write rows ``start ...`` of a numeric dataset."""
        h5file.write_rows(self._file, self._numeric[name], start, rows)

    def put_texts(self, name: str, start: int, texts: list[str]) -> None:
        """Write rows ``start ...`` of a text dataset."""
        dataset = self._text[name]
        h5file.write_rows(self._file, dataset, start, h5file.encode_texts(texts, dataset.dtype.itemsize))


class building:  # noqa: N801  (a context manager reads like a verb)
    """Create a store of ``count`` faces atomically: ``with building(...) as builder: builder.put(...)``.

    Parameters
    ----------
    target : path of the store.
    count : N. widths : text column -> longest text in UTF-8 bytes.
    scheme : of the landmarks. crop : of the context crops; None: without them.
    made_from : digests and params, kept as JSON.
    """

    def __init__(
        self,
        target: Path,
        count: int,
        widths: Mapping[str, int],
        scheme: Scheme,
        crop: CropSpec | None,
        made_from: Mapping[str, Any],
    ) -> None:
        self._count, self._widths, self._scheme, self._crop = count, widths, scheme, crop
        self._made_from = made_from
        pixels = int(np.prod(crop.shape)) if crop else 0
        row = pixels + 48 + scheme.count * 9 + 24 + sum(max(widths[t], 1) for t in TEXTS)
        self._creating = h5file.creating(target, need=count * row)

    def __enter__(self) -> StoreBuilder:
        file = self._creating.__enter__()
        points, count = self._scheme.count, self._count
        h5file.set_header(file, FORMAT, VERSION, scheme=self._scheme.name, made_from=self._made_from)
        shapes: dict[str, tuple[tuple[int, ...], str]] = {
            "landmarks": ((points, 2), "f4"),
            "visibility": ((points,), "u1"),
            "box": ((4,), "f4"),
            "image_size": ((2,), "i4"),
        }
        if self._crop:
            file.attrs["crop_size"], file.attrs["margin"] = self._crop.size, self._crop.margin
            file.attrs["color"] = self._crop.color
            shapes["affine"] = ((2, 3), "f8")
            shapes["crops"] = (self._crop.shape, "u1")
        numeric = {
            name: h5file.add_dataset(file, name, (count, *shape), dtype, units=UNITS[name])
            for name, (shape, dtype) in shapes.items()
        }
        text = {name: h5file.add_text(file, name, count, self._widths[name]) for name in TEXTS}
        file.flush()
        return StoreBuilder(file, numeric, text)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._creating.__exit__(kind, error, trace)


def write_spool(
    target: Path,
    spool: FaceSpool,
    scheme: Scheme,
    crop: CropSpec | None,
    made_from: Mapping[str, Any],
    progress: Callable[[int], object] = lambda n: None,
) -> None:
    """Write a spool that has all columns of a store as a store."""
    widths = {name: spool.text[name].width for name in TEXTS}
    names = ["landmarks", "visibility", "box", "image_size", *(("affine", "crops") if crop else ())]
    with building(target, len(spool), widths, scheme, crop, made_from) as builder:
        for start in range(0, len(spool), BLOCK):
            stop = min(start + BLOCK, len(spool))
            for name in names:
                builder.put(name, start, spool.numeric[name].rows()[start:stop])
            for name in TEXTS:
                builder.put_texts(name, start, spool.text[name].texts(start, stop))
            progress(stop - start)


class FaceStore:
    """A store opened for reading. Pickles as its path: each process opens the file itself.

    Attributes
    ----------
    path : the file. scheme : of its landmarks. made_from : what it was made from.
    has_crops : whether it has context crops, or annotations alone.

    Raises
    ------
    StoreError : not a store, of a later version, truncated, or with columns that do not match.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._file = h5file.open_checked(self.path, FORMAT, VERSION)
        self._maps: dict[str, NDArray[Any]] = {}
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def _check(self) -> None:
        attrs = self._file.attrs
        names = ["landmarks", "visibility", "box", "image_size", *TEXTS]
        self.has_crops = "crops" in self._file
        if self.has_crops:
            names += ["crops", "affine"]
        missing = [name for name in names if name not in self._file]
        if missing or "scheme" not in attrs:
            raise StoreError(
                f"has no {(missing or ['scheme'])[0]!r}", where=str(self.path), hint="convert it again"
            )
        self.scheme = get_scheme(str(attrs["scheme"]))
        try:
            self.made_from: dict[str, Any] = json.loads(h5file.text_of(self._file, "made_from", "{}"))
        except ValueError:
            raise StoreError("made_from is not JSON", where=str(self.path)) from None
        self._crop = self._read_crop() if self.has_crops else None
        self._count = len(self._file["landmarks"])
        k = self.scheme.count
        expected: dict[str, tuple[int, ...]] = {
            "landmarks": (k, 2),
            "visibility": (k,),
            "box": (4,),
            "image_size": (2,),
        }
        if self._crop is not None:
            expected |= {"crops": self._crop.shape, "affine": (2, 3)}
        for name in names:
            want = (self._count, *expected.get(name, ()))
            if self._file[name].shape != want:
                raise StoreError(
                    f"{name} has shape {self._file[name].shape}", where=str(self.path), expected=str(want)
                )
            self._map(name)

    def _read_crop(self) -> CropSpec:
        attrs = self._file.attrs
        try:
            return CropSpec(int(attrs["crop_size"]), float(attrs["margin"]), str(attrs["color"]))
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(
                f"does not say how its crops were made ({error})",
                where=str(self.path),
                hint="convert it again",
            ) from None

    def _map(self, name: str) -> NDArray[Any]:
        if name not in self._maps:
            self._maps[name] = h5file.map_rows(self.path, self._file[name])
        return self._maps[name]

    def __len__(self) -> int:
        return self._count

    @property
    def crops(self) -> NDArray[np.uint8]:
        """(N, S, S) or (N, 3, S, S) uint8 memory map; StoreError in a store without crops."""
        self._need_crops()
        return self._map("crops")

    @property
    def crop_spec(self) -> CropSpec:
        """How the context crops were cut out; StoreError in a store without crops."""
        return self._need_crops()

    def _need_crops(self) -> CropSpec:
        if self._crop is None:
            raise StoreError(
                "holds annotations only, no crops", where=str(self.path), hint="convert with images"
            )
        return self._crop

    def numbers(self, name: str, rows: slice | NDArray[np.intp] = slice(None)) -> NDArray[Any]:
        """Rows of "landmarks", "visibility", "box", "image_size" or "affine", copied to memory."""
        return np.array(self._map(name)[rows])

    def texts(self, name: str, rows: slice | NDArray[np.intp] = slice(None)) -> list[str]:
        """Rows of one of TEXTS."""
        return h5file.decode_texts(self._map(name)[rows])

    def rows_where(self, **texts: str) -> NDArray[np.intp]:
        """Row numbers of the faces whose text columns equal all of these, e.g. ``split="test"``."""
        keep = np.ones(len(self), bool)
        for name, value in texts.items():
            keep &= self._map(name) == value.encode()
        return np.flatnonzero(keep)

    def faces(self, rows: slice | None = None) -> Iterator[Face]:
        """The annotations as face records, one block in memory at a time."""
        for block in [rows] if rows is not None else self.blocks():
            numbers = {name: self.numbers(name, block) for name in NUMBERS}
            faces = faces_of(numbers, {name: self.texts(name, block) for name in TEXTS})
            for row, face in enumerate(faces, block.start):
                face.where = f"{self.path}: face {row}"
                yield face

    def blocks(self, size: int = BLOCK) -> Iterator[slice]:
        """Slices that together cover all rows."""
        for start in range(0, len(self), size):
            yield slice(start, min(start + size, len(self)))

    def close(self) -> None:
        """Close the file; memory maps already handed out stay good."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[FaceStore], tuple[Path]]:
        return FaceStore, (self.path.absolute(),)  # a worker may run in another folder


def merge(
    stores: list[FaceStore],
    target: Path,
    progress: Callable[[int], object] = lambda n: None,
    made_from: Mapping[str, Any] | None = None,
) -> None:
    """Join stores of one scheme and one kind of crop into one, in the order given.

    ``made_from`` is kept in the store; by default it names the stores and their digests.

    Raises
    ------
    StoreError : they differ in scheme, crop size, margin or colour, or there are none.
    """
    if not stores:
        raise StoreError("no stores to merge")
    first = stores[0]
    for other in stores[1:]:
        own = _kind(other)
        for what, wanted in _kind(first).items():
            if own[what] != wanted:
                raise StoreError(
                    f"{what} is {own[what]!r} but {wanted!r} in {first.path}",
                    where=str(other.path),
                    hint="convert both alike",
                )
    widths = {name: max(s._file[name].dtype.itemsize for s in stores) for name in TEXTS}
    crop = first.crop_spec if first.has_crops else None
    names = ["landmarks", "visibility", "box", "image_size", *(("affine", "crops") if crop else ())]
    if made_from is None:
        made_from = provenance.made_from({s.path: s.made_from for s in stores}, {}, stage="flmd-data merge")
    count = sum(map(len, stores))
    with building(target, count, widths, first.scheme, crop, made_from) as builder:
        start = 0
        for store in stores:
            for rows in store.blocks():
                for name in names:
                    builder.put(name, start + rows.start, store._map(name)[rows])
                for name in TEXTS:
                    builder.put_texts(name, start + rows.start, store.texts(name, rows))
                progress(rows.stop - rows.start)
            start += len(store)


def _kind(store: FaceStore) -> dict[str, object]:
    """What stores must agree in to be joined."""
    crop = store.crop_spec if store.has_crops else None
    return {
        "scheme": store.scheme.name,
        "crop_size": crop and crop.size,
        "margin": crop and crop.margin,
        "color": crop and crop.color,
    }
