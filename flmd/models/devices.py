"""Where networks run, with how many threads and in which numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from flmd.core import processor
from flmd.errors import ParamsError


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" is the first CUDA GPU where there is one, else the CPU.

    "mps" is used only when asked for by name: it has no deterministic mode.

    Raises
    ------
    ParamsError : no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ParamsError(f"train.device is {name!r}", expected="auto, cpu, cuda, cuda:N or mps") from None
    here = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not here.get(device.type, False):
        raise ParamsError(f"train.device is {name!r}, which is not here", hint="set train.device: auto")
    return device


@contextlib.contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Let torch work with so many threads on the CPU; 0 leaves their number as it is.

    Sums over a batch are split among the threads: 1 thread and 2 threads give different last digits.
    """
    before = torch.get_num_threads()
    if count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def autocast_type(precision: str, device: torch.device, cpu: str) -> torch.dtype | None:
    """The type of autocast for train.precision, or None for plain float32.

    "auto" is bfloat16 on a CUDA GPU that has it, and float32 elsewhere.

    Raises
    ------
    ParamsError : bfloat16 on a CPU without its instructions, or where train.cpu leaves them out: a step there
        takes 10 to 20 times as long as in float32. "bfloat16_emulated" asks for just that.
    """
    if precision == "auto":
        with_bfloat16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if with_bfloat16 else None
    if precision == "float32":
        return None
    if precision == "bfloat16" and device.type == "cpu":
        if not processor.has_bfloat16():
            raise ParamsError(
                f"train.precision is bfloat16; {processor.name()} has no instructions for it",
                expected="avx512_bf16 or amx_bf16",
                hint="set train.precision: float32, or bfloat16_emulated to go on 10 to 20 times slower",
            )
        if cpu != "native":
            raise ParamsError(
                f"train.precision is bfloat16, whose instructions train.cpu: {cpu} leaves out",
                hint="set train.precision: float32, or train.cpu: native",
            )
    return torch.bfloat16
