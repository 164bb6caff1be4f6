"""Faces without pictures through convert, stats, split, audit and diff: time and peak memory of each.

    nice -n 15 python -m benchmarks.million /tmp/million --faces 10000 100000 1000000 --format csv

Every command is a process of its own, as a user would start it. CPU time is that of the process and its
children; memory is anonymous and shared (RssAnon + RssShmem), sampled, so that pages of mapped files, which
the system may drop, do not count. The folder takes about 8 kB a face of 68 points while it runs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.annotations import make
from benchmarks.measure import usage

COMMANDS = ("convert", "stats", "split", "audit", "diff")
ALLOWED = {"diff": (0, 1)}  # two stores that differ end with 1
SAMPLE_EVERY = 0.1  # s
START = "import sys; from flmd.cli.flmd_data import main; sys.argv[0] = 'flmd-data'; sys.exit(main())"


@dataclass(frozen=True)
class Cost:
    """Of one command: faces, CPU and wall seconds, peak memory in bytes."""

    command: str
    faces: int
    cpu: float
    wall: float
    peak: int


def main(arguments: Sequence[str] | None = None) -> list[Cost]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.million")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--faces", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--format", default="csv", help="csv has 68 points, celeba 5")
    chosen = parser.parse_args(arguments)
    costs = []
    for faces in chosen.faces:
        with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
            costs += measure(Path(folder), chosen.format, faces, print_cost)
    print(table(costs))
    return costs


def measure(folder: Path, fmt: str, faces: int, told: Callable[[Cost], object]) -> list[Cost]:
    """Every command once, on so many faces."""
    raw, store, other = folder / "raw", folder / "faces.h5", folder / "split.h5"
    raw.mkdir()
    make(str(raw), fmt, faces)
    lines = {
        "convert": [str(raw), str(store), "--images", "none", "--from", fmt],
        "stats": [str(store)],
        "split": [str(store), "--by", "subject", "--seed", "1", "-o", str(other)],
        "audit": [str(store)],
        "diff": [str(store), str(other)],
    }
    costs = []
    for command in COMMANDS:
        costs.append(run(command, lines[command], faces, folder))
        told(costs[-1])
    if not other.exists():
        raise SystemExit("no store was written")
    return costs


def run(command: str, arguments: Sequence[str], faces: int, scratch: Path) -> Cost:
    """One command in a process of its own; SystemExit with its last words where it fails."""
    line = [sys.executable, "-c", START, command, *arguments]
    environment = {**os.environ, "TMPDIR": str(scratch), "FLMD_WORKERS": "1"}
    before, start, peak = os.times(), time.perf_counter(), 0
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=said)
        while process.poll() is None:
            peak = max(peak, usage(process.pid)[0])
            time.sleep(SAMPLE_EVERY)
        if process.returncode not in ALLOWED.get(command, (0,)):
            said.seek(0)
            raise SystemExit(f"{command}: exit code {process.returncode}\n{said.read()[-4000:]}")
    wall, after = time.perf_counter() - start, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(command, faces, cpu, wall, peak)


def print_cost(cost: Cost) -> None:
    print(
        f"{cost.command}, {cost.faces:,} faces: CPU {cost.cpu:.1f} s, {cost.wall:.1f} s, "
        f"{cost.peak / 2**20:.0f} MiB",
        flush=True,
    )


def table(costs: list[Cost]) -> str:
    """A row for each command, CPU seconds and MiB for each number of faces."""
    counts = sorted({cost.faces for cost in costs})
    head = [f"{count:,}: CPU s | MiB" for count in counts]
    rows = [f"| | {' | '.join(head)} |", "|---|" + "---:|" * (2 * len(counts))]
    for command in COMMANDS:
        cells = [f"{c.cpu:.1f} | {c.peak / 2**20:.0f}" for c in costs if c.command == command]
        rows.append(f"| {command} | {' | '.join(cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
