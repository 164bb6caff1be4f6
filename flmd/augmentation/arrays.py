"""Training arrays: crops at network size with their points, made once and read through a memory map.

Layout, version 1. Root attributes: ``format``, ``version``, ``scheme``, ``crop`` (JSON: the settings that
made the crops), ``made_from`` (JSON). One group per split, ``train``, ``val`` and ``test``, each with:

========== ======================= ======= ==========================================================
name       shape                   dtype   what
========== ======================= ======= ==========================================================
images     (N, S, S), (N, 3, S, S) uint8   grey or planar RGB
points     (N, K, 2)               float32 pixels of the crop, NaN where not labelled
visibility (N, K)                  uint8   0 not labelled, 1 hidden, 2 visible
affine     (N, 2, 3)               float64 image pixels -> crop pixels
face       (N,)                    int64   row in the face store
variant    (N,)                    int32   0: the plain crop
dataset    (N,)                    UTF-8   name of the data set
========== ======================= ======= ==========================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from flmd.core.crop_spec import CropSpec
from flmd.errors import StoreError
from flmd.store import checks, h5file, opening, values

FORMAT, VERSION = "flmd-arrays", 1
SPLITS = ("train", "val", "test")
COLUMNS: dict[str, str] = {
    "points": "pixels of the crop, the centre of the top-left pixel is (0, 0); NaN: not labelled",
    "visibility": "0 not labelled, 1 labelled but hidden, 2 visible",
    "affine": "image pixels -> crop pixels, (2, 3) acting on (x, y, 1)",
    "face": "row in the face store",
    "variant": "0 is the plain crop",
    "images": "levels 0-255",
}


AGAIN = "run augment again"
BLOCK = 4096  # rows whose values are checked at a time


def columns(points: int, image: tuple[int, ...]) -> dict[str, tuple[tuple[int, ...], str | None]]:
    """Name -> shape of a row, and dtype (None: text), in their order in the file.

    ``points`` : K. ``image`` : shape of one crop.
    """
    return {
        "points": ((points, 2), "f4"),
        "visibility": ((points,), "u1"),
        "affine": ((2, 3), "f8"),
        "face": ((), "i8"),
        "variant": ((), "i4"),
        "dataset": ((), None),
        "images": (image, "u1"),
    }


@dataclass(frozen=True)
class ArraySplit:
    """One split of the training arrays; fields as in the module's table."""

    images: NDArray[np.uint8]
    points: NDArray[np.float32]
    visibility: NDArray[np.uint8]
    affine: NDArray[np.float64]
    face: NDArray[np.int64]
    variant: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.points)


class TrainingArrays:
    """Training arrays opened for reading.

    Attributes
    ----------
    path : the file. scheme : of its points. crop : how faces were cut out. made_from.

    Raises
    ------
    StoreError : not such a file, of a later version, truncated, or with columns that do not match.
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
        where, attrs = str(self.path), self._file.root.attributes
        self.scheme = checks.scheme_of(attrs, where)
        try:
            settings = checks.json_object(checks.text(attrs, "crop", where), "crop", where)
            self.crop = CropSpec.from_dict(settings)
        except KeyError as error:
            raise StoreError(f"crop says no {error}", where=where, hint=AGAIN) from None
        except (TypeError, ValueError, OverflowError) as error:
            raise StoreError(f"crop is damaged ({error})", where=where, hint=AGAIN) from None
        made_from = opening.json_text(self._file, "made_from")
        self.made_from: dict[str, Any] = checks.json_object(made_from, "made_from", where)
        checks.record(self.made_from, where)
        kinds = columns(self.scheme.count, self.crop.shape)
        self._groups = {
            split: opening.map_columns(self._file, kinds, split, first="points") for split in SPLITS
        }
        opening.check_description(self._file, [f"{split}/{name}" for split in SPLITS for name in kinds])

    def datasets(self, split: str) -> list[str]:
        """Names of the data sets in a split, in the order in which they lie there."""
        return list(dict.fromkeys(h5file.decode_texts(np.array(self._groups[split]["dataset"]))))

    def split(self, name: str, datasets: Sequence[str] | None = None) -> ArraySplit:
        """One split, of all or some data sets.

        Crops of one data set lie side by side, so that neighbouring data sets come back as views of the
        memory map; others are gathered into memory.

        Raises
        ------
        StoreError : a value that its column does not promise (``flmd.store.values``).
        """
        columns = self._groups[name]
        if datasets is not None and set(datasets) != set(self.datasets(name)):
            present = columns["dataset"]
            keep = np.isin(present, [h5file.encode_text(d) for d in datasets])
            rows = np.flatnonzero(keep)
            if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
                columns = {k: v[rows[0] : rows[-1] + 1] for k, v in columns.items()}
            else:
                columns = {k: np.asarray(v[rows]) for k, v in columns.items()}
        for column in ("points", "visibility", "affine"):
            for start in range(0, len(columns[column]), BLOCK):
                block = slice(start, min(start + BLOCK, len(columns[column])))
                values.check(f"{self.path}: {name}", column, columns[column][block], block)
        return ArraySplit(**{k: columns[k] for k in ArraySplit.__dataclass_fields__})

    def close(self) -> None:
        """Close the file; memory maps already handed out stay good."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
