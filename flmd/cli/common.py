"""What both commands share: --version, --debug, exit codes."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path

import typer

from flmd import errors
from flmd.core import terminal
from flmd.core._version import __version__
from flmd.errors import InputError, ParamsError
from flmd.tree import is_address


def print_version(wanted: bool) -> None:
    """Typer callback of --version."""
    if wanted:
        typer.echo(f"flmd {__version__}")
        raise typer.Exit


def check_there(source: str) -> None:
    """InputError when a path leads nowhere; an address is not looked at."""
    if not is_address(source) and not Path(source).exists():
        raise InputError("no such file or folder", where=source)


def check_free(target: Path, overwrite: bool) -> None:
    """ParamsError when a file cannot be written, or would replace one unasked."""
    if target.is_dir():
        raise ParamsError("is a folder", where=str(target), expected="the name of a file")
    if target.exists() and not overwrite:
        raise ParamsError("exists already", where=str(target), hint="add --overwrite to replace it")


def tell_passed_over(faces: object) -> None:
    """Say on stderr which links of an opened folder of annotations were not followed."""
    if passed_over := getattr(faces, "passed_over", ""):
        terminal.say(f"passed over: {passed_over}", err=True)


def main_for(app_for: Callable[[list[str]], typer.Typer], name: str) -> Callable[[], None]:
    """The console-script entry point of an app: one-line errors, the exit codes of ``flmd.errors.run``.

    ``app_for`` makes the app for the arguments of the command line.
    """

    def main() -> None:
        arguments = [a for a in sys.argv[1:] if a != "--debug"]
        debug = len(arguments) != len(sys.argv) - 1

        # A user without a folder to write settings to would read of it each time.
        logging.getLogger("matplotlib").setLevel(logging.ERROR)

        def call() -> None:
            try:
                command = typer.main.get_command(app_for(arguments))
                result = command.main(arguments, prog_name=name, standalone_mode=False)
            except SystemExit as ended:
                if isinstance(ended.__context__, BrokenPipeError):  # Typer makes 1 of it, without a word
                    raise ended.__context__ from None
                raise
            except Exception as error:
                # A mistake on the command line. Typer's releases raise click's class or their own copy.
                message = getattr(error, "format_message", None)
                if message is None:
                    raise
                if not message():  # no command at all: the help has been printed
                    raise SystemExit(2) from None
                what = message().rstrip(".").replace(": Value error, ", ": ")  # as some releases of Typer say
                raise ParamsError(what, hint=f"see {name} --help") from None
            if isinstance(result, int) and result:
                raise SystemExit(result)

        sys.exit(errors.run(call, debug=debug or None))

    return main
