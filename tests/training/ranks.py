"""What the tests of torchrun start: a training of squares, or layers against those of one process."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from flmd import errors
from flmd.errors import InputError
from flmd.training import distributed
from flmd.training.whole_batch import Place

BATCHES = (5, 1, 4)  # rows of the whole batch; of one row, one of two processes gets none


def network() -> nn.Module:
    """Every layer that looks beyond its own row, or draws at random."""
    torch.manual_seed(4)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3),
        nn.BatchNorm2d(3),
        nn.Dropout2d(0.4),
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4, momentum=None),
        nn.Dropout(0.3),
    ).to(memory_format=torch.channels_last)


def pixels(rows: int) -> Tensor:
    """(rows, 2, 8, 8), far from standardised."""
    values = torch.randn(rows, 2, 8, 8, generator=torch.Generator().manual_seed(rows)) * 3 + 7
    return values.contiguous(memory_format=torch.channels_last)


def state_of(layers: nn.Module) -> dict[str, list[float]]:
    """Parameters, running statistics and gradients."""
    found = {name: value.double().flatten().tolist() for name, value in layers.state_dict().items()}
    for name, value in layers.named_parameters():
        found[f"{name}.grad"] = [] if value.grad is None else value.grad.double().flatten().tolist()
    return found


def compute(processes: distributed.Processes) -> dict[str, list[float]]:
    """The layers after some steps of the loss mean(output ** 3) over whole batches, and all outputs' sums."""
    layers, place = network(), Place()
    ddp_model: nn.Module = layers
    if processes.count > 1:
        ddp_model = processes.ddp_model(layers, layers, place)
    sums: list[float] = []
    for number, rows in enumerate(BATCHES):
        torch.manual_seed(number)
        share = processes.share(torch.arange(rows).numpy())
        place.take(share.place)
        out = ddp_model(pixels(rows)[torch.from_numpy(share.rows)])
        own = out[: share.place.count] if processes.count > 1 else out
        loss = own.pow(3).sum() / out[0].numel() / rows
        layers.zero_grad()
        (loss * processes.count + 0 * out.sum()).backward()
        sums.append(float(processes.sum(loss.detach())))
        with torch.no_grad():
            for value in layers.parameters():
                if value.grad is not None:
                    value -= 0.01 * value.grad
    return {**state_of(layers), "losses": sums}


def main() -> None:
    """``layers FILE``: write what :func:`compute` gives. ``fail``: an error in one process alone."""
    with distributed.joined() as processes:
        if sys.argv[1] == "layers":
            found = compute(processes)
            if processes.first:
                Path(sys.argv[2]).write_text(json.dumps(found))
            processes.same("files", "0" * 64)
            if processes.rank == 1:
                raise InputError("cannot be read", where="face 3", hint="mend it")
            processes.sum(torch.ones(()))  # waits for the one that has failed
            time.sleep(60)


if __name__ == "__main__":
    sys.exit(errors.run(main))
