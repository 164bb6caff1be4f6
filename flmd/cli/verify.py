"""`flmd verify`: run the pipeline again in a fresh clone, or hash the files at hand again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flmd.core import terminal
from flmd.core.terminal import TextTable
from flmd.errors import InputError, ParamsError

if TYPE_CHECKING:
    from flmd.experiments.reproduce import Outcome

SHOWN = 12  # digits of an md5 in the table


def verify_command(
    data: Annotated[
        bool, typer.Option("--data", help="Run nothing: hash the files of this working tree again.")
    ] = False,
    workers: Annotated[
        list[int] | None, typer.Option(help="Processes of each stage; given twice, it runs twice.")
    ] = None,
    runs: Annotated[int, typer.Option(help="How often to run, with each number of workers.")] = 1,
    source: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=PATH", help="Take a data set's raw data from a folder, archive or URL."),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="From training on, compare the numbers of metrics.json, not bytes (GPU)."),
    ] = None,
    small: Annotated[
        bool, typer.Option("--small", help="Few faces and two epochs; the first run is the reference.")
    ] = False,
    scratch: Annotated[
        Path | None, typer.Option(help="Folder for the clones; by default where temporary files lie.")
    ] = None,
) -> None:
    """Run the pipeline from raw data in a fresh clone of HEAD, and compare every output with dvc.lock.

    No cache of DVC is used. Exit code 0 when all is equal, 1 otherwise, with every difference named.

    Example: flmd verify --workers 1 --workers 4
    """
    from flmd.experiments import git

    root = git.project_root(Path.cwd())
    if root is None:
        raise InputError("not in a DVC project", where=str(Path.cwd()), hint="run it where dvc.yaml lies")
    counts = workers or [0]
    if min(counts) < (1 if workers else 0) or runs < 1:
        raise ParamsError("--workers and --runs count from 1 up")
    if tolerance is not None and not 0 <= tolerance < 1:
        raise ParamsError(f"--tolerance is {tolerance:g}", expected="a difference from 0 to 1, such as 0.001")
    if data:
        if workers or source or small or runs != 1 or tolerance is not None:
            raise ParamsError("--data runs nothing", hint="leave the other options out")
        _data(root)
        return
    sources = dict(_source(text) for text in source or [])
    if scratch is not None and not scratch.is_dir():
        raise ParamsError("no such folder", where=str(scratch))
    _runs(root, [n or None for n in counts] * runs, sources, tolerance, small, scratch)


def _source(text: str) -> tuple[str, str]:
    name, equals, place = text.partition("=")
    if not (name and equals and place):
        raise ParamsError(
            f"--source is {text!r}", expected="NAME=PATH, such as ibug300w=/data/ibug_300W.tar.gz"
        )
    return name, place if "://" in place or place == "sample" else str(Path(place).expanduser().resolve())


def _runs(
    root: Path,
    workers: list[int | None],
    sources: dict[str, str],
    tolerance: float | None,
    small: bool,
    scratch: Path | None,
) -> None:
    from flmd.experiments import git, reproduce

    changed = git.changed_files(root)
    head = git.git(root, "rev-parse", "HEAD").strip()
    if changed:
        typer.echo(
            f"{len(changed)} changed files are not part of HEAD, and not of this: {changed[0]} ...", err=True
        )
    reference = None if small else reproduce.committed_outcome(root)
    if small and len(workers) == 1:
        workers = workers * 2
    bad = 0
    for number, count in enumerate(workers, 1):
        what = f"run {number} of {len(workers)}, " + (
            f"{count} workers" if count else "workers by the machine"
        )
        typer.echo(f"{what}, commit {head[:SHOWN]}", err=True)
        outcome = reproduce.run_again(root, workers=count, sources=sources, small=small, scratch=scratch)
        typer.echo(what)
        if outcome.failed:
            bad += 1
            typer.echo(f"{what}: {outcome.failed}", err=True)
        if reference is None:
            reference = outcome
            typer.echo(f"the reference: {len(outcome.lock.outs)} outputs")
            if outcome.failed:
                break
            continue
        bad += _compared(reference, outcome, tolerance)
    if bad:
        raise typer.Exit(1)
    compared = len(workers) - small
    typer.echo(f"verified: {compared} run{'s' if compared > 1 else ''} of {head[:SHOWN]} came out the same")


def _compared(reference: Outcome, outcome: Outcome, tolerance: float | None) -> int:
    """Print the table and every difference; how many differences count."""
    from flmd.experiments import reproduce

    rows = reproduce.compare(reference.lock, outcome.lock)
    cells = []
    for row in rows:
        ends = ((row.expected or "-")[:SHOWN], (row.got or "not made")[:SHOWN])
        cells.append((row.stage, row.output, *ends, "yes" if row.equal else "NO"))
    header = ("stage", "output", "expected", "got", "equal")
    terminal.show(TextTable(header, cells, left=range(len(header)), colours={"NO": "red"}))
    excused = set() if tolerance is None else reference.lock.downstream(reproduce.DEVICE_STAGE)
    wrong = [row for row in rows if not row.equal and not (row.got and row.expected and row.stage in excused)]
    lines = [
        f"{row.output} (stage {row.stage}) differs: "
        f"expected md5 {row.expected or 'none'}, got {row.got or 'none'}"
        for row in wrong
    ]
    if tolerance is not None:
        numbers, summary = reproduce.beyond(reference.metrics, outcome.metrics, tolerance)
        lines += numbers
        typer.echo(f"metrics: {summary}")
    for line in lines:
        typer.echo(line, err=True)
    if lines:
        for stage, names in reproduce.other_inputs(reference.lock, outcome.lock).items():
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            typer.echo(f"note: dvc.lock has {stage} with other {', '.join(names[:3])}{more}", err=True)
    return len(lines)


def _data(root: Path) -> None:
    from flmd.experiments import verify_data

    changed, count = verify_data.changed_data(root)
    absent = [item for item in changed if item.what == "deleted"]
    wrong = [item for item in changed if item.what != "deleted"]
    for item in wrong:
        made = f"made by stage {item.maker}" if item.maker else "an input"
        used = f", read by {', '.join(item.users)}" if item.users else ""
        typer.echo(f"{item.path}: {item.what}, not what dvc.lock says ({made}{used})", err=True)
    for item in absent:
        typer.echo(f"{item.path}: not here (dvc pull brings it)", err=True)
    if wrong:
        typer.echo(
            "remove what is wrong, then `dvc checkout`: DVC trusts size and time, and would keep it", err=True
        )
        raise typer.Exit(1)
    if len(absent) >= count:
        raise InputError("nothing to verify is here", where=str(root), hint="run dvc pull or dvc repro")
    typer.echo(
        f"verified: {count - len(absent)} paths have the bytes of dvc.lock, {len(absent)} are not here"
    )
