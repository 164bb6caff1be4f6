"""Stage `convert`: one data set's archive to a face store, with a loss report."""

from __future__ import annotations

import sys
from pathlib import Path

from flmd import errors, formats
from flmd.conversion import converter
from flmd.conversion.context_crops import CropSettings
from flmd.core import params, provenance
from flmd.parallel import dask_cluster
from flmd.schemes import get_scheme
from flmd.sources.datasets.rules import rules_for
from flmd.tree import Limits, open_tree


def main(name: str) -> None:
    """Write data/stores/<name>.h5 and reports/data/<name>.json."""
    settings = params.load()
    dataset, how = settings.datasets[name], settings.convert
    raw, target = Path("data/raw") / name, Path("data/stores") / f"{name}.h5"
    target.parent.mkdir(parents=True, exist_ok=True)
    limits = Limits(
        max_total_bytes=int(settings.download.max_total_gib * 2**30), max_ratio=settings.download.max_ratio
    )
    used = {
        "dataset": dataset.model_dump(include={"format", "box", "split", "val_share", "test_share"}),
        "convert": how,
        "seed": settings.seed,
    }
    with (
        open_tree(raw, limits=limits, scratch=target.parent) as tree,
        dask_cluster.connected() as executor,  # FLMD_SCHEDULER; the same bytes with and without
    ):
        fmt, detection = formats.choose(tree, dataset.format)
        account = converter.convert(
            tree,
            fmt,
            detection,
            target,
            scheme=get_scheme(how.scheme),
            rules=rules_for(name),
            crop=CropSettings(how.crop_size, how.margin, how.color, how.max_megapixels * 1e6, dataset.box),
            split=converter.SplitSettings(
                dataset.split, dataset.val_share, dataset.test_share, settings.seed
            ),
            made_from=provenance.made_from([raw], used, stage="convert"),
            report=Path("reports/data") / f"{name}.json",
            executor=executor,
        )
    print(f"{name}: {account}")


if __name__ == "__main__":
    sys.exit(errors.run(lambda: main(sys.argv[1])))
