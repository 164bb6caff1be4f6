"""TERM and HUP end a program as an error would: what it holds is cleaned up, then it says so in one line.

``timeout``, Slurm, systemd and a terminal that is closed send them. Python's own answer is to be gone at
once, and with it the chance to remove an unpacked copy.
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

NAMES = ("SIGTERM", "SIGHUP")
_TWICE = 2.0  # seconds within which a signal that comes again is the same one: `timeout` sends it twice


class Stopped(BaseException):
    """The program was told to end. Like KeyboardInterrupt it is no error that code should handle.

    Attributes
    ----------
    number : of the signal; a shell sees the exit code 128 + number.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"stopped by {signal.Signals(number).name}")


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """TERM and HUP raise :class:`Stopped` in the block, in the main thread.

    Does nothing in another thread, nor for a signal that is ignored (``nohup``) or has a handler already.
    """
    first = -math.inf

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if time.monotonic() - first > _TWICE:
            first = time.monotonic()
            raise Stopped(number)

    taken: list[signal.Signals] = []
    if threading.current_thread() is threading.main_thread():
        numbers = [signal.Signals[name] for name in NAMES if hasattr(signal, name)]
        taken = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """INT, TERM and HUP are answered after the block: for what must not be left half done, such as a start.

    Does nothing in another thread than the main one: no handler runs there.
    """
    came: list[tuple[int, FrameType | None]] = []
    held = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [signal.Signals[name] for name in ("SIGINT", *NAMES) if hasattr(signal, name)]
        held = {number: signal.getsignal(number) for number in numbers}
    handlers = {number: handler for number, handler in held.items() if callable(handler)}
    for number in handlers:
        signal.signal(number, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for sent, frame in came:
        handlers[signal.Signals(sent)](sent, frame)
