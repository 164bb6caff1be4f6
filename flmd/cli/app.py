"""`flmd app`: the web page, served to this machine unless told otherwise."""

from __future__ import annotations

import importlib
import socket
from pathlib import Path
from typing import Annotated

import typer

from flmd import app
from flmd.app.settings import PageSettings
from flmd.errors import InputError, ParamsError

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def app_command(
    model: Annotated[
        list[Path] | None,
        typer.Option("--model", "-m", help="A model to offer first; those of data/model and runs are found."),
    ] = None,
    port: Annotated[int, typer.Option(help="Where the page is served.", min=1, max=65535)] = 8501,
    host: Annotated[str, typer.Option(help="Address to serve on; 0.0.0.0: everyone who can reach it.")] = (
        "127.0.0.1"
    ),
    yunet: Annotated[Path | None, typer.Option(help="YuNet's ONNX file; offers that detector.")] = None,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Fetch pictures from private and loopback addresses too.")
    ] = False,
) -> None:
    """Show a web page that finds the points of faces in pictures: uploaded, fetched or from the camera.

    Example: flmd app --model data/model/best.pt
    """
    for path in [*(model or []), *([yunet] if yunet else [])]:
        if not path.is_file():
            raise InputError("no such file", where=str(path))
    settings = PageSettings(
        models=tuple(map(str, model or [])),
        yunet=None if yunet is None else str(yunet),
        allow_private=allow_private,
    )
    serve(settings, host, port)


def serve(settings: PageSettings, host: str, port: int) -> None:
    """Serve the page until interrupted, and end the process with 0.

    Raises
    ------
    ParamsError : Streamlit is missing, or the place is taken.
    """
    try:
        from streamlit.web import cli as streamlit
        from streamlit.web.server import Server
    except ImportError:
        raise ParamsError("Streamlit is not installed", hint='pip install "flmd[app]"') from None
    _check_free(host, port)
    # Done before the first visitor comes, who would wait for it: OpenCV, torch, all formats, the first model.
    for module in ("flmd.app.page", "flmd.inference.torch_backend"):
        importlib.import_module(module)
    from flmd.app import ending, loaded, model_files

    for first in model_files.model_files(settings.models, Path.cwd())[:1]:
        loaded.warm_up(first)
    page = Path(app.__file__).with_name("page.py")
    options = [f"--{name}={value}" for name, value in streamlit_options(settings, host, port)]
    ending.at_last(Server)
    streamlit.main(["run", str(page), *options, "--", settings.argument()], standalone_mode=False)
    ending.now()


def streamlit_options(settings: PageSettings, host: str, port: int) -> list[tuple[str, object]]:
    """Streamlit's options, which stand above its files of settings; a list is its name again and again."""
    options: dict[str, object] = {
        "server.address": host,
        "server.port": port,
        "server.headless": "true",  # no window opens, and nobody is asked for an e-mail address
        "server.maxUploadSize": settings.max_megabytes,
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": "false",
        "logger.level": "warning",
    }
    # A page elsewhere that makes its own name point to this machine comes with that name.
    names = LOOPBACK if host in LOOPBACK else ()
    return [*options.items(), *(("server.allowedHosts", name) for name in names)]


def _check_free(host: str, port: int) -> None:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
    except OSError as error:
        raise ParamsError(
            f"cannot serve on {host} port {port}: {error.strerror or error}", hint="choose another --port"
        ) from None
