"""`flmd-data detect`: which annotation formats fit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flmd import formats
from flmd.cli.common import check_there
from flmd.conversion.opening import accepting
from flmd.core import terminal
from flmd.formats.choosing import nearest
from flmd.tree import is_address, open_beside, open_tree


def detect_command(
    source: Annotated[
        str, typer.Argument(metavar="PATH", help="File, folder, archive or address to look at.")
    ],
    everything: Annotated[
        bool, typer.Option("--all", help="Say of every format why it does not fit, not of the nearest two.")
    ] = False,
) -> None:
    """Say which formats fit, how surely, and of those that nearly do the requirement that is not met.

    Exit code 0 when exactly one can be chosen, 1 otherwise.

    Example: flmd-data detect labels_ibug_300W_train.xml
    """
    check_there(source)
    only = None
    path = Path(source)
    with open_tree(source) as tree:
        found = formats.detect(tree)
        near = nearest(tree, found)
        if not is_address(source) and tree.kind == "file":
            only = path.name
    fits = {name: d for name, d in found.items() if d.fits}
    if only is not None and not fits:  # what lies beside one file may tell more of it
        with open_beside(path) as tree:
            sure = accepting(tree, only)
            fits = {name: formats.Detection((only,), "by what lies beside it", c) for name, c in sure.items()}
    surest = max((d.certainty for d in fits.values()), default=None)
    width = max(map(len, found), default=0)
    for name, detection in sorted(fits.items(), key=lambda item: (-item[1].certainty, item[0])):
        count = f"{len(detection.files)} file{'s' if len(detection.files) != 1 else ''}"
        terminal.say(f"{name:{width}}  {detection.certainty.name.lower():8}  {count}: {detection.why}")
    missed = [name for name in found if name not in fits]
    told = missed if everything else [name for name in near if name not in fits]
    for name in told:
        terminal.say(f"{name:{width}}  no        {found[name].why}")
    if len(told) < len(missed):
        terminal.say(f"{len(missed) - len(told)} more do not fit; --all says why")
    chosen = [name for name, d in fits.items() if d.certainty == surest]
    if len(chosen) != 1:
        terminal.say("no format fits" if not chosen else f"several fit: {', '.join(chosen)}", err=True)
        raise typer.Exit(1)
