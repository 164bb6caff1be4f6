"""`flmd init`: a project of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flmd.core import terminal


def init_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder, or one with other files.")],
    git: Annotated[bool, typer.Option("--git/--no-git", help="Make it a git repository, too.")] = True,
    accept: Annotated[
        bool, typer.Option("--accept", help="Of a project that is there: take the installed flmd for it.")
    ] = False,
) -> None:
    """Make a project: params.yaml, dvc.yaml and what DVC needs, with a sample that needs no download.

    Example: flmd init faces && cd faces && dvc repro
    """
    from flmd.projects import template, version

    if accept:
        changed = version.accept(folder)
        what = version.installed().split()[1] if changed else "the same flmd as before"
        terminal.say(f"{folder / version.NAME}: {what}" + ("; dvc repro runs all stages" if changed else ""))
        return
    for name in template.make(folder, with_git=git):
        terminal.say(name)
    commit = " && git add -A && git commit -m 'A new project'" if git else ""
    terminal.say(f"now: cd {folder}{commit} && dvc repro")
