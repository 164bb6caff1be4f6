"""Training in several processes: those that torchrun started, on one machine or many.

Every process runs the same program. :func:`joined` brings them together, and :class:`Processes` says which
one this is. Alone, every method returns what it was given, so that a loop is written once.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import shlex
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from flmd.errors import FlmdError, ParamsError
from flmd.training.whole_batch import Place, across_processes

VARIABLE = "FLMD_TORCHRUN"
NAMES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
A_LONG_TIME = timedelta(days=7)  # the first process may prepare data for hours while the others wait
A_MOMENT = 1.0  # seconds: torchrun ends all processes as soon as it sees that one has failed
_store: Any = None


@dataclass(frozen=True)
class Share:
    """One process's part of a batch.

    Attributes
    ----------
    rows : (B,) int64 of the split, never empty: where a small batch leaves none, its first row stands in.
    place : where they lie in the batch; ``place.count`` is 0 for a stand-in.
    whole : (total,) the rows of all processes.
    """

    rows: NDArray[np.int64]
    place: Place
    whole: NDArray[np.int64]


@dataclass(frozen=True)
class Processes:
    """This process among ``count``: ``rank`` from 0, ``local`` from 0 on its machine."""

    rank: int = 0
    count: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.rank == 0

    def device(self, device: torch.device) -> torch.device:
        """The device of this process: on a machine with GPUs each process has one of its own.

        Raises
        ------
        ParamsError : more processes than GPUs, or one GPU named for all.
        """
        if self.count == 1 or device.type == "cpu":
            return device
        if str(device) != "cuda":
            raise ParamsError(
                f"train.device is {str(device)!r} for {self.count} processes",
                expected="auto, cuda or cpu",
            )
        gpus = torch.cuda.device_count()
        if self.local >= gpus:
            raise ParamsError(
                f"process {self.local + 1} of this machine has no GPU, there are {gpus}",
                hint=f"torchrun --nproc-per-node {gpus}, or train.device: cpu",
            )
        own = torch.device("cuda", self.local)
        torch.cuda.set_device(own)
        return own

    def share(self, batch: NDArray[np.int64]) -> Share:
        """This process's part of a batch: neighbouring rows, at most one more than another process's."""
        start, stop = (len(batch) * i // self.count for i in (self.rank, self.rank + 1))
        rows = batch[start:stop] if stop > start else batch[:1]
        return Share(rows, Place(start, stop - start, len(batch)), batch)

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.count == 1:
            return value
        whole = value.clone()
        dist.all_reduce(whole)
        return whole

    def agree(self, values: dict[str, float]) -> dict[str, float]:
        """The first process's numbers, so that no last digit ever lets two of them decide differently."""
        if self.count == 1:
            return values
        numbers = torch.tensor(list(values.values()), dtype=torch.float64)
        dist.broadcast(numbers, 0)
        return {k: type(v)(n) for (k, v), n in zip(values.items(), numbers.tolist(), strict=True)}

    def same(self, what: str, digest: str) -> None:
        """FlmdError in every process when one of them has another ``digest`` of ``what``."""
        if self.count == 1:
            return
        found = torch.tensor([int(digest[:15], 16)])
        least, most = found.clone(), found.clone()
        dist.all_reduce(least, dist.ReduceOp.MIN)
        dist.all_reduce(most, dist.ReduceOp.MAX)
        if int(least) != int(most):
            raise FlmdError(
                f"the {self.count} processes have different {what}",
                hint="give every machine the same files and the same params.yaml",
            )

    def from_first(self, state: dict[str, Any] | None) -> dict[str, Any] | None:
        """What the first process has, plain values and tensors, sent to all; None when it has nothing."""
        if self.count == 1:
            return state
        buffer = io.BytesIO()
        if self.first and state is not None:
            torch.save(state, buffer)
        size = torch.tensor([buffer.getbuffer().nbytes])
        dist.broadcast(size, 0)
        if not int(size):
            return None
        content = torch.empty(int(size), dtype=torch.uint8)
        if self.first:
            content = torch.frombuffer(buffer.getbuffer(), dtype=torch.uint8)
        dist.broadcast(content, 0)
        if self.first:
            return state
        sent: dict[str, Any] = torch.load(
            io.BytesIO(content.numpy().tobytes()), map_location="cpu", weights_only=True
        )
        return sent

    def first_alone(self, what: str, work: Callable[[], object]) -> None:
        """Let the first process do something, such as preparing a file, while the others wait for it."""
        if self.first:
            work()
        if self.count > 1 and self.first:
            _store.set(f"flmd/{what}", "done")
        elif self.count > 1:
            _store.wait([f"flmd/{what}"], A_LONG_TIME)

    def ddp_model(self, network: nn.Module, predict: Callable[[Tensor], Tensor], place: Place) -> nn.Module:
        """``predict``, a method of ``network``, as a module whose gradients are summed over the processes.

        The network's batch norm and dropout are replaced by those of :mod:`flmd.training.whole_batch`.
        """
        across_processes(network, place)
        device = next(network.parameters()).device
        with warnings.catch_warnings():
            # Later releases of torch have another name for it, which earlier ones do not know.
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
            return nn.parallel.DistributedDataParallel(
                _Predicting(network, predict),
                device_ids=[device] if device.type == "cuda" else None,
                broadcast_buffers=False,  # every process computes the same running statistics
            )


