"""A Dask cluster as an executor: ``tcp://host:port`` of its scheduler, workers on any number of machines.

Tasks of a worker that dies are done again by the others. What all tasks share goes to each worker once and
is opened once by each of its threads. Workers must have the packages that this process has: another version
of a decoder could make other bytes.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import pickle
import socket
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Executor, Future
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from flmd.errors import FlmdError, ParamsError, one_line
from flmd.parallel.pool import Context, ContextExecutor, Result, Task, quiet

VARIABLE = "FLMD_SCHEDULER"
PATIENCE = 10.0  # seconds to wait for a scheduler, and for its first worker
ALONE = 60.0  # seconds without any worker after which nobody is expected to come back
STALLED = 600.0  # seconds in which no task of those given out comes back; one takes seconds
PACKAGES = ("flmd", "numpy", "opencv-python-headless", "simplejpeg", "albumentations", "scipy", "h5py")


@contextmanager
def connected(address: str | None = None) -> Iterator[Executor | None]:
    """The executor of the scheduler at an address; None, for processes of our own, when there is no address.

    Parameters
    ----------
    address : as in "tcp://192.168.0.7:8786"; None: the environment variable FLMD_SCHEDULER, if it is set.

    Raises
    ------
    ParamsError : not such an address, or package ``distributed`` is missing.
    FlmdError : no scheduler answers there, it has no worker, or either goes away for good.
    """
    address = address or os.environ.get(VARIABLE) or None
    if address is None:
        yield None
        return
    client = _client(address)
    executor = ClusterExecutor(client, address)
    from distributed import KilledWorker

    try:
        yield executor
    except KilledWorker as error:
        raise FlmdError(
            f"a task was lost with several workers, one after another ({one_line(error)})",
            hint="they may be short of memory: give each worker more, or fewer threads",
        ) from None
    except CancelledError:
        gone = FlmdError(f"the scheduler at {address} is gone", hint="start it and run again")
        raise executor.failure or gone from None
    except ModuleNotFoundError as error:
        raise FlmdError(
            f"a worker has no package {error.name!r}", hint="install the same flmd for every worker"
        ) from None
    finally:
        executor.shutdown(cancel_futures=True)
        client.close(timeout=2)


def _client(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise ParamsError(
            f"scheduler {address} needs package distributed", hint="pip install 'flmd[dask]'"
        ) from None
    protocol, _, rest = address.partition("://")
    if protocol not in ("tcp", "tls") or not rest.rpartition(":")[2].isdigit():
        raise ParamsError(f"scheduler is {address!r}", expected="an address such as tcp://192.168.0.7:8786")
    for name in ("client", "core", "comm", "batched"):  # what they have to say ends in our one line
        logging.getLogger(f"distributed.{name}").setLevel(logging.CRITICAL)
    try:
        client: Any = Client(  # type: ignore[no-untyped-call]
            address, timeout=PATIENCE, set_as_default=False
        )
    except (OSError, TimeoutError, ValueError) as error:
        raise FlmdError(
            f"no scheduler answers at {address} ({type(error.__cause__ or error).__name__})",
            hint="start one with `dask scheduler`, or leave the scheduler out",
        ) from None
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError:
        client.close(timeout=2)
        raise FlmdError(
            f"the scheduler at {address} has no workers", hint=f"start some: `dask worker {address}`"
        ) from None
    return client


class ClusterExecutor(ContextExecutor):
    """A Dask client as an executor; the client stays open when it is shut down.

    ``failure`` : why everything was cancelled, when it was not by the user.
    """

    def __init__(self, client: Any, address: str) -> None:
        self._client, self._address = client, address
        self.failure: FlmdError | None = None
        self._moved = time.monotonic()  # when a task was given out, or came back, last
        self._waiting: set[Future[Any]] = set()
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._watch_workers, daemon=True)
        self._watch.start()

    @property
    def width(self) -> int:
        """Threads of all workers there are now; FlmdError when the scheduler does not say."""
        try:
            return max(1, self._threads())
        except TimeoutError:
            raise FlmdError(
                f"the scheduler at {self._address} does not answer", hint="look at it, and run again"
            ) from None

    def _threads(self) -> int:
        # By client.nthreads() a scheduler that is frozen would be waited for without end.
        found: dict[str, int] = self._client.sync(
            self._client.scheduler.ncores, workers=None, callback_timeout=max(PATIENCE, 30.0)
        )
        return sum(found.values())

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        """Run a function on some worker; the function and its arguments must pickle."""
        # Not by Dask's own executor: it looks at the state of a task once more after it has the result, and
        # takes that for a failure where the worker was lost in between.
        task = self._client.submit(fn, *args, pure=False, **kwargs)
        outcome: Coroutine[Any, Any, Result] = _outcome(task)
        future: Future[Result] = asyncio.run_coroutine_threadsafe(outcome, self._client.loop.asyncio_loop)
        future.add_done_callback(lambda done: task.cancel() if done.cancelled() else None)
        self._moved = time.monotonic()
        self._waiting.add(future)
        future.add_done_callback(self._came_back)
        return future

    def _came_back(self, future: Future[Any]) -> None:
        self._moved = time.monotonic()
        self._waiting.discard(future)

    def keep(
        self, function: Callable[[Context, Task], Result], context: Context
    ) -> Callable[[Task], Future[Result]]:
        """See :class:`flmd.parallel.pool.ContextExecutor`."""
        # The context is the result of a task: one that is lost with its worker is made again. Its name is
        # new each time, because a file that it opens may be another one by then.
        content = pickle.dumps((function, context, _versions()))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph")
            shared = self._client.submit(_as_it_is, content, pure=False)
        return functools.partial(self.submit, _run, uuid.uuid4().hex, shared)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Cancel what is not done, with ``cancel_futures``; ``wait`` for the rest."""
        self._over.set()
        for future in list(self._waiting):
            if cancel_futures:
                future.cancel()
            elif wait:
                future.exception()

    def _watch_workers(self) -> None:
        """Cancel what waits when all workers have been away too long, or nothing comes back: Dask would wait
        for ever, for a worker or a scheduler that hangs and keeps its connections too."""
        away = 0.0
        pause = min(5.0, ALONE / 4, STALLED / 4)
        while not self._over.wait(pause):
            if self._waiting and time.monotonic() - self._moved >= STALLED:
                self._give_up(
                    f"no task has come back from the cluster at {self._address} for {STALLED:g} s",
                    "a worker or the scheduler may hang: look at them, and run again",
                )
                return
            try:
                away = 0.0 if self._threads() else away + pause
            except Exception:  # the scheduler is gone, and Dask cancels what waits; or it is slow, or hangs
                continue
            if away >= ALONE:
                self._give_up(
                    f"the scheduler at {self._address} has lost all its workers",
                    f"start some: `dask worker {self._address}`, and run again",
                )
                return

    def _give_up(self, what: str, hint: str) -> None:
        self.failure = FlmdError(what, hint=hint)
        for future in list(self._waiting):
            future.cancel()


