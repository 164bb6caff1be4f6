"""`flmd gate`: fail when a metric got worse than a baseline's."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flmd.core import terminal
from flmd.errors import InputError, ParamsError, did_you_mean

if TYPE_CHECKING:
    from flmd.experiments.gate import Limit
    from flmd.experiments.revision_files import ExperimentFiles


def gate_command(
    baseline: Annotated[str, typer.Option(help="Commit, branch, tag or DVC experiment to compare with.")],
    metric: Annotated[
        list[str], typer.Option(metavar="NAME[:LIMIT]", help="With dots; several, each with its own limit.")
    ],
    max_regression: Annotated[
        str, typer.Option(metavar="LIMIT", help="2% of the baseline, an amount: 0.002, or 2sigma over seeds.")
    ] = "0%",
    file: Annotated[Path, typer.Option(help="Where the metrics are: JSON, YAML or TOML.")] = Path(
        "reports/metrics.json"
    ),
    revision: Annotated[
        str | None, typer.Option(help="What is judged; the files of the folder by default.")
    ] = None,
    higher: Annotated[
        bool | None,
        typer.Option(
            "--higher-is-better/--lower-is-better",
            help="For metrics whose name does not say it; nme, fr and auc do.",
        ),
    ] = None,
    spread: Annotated[Path, typer.Option(help="For limits in sigma: how far seeds lie apart.")] = Path(
        "reports/seed_spread.json"
    ),
) -> None:
    """Compare metrics with a baseline's, and fail when one got worse.

    Ends with 0: none is worse by more than its limit. 1: one is, or it is missing or not a number on
    either side. 2: a bad limit, an unknown revision.

    Example: flmd gate --baseline main --metric ibug300w.nme:2% --metric ibug300w.auc08:0.005
    """
    from flmd.experiments import gate, revision_files

    limits = _limits(metric, max_regression)
    if higher is not None and all(gate.higher_is_better(name) is not None for name in limits):
        flag = "--higher-is-better" if higher else "--lower-is-better"
        raise ParamsError(f"{flag}, but every name here says it", hint="leave it out")
    root = revision_files.project_root(Path.cwd())
    path = _in_project(file, root)
    with revision_files.revision(root, baseline) as before:
        old, old_missing = _metrics(before, path)
        name = before.name
    if revision is None:
        new, new_missing = _metrics(revision_files.WorkspaceFiles(root), path)
    else:
        with revision_files.revision(root, revision) as after:
            new, new_missing = _metrics(after, path)
            revision = after.name
    directions = {name: _higher(name, higher, [*old, *new]) for name in limits}
    deviations = _deviations(spread) if any(limit.is_sigma for limit in limits.values()) else {}
    verdicts = [
        gate.judge(n, old, new, limit, higher=directions[n], spread=deviations) for n, limit in limits.items()
    ]
    notes = [*old_missing, *new_missing, *gate.notes(list(limits), old, new)]
    terminal.show(gate.table(verdicts, name, revision or "workspace"), *notes)
    if not all(verdict.passed for verdict in verdicts):
        raise typer.Exit(1)


def _deviations(path: Path) -> dict[str, float]:
    """Metric -> standard deviation over seeds, from a file."""
    from flmd.experiments import seed_spread

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise InputError(
            "cannot be read, and the limit is in sigma",
            where=str(path),
            hint="name the file with --spread; `python -m benchmarks.seeds` writes it",
        ) from None
    return seed_spread.parse(text, str(path))


def _limits(metrics: list[str], default: str) -> dict[str, Limit]:
    from flmd.experiments.gate import Limit

    found: dict[str, Limit] = {}
    usual = Limit.parse(default)
    for text in metrics:
        name, colon, limit = text.partition(":")
        name = name.strip()
        if not name:
            raise ParamsError(f"--metric {text!r}", expected="a name such as ibug300w.nme, or NAME:LIMIT")
        if name in found:
            raise ParamsError(f"--metric {name} is given twice")
        found[name] = Limit.parse(limit) if colon else usual
    return found


def _higher(name: str, flag: bool | None, there: list[str]) -> bool:
    """Whether more is better, by the name or the flag; ``there``: the metrics of both sides."""
    from flmd.experiments.gate import higher_is_better

    known = higher_is_better(name)
    if known is None and flag is None and name not in there:
        raise ParamsError(
            f"--metric {name}: there is no such metric", hint=did_you_mean(name, dict.fromkeys(there))
        )
    if known is None and flag is None:
        raise ParamsError(
            f"--metric {name}: the name does not say which way is better",
            hint="add --higher-is-better or --lower-is-better",
        )
    return bool(flag) if known is None else known


def _in_project(file: Path, root: Path) -> str:
    """The file as a path below the project's root."""
    import os

    relative = PurePosixPath(Path(os.path.relpath(Path.cwd() / file, root)).as_posix())
    if ".." in relative.parts:
        raise ParamsError("lies outside the project", where=str(file), expected=f"a file below {root}")
    return str(relative)


def _metrics(files: ExperimentFiles, path: str) -> tuple[dict[str, Any], list[str]]:
    """The flat metrics, none where there is no file, and a line that says so."""
    from flmd.experiments.revision_files import parsed

    data = files.read(path)
    if data is None:
        return {}, [f"note: {files.why_missing(path)}"]
    return parsed(data, path, files.name), []
