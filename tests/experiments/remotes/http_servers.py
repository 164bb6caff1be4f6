"""A WebDAV or an S3 server as a process: `python -m THIS_MODULE webdav|s3 PORT FOLDER`.

FOLDER/full makes every upload fail with 507, as a server does whose disk is full.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

USER, PASSWORD = "five", "s3cret-of-five"
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def full_when_told(app: Application, flag: Path) -> Application:
    """Answer 507 to uploads while ``flag`` exists; their body is read first, as real servers do."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in ("PUT", "POST") and flag.exists():
            _body(environ)
            start_response("507 Insufficient Storage", [("Content-Length", "0")])
            return [b""]
        return app(environ, start_response)

    return answer


def whole_bodies_only(app: Application) -> Application:
    """Refuse an upload that was cut short, as S3 does ("IncompleteBody") and moto does not."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = _body(environ)
        if len(body) < int(environ.get("CONTENT_LENGTH") or 0):
            start_response("400 Bad Request", [("Content-Length", "0")])
            return [b""]
        return app({**environ, "wsgi.input": io.BytesIO(body)}, start_response)

    return answer


def _body(environ: dict[str, Any]) -> bytes:
    left, parts = int(environ.get("CONTENT_LENGTH") or 0), []
    while left > 0 and (part := environ["wsgi.input"].read(min(left, 1 << 16))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def webdav(folder: Path) -> Application:
    """WebDAV on FOLDER/files, for one user with a password."""
    from wsgidav.wsgidav_app import WsgiDAVApp

    (folder / "files").mkdir(exist_ok=True)
    return WsgiDAVApp(  # type: ignore[no-any-return]
        {
            "provider_mapping": {"/": str(folder / "files")},
            "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
            "simple_dc": {"user_mapping": {"*": {USER: {"password": PASSWORD}}}},
            "verbose": 1,
            "logging": {"enable": False},
        }
    )


def s3(folder: Path) -> Application:
    """moto's S3, in memory; it has IAM too, so that it can ask for keys (see `servers.s3_server`)."""
    from moto.server import DomainDispatcherApplication, create_backend_app

    return whole_bodies_only(DomainDispatcherApplication(create_backend_app))


def main() -> None:
    from cheroot.wsgi import Server

    kind, port, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    app = {"webdav": webdav, "s3": s3}[kind](folder)
    server = Server(("127.0.0.1", port), full_when_told(app, folder / "full"), numthreads=8)
    server.safe_start()


if __name__ == "__main__":
    main()
