"""Turns at the work that a picture takes: few at once, in the order of their coming, and no long wait."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

AT_ONCE = max(1, min(4, (os.cpu_count() or 2) // 2))  # a picture takes about two threads
WAITING = 100  # visitors in the queue, each with a thread of the server
PATIENCE = 6.0  # seconds in the queue; what follows takes a second or two more


class BusyError(Exception):
    """The queue is full, or nobody was done in time."""


class Turns:
    """A queue of threads.

    Parameters
    ----------
    at_once : threads that have a turn at the same time. waiting : threads in the queue at most.
    patience : seconds in the queue at most.
    """

    def __init__(self, at_once: int = AT_ONCE, waiting: int = WAITING, patience: float = PATIENCE) -> None:
        self._free, self._waiting, self._patience = at_once, waiting, patience
        self._queue: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn, and have it inside the block. Raises BusyError instead of a longer wait."""
        self._take()
        try:
            yield
        finally:
            self._give()

    def _take(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            if len(self._queue) >= self._waiting:
                raise BusyError
            called = threading.Event()
            self._queue.append(called)
        if called.wait(self._patience):
            return
        with self._lock:
            if called.is_set():  # in the last moment
                return
            self._queue.remove(called)
        raise BusyError

    def _give(self) -> None:
        """To the one who waits longest: who comes just now does not go first."""
        with self._lock:
            if self._queue:
                self._queue.popleft().set()
            else:
                self._free += 1


TURNS = Turns()
"""Of all visitors of this server."""
