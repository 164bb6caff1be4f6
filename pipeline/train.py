"""Stage `train`: the network, from the training arrays."""

from __future__ import annotations

import sys
from pathlib import Path

from flmd import arrays, errors, params, provenance, training


def main() -> None:
    """Write data/model/best.pt and last.pt, and the curves in reports/training."""
    settings = params.load()
    source, weights = Path("data/arrays.h5"), Path("data/pretrained.pt")
    start_from = {} if settings.train.pretrained == "none" else {"pretrained": str(weights)}
    with arrays.TrainingArrays(source) as data:
        result = training.fit(
            data.split("train", settings.train.datasets),
            data.split("val", settings.train.datasets),
            settings.train.model_copy(update=start_from),
            scheme=data.scheme,
            seed=settings.seed,
            crop=data.crop,
            out=Path("data/model"),
            resume_dir=Path("data/.resume"),
            curves=Path("reports/training"),
            made_from=provenance.made_from(
                [source, weights] if start_from else [source],
                {"train": settings.train, "seed": settings.seed},
            ),
        )
    print(f"best epoch {result.best_epoch}, validation loss {result.best_val:.6g}")


if __name__ == "__main__":
    sys.exit(errors.run(main))
