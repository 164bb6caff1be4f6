"""Signals that wait: what must not be left half done, such as the start of a process, is done first."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """INT, TERM and HUP are answered after the block: for what must not be left half done, such as a start.

    Does nothing in another thread than the main one: no handler runs there.
    """
    came: list[tuple[int, FrameType | None]] = []
    held = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [signal.Signals[name] for name in NAMES if hasattr(signal, name)]
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
