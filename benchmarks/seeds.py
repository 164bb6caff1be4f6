"""How far apart results lie that differ in nothing but the seed of training: `python -m benchmarks.seeds`.

It trains on the arrays of a pipeline that ran (data/arrays.h5), as params.yaml says but for the seed. Each
model is measured on the test faces. reports/seed_spread.json gets the mean and standard deviation of every
metric: the sigma of `flmd gate --max-regression 2sigma` and of `flmd verify --tolerance 2sigma`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from flmd.core import params, processor


def main() -> None:
    """Train and measure one model a seed; write the spread."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="how many; from 1 up")
    parser.add_argument("--out", type=Path, default=Path("reports/seed_spread.json"))
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error("--seeds: a spread needs at least 2")
    settings = params.load()
    processor.restart_pinned(settings.train.cpu)
    from flmd.experiments.seed_spread import spread_of

    seeds = range(1, arguments.seeds + 1)
    runs = []
    for seed in seeds:
        runs.append(_measured(settings, seed))
        nmes = ", ".join(f"{name} {100 * runs[-1][f'{name}.nme']:.3f} %" for name in settings.datasets)
        print(f"seed {seed}: NME {nmes}", flush=True)
    spread = spread_of(runs)
    text = json.dumps({"seeds": list(seeds), "metrics": spread}, indent=1, sort_keys=True)
    arguments.out.write_text(text + "\n", encoding="utf-8")
    for name in settings.datasets:
        found = spread[f"{name}.nme"]
        print(f"{name}: NME mean {100 * found['mean']:.3f} %, standard deviation {100 * found['sd']:.3f} %")


def _measured(settings: params.Params, seed: int) -> dict[str, float]:
    """The metrics of one training."""
    from flmd.augmentation.arrays import TrainingArrays
    from flmd.evaluation.evaluate import evaluate_store
    from flmd.store.face_store import FaceStore
    from flmd.training.faces_of import fit_arrays

    faces = Path("data/faces.h5")
    with tempfile.TemporaryDirectory(prefix="flmd-seeds-") as name:
        folder = Path(name)
        with TrainingArrays(Path("data/arrays.h5")) as data:
            fit_arrays(data, faces, settings.train, seed=seed, datasets=settings.train.datasets, out=folder)
        with FaceStore(faces) as store:
            return evaluate_store(
                store,
                folder / "best.pt",
                folder / "reports",
                settings.evaluate,
                device=settings.train.device,
                threads=settings.train.threads,
            ).metrics


if __name__ == "__main__":
    main()
