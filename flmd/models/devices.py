"""Where networks run."""

from __future__ import annotations

import torch

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