async def _outcome(task: Any) -> Any:
    """The result of a Dask future, or what the task raised; CancelledError where the scheduler is gone."""
    try:
        return await task._result()
    except OSError:
        if task.status == "error":
            raise  # the task's own
        raise CancelledError from None


def _as_it_is(content: bytes) -> bytes:
    return content


_kept = threading.local()  # of a worker's thread: what it opened last


def _run(name: str, content: bytes, task: Any) -> Any:
    """A task, in a worker."""
    if getattr(_kept, "name", None) != name:
        _kept.name = None
        _kept.call = _opened(content)
        _kept.name = name
    return _kept.call(task)


def _opened(content: bytes) -> Callable[[Any], Any]:
    quiet()
    here = socket.gethostname()
    try:
        function, context, wanted = pickle.loads(content)
        check = getattr(context, "check_here", None)
        if check is not None:
            check()
    except FlmdError as error:
        raise FlmdError(
            f"a worker on {here} cannot start: {error}",
            hint="every machine must see the same files at the same paths",
        ) from None
    found = _versions()
    for package, expected in wanted.items():
        if found[package] != expected:
            raise FlmdError(
                f"a worker on {here} has {package} {found[package]}",
                expected=f"{expected} as here",
                hint="install the same packages for every worker",
            )
    return functools.partial(function, context)


@functools.cache
def _versions() -> dict[str, str]:
    found = {"python": ".".join(map(str, sys.version_info[:2]))}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found
