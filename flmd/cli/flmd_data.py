"""`flmd-data`: look at, convert and draw annotated faces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flmd import formats
from flmd.cli import format_tables
from flmd.cli.audit import audit_command
from flmd.cli.common import main_for, print_version
from flmd.cli.convert import convert_command
from flmd.cli.detect import detect_command
from flmd.cli.preview import preview_command
from flmd.cli.store_tools import diff_command, merge_command, split_command, stats_command
from flmd.cli.validate import validate_command
from flmd.core import terminal
from flmd.store.face_store import FaceStore

app = typer.Typer(help="Annotated faces: formats, conversion, inspection.", no_args_is_help=True)


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=print_version, is_eager=True)] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Annotated faces: formats, conversion, inspection."""


@app.command("formats")
def list_formats(
    markdown: Annotated[bool, typer.Option(help="As the table of docs/formats.md.")] = False,
) -> None:
    """List the annotation formats and what each can hold.

    Example: flmd-data formats
    """
    if markdown:
        typer.echo(format_tables.markdown(), nl=False)
        return
    terminal.show(format_tables.table())
    for name, reason in formats.broken().items():
        terminal.say(f"plugin {name} does not load: {reason}", err=True)


app.command("convert")(convert_command)
app.command("detect")(detect_command)
app.command("validate")(validate_command)
app.command("stats")(stats_command)
app.command("audit")(audit_command)
app.command("diff")(diff_command)
app.command("merge")(merge_command)
app.command("split")(split_command)
app.command("preview")(preview_command)


@app.command()
def inspect(store: Annotated[Path, typer.Argument(metavar="STORE")]) -> None:
    """Say what a face store holds.

    Example: flmd-data inspect data/faces.h5
    """
    from collections import Counter

    with FaceStore(store) as faces:
        terminal.say(f"{store}: {len(faces)} faces, scheme {faces.scheme.name} ({faces.scheme.count} points)")
        if faces.has_crops:
            crop = faces.crop_spec
            terminal.say(f"crops: {crop.size} px, {crop.color}, {crop.margin:g} times the box")
        counted = zip(faces.texts("dataset"), faces.texts("split"), faces.texts("subset"), strict=True)
        for (dataset, split, subset), count in sorted(Counter(counted).items()):
            terminal.say(f"  {dataset or '-'}  {split or '-'}  {subset or '-'}  {count}")
        terminal.say(
            "boxes: " + ", ".join(f"{k} {v}" for k, v in sorted(Counter(faces.texts("box_source")).items()))
        )
        terminal.say(f"subjects: {len(set(faces.texts('subject')))}")
        for key, value in faces.made_from.items():
            terminal.say(f"made from {key}: {value}")


main = main_for(app, "flmd-data")
