"""``python -m benchmarks.gpu``: checks, throughput and whole trainings on a GPU, within a time.

    python -m benchmarks.gpu --ibug300w faces/ibug --youtube-faces faces/youtube --out $OUT --minutes 11
    python -m benchmarks.gpu --dry --out /tmp/dry     # on the CPU, on drawn faces, smaller than life

Every result is a line of ``gpu.jsonl`` in the folder, written as it is there, so that a run cut short loses
the one under way. What is missing (a package, a GPU) is said in its line. Exit code 1: a check failed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from flmd.errors import FlmdError, one_line

OPTIONAL = ("albumentations", "torchvision", "kornia", "onnx", "onnxruntime", "simplejpeg", "dvc")
SHARE_OF_CHECKS, SHARE_OF_THROUGHPUT = 0.15, 0.1  # of the time, at most; the rest is for trainings


def main() -> None:
    chosen = _arguments()
    device = "cpu" if chosen.dry else "cuda"
    if not chosen.dry and not torch.cuda.is_available():
        raise SystemExit("torch sees no GPU here; --dry runs everything on the CPU, smaller than life")
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    chosen.out.mkdir(parents=True, exist_ok=True)
    run = Run(chosen.out / "gpu.jsonl", chosen.minutes * 60)
    run.write({"kind": "machine", **_machine(device)})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        everything(run, chosen, device, folder)
    sys.exit(1 if run.failed else 0)


class Run:
    """The lines of a run, and its time.

    Parameters
    ----------
    path : of the lines, appended to. seconds : from now on, that the run may take.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self.path, self.seconds, self.failed = path, seconds, 0
        self.start = time.monotonic()

    @property
    def end(self) -> float:
        """Of ``time.monotonic()``."""
        return self.start + self.seconds

    def spent(self, share: float) -> bool:
        """Whether more than that share of the time is gone."""
        return time.monotonic() - self.start > share * self.seconds

    def write(self, row: dict[str, Any]) -> None:
        """A line, on the disk before anything else is begun."""
        text = json.dumps(row)
        print(text, flush=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())

    def attempt(self, kind: str, name: str, work: Callable[[], Any]) -> None:
        """Do something, and write what came of it, an error too."""
        start = time.monotonic()
        row: dict[str, Any] = {"kind": kind, "name": name}
        try:
            found = work()
            row |= found if isinstance(found, dict) else {"ok": True, "found": found}
        except ImportError as error:
            row |= {"left_out": one_line(error)}
        except (AssertionError, FlmdError, RuntimeError, ValueError, OSError) as error:
            row |= {"ok": False, "error": one_line(error)}
            self.failed += kind == "check"
        self.write({**row, "seconds": round(time.monotonic() - start, 3)})


def everything(run: Run, chosen: argparse.Namespace, device: str, folder: Path) -> None:
    """Checks, throughput, trainings."""
    from benchmarks.gpu import trainings
    from benchmarks.gpu.checks import Checks
    from benchmarks.gpu.faces import make_store, samples, settings_of
    from benchmarks.gpu.throughput import Throughput

    sources = samples(folder, 40) if chosen.dry else {}
    given = {"ibug300w": chosen.ibug300w, "youtube_faces": chosen.youtube_faces}
    sources |= {name: path for name, path in given.items() if path}
    if set(sources) != {"ibug300w", "youtube_faces"}:
        raise SystemExit("name the faces: --ibug300w SOURCE and --youtube-faces SOURCE, or --dry")
    small = settings_of("fast", convert={"crop_size": 96, "color": "rgb"})
    store = make_store(small, sources, folder / "faces.h5")
    for name, check in Checks(store, device, folder / "checks").all().items():
        if run.spent(SHARE_OF_CHECKS) and not chosen.dry:
            run.write({"kind": "check", "name": name, "left_out": "no time"})
            continue
        run.attempt("check", name, check)
    measure = Throughput(store, device, 0.2 if chosen.dry else 3.0)
    for name, work in measure.all().items():
        if run.spent(SHARE_OF_CHECKS + SHARE_OF_THROUGHPUT) and not chosen.dry:
            run.write({"kind": "throughput", "name": name, "left_out": "no time"})
            continue
        run.attempt("throughput", name, work)
    for recipe in chosen.recipes or trainings.ORDER:
        if time.monotonic() > run.end:
            run.write({"kind": "training", "name": recipe, "left_out": "no time"})
            continue
        run.attempt(
            "training",
            recipe,
            lambda recipe=recipe: trainings.one(  # type: ignore[misc]
                recipe, sources, chosen.out / recipe, device, run.end, dry=chosen.dry
            ),
        )


def _machine(device: str) -> dict[str, Any]:
    from importlib.util import find_spec

    name = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    missing = [package for package in OPTIONAL if find_spec(package) is None]
    return {"device": name, "torch": torch.__version__, "cuda": torch.version.cuda, "missing": missing}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu")
    parser.add_argument("--dry", action="store_true", help="on the CPU, on drawn faces, smaller than life")
    parser.add_argument("--ibug300w", type=Path, help="faces of iBUG 300-W: folder, archive")
    parser.add_argument("--youtube-faces", type=Path, help="faces of YouTube Faces: folder, archive")
    parser.add_argument("--out", type=Path, default=Path("reports/gpu"))
    parser.add_argument("--minutes", type=float, default=11.0, help="after which no epoch is begun")
    parser.add_argument("--recipes", nargs="*", help="instead of all nine, in this order")
    return parser.parse_args()


if __name__ == "__main__":
    main()
