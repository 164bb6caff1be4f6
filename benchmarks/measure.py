"""Runs contenders in fresh processes, one after the other in turns, and watches memory and CPU time.

Every run is a process of its own (``benchmarks.contender``): nothing is warm that a user would find cold,
and no contender gains by another's imports. The contender times itself, after its imports. The parent
samples the process and all that descend from it: anonymous and shared resident memory, summed (pages
shared after a fork count in each process, for us as for the peers), and CPU seconds.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SAMPLE_EVERY = 0.02  # s
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Contender:
    """One way of doing the work: a function ``module:name`` of benchmarks, and its arguments."""

    label: str
    function: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    python: str = sys.executable  # a peer whose requirements clash with ours has an environment of its own
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)  # of the whole run
    work_cpu: list[float] = field(default_factory=list)  # from the start of the timer on, children included
    count: int = 0
    peak: int = 0

    @property
    def median(self) -> float:
        """Median of the runs, seconds."""
        return statistics.median(self.seconds)

    @property
    def rate(self) -> float:
        """Things per second, by the median run."""
        return self.count / self.median

    @property
    def cpu_each(self) -> float:
        """CPU seconds a thing, by the cheapest run: what other work on the machine disturbs least."""
        return min(self.work_cpu) / self.count

    @property
    def spread(self) -> float:
        """Half the range of the runs over their median."""
        return (max(self.seconds) - min(self.seconds)) / 2 / self.median


def race(contenders: list[Contender], rounds: int) -> float:
    """Run all contenders in turns, ``rounds`` times; the share of the machine that other work took.

    One that is listed several times runs so many times a turn.
    """
    busy, total = machine()
    for turn in range(rounds):
        for contender in contenders:
            run(contender)
            rate = contender.count / contender.seconds[-1]
            line = f"  {turn + 1}/{rounds} {contender.label}: {rate:,.1f} /s"
            print(f"{line}, {contender.seconds[-1]:.2f} s, {contender.peak / 2**20:.0f} MiB", flush=True)
    busy_after, total_after = machine()
    ours = sum(sum(c.cpu) for c in {id(c): c for c in contenders}.values())
    return max(0.0, busy_after - busy - ours) / max(total_after - total, 1e-9)


def run(contender: Contender) -> None:
    """Run one contender once, in a fresh process."""
    command = [contender.python, "-m", "benchmarks.contender", contender.function]
    command.append(json.dumps(dict(contender.arguments), default=str))
    environment = {
        **os.environ,
        "NO_ALBUMENTATIONS_UPDATE": "1",
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
    }
    cpu = 0.0
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as messages:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=messages)
        while process.poll() is None:
            memory, spent = usage(process.pid)
            contender.peak, cpu = max(contender.peak, memory), max(cpu, spent)
            time.sleep(SAMPLE_EVERY)
        if process.returncode:
            messages.seek(0)
            raise SystemExit(f"{contender.label}: exit code {process.returncode}\n{messages.read()[-4000:]}")
        out.seek(0)
        result = json.loads(out.read().splitlines()[-1])
    contender.seconds.append(result["seconds"])
    contender.cpu.append(cpu)
    contender.work_cpu.append(cpu - result["cpu_before"])
    contender.count = result["count"]


def usage(pid: int) -> tuple[int, float]:
    """Of a process and its descendants: bytes of RssAnon + RssShmem, and CPU seconds (ended ones too)."""
    memory, ticks = 0, 0
    waiting = [pid]
    while waiting:
        one = Path(f"/proc/{waiting.pop()}")
        try:
            status = (one / "status").read_text()
            ticks += sum(int(t) for t in (one / "stat").read_text().rpartition(")")[2].split()[11:15])
            for task in (one / "task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
        except (OSError, ValueError):
            continue  # it has ended meanwhile
        for line in status.splitlines():
            if line.startswith(("RssAnon:", "RssShmem:")):
                memory += int(line.split()[1]) * 1024
    return memory, ticks / TICKS


def machine() -> tuple[float, float]:
    """CPU seconds since the start of the machine, of all its cores: busy, and altogether."""
    ticks = [int(t) for t in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / TICKS, sum(ticks) / TICKS
