"""Seeds and deterministic kernels: what makes a training give the same bytes twice."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


def seed_all(seed: int, stream: int) -> None:
    """Seed Python, numpy and torch from (seed, stream): 0 for the weights, 1 + epoch for an epoch."""
    words = np.random.SeedSequence([seed, stream]).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))  # noqa: NPY002  (the global generator, for whoever uses it)
    torch.manual_seed(int(words[2]))


@contextlib.contextmanager
def reproducible(wanted: bool, device: torch.device) -> Iterator[None]:
    """Switch torch to deterministic kernels, and back afterwards.

    On the CPU an operation without one is an error. On a GPU it is a warning: in some versions of
    torch the gradient of max pooling has none there, and runs agree closely instead of to the byte.
    """
    fill: Any = torch.utils.deterministic
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        fill.fill_uninitialized_memory,
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
    )
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
    torch.use_deterministic_algorithms(wanted, warn_only=device.type != "cpu")
    # Filling fresh memory finds reads of unwritten memory; nothing here reads any, and it takes time.
    fill.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = not wanted
    torch.backends.cudnn.deterministic = wanted
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        fill.fill_uninitialized_memory = before[2]
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = before[3:]
