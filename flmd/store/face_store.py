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

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from flmd.core.crop_spec import CropSpec
from flmd.errors import StoreError
from flmd.face import Face
from flmd.store import checks, h5file, opening, values
from flmd.store.column_buffer import NUMBERS, faces_of
from flmd.store.layout import BLOCK, FORMAT, TEXTS, VERSION, numeric_columns


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
        self._file = opening.open_checked(self.path, FORMAT, VERSION)
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def _check(self) -> None:
        where, attributes = str(self.path), self._file.root.attributes
        self.has_crops = "crops" in (self._file.root.links or ())
        self.scheme = checks.scheme_of(attributes, where)
        made_from = opening.json_text(self._file, "made_from", "{}")
        self.made_from: dict[str, Any] = checks.json_object(made_from, "made_from", where)
        checks.record(self.made_from, where)
        self._crop = self._read_crop() if self.has_crops else None
        columns: dict[str, tuple[tuple[int, ...], str | None]] = {
            **numeric_columns(self.scheme.count, self._crop),
            **dict.fromkeys(TEXTS, ((), None)),
        }
        self._maps = opening.map_columns(self._file, columns, first="landmarks")
        self._count = len(self._maps["landmarks"])
        opening.check_description(self._file, columns)

    def _read_crop(self) -> CropSpec:
        attrs, where = self._file.root.attributes, str(self.path)
        try:
            return CropSpec(
                checks.whole_number(attrs, "crop_size", where),
                checks.number(attrs, "margin", where),
                checks.text(attrs, "color", where),
            )
        except ValueError as error:
            raise StoreError(
                f"does not say how its crops were made ({error})", where=where, hint="convert it again"
            ) from None

    def __len__(self) -> int:
        return self._count

    @property
    def crops(self) -> NDArray[np.uint8]:
        """(N, S, S) or (N, 3, S, S) uint8 memory map; StoreError in a store without crops."""
        self._need_crops()
        return self._maps["crops"]

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

    @property
    def origin(self) -> str:
        """Where the rows are from, for messages: the file."""
        return str(self.path)

    def column(self, name: str) -> NDArray[Any]:
        """All rows of a numeric column, as a read-only memory map; their values are not checked."""
        return self._maps[name]

    def numbers(self, name: str, rows: slice | NDArray[np.intp] = slice(None)) -> NDArray[Any]:
        """Rows of "landmarks", "visibility", "box", "image_size" or "affine", copied to memory.

        StoreError when a value is not what its column promises (``flmd.store.values``).
        """
        return values.check(self.origin, name, np.array(self._maps[name][rows]), rows)

    def texts(self, name: str, rows: slice | NDArray[np.intp] = slice(None)) -> list[str]:
        """Rows of one of TEXTS."""
        return h5file.decode_texts(self._maps[name][rows])

    def text_width(self, name: str) -> int:
        """Bytes of UTF-8 that hold each text of a column."""
        return self._maps[name].dtype.itemsize

    def rows_where(self, **texts: str) -> NDArray[np.intp]:
        """Row numbers of the faces whose text columns equal all of these, e.g. ``split="test"``."""
        keep = np.ones(len(self), bool)
        for name, value in texts.items():
            keep &= self._maps[name] == h5file.encode_text(value)
        return np.flatnonzero(keep)

    def faces(self, rows: slice | None = None) -> Iterator[Face]:
        """The annotations as face records, one block in memory at a time.

        StoreError when a face has a value that its column does not promise, or attributes that are no JSON.
        """
        for block in [rows] if rows is not None else self.blocks():
            numbers = {name: self.numbers(name, block) for name in NUMBERS}
            texts = {name: self.texts(name, block) for name in TEXTS}
            values.check_faces(self.origin, numbers, texts, block.start)
            faces = faces_of(numbers, texts)
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
