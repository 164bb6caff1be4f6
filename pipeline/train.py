"""Stage `train`: the network, from the training arrays."""

from __future__ import annotations

import sys
from pathlib import Path

from flmd import errors
from flmd.core import params, processor, provenance


def main() -> None:
    """Write data/model/best.pt and last.pt, and the curves in reports/training."""
    settings = params.load()
    processor.restart_pinned(settings.train.cpu)
    from flmd.augmentation import arrays
    from flmd.training import distributed, loop
    from flmd.training.stored_crops import StoredCrops

    distributed.restart_under_torchrun()  # when FLMD_TORCHRUN asks for several processes
    with distributed.joined() as processes:
        source, weights = Path("data/arrays.h5"), Path("data/pretrained.pt")
        start_from = {} if settings.train.pretrained == "none" else {"pretrained": str(weights)}
        curves = Path("reports/training")
        with arrays.TrainingArrays(source) as data:
            inputs = {source: data.made_from}
            if start_from:
                inputs[weights] = provenance.read_beside(weights.with_suffix(".json"))
            made_from = provenance.made_from(
                inputs, {"train": settings.train, "seed": settings.seed}, stage="train"
            )
            result = loop.fit(
                StoredCrops(data.split("train", settings.train.datasets), "train"),
                StoredCrops(data.split("val", settings.train.datasets), "val"),
                settings.train.model_copy(update=start_from),
                scheme=data.scheme,
                seed=settings.seed,
                crop=data.crop,
                out=Path("data/model"),
                resume_dir=Path("data/.resume"),
                curves=curves,
                made_from=made_from,
            )
        if processes.first:
            files = [path for path in curves.rglob("*") if path.is_file() and path.name != provenance.BESIDE]
            provenance.write_beside(curves / provenance.BESIDE, made_from, files)
            print(f"best epoch {result.best_epoch}, validation loss {result.best_val:.6g}")


if __name__ == "__main__":
    sys.exit(errors.run(main))
