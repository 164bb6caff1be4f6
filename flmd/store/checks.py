"""What is asked of an HDF5 file of ours before a row is used: attributes, columns, their types and shapes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from flmd.errors import FlmdError, StoreError
from flmd.schemes import Scheme, get_scheme
from flmd.store.hdf5_file import Dataset
from flmd.store.hdf5_values import Strange, Type

DEEPEST = 64  # levels of a JSON text; flmd's own records have about ten
AGAIN = "its description is damaged or was written by another program; make it again"


def check_column(
    where: str, name: str, found: Dataset | None, dtype: DTypeLike | None, shape: tuple[int, ...]
) -> None:
    """StoreError unless a column has exactly the type and the shape expected.

    Parameters
    ----------
    where : the file. name : of the column. found : what the file says of it; None: it is a group.
    dtype : little-endian, as flmd writes them; None: texts of a fixed width.
    shape : of all rows.
    """
    kind = Strange("a group") if found is None else found.kind
    want = None if dtype is None else np.dtype(dtype).newbyteorder("<")
    right = not isinstance(kind, Strange) and (kind.kind == "S" if want is None else kind == want)
    if not right:
        raise StoreError(
            f"column {name} is {type_name(kind)}",
            where=where,
            expected="texts of a fixed width (UTF-8)" if want is None else type_name(want),
            hint="convert it again",
        )
    if found is None or found.shape != shape:
        raise StoreError(
            f"column {name} has shape {found and found.shape}",
            where=where,
            expected=f"{shape}, a row for each face",
            hint="convert it again",
        )


def type_name(kind: Type) -> str:
    """A dtype in words: ``int16``, ``big-endian float32``, ``text of 12 bytes``."""
    if isinstance(kind, Strange):
        return kind.what
    if kind.kind == "S":
        return f"text of {kind.itemsize} bytes"
    return f"big-endian {kind.name}" if kind.itemsize > 1 and kind == kind.newbyteorder(">") else kind.name


def text(attributes: Mapping[str, Any], name: str, where: str) -> str:
    """A root attribute that is one text; StoreError when it is absent or something else."""
    value = attributes.get(name)
    if not isinstance(value, str):
        raise _wrong(name, value, "a text", where)
    return value


def number(attributes: Mapping[str, Any], name: str, where: str) -> float:
    """A root attribute that is one finite number; StoreError when it is absent or something else."""
    value = attributes.get(name)
    if not isinstance(value, int | float):
        raise _wrong(name, value, "a number", where)
    if not math.isfinite(value):
        raise _wrong(name, value, "a finite number", where)
    return float(value)


def whole_number(attributes: Mapping[str, Any], name: str, where: str) -> int:
    """A root attribute that is one whole number; StoreError when it is absent or something else."""
    value = attributes.get(name)
    if not isinstance(value, int):
        raise _wrong(name, value, "a whole number", where)
    return value


def _wrong(name: str, value: object, expected: str, where: str) -> StoreError:
    if value is None:
        return StoreError(f"has no {name!r}", where=where, expected=expected, hint="convert it again")
    shown = repr(value)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return StoreError(f"{name} is {shown}", where=where, expected=expected, hint="convert it again")


def scheme_of(attributes: Mapping[str, Any], where: str) -> Scheme:
    """The scheme that the root attribute ``scheme`` names; StoreError when there is no such scheme."""
    name = text(attributes, "scheme", where)
    try:
        return get_scheme(name)
    except FlmdError as error:
        raise StoreError(error.what, where=where, expected=error.expected, hint=error.hint) from None


def json_object(raw: str, name: str, where: str) -> dict[str, Any]:
    """The object in a JSON text; StoreError when it is none, or nested more than DEEPEST levels."""
    try:
        tree = json.loads(raw)
        json.dumps(tree, ensure_ascii=False).encode()  # halves of characters cannot be written again
    except (ValueError, RecursionError) as error:
        what = "is nested too deeply" if isinstance(error, RecursionError) else "is not JSON"
        raise StoreError(f"{name} {what}", where=where, hint=AGAIN) from None
    if not isinstance(tree, dict):
        raise StoreError(f"{name} is a JSON {type(tree).__name__}", where=where, expected="an object")
    if deeper_than(tree, DEEPEST):
        raise StoreError(f"{name} is nested more than {DEEPEST} levels deep", where=where, hint=AGAIN)
    return tree


def deeper_than(tree: object, levels: int) -> bool:
    """Whether mappings and lists lie more than ``levels`` deep in one another."""
    layer = [tree]
    for _ in range(levels):
        inner: list[object] = []
        for item in layer:
            if isinstance(item, dict):
                inner += item.values()
            elif isinstance(item, list):
                inner += item
        layer = [item for item in inner if isinstance(item, dict | list)]
        if not layer:
            return False
    return True


def record(tree: Mapping[str, Any], where: str) -> None:
    """StoreError unless ``made_from`` is a record as ``flmd.core.provenance`` writes it.

    Other keys are let be. The records of earlier steps, under ``earlier``, are looked at as well.
    """
    earlier = tree.get("earlier", {})
    if not isinstance(earlier, dict) or not all(isinstance(value, dict) for value in earlier.values()):
        raise StoreError(
            "made_from.earlier is no object of objects", where=where, expected="a record of flmd", hint=AGAIN
        )
    for part in (tree, *earlier.values()):
        for key in ("inputs", "params"):
            if not isinstance(part.get(key, {}), dict):
                raise StoreError(
                    f"made_from.{key} is no object", where=where, expected="a record of flmd", hint=AGAIN
                )
        inputs = part.get("inputs", {}).values()
        texts = [part.get("stage", ""), part.get("flmd", ""), *inputs]
        if not all(isinstance(value, str) for value in texts):
            raise StoreError(
                "made_from names a stage, a version or a digest that is no text",
                where=where,
                expected="a record of flmd",
                hint=AGAIN,
            )
