"""How long calls take: contenders in turns, so that what else the machine does meets all of them."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TURNS = 10
WARM_UP = 3  # calls before each turn, fewer where they are long: the turn before left caches and busy threads

Call = Callable[[int], object]


@dataclass(frozen=True)
class Timing:
    """Seconds that each call took, in order; and ``cpu``, those of the CPU, of all threads together."""

    seconds: Sequence[float]
    cpu: Sequence[float] = ()

    @property
    def median_ms(self) -> float:
        """Half of the calls take less."""
        return float(np.median(self.seconds)) * 1000

    @property
    def p95_ms(self) -> float:
        """One call in twenty takes longer."""
        return float(np.percentile(self.seconds, 95)) * 1000

    @property
    def least_ms(self) -> float:
        """The quickest call: what other work on the machine disturbs least."""
        return float(np.min(self.seconds)) * 1000

    @property
    def cpu_ms(self) -> float:
        """By the median: on a busy machine a call waits for the CPU more than it uses it."""
        return float(np.median(self.cpu)) * 1000

    @property
    def rate(self) -> float:
        """Calls a second, over all of them."""
        return len(self.seconds) / float(np.sum(self.seconds))


def in_turns(
    contenders: Mapping[str, Call],
    seconds: float,
    *,
    turns: int = TURNS,
    clock: Callable[[], float] = time.perf_counter,
    cpu_clock: Callable[[], float] = time.process_time,
    progress: Callable[[int], object] = lambda n: None,
) -> dict[str, Timing]:
    """Time every contender for about so many seconds, in ``turns`` turns, the order turning round too.

    Parameters
    ----------
    contenders : name -> a function of the number of the call, 0, 1, 2 ..., so that inputs can take turns.
    seconds : for each contender over all turns, warm-up aside; each turn makes one call at least.
    clock, cpu_clock : seconds, for tests.
    progress : called with 1 after each contender's turn.
    """
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    spent: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for turn in range(turns):
        for name in names if turn % 2 == 0 else reversed(names):
            call, times = contenders[name], taken[name]
            start = now = clock()
            for number in range(WARM_UP):
                call(number)
                now = clock()
                if now - start >= seconds / turns:
                    break
            end, cpu = now + seconds / turns, cpu_clock()
            while True:
                call(len(times))
                before, now = now, clock()
                times.append(now - before)
                cpu_before, cpu = cpu, cpu_clock()
                spent[name].append(cpu - cpu_before)
                if now >= end:
                    break
            progress(1)
    return {name: Timing(times, spent[name]) for name, times in taken.items()}


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_name() -> str:
    """What the CPU calls itself."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """torch and OpenCV use so many threads."""
    import cv2
    import torch

    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(count)
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
