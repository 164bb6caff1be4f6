"""Stage `merge`: the stores of all data sets into one."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from flmd.core import params, provenance
from flmd.store.face_store import FaceStore
from flmd.store.merge import merge as merge_stores


def merge() -> None:
    """Write data/faces.h5."""
    with ExitStack() as stack:
        stores = [
            stack.enter_context(FaceStore(Path("data/stores") / f"{name}.h5"))
            for name in params.load().datasets
        ]
        made_from = provenance.made_from(
            {store.path: store.made_from for store in stores},
            {"datasets": [store.path.stem for store in stores]},
            stage="merge",
        )
        merge_stores(stores, Path("data/faces.h5"), made_from=made_from)
        print(f"{sum(map(len, stores))} faces")
