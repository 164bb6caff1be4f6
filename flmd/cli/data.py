"""`flmd-data`: look at, convert and draw annotated faces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flmd import formats
from flmd.cli import format_tables
from flmd.cli.common import main_for, print_version
from flmd.cli.convert import convert_command, detect_command
from flmd.store import FaceStore

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
    for line in format_tables.lines():
        typer.echo(line)
    for name, reason in formats.broken().items():
        typer.echo(f"plugin {name} does not load: {reason}", err=True)


app.command("convert")(convert_command)
app.command("detect")(detect_command)


@app.command()
def inspect(store: Annotated[Path, typer.Argument(metavar="STORE")]) -> None:
    """Say what a face store holds.

    Example: flmd-data inspect data/faces.h5
    """
    from collections import Counter

    with FaceStore(store) as faces:
        typer.echo(f"{store}: {len(faces)} faces, scheme {faces.scheme.name} ({faces.scheme.count} points)")
        if faces.has_crops:
            typer.echo(f"crops: {faces.crop_size} px, {faces.color}, {faces.margin:g} times the box")
        counted = zip(faces.texts("dataset"), faces.texts("split"), faces.texts("subset"), strict=True)
        for (dataset, split, subset), count in sorted(Counter(counted).items()):
            typer.echo(f"  {dataset or '-'}  {split or '-'}  {subset or '-'}  {count}")
        typer.echo(
            "boxes: " + ", ".join(f"{k} {v}" for k, v in sorted(Counter(faces.texts("box_source")).items()))
        )
        typer.echo(f"subjects: {len(set(faces.texts('subject')))}")
        for key, value in faces.made_from.items():
            typer.echo(f"made from {key}: {value}")


@app.command()
def preview(
    store: Annotated[Path, typer.Argument(metavar="STORE")],
    output: Annotated[Path, typer.Option("--output", "-o", help="PNG to write.")],
    count: Annotated[int, typer.Option(help="How many faces.", min=1, max=400)] = 24,
    seed: Annotated[int, typer.Option(help="Which faces.")] = 0,
    numbers: Annotated[bool, typer.Option(help="Write the index beside each point.")] = False,
) -> None:
    """Draw a contact sheet of a store, with boxes and points.

    Example: flmd-data preview data/faces.h5 -o sheet.png
    """
    from flmd.cli.preview import draw_sheet

    with FaceStore(store) as faces:
        drawn = draw_sheet(faces, output, count=count, seed=seed, numbers=numbers)
    typer.echo(f"{output}: {drawn} faces")


main = main_for(app, "flmd-data")
