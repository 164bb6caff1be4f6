"""`flmd remote`: is what lies in a DVC remote what it should be?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flmd.core import terminal
from flmd.errors import InputError, ParamsError

app = typer.Typer(help="DVC remotes: check what lies in them.", no_args_is_help=True)


@app.callback()
def _remotes() -> None:
    """DVC remotes: check what lies in them."""


@app.command()
def check(
    name: Annotated[
        str | None, typer.Argument(metavar="REMOTE", help="Its name; the default remote when left out.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All that lies there, not only what this commit needs.")
    ] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove wrong and left-over files, for `dvc push` to mend.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Send what is missing or wrong from this machine's cache.")
    ] = False,
) -> None:
    """Hash every file in a remote again, and name the wrong, the missing and the left-over ones.

    Exit code 0 when all is right, or was repaired; 1 otherwise. Use --all --remove only while nobody pushes.

    Example: flmd remote check team
    """
    from flmd.experiments import dvc_remote, git

    if repair and remove:
        raise ParamsError("--repair and --remove", expected="one of them", hint="--repair needs no --remove")
    root = git.project_root(Path.cwd())
    if root is None:
        raise InputError("not in a DVC project", where=str(Path.cwd()), hint="run it where dvc.yaml lies")
    remote = dvc_remote.Remote(root, name)
    faults = remote.check(everything=everything)
    for fault in faults:
        terminal.say(str(fault), err=True)
    if not remote.verifies:
        terminal.say(
            f"dvc pull would take wrong bytes from it unseen; `dvc remote modify {remote.name} verify true`",
            err=True,
        )
    terminal.say(
        f"{remote.name} ({remote.address}): {remote.count} objects, {remote.size / 2**20:.1f} MiB hashed, "
        f"{len(faults)} faults"
    )
    if faults and repair:
        sent, faults = remote.repair(faults)
        terminal.say(f"{sent} files sent and hashed there again")
        for fault in faults:
            terminal.say(f"not repaired, this machine's cache does not have it: {fault}", err=True)
    if faults and remove:
        removed = remote.remove(faults)
        terminal.say(f"{removed} files removed; `dvc push` from a clone that has them brings them anew")
    if faults:
        raise typer.Exit(1)
