"""Stage `convert`: one data set's archive to a face store, with a loss report."""

from __future__ import annotations

import sys
from pathlib import Path

from flmd import errors
from flmd.conversion.converter import convert
from flmd.conversion.opening import open_faces
from flmd.conversion.settings import CropSettings, Reporting, SplitSettings, Workers
from flmd.core import params, processor, provenance
from flmd.parallel import dask_cluster
from flmd.schemes.name_choice import PointNames
from flmd.tree import Limits


def main(name: str) -> None:
    """Write data/stores/<name>.h5 and reports/data/<name>.json."""
    processor.restart_pinned("portable")
    settings = params.load()
    dataset, how = settings.datasets[name], settings.convert
    raw, target = Path("data/raw") / name, Path("data/stores") / f"{name}.h5"
    target.parent.mkdir(parents=True, exist_ok=True)
    limits = Limits(
        max_total_bytes=int(settings.download.max_total_gib * 2**30), max_ratio=settings.download.max_ratio
    )
    said = {"format", "box", "split", "val_share", "test_share"}
    said |= {key for key in ("names",) if getattr(dataset, key) != "auto"}
    used = {"dataset": dataset.model_dump(include=said), "convert": how, "seed": settings.seed}
    made_from = provenance.made_from([raw], used, stage="convert")
    with (
        open_faces(
            raw,
            from_=dataset.format,
            scheme=how.scheme,
            names=PointNames.of(dataset.names, f"params.yaml: datasets.{name}.names"),
            limits=limits,
            scratch=target.parent,
        ) as faces,
        dask_cluster.connected() as executor,  # FLMD_SCHEDULER; the same bytes with and without
    ):
        report = convert(
            faces,
            target,
            box=dataset.box,
            crop=CropSettings(how.crop_size, how.margin, how.color, how.max_megapixels * 1e6),
            split=SplitSettings(dataset.split, dataset.val_share, dataset.test_share, settings.seed),
            dataset=name,
            reporting=Reporting(Path("reports/data") / f"{name}.json", made_from=made_from),
            workers=Workers(executor=executor),
        )
    print(f"{name}: {report}")


if __name__ == "__main__":
    sys.exit(errors.run(lambda: main(sys.argv[1])))
