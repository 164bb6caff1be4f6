"""Hostile stores and training arrays for every command that opens one.

    python -m tests.siege.stores --count 2000 --seed 0      # a finding is printed with its reproducer
    python -m tests.siege.stores --seed 0 --only 1234       # one case, with what each command said

A case is a function of (seed, number): a good file, changed by one to three mutations that know its structure
(types, shapes, links, attributes, values, bytes of the description), then opened by three commands. Good is:
exit code 0; 1 of a command that tells of findings so; or 2 with one line that begins "error:". Findings are:
a traceback, exit code 1 as "a failure of flmd", more lines, more than LONGEST seconds, a process that dies,
an output that flmd itself refuses.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.siege import store_mutations
from tests.siege.store_mutations import Seeds

LONGEST = 5.0  # seconds a command may take on a damaged store
INTERRUPTED = 120.0  # seconds of the clock after which it is interrupted, however slow the machine
STUCK = 400.0  # seconds of silence after which a process that cannot be interrupted is killed
MEMORY = 3 << 30  # bytes of address space beyond what a process has
BATCH = 50  # cases that a process runs before another takes over
COMMANDS_EACH = 3


@dataclass(frozen=True)
class Finding:
    """A case that ended badly. ``str()`` is one line with what repeats it."""

    seed: int
    number: int
    what: str

    def __str__(self) -> str:
        return f"python -m tests.siege.stores --seed {self.seed} --only {self.number}: {self.what}"


@dataclass(frozen=True)
class Command:
    """A command line: ``flmd-data`` or ``flmd``, its arguments, the exit codes that are good, its output."""

    program: str
    arguments: tuple[str, ...]
    good: tuple[int, ...] = (0, 2)
    output: str = ""


def commands() -> list[Command]:
    """All that opens a store. ``{bad}`` is the file, ``{good}`` a good one, ``{out}`` a new folder."""
    data = [
        Command("flmd-data", ("validate", "{bad}"), (0, 1, 2)),
        Command("flmd-data", ("validate", "{bad}", "--json"), (0, 1, 2)),
        Command("flmd-data", ("stats", "{bad}")),
        Command("flmd-data", ("stats", "{bad}", "--json")),
        Command("flmd-data", ("inspect", "{bad}")),
        Command("flmd-data", ("audit", "{bad}", "--html", "{out}/audit.html")),
        Command("flmd-data", ("audit", "{bad}", "--json")),
        Command("flmd-data", ("diff", "{good}", "{bad}"), (0, 1, 2)),
        Command("flmd-data", ("diff", "{bad}", "{good}", "--json"), (0, 1, 2)),
        Command("flmd-data", ("merge", "{good}", "{bad}", "-o", "{out}/a.h5"), output="a.h5"),
        Command("flmd-data", ("merge", "{bad}", "{bad}", "-o", "{out}/b.h5"), output="b.h5"),
        Command("flmd-data", ("split", "{bad}", "--by", "subject", "-o", "{out}/c.h5"), output="c.h5"),
        Command("flmd-data", ("split", "{bad}", "--by", "image", "-o", "{out}/d.h5"), output="d.h5"),
        Command("flmd-data", ("preview", "{bad}", "-o", "{out}/sheet.png")),
        Command("flmd-data", ("preview", "{bad}", "-o", "{out}/worst.png", "--worst", "--count", "2")),
        Command("flmd-data", ("convert", "{bad}", "{out}/e.h5"), output="e.h5"),
        Command(
            "flmd-data", ("convert", "{bad}", "{out}/f.h5", "--scheme", "ibug51", "--images", "none"),
            output="f.h5",
        ),
    ]  # fmt: skip
    data += [
        Command("flmd-data", ("convert", "{bad}", "{out}/" + target, "--to", name))
        for name, target in (("dlib-xml", "x.xml"), ("pts", "pts"), ("coco", "coco"), ("csv", "t.csv"))
    ]
    return [
        *data,
        Command("flmd", ("train", "{bad}", "--out", "{out}/run", "--params", "{params}", "--workers", "1")),
        Command(
            "flmd",
            ("evaluate", "{bad}", "--model", "{model}", "--out", "{out}/e", "--cpu", "native", "--split",
             "train"),
        ),
        Command("flmd", ("provenance", "{bad}"), (0, 1, 2)),
        Command("flmd", ("provenance", "{bad}", "--json"), (0, 1, 2)),
    ]  # fmt: skip


def siege(count: int, seed: int, jobs: int = 1) -> list[Finding]:
    """Run ``count`` cases, in processes of their own; the findings, in their order."""
    import flmd.cli.evaluate
    import flmd.cli.flmd
    import flmd.training.loop  # imported once, before the processes fork  # noqa: F401

    findings: list[Finding] = []
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory(prefix="flmd-siege-") as name:
        seeds = store_mutations.make_seeds(Path(name) / "seeds")
        begin = 0
        while begin < count:
            numbers = range(begin, min(begin + BATCH * jobs, count))
            parts = [numbers[k::jobs] for k in range(jobs)]
            running = []
            for k, part in enumerate(parts):
                log = Path(name) / f"{begin}-{k}.log"
                log.touch()
                process = context.Process(target=_work, args=(seeds, seed, part, log))
                process.start()
                running.append((process, log, part))
            for process, log, part in running:
                findings += _watched(process, log, part, seed)
            begin += len(numbers)
    return sorted(findings, key=lambda f: f.number)


def _watched(
    process: multiprocessing.process.BaseProcess, log: Path, numbers: range, seed: int
) -> Iterator[Finding]:
    """The findings of a process; one that says nothing for STUCK seconds is killed."""
    while process.is_alive():
        process.join(1)
        if process.is_alive() and time.time() - log.stat().st_mtime > STUCK:
            process.kill()
    process.join()
    lines = log.read_text(encoding="utf-8").splitlines()
    for line in lines:
        number, _, what = line.partition(" ")
        if what:
            yield Finding(seed, int(number), what)
    if not lines or lines[-1] != "end":
        last = int(lines[-1].split()[0]) if lines else numbers[0]
        yield Finding(seed, last, f"the process ended with exit code {process.exitcode}")


def _work(seeds: Seeds, seed: int, numbers: range, log: Path) -> None:
    """Run cases in this process; the last one begun and every finding are written down."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    folder = log.with_suffix("")
    with log.open("w", encoding="utf-8", errors="backslashreplace") as stream:
        for number in numbers:
            stream.write(f"{number}\n")
            stream.flush()
            for what in run_case(seeds, seed, number, folder / str(number)):
                stream.write(f"{number} {' '.join(what.split())[:600]}\n")
                stream.flush()
        stream.write("end\n")
    os._exit(0)  # without torch's farewells


