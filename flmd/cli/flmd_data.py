"""`flmd-data`: look at, convert and draw annotated faces."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated, Any

import typer

from flmd.cli.common import main_for, print_version

# Each command: where it is, and its line in `flmd-data --help`. Only the one that is called gets imported, so
# that the help need not wait for HDF5, OpenCV and matplotlib.
COMMANDS = {
    "formats": (
        "flmd.cli.format_tables:formats_command",
        "List the annotation formats and what each can hold.",
    ),
    "convert": (
        "flmd.cli.convert:convert_command",
        "Convert any annotation format, or a store, to any other, or to a store.",
    ),
    "detect": (
        "flmd.cli.detect:detect_command",
        "Say which formats fit, how surely, and of those that nearly do the requirement that is not met.",
    ),
    "validate": (
        "flmd.cli.validate:validate_command",
        "Check a store, or annotations and their pictures. Ends with 0: clean, 1: findings, 2: unreadable.",
    ),
    "stats": (
        "flmd.cli.store_tools:stats_command",
        "Say what a store holds: how many, how large, how posed, how visible, by data set and split.",
    ),
    "audit": (
        "flmd.cli.audit:audit_command",
        "Find leaks between splits, copied and mirrored pictures, and wrong labels in a store.",
    ),
    "fix": (
        "flmd.cli.fix:fix_command",
        "Write a store with corrected labels. Ends with 0: all used, 1: some left out, 2: refused.",
    ),
    "diff": (
        "flmd.cli.store_tools:diff_command",
        "Say what changed from A to B. Ends with 0: the same, 1: different.",
    ),
    "merge": (
        "flmd.cli.store_tools:merge_command",
        "Join stores of one scheme and one kind of crop, in the order given.",
    ),
    "split": (
        "flmd.cli.store_tools:split_command",
        "Draw the splits of a store again; crops and all else are kept.",
    ),
    "preview": (
        "flmd.cli.preview:preview_command",
        "Draw a contact sheet of faces: boxes, points, the lines that join them; hidden points are hollow.",
    ),
    "push": (
        "flmd.cli.servers:push_command",
        "Send pictures and faces to Label Studio or CVAT, as suggestions to correct.",
    ),
    "pull": (
        "flmd.cli.servers:pull_command",
        "Bring back what people annotated on Label Studio or CVAT.",
    ),
    "inspect": ("flmd.cli.store_tools:inspect_command", "Say what a face store holds."),
}


def app_for(arguments: Sequence[str]) -> typer.Typer:
    """The command line, with the command that the arguments name; of the others it knows the line of help."""
    app = typer.Typer(help="Annotated faces: formats, conversion, inspection.", no_args_is_help=True)
    app.callback()(_options)
    called = next((argument for argument in arguments if not argument.startswith("-")), None)
    completing = "_FLMD_DATA_COMPLETE" in os.environ  # a shell asks for the options of any command
    for name, (where, line) in COMMANDS.items():
        app.command(name)(_load(where) if completing or name == called else _listed(line))
    return app


def _options(
    version: Annotated[bool, typer.Option("--version", callback=print_version, is_eager=True)] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Annotated faces: formats, conversion, inspection."""


def _load(where: str) -> Callable[..., Any]:
    module, _, name = where.partition(":")
    command: Callable[..., Any] = getattr(import_module(module), name)
    return command


def _listed(line: str) -> Callable[[], None]:
    """Stands for a command that is not called."""

    def command() -> None:
        raise AssertionError(line)

    command.__doc__ = line
    return command


main = main_for(app_for, "flmd-data")
