"""Damage to bytes, drawn from a seed."""

from __future__ import annotations

import numpy as np


def overwritten(data: bytes, seed: int, most: int = 64) -> bytes:
    """The same bytes, of which 1 to ``most`` are random ones: half the time in one run, else scattered."""
    rng = np.random.default_rng(seed)
    damaged = np.frombuffer(data, np.uint8).copy()
    count = int(rng.integers(1, most + 1))
    if rng.integers(2):
        start = int(rng.integers(0, max(1, len(data) - count)))
        at = np.arange(start, min(len(data), start + count))
    else:
        at = rng.integers(0, len(data), count)
    damaged[at] = rng.integers(0, 256, len(at))
    return damaged.tobytes()