class _Predicting(nn.Module):
    """A method of a network in a module of its own: DDP listens to ``forward`` only."""

    def __init__(self, network: nn.Module, predict: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self._predict = network, predict

    def forward(self, x: Tensor) -> Tensor:
        return self._predict(x)


def current() -> Processes:
    """This process among those that :func:`joined` brought together."""
    if not (dist.is_available() and dist.is_initialized()):
        return Processes()
    return Processes(dist.get_rank(), dist.get_world_size(), int(os.environ.get("LOCAL_RANK", "0")))


@contextlib.contextmanager
def joined() -> Iterator[Processes]:
    """Join the processes that torchrun started; a program started otherwise is alone.

    An error is told by the process that met it first; the others end silently, by torchrun or by
    themselves.

    Raises
    ------
    FlmdError : the processes cannot reach one another.
    """
    if not all(name in os.environ for name in NAMES) or os.environ["WORLD_SIZE"] == "1":
        yield Processes()
        return
    global _store
    _end_with_torchrun()
    try:
        _store, rank, count = next(iter(rendezvous("env://", timeout=timedelta(minutes=5))))
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
        dist.init_process_group(backend, store=_store, rank=rank, world_size=count)
    except (RuntimeError, ValueError, OSError) as error:
        raise FlmdError(
            f"the processes of torchrun cannot meet at {os.environ['MASTER_ADDR']} ({error})",
            hint="see docs/scaling.md",
        ) from None
    try:
        yield current()
    except (Exception, KeyboardInterrupt) as error:
        _leave_to_first(error)
        if isinstance(error, RuntimeError) and _of_transport(error):
            raise FlmdError(
                "another process of this training ended without a word (killed, or out of memory)",
                hint="run again: it goes on after the last finished epoch",
            ) from error
        raise
    dist.destroy_process_group()


def restart_under_torchrun() -> None:
    """Become ``torchrun $FLMD_TORCHRUN`` of this program, when that variable is set; else do nothing.

    For programs that something else starts, such as the stages of a pipeline.
    """
    options = shlex.split(os.environ.get(VARIABLE, ""))
    if not options or "RANK" in os.environ:
        return
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "torch.distributed.run", *options, *sys.argv])


def _leave_to_first(error: BaseException) -> None:
    """End this process without a word when another one has met an error before it."""
    try:
        number = _store.add("flmd/failed", 1)
    except RuntimeError:
        return
    if number > 1:
        time.sleep(A_MOMENT)
        code = 130 if isinstance(error, KeyboardInterrupt) else getattr(error, "exit_code", 1)
        raise SystemExit(code) from None


def _of_transport(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or "gloo" in str(error).lower()


def _end_with_torchrun() -> None:
    """Ask Linux to end this process when torchrun, its parent, is killed: it would train on unseen."""
    if not sys.platform.startswith("linux") or "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
