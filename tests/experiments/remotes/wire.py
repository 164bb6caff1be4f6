"""A wire to a server that can be cut in the middle of a transfer."""

from __future__ import annotations

import contextlib
import socket
import threading


class Wire:
    """A TCP relay to a server that dies after a number of bytes: for good, until it is mended.

    ``cut(up=N)`` lets N more bytes go to the server, ``cut(down=N)`` N more come from it; then every
    connection is torn and new ones are refused.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self.left: dict[str, float] = {}
        self.mend()
        self.open: set[socket.socket] = set()
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, *, up: float = float("inf"), down: float = float("inf")) -> None:
        self.left = {"up": up, "down": down}

    def mend(self) -> None:
        self.cut()

    @property
    def dead(self) -> bool:
        return min(self.left.values()) <= 0

    def close(self) -> None:
        self.listener.close()
        self._tear()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            if self.dead:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                near.close()
                continue
            with self.lock:
                self.open |= {near, far}
            threading.Thread(target=self._relay, args=(near, far, "up"), daemon=True).start()
            threading.Thread(target=self._relay, args=(far, near, "down"), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket, way: str) -> None:
        try:
            while data := source.recv(1 << 14):
                with self.lock:
                    send = data[: int(min(len(data), max(self.left[way], 0)))]
                    self.left[way] -= len(data)
                sink.sendall(send)
                if self.dead:
                    self._tear()
                    return
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for end in (source, sink):
                _drop(end)

    def _tear(self) -> None:
        with self.lock:
            ends, self.open = self.open, set()
        for end in ends:
            _drop(end)


def _drop(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
