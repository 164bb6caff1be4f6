"""Stage `augment`: crops at network size, with variants of every training face."""

from __future__ import annotations

from pathlib import Path

from flmd.augmentation import build
from flmd.core import params, processor, provenance
from flmd.parallel import dask_cluster
from flmd.store.face_store import FaceStore


def augment() -> None:
    """Write data/arrays.h5."""
    processor.restart_pinned("portable", needed=False)
    settings = params.load()
    source = Path("data/faces.h5")
    config = settings.augment.stored_for(settings.train.augmentation)
    used = {"augment": config, "seed": settings.seed}
    # FLMD_SCHEDULER names a cluster to work on; the bytes are the same with and without.
    with FaceStore(source) as store, dask_cluster.connected() as executor:
        counts = build.build(
            store,
            Path("data/arrays.h5"),
            config,
            seed=settings.seed,
            made_from=provenance.made_from({source: store.made_from}, used, stage="augment"),
            executor=executor,
        )
    print(", ".join(f"{split} {count}" for split, count in counts.items()))
