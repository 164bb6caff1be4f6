"""What both commands share: --version, --debug, exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click
import typer

from flmd import __version__, errors


def print_version(wanted: bool) -> None:
    """Typer callback of --version."""
    if wanted:
        typer.echo(f"flmd {__version__}")
        raise typer.Exit


def main_for(app: typer.Typer, name: str) -> Callable[[], None]:
    """The console-script entry point of an app: one-line errors, the exit codes of ``flmd.errors.run``."""

    def main() -> None:
        arguments = [a for a in sys.argv[1:] if a != "--debug"]
        debug = len(arguments) != len(sys.argv) - 1

        def call() -> None:
            result = typer.main.get_command(app).main(arguments, prog_name=name, standalone_mode=False)
            if isinstance(result, int) and result:
                raise SystemExit(result)

        def usage() -> None:
            try:
                call()
            except click.ClickException as error:
                error.show()
                raise SystemExit(error.exit_code) from None
            except click.Abort:
                raise KeyboardInterrupt from None

        sys.exit(errors.run(usage, debug=debug or None))

    return main
