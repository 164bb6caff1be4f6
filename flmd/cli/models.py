"""`flmd models`: what is known of the models that lie here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flmd.core import terminal
from flmd.errors import FlmdError, InputError


def models_command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[MODEL...]", help="Models; by default those in data/model and runs."),
    ] = None,
) -> None:
    """Print the card of each model: its data and their licence, split, metrics, digest and command.

    Metrics are those of an evaluation that names the digest of this very file, in the model's folder or in
    its project. A file that is no model is said in one line; exit code 2.

    Example: flmd models data/model/best.pt
    """
    from flmd.app.model_files import model_files
    from flmd.experiments import model_card
    from flmd.models import checkpoint

    found = list(paths or []) or model_files([], Path.cwd())
    if not found:
        raise InputError("no models in data/model and runs", hint="name one: flmd models FILE")
    bad = False
    for number, path in enumerate(found):
        try:
            if path.suffix.lower() == ".onnx":
                from flmd.inference.landmarker import load

                info = load(path, "cpu").info
            else:
                info = checkpoint.read_info(path)
            told = model_card.lines(model_card.card_of(path, info))
        except FlmdError as error:
            terminal.say(f"bad: {error}", err=True)
            bad = True
            continue
        if number:
            terminal.say("")
        for line in told:
            terminal.say(line)
    if bad:
        raise typer.Exit(2)
