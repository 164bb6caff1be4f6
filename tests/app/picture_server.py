"""A server on this machine that answers, byte by byte, whatever a test wants."""

from __future__ import annotations

import contextlib
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Send = Callable[[bytes], None]
Answer = Callable[["Call"], None]


@dataclass
class Call:
    """One request. ``head`` is all of it, ``over`` is set when the test ends: what to wait for in silence."""

    head: str
    send: Send
    over: threading.Event

    @property
    def path(self) -> str:
        return self.head.split(" ", 2)[1]


@dataclass
class PictureServer:
    """``answers`` by path; ``calls`` are the heads of the requests that came, ``names`` the TLS names."""

    answers: dict[str, Answer]
    host: str
    port: int
    calls: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/", *, scheme: str = "http", host: str | None = None) -> str:
        return f"{scheme}://{host or self.host}:{self.port}{path}"


def body(content: bytes, *, length: int | None = None, status: str = "200 OK", extra: str = "") -> Answer:
    """An answer of that body; ``length`` is what the header says, where that is a lie."""
    count = len(content) if length is None else length

    def answer(call: Call) -> None:
        call.send(f"HTTP/1.1 {status}\r\nContent-Length: {count}\r\n{extra}\r\n".encode() + content)

    return answer


def leads_to(location: str, status: str = "302 Found") -> Answer:
    return body(b"", status=status, extra=f"Location: {location}\r\n")


def drips(head: bytes, drop: bytes, every: float = 0.05) -> Answer:
    """``head``, then ``drop`` again and again, for ever."""

    def answer(call: Call) -> None:
        call.send(head)
        while not call.over.wait(every):
            call.send(drop)

    return answer


def silent(call: Call) -> None:
    call.over.wait(20)


def floods(head: bytes, piece: bytes) -> Answer:
    """``head``, then ``piece`` as fast as it goes, for ever."""

    def answer(call: Call) -> None:
        call.send(head)
        while not call.over.is_set():
            call.send(piece)

    return answer


@contextmanager
def picture_server(
    answers: dict[str, Answer],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    context: ssl.SSLContext | None = None,
) -> Iterator[PictureServer]:
    """A server that answers a path with its answer, and 404 elsewhere."""

    class Handler(socketserver.StreamRequestHandler):
        timeout = 20

        def setup(self) -> None:
            if context is not None:
                self.request = context.wrap_socket(self.request, server_side=True)
            super().setup()

        def handle(self) -> None:
            lines = []
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                lines.append(line)
            if not lines:
                return
            call = Call(b"".join(lines).decode("latin-1"), self.request.sendall, server.over)
            server.calls.append(call.head)
            server.answers.get(call.path, body(b"nothing here", status="404 Not Found"))(call)

    class Listener(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that hangs up is what most tests do

    with Listener((host, port), Handler) as listener:
        server = PictureServer(answers, host, listener.server_address[1])
        if context is not None:

            def note(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
                server.names.append(name or "")

            context.sni_callback = note
        thread = threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            with contextlib.suppress(OSError):
                listener.shutdown()
            thread.join()
