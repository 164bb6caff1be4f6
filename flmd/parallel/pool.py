"""Independent tasks over worker processes, results in order, few in flight, progress shown.

Results never depend on the number of workers: a task carries all it needs, and results come back in
the order in which tasks were given.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import pickle
import signal
import sys
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from types import ModuleType
from typing import Any, TypeVar

from flmd.core import signals
from flmd.errors import FlmdError, ParamsError
from flmd.parallel import leash

Context = TypeVar("Context")
Task = TypeVar("Task")
Result = TypeVar("Result")


class ContextExecutor(Executor):
    """An executor whose workers keep what tasks share, so that it does not travel with each of them."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Tasks that can run at once."""

    @abstractmethod
    def keep(
        self, function: Callable[[Context, Task], Result], context: Context
    ) -> Callable[[Task], Future[Result]]:
        """What submits ``function(context, task)``; the context is sent to each worker once.

        A context with a method ``check_here()`` has it called in each worker before its first task: to
        raise an FlmdError where something that the tasks need is not there.
        """


def worker_count(workers: int | None = None) -> int:
    """How many workers to use: the argument, else FLMD_WORKERS, else the CPUs this process may use."""
    if workers is None:
        text = os.environ.get("FLMD_WORKERS", "")
        if not text:
            return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        if not text.isdigit():
            raise ParamsError(f"FLMD_WORKERS is {text!r}", expected="a whole number from 1 up")
        workers = int(text)
    if workers < 1:
        raise ParamsError(f"workers is {workers}", expected="a whole number from 1 up")
    return workers


def in_order(
    function: Callable[[Context, Task], Result],
    context: Context,
    tasks: Iterable[Task],
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    in_flight: int = 3,
) -> Iterator[Result]:
    """Yield ``function(context, task)`` for every task, in order.

    Parameters
    ----------
    function : a module-level function; it, the context and the tasks must pickle. Where it or the context
        is of the script that runs, each worker runs that script again, which then must have its
        ``if __name__ == "__main__":``. Otherwise no worker does, and any script will do.
    context : what all tasks share; sent once to each worker, not with each task.
    tasks : consumed as results are taken, so that memory stays bounded.
    workers : 1 runs everything in this process. Ignored when ``executor`` is given.
    executor : any ``concurrent.futures.Executor`` to run on instead of processes of our own. The context
        travels with each task, except on a :class:`ContextExecutor`.
    in_flight : tasks given out ahead, per worker.
    """
    if isinstance(executor, ContextExecutor):
        yield from _windowed(executor.keep(function, context), tasks, in_flight * executor.width)
        return
    count = worker_count(workers)
    if executor is not None:
        bound = functools.partial(function, context)
        yield from _windowed(lambda task: executor.submit(bound, task), tasks, in_flight * count)
        return
    if count == 1:
        quiet()
        yield from map(functools.partial(function, context), tasks)
        return
    pool = ProcessPoolExecutor(
        count, mp_context=_start_method(function.__module__), initializer=_begin, initargs=(function, context)
    )
    starting: Callable[[], AbstractContextManager[None]]
    starting = nullcontext if _is_of_main(function, context) else _without_main

    def submit(task: Task) -> Future[Result]:
        with signals.deferred(), starting():  # a pool starts its processes as tasks come in
            return _submitted(pool, task)

    finished = False
    try:
        # Not cancelled one by one: a pool whose workers are killed stumbles over such futures.
        yield from _windowed(submit, tasks, in_flight * count, cancel=False)
        finished = True
    except BrokenProcessPool:
        raise FlmdError(
            "a worker process died (killed, or out of memory)", hint="run again, or with fewer workers"
        ) from None
    finally:
        if not finished:  # nobody wants what they are at
            _kill_workers(pool)
        pool.shutdown(wait=True, cancel_futures=True)


def _submitted(pool: ProcessPoolExecutor, task: Any) -> Future[Any]:
    try:
        return pool.submit(_call, task)
    except (EOFError, ConnectionError) as error:  # from the server that starts processes
        raise BrokenProcessPool from error


def _kill_workers(pool: ProcessPoolExecutor) -> None:
    """Python's own way to wait for them may take as long as a task."""
    for process in list((getattr(pool, "_processes", None) or {}).values()):
        with suppress(OSError, ValueError):  # it has ended
            process.kill()
    # One may have been killed half-way through a result. The pool reads on until the pipe has no writer left,
    # and we hold one.
    results = getattr(pool, "_result_queue", None)
    if results is not None:
        results._writer.close()


def _is_of_main(*needed: object) -> bool:
    """Whether unpickling these in a worker takes the module ``__main__``."""
    return b"__main__" in pickle.dumps(needed)


@contextmanager
def _without_main() -> Iterator[None]:
    """Processes that are started meanwhile do not run the main script again, as they do by default."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


_work: Callable[[Any], Any] | None = None


def _begin(function: Callable[[Any, Any], Any], context: Any) -> None:
    """A worker's first act: keep what all its tasks share."""
    global _work
    leash.die_with_parent()
    quiet()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    _work = functools.partial(function, context)


def _call(task: Any) -> Any:
    assert _work is not None
    return _work(task)


def quiet() -> None:
    """One thread a worker: the pool is the parallelism."""
    import cv2

    cv2.setNumThreads(0)
    torch = sys.modules.get("torch")
    if torch is not None and multiprocessing.parent_process() is not None:
        torch.set_num_threads(1)


def _start_method(module: str) -> multiprocessing.context.BaseContext:
    """Fork from a clean server process: plain fork copies locks that OpenCV's threads may hold.

    The server imports ``module`` once for all workers.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*leash.preload(), module])
    return context


def _windowed(
    submit: Callable[[Task], Future[Result]], tasks: Iterable[Task], window: int, *, cancel: bool = True
) -> Iterator[Result]:
    waiting: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            waiting.append(submit(task))
            if len(waiting) >= window:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting if cancel else ():  # nobody wants them any more
            future.cancel()