def run_case(
    seeds: Seeds, seed: int, number: int, folder: Path, tell: Callable[[str], object] = lambda line: None
) -> list[str]:
    """One case; what went wrong, command by command. ``tell`` : is called with each step in words."""
    rng = random.Random(f"{seed} store {number}")
    folder.mkdir(parents=True)
    bad = folder / "bad.h5"
    try:
        told = store_mutations.mutate(seeds, bad, rng)
        tell(f"{told}")
        found = []
        chosen = rng.sample(commands(), COMMANDS_EACH)
        if told.startswith(seeds.arrays.name):
            chosen[0] = Command("arrays", ("{bad}",))
        for command in chosen:
            places = {"bad": bad, "good": seeds.good, "model": seeds.model, "params": seeds.params}
            out = folder / f"out{len(list(folder.iterdir()))}"
            out.mkdir()
            arguments = [a.format(out=out, **places) for a in command.arguments]
            what = _run(command, arguments, out, tell)
            if what:
                found.append(f"[{told}] {command.program} {' '.join(command.arguments)}: {what}")
        return found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _TooLong(BaseException):
    """Not an Exception: no command may swallow it."""


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _run(command: Command, arguments: list[str], out: Path, tell: Callable[[str], object]) -> str:
    """Run one command in this process; "" or what went wrong."""
    from flmd.cli import flmd as trainer
    from flmd.cli import flmd_data

    main = {"flmd": trainer.main, "flmd-data": flmd_data.main, "arrays": _open_arrays}[command.program]
    errors, begun, code = io.StringIO(), time.process_time(), 0
    before, sys.argv = sys.argv, [command.program, *arguments]
    try:
        with (
            _limited(INTERRUPTED),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(errors),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("default")
            warnings.filterwarnings("ignore", "ObjectStore", ResourceWarning)  # git's, of an earlier command
            main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    except _TooLong:
        return f"took longer than {INTERRUPTED:g} s"
    except BaseException as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} at {at.filename}:{at.lineno}"
    finally:
        sys.argv = before
    said = errors.getvalue().strip()
    tell(f"{command.program} {' '.join(arguments)}: exit {code}, {time.process_time() - begun:.2f} s: {said}")
    return _verdict(command, code, said, time.process_time() - begun) or (
        _refused(out / command.output) if code == 0 and command.output else ""
    )


def _open_arrays() -> None:
    """What the stage `train` does with its input, as if it were a command."""
    from flmd import errors
    from flmd.augmentation.arrays import TrainingArrays
    from flmd.training.stored_crops import StoredCrops

    def work() -> None:
        with TrainingArrays(sys.argv[1]) as arrays:
            for name in ("train", "val", "test"):
                StoredCrops(arrays.split(name, arrays.datasets(name)), name).digest()

    sys.exit(errors.run(work))


def _verdict(command: Command, code: int, said: str, seconds: float) -> str:
    """What is wrong with how a command ended; "" when nothing is."""
    lines = [
        line for line in said.splitlines() if not line.startswith(("epoch", "lost", "note", "settings: "))
    ]
    if seconds > LONGEST:  # of its own: other programs may slow the clock
        return f"took {seconds:.1f} s of the processor"
    if code not in command.good:
        return f"exit code {code}: {said}"
    if code == 2 and (len(lines) != 1 or not lines[0].startswith("error: ")):
        return f"{len(lines)} lines: {said}"
    if "Warning" in said or "Traceback" in said:
        return f"says {said}"
    return ""


def _refused(path: Path) -> str:
    """Whether flmd refuses what it wrote."""
    from flmd.errors import FlmdError
    from flmd.store.face_store import FaceStore

    try:
        with FaceStore(path) as store:
            for _ in store.faces():
                pass
    except FlmdError as error:
        return f"wrote a store that it refuses: {error}"
    return ""


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=None, help="a new one each time by default")
    parser.add_argument("--only", type=int, help="one case, with what each command said")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    if options.only is not None:
        with tempfile.TemporaryDirectory() as folder:
            seeds = store_mutations.make_seeds(Path(folder) / "seeds")
            found = run_case(seeds, seed, options.only, Path(folder) / "case", print)
        print("\n".join(found) or "good")
        return 1 if found else 0
    findings = siege(options.count, seed, options.jobs)
    for finding in findings:
        print(finding)
    print(f"{options.count} cases of {COMMANDS_EACH} commands, seed {seed}: {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
