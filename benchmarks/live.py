"""What live augmentation costs: an epoch of a recipe with crops made beforehand, and with crops drawn live.

    python -m benchmarks.live faces.h5 --recipe fast --faces 1024 --repeat 3

Both train the recipe's network on as many crops of the same faces, in turns, in a process of their own; the
fastest of each counts. Wall time is what a person waits for, on a machine that does nothing else. CPU time
is all threads' together.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

KINDS = ("stored", "live")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live")
    parser.add_argument("store", type=Path)
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--faces", type=int, default=1024, help="training faces, each once an epoch")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of the training")
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--arrays", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.kind:
        epoch(chosen)
        return
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "arrays.h5"
        faces = make_arrays(chosen, arrays)
        took: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
        for _ in range(chosen.repeat):
            for kind in KINDS:
                command = [sys.executable, "-m", "benchmarks.live", *sys.argv[1:], "--kind", kind]
                done = subprocess.run(
                    [*command, "--arrays", str(arrays)], check=True, capture_output=True, text=True
                )
                wall, cpu = map(float, done.stdout.split()[-2:])
                took[kind].append((wall, cpu))
                print(f"{kind}: {wall:.2f} s, CPU {cpu:.2f} s", flush=True)
    least = {kind: tuple(min(column) for column in zip(*rows, strict=True)) for kind, rows in took.items()}
    print(f"recipe {chosen.recipe}, {faces} faces, {chosen.threads} threads; the fastest of {chosen.repeat}")
    print("| | wall s | CPU s | crops/s |")
    print("|---|---:|---:|---:|")
    for kind, (wall, cpu) in least.items():
        print(f"| {kind} | {wall:.2f} | {cpu:.2f} | {faces / wall:.0f} |")
    more = [live / stored - 1 for live, stored in zip(least["live"], least["stored"], strict=True)]
    print(f"| live costs | {100 * more[0]:+.1f} % | {100 * more[1]:+.1f} % | |")


def make_arrays(chosen: argparse.Namespace, target: Path) -> int:
    """Version 1 of the first faces, as a stored training would read it; how many faces there are."""
    from benchmarks.gpu.faces import settings_of
    from flmd.augmentation import build
    from flmd.store.face_store import FaceStore

    settings = settings_of(chosen.recipe)
    config = settings.augment.model_copy(update={"variants": 2})
    with FaceStore(chosen.store) as store:
        build.build(store, target, config, seed=settings.seed, made_from={})
        return int(min(chosen.faces, len(store.rows_where(split="train"))))


def epoch(chosen: argparse.Namespace) -> None:
    """Train a short epoch to warm up and a whole one; print the wall and CPU seconds of the whole one."""
    from benchmarks.gpu.faces import settings_of
    from flmd.core import processor

    settings = settings_of(chosen.recipe)
    processor.restart_pinned(settings.train.cpu)
    import torch

    from benchmarks.accuracy.cost import Stopwatch
    from flmd.augmentation.arrays import TrainingArrays
    from flmd.models.devices import cpu_threads
    from flmd.store.face_store import FaceStore
    from flmd.training.batch_loader import BatchLoader
    from flmd.training.distributed import Processes
    from flmd.training.live_crops import LiveCrops
    from flmd.training.stored_crops import StoredCrops
    from flmd.training.trainee import Trainee, describe

    train = settings.train.model_copy(update={"threads": chosen.threads, "device": "cpu"})
    with (
        TrainingArrays(chosen.arrays) as arrays,
        FaceStore(chosen.store) as store,
        cpu_threads(train.threads),
    ):
        faces = store.rows_where(split="train")[: chosen.faces]
        split = arrays.split("train")
        source = (
            LiveCrops(store, faces, settings.augment, seed=settings.seed)
            if chosen.kind == "live"
            else StoredCrops(split)
        )
        loader = BatchLoader(source, batch=train.batch, seed=settings.seed, epoch_faces=len(faces))
        info = describe(train, store.scheme, arrays.crop, {})
        trainee = Trainee(info, train, settings.seed, torch.device("cpu"), Processes())
        trainee.model.train()
        watch = Stopwatch()
        for number in range(2):
            if number:
                watch = Stopwatch()
            for step, batch in enumerate(loader.epoch(number)):
                trainee.training_step(batch, int(batch.labelled.sum()))
                if not number and step == 3:
                    break
        took = watch.read()
        print(took["seconds"], took["cpu_seconds"])


if __name__ == "__main__":
    main()
