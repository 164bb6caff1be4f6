"""The clock a contender starts after its imports."""

from __future__ import annotations

import time

Timed = tuple[int, tuple[float, float]]  # things made, what the timer read


class Timer:
    """Runs from its making: wall seconds, and the CPU seconds this process had spent before."""

    def __init__(self) -> None:
        self.cpu_before = time.process_time()
        self._start = time.perf_counter()

    def read(self) -> tuple[float, float]:
        """Wall seconds since the start; CPU seconds before it."""
        return time.perf_counter() - self._start, self.cpu_before
