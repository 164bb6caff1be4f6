"""What is asked of the values of a store when they are read: vectorised, a block of rows at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.errors import StoreError
from flmd.face import SPLITS, Attribute

# Determinants of matrices: a pixel of the picture is 1e-9 or 1e9 px of the crop.
FLATTEST, STEEPEST = 1e-18, 1e18
FARTHEST = 1e15  # px that a matrix may shift
PROMISES = {
    "landmarks": "finite pixels, or NaN where not labelled",
    "points": "finite pixels, or NaN where not labelled",
    "visibility": "0, 1 or 2",
    "box": "x, y, width and height, both above 0, or NaN throughout",
    "image_size": "width and height, both 0 where not known",
    "affine": "a finite matrix that can be inverted",
}
Rows = slice | NDArray[np.intp]


def check(where: str, name: str, values: NDArray[Any], rows: Rows) -> NDArray[Any]:
    """The values, when they are what the column promises.

    Parameters
    ----------
    where : the file. name : of the column; one without a promise is let be.
    values : (n, ...) its rows ``rows``: a slice of step 1, or their numbers.

    Raises
    ------
    StoreError : it names the first face that is not, what it has and what was expected.
    """
    bad = wrong(name, values)
    if bad.any():
        at = np.unravel_index(int(np.argmax(bad)), bad.shape)
        row = (rows.start or 0) + int(at[0]) if isinstance(rows, slice) else int(rows[at[0]])
        found = values[at].tolist()
        raise StoreError(
            f"{name} is {found}"[:120],
            where=f"{where}: face {row}",
            expected=PROMISES[name],
            hint="flmd-data validate lists all such faces of a store",
        )
    return values


def wrong(name: str, values: NDArray[Any]) -> NDArray[np.bool_]:
    """(n, ...) bool: whether each face, or each of its points, is not what its column promises."""
    if name in ("landmarks", "points"):
        return np.asarray(np.isinf(values).any(axis=-1))
    if name == "visibility":
        return np.asarray(values > 2)
    if name == "box":
        good = np.isfinite(values).all(axis=-1) & (values[..., 2:] > 0).all(axis=-1)
        return np.asarray(~good & ~np.isnan(values).all(axis=-1))
    if name == "image_size":
        return np.asarray((values < 0).any(axis=-1) | ((values == 0).sum(axis=-1) == 1))
    if name == "affine":
        with np.errstate(over="ignore", invalid="ignore"):
            size = np.abs(values[..., 0, 0] * values[..., 1, 1] - values[..., 0, 1] * values[..., 1, 0])
        inside = (np.abs(values) < FARTHEST).all(axis=(-2, -1))  # False for NaN too
        return np.asarray(~(inside & (size > FLATTEST) & (size < STEEPEST)))
    return np.zeros(len(values), bool)


def check_faces(
    where: str, numbers: Mapping[str, NDArray[Any]], texts: Mapping[str, Sequence[str]], first: int
) -> None:
    """StoreError unless columns of some faces go together: points and visibility, splits, attributes.

    ``first`` : row of the first of them.
    """
    lost = np.isnan(numbers["landmarks"]).any(axis=2) != (numbers["visibility"] == 0)
    if lost.any():
        row, point = np.argwhere(lost)[0].tolist()
        raise StoreError(
            f"point {point} is {numbers['landmarks'][row, point].tolist()} and its visibility "
            f"{numbers['visibility'][row, point]}",
            where=f"{where}: face {first + row}",
            expected="NaN where visibility is 0, and nowhere else",
        )
    for row, split in enumerate(texts["split"], first):
        if split not in SPLITS:
            raise StoreError(
                f"split is {split!r}", where=f"{where}: face {row}", expected="train, val, test or empty"
            )
    for row, text in enumerate(texts["attributes"], first):
        try:
            attributes_of(text)
        except ValueError:
            raise StoreError(
                f"attributes are {text[:60]!r}",
                where=f"{where}: face {row}",
                expected="a JSON object of texts, numbers and truths",
            ) from None


def attributes_of(text: str) -> dict[str, Attribute]:
    """The attributes in their JSON text, {} of an empty one; ValueError when it is no flat JSON object."""
    if not text:
        return {}
    try:
        tree = json.loads(text)
        json.dumps(tree, ensure_ascii=False).encode("utf-8", "surrogateescape")
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(tree, dict) or not all(isinstance(v, str | int | float | bool) for v in tree.values()):
        raise ValueError("no flat object")
    return tree
