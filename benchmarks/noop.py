"""``python -m benchmarks.noop``: how long `dvc repro` takes with nothing to do, by the number of faces.

A clone of HEAD gets outputs of the size that so many faces would have, `dvc commit` takes them as made, and
`dvc repro` is timed beside `dvc status` in an empty project: DVC's own start-up.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from flmd.experiments.git import clone

ROOT = Path(__file__).resolve().parents[1]
# Bytes a face of params.yaml: two data sets' archives and stores, the merged store, the training arrays.
RAW, STORED, ARRAYS = 20_000, 77_700, 28_000
FILES = {
    "data/raw/ibug300w": RAW // 2,
    "data/raw/youtube_faces": RAW // 2,
    "data/stores/ibug300w.h5": STORED // 2,
    "data/stores/youtube_faces.h5": STORED // 2,
    "data/faces.h5": STORED,
    "data/arrays.h5": ARRAYS,
}
SMALL = (
    "data/pretrained.pt",
    "data/teacher.pt",
    "data/pretrained.json",
    "data/model/best.pt",
    "data/model/last.pt",
    "reports/data/ibug300w.json",
    "reports/data/youtube_faces.json",
    "reports/training/metrics.json",
    "reports/evaluation.json",
    "reports/faces.csv",
    "reports/metrics.json",
    "reports/plots/ced.csv",
)


def dvc(folder: Path, *arguments: str) -> tuple[float, float, str]:
    """Run dvc; (seconds, CPU seconds, its output)."""
    environment = {
        **os.environ,
        "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"],
        "DVC_SITE_CACHE_DIR": str(folder.parent / "site"),
        "DVC_NO_ANALYTICS": "1",
    }
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def made(folder: Path, faces: int) -> Path:
    """A project whose outputs have the sizes of so many faces."""
    project = clone(ROOT, folder / str(faces) / "project")
    config = "[core]\n    check_update = false\n[cache]\n    type = hardlink\n"
    (project / ".dvc" / "config.local").write_text(config)
    for name, size in {
        **{name: faces * each for name, each in FILES.items()},
        **dict.fromkeys(SMALL, 9),
    }.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(name.encode())
            file.truncate(size)
    dvc(project, "commit", "--force")
    return project


def timed(project: Path, rounds: int, *arguments: str) -> tuple[float, float]:
    """Median seconds and fewest CPU seconds of some runs."""
    runs = [dvc(project, *arguments) for _ in range(rounds)]
    if arguments == ("repro",):
        assert "Running stage" not in runs[-1][2], runs[-1][2]
    return statistics.median(run[0] for run in runs), min(run[1] for run in runs)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, nargs="+", default=[150, 15_000])
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        empty = Path(name) / "empty" / "project"
        empty.mkdir(parents=True)
        subprocess.run(["git", "init", "-q"], cwd=empty, check=True)
        dvc(empty, "init", "-q")
        rows = [("`dvc status`, empty project", *timed(empty, given.rounds, "status"))]
        for faces in given.faces:
            project = made(Path(name), faces)
            size = sum((project / path).stat().st_size for path in FILES) / 2**20
            rows.append(
                (f"`dvc repro`, {faces:,} faces, {size:,.0f} MiB", *timed(project, given.rounds, "repro"))
            )
    print("| nothing to do | seconds | CPU seconds |\n| --- | ---: | ---: |")
    for what, wall, cpu in rows:
        print(f"| {what} | {wall:.2f} | {cpu:.2f} |")


if __name__ == "__main__":
    main()
