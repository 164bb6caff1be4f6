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
        str | None,
        typer.Option(
            metavar="AMOUNT",
            help="From training on, numbers of metrics.json instead of bytes: within 0.001, or 2sigma.",
        ),
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
    if data:
        if workers or source or small or runs != 1 or tolerance is not None:
            raise ParamsError("--data runs nothing", hint="leave the other options out")
        _data(root)
        return
    sources = dict(_source(text) for text in source or [])
    if scratch is not None and not scratch.is_dir():
        raise ParamsError("no such folder", where=str(scratch))
    allowed = None if tolerance is None else _tolerance(root, tolerance)
    _runs(root, [n or None for n in counts] * runs, sources, allowed, small, scratch)


def _tolerance(root: Path, text: str) -> float | dict[str, float]:
    """One difference for all numbers, or one for each: so many standard deviations over seeds."""
    from flmd.experiments import git, seed_spread

    amount = seed_spread.sigmas(text)
    if amount is not None:
        spread = git.committed(root, "HEAD", seed_spread.NAME)
        if spread is None:
            raise InputError(
                f"HEAD holds no {seed_spread.NAME}, and the tolerance is in sigma",
                where=str(root),
                hint="write it with `python -m benchmarks.seeds` and commit it",
            )
        return seed_spread.tolerances(seed_spread.parse(spread), amount)
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number < 1:
        raise ParamsError(
            f"--tolerance is {text!r}", expected="a difference from 0 to 1, such as 0.001, or 2sigma"
        )
    return number


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
    tolerance: float | dict[str, float] | None,
    small: bool,
    scratch: Path | None,
) -> None:
    from flmd.experiments import git, reproduce

    changed = git.changed_files(root)
    head = git.git(root, "rev-parse", "HEAD").strip()
    if changed:
        terminal.say(
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
        terminal.say(f"{what}, commit {head[:SHOWN]}", err=True)
        outcome = reproduce.run_again(root, workers=count, sources=sources, small=small, scratch=scratch)
        terminal.say(what)
        if outcome.failed:
            bad += 1
            terminal.say(f"{what}: {outcome.failed}", err=True)
        if reference is None:
            reference = outcome
            terminal.say(f"the reference: {len(outcome.lock.outs)} outputs")
            if outcome.failed:
                break
            continue
        bad += _compared(reference, outcome, tolerance)
    if bad:
        raise typer.Exit(1)
    compared = len(workers) - small
    terminal.say(f"verified: {compared} run{'s' if compared > 1 else ''} of {head[:SHOWN]} came out the same")


def _compared(reference: Outcome, outcome: Outcome, tolerance: float | dict[str, float] | None) -> int:
    """Print the table, every difference and what explains it; how many differences count."""
    from flmd.experiments import reproduce

    numbers, summary = (
        ([], "") if tolerance is None else reproduce.beyond(reference.metrics, outcome.metrics, tolerance)
    )
    excused = set() if tolerance is None else reference.lock.downstream(reproduce.DEVICE_STAGE)
    rows = reproduce.compare(reference.lock, outcome.lock)
    cells, lines = [], []
    for row in rows:
        within = bool(row.got and row.expected and row.stage in excused and not numbers)
        says = "equal" if row.equal else "within tolerance" if within else "DIFFERENT"
        ends = ((row.expected or "-")[:SHOWN], (row.got or "not made")[:SHOWN])
        cells.append((row.stage, row.output, *ends, says))
        if says == "DIFFERENT" and not (row.got and row.expected and row.stage in excused):
            digests = f"expected md5 {row.expected or 'none'}, got {row.got or 'none'}"
            lines.append(f"{row.output} (stage {row.stage}) differs: {digests}")
    header = ("stage", "output", "expected", "got", "result")
    terminal.show(TextTable(header, cells, left=range(len(header)), colours={"DIFFERENT": "red"}))
    lines += numbers
    if summary:
        terminal.say(f"metrics: {summary}")
    for line in lines:
        terminal.say(line, err=True)
    if lines:
        for stage, names in reproduce.other_inputs(reference.lock, outcome.lock).items():
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            terminal.say(f"note: dvc.lock has {stage} with other {', '.join(names[:3])}{more}", err=True)
    if not all(row.equal for row in rows):
        _explain(reference, outcome)
    return len(lines)


def _explain(reference: Outcome, outcome: Outcome) -> None:
    """Print what differs between the machines that made the two."""
    from flmd.experiments import machine

    if reference.machine is None or outcome.machine is None:
        terminal.say(f"note: nothing says which machine made dvc.lock ({machine.NAME} of HEAD)", err=True)
        return
    rows = machine.differences(reference.machine, outcome.machine)
    if not rows:
        terminal.say("note: both were made on machines that are alike, with the same versions", err=True)
        return
    terminal.show(TextTable(("what differs", "dvc.lock was made on", "here"), rows, left=range(3)))
    for line in machine.decided_by(rows):
        terminal.say(f"note: {line}", err=True)


def _data(root: Path) -> None:
    from flmd.experiments import verify_data

    changed, count = verify_data.changed_data(root)
    absent = [item for item in changed if item.what == "deleted"]
    wrong = [item for item in changed if item.what != "deleted"]
    for item in wrong:
        made = f"made by stage {item.maker}" if item.maker else "an input"
        used = f", read by {', '.join(item.users)}" if item.users else ""
        terminal.say(f"{item.path}: {item.what}, not what dvc.lock says ({made}{used})", err=True)
    for item in absent:
        terminal.say(f"{item.path}: not here (dvc pull brings it)", err=True)
    if wrong:
        terminal.say(
            "remove what is wrong, then `dvc checkout`: DVC trusts size and time, and would keep it", err=True
        )
        raise typer.Exit(1)
    if len(absent) >= count:
        raise InputError("nothing to verify is here", where=str(root), hint="run dvc pull or dvc repro")
    terminal.say(
        f"verified: {count - len(absent)} paths have the bytes of dvc.lock, {len(absent)} are not here"
    )
