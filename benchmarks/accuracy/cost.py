"""What a system costs: floating-point operations of one face, and how long one takes."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

WARM_UP = 20


class Stopwatch:
    """Wall and CPU seconds since its making, of this process and of the children it waited for."""

    def __init__(self) -> None:
        self._start = self._now()

    def read(self) -> dict[str, Any]:
        """``seconds`` and ``cpu_seconds``."""
        return {name: value - self._start[name] for name, value in self._now().items()}

    @staticmethod
    def _now() -> dict[str, float]:
        spent = os.times()
        return {"seconds": spent.elapsed, "cpu_seconds": sum(spent[:4])}


def parameters(model: nn.Module) -> int:
    """Trained numbers of a network; buffers, such as the running means of a batch norm, are none."""
    return sum(p.numel() for p in model.parameters())


def flops(model: nn.Module, example: torch.Tensor) -> int:
    """Of convolutions and matrix products, 2 for a multiply-add; ``example`` (1, C, S, S)."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.eval()(example)
    return int(counter.get_total_flops())


def network_calls(model: nn.Module, example: torch.Tensor, count: int) -> list[Callable[[], Any]]:
    """For timing: the network alone, on ``count`` drawn inputs of the shape of ``example``."""
    model = model.eval()
    inputs = [torch.randn(example.shape, generator=torch.Generator().manual_seed(n)) for n in range(count)]
    return [partial(model, x) for x in inputs]


def latency(calls: Sequence[Callable[[], Any]]) -> dict[str, float]:
    """Milliseconds of one call, one thread, after some to warm up.

    Returns
    -------
    ``median``, ``p95`` in ms; ``calls``, how many; ``load``, of the machine over the last minute.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for call in calls[:WARM_UP]:
                call()
            taken = []
            for call in calls:
                start = time.perf_counter()
                call()
                taken.append((time.perf_counter() - start) * 1000)
    finally:
        torch.set_num_threads(threads)
    return {
        "median": statistics.median(taken),
        "p95": float(np.percentile(taken, 95)),
        "calls": len(taken),
        "load": os.getloadavg()[0],
    }
