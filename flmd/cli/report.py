"""`flmd report`: everything about the last experiment on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flmd.core import terminal
from flmd.errors import ParamsError


def report_command(
    baseline: Annotated[
        str | None, typer.Option(help="Commit, branch, tag or DVC experiment to compare with.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path(
        "reports/report.html"
    ),
) -> None:
    """Write one HTML file that needs no other: metrics, curves, galleries, data, params, versions, digests.

    Example: flmd report --baseline main -o reports/report.html
    """
    from flmd.experiments.report_page import report
    from flmd.experiments.revision_files import project_root

    if out.is_dir():
        raise ParamsError("is a folder", where=str(out), expected="the name of a file")
    missing = report.write(project_root(Path.cwd()), out, baseline)
    for line in missing:
        terminal.say(f"note: {line}", err=True)
    terminal.say(f"{out}: written", err=True)
