"""The time that a fetch has as a whole, however its bytes are dealt out."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

from urllib3.connection import HTTPConnection


class Clock:
    """The time a fetch has, as a whole; a connection that is still open then is cut."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds
        self._done = threading.Event()
        self._connection: HTTPConnection | None = None

    def __enter__(self) -> Clock:
        threading.Thread(target=self._cut, daemon=True, name="flmd-clock").start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self._end

    def left(self) -> float:
        """Seconds left, never 0, which a socket takes for "do not wait"."""
        return max(self._end - time.monotonic(), 0.001)

    @contextlib.contextmanager
    def watching(self, connection: HTTPConnection) -> Iterator[None]:
        """Cut this connection when the time is up; close it in any case."""
        self._connection = connection
        try:
            yield
        finally:
            self._connection = None
            connection.close()

    def _cut(self) -> None:
        # A timeout of a socket begins anew with each byte; a server that sends one now and then would hold
        # the line for ever. Again and again, because the connection may be opening at that very moment.
        wait = self.left()
        while not self._done.wait(wait):
            wait = 0.05
            sock = getattr(self._connection, "sock", None)
            if sock is not None:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
