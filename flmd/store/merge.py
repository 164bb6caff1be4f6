"""Several stores made one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flmd.core import provenance
from flmd.errors import StoreError
from flmd.store.build import copy_rows
from flmd.store.face_store import FaceStore


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
    if made_from is None:
        made_from = provenance.made_from({s.path: s.made_from for s in stores}, {}, stage="flmd-data merge")
    crop = first.crop_spec if first.has_crops else None
    copy_rows(stores, target, first.scheme, crop, made_from, progress)


def _kind(store: FaceStore) -> dict[str, object]:
    """What stores must agree in to be joined."""
    crop = store.crop_spec if store.has_crops else None
    return {
        "scheme": store.scheme.name,
        "crop_size": crop and crop.size,
        "margin": crop and crop.margin,
        "color": crop and crop.color,
    }
