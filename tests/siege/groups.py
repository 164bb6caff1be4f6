"""Groups of programs of which one is killed: a cluster of Dask, ranks of torchrun, a push or pull of DVC."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from tests import processes
from tests.experiments.remotes.clones import Clone, small_project
from tests.experiments.remotes.servers import Folder, Remote, free_port
from tests.siege import runs

ENDED = 30.0  # seconds that the other ranks may go on; torchrun itself looks once a second
LONGEST = 400.0
AFTER = 8.0  # seconds after the start of the ranks within which one is killed
MODEL_PROGRAM = "from flmd.cli.flmd import main; main()"


def _start(command: list[str], folder: Path, said: Path) -> subprocess.Popen[bytes]:
    with said.open("ab") as stream:
        return subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(runs.ROOT), "PYTHONDONTWRITEBYTECODE": "1",
                 "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1", "DVC_NO_ANALYTICS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=stream,
            start_new_session=True,
        )  # fmt: skip


def _stop(process: subprocess.Popen[bytes]) -> None:
    processes.end(processes.below(process.pid) | {process.pid})
    process.wait()


def dask(seed: int, number: int) -> str:
    """A conversion on a cluster, with a worker or the scheduler killed: the same bytes, or one line."""
    rng = random.Random(f"{seed} dask {number}")
    victim = ("worker", "scheduler")[number % 2]
    source, wanted = runs.inputs(), runs._undisturbed("convert")[0]
    with tempfile.TemporaryDirectory(prefix="flmd-siege-") as name, ExitStack() as stack:
        folder, out = Path(name), Path(name) / "out"
        out.mkdir()
        port = free_port()
        address = f"tcp://127.0.0.1:{port}"
        own = [sys.executable, "-m", "distributed.cli.dask_"]
        scheduler = [
            *own[:2],
            own[2] + "scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--no-dashboard",
        ]
        worker = [*own[:2], own[2] + "worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny"]
        group = [_start(command, folder, folder / "group") for command in (scheduler, worker, worker)]
        for process in group:
            stack.callback(_stop, process)
        convert = ["-c", "from flmd.cli.flmd_data import main; main()", "convert", str(source / "set.tar.gz")]
        convert += [str(out / "a.h5"), "--box", "landmarks", "--scheduler", address]
        program = _start([sys.executable, *convert], out, folder / "said")
        stack.callback(_stop, program)
        time.sleep(rng.uniform(0.1, 1.2) * runs._undisturbed("convert")[1])
        group[0 if victim == "scheduler" else 1].kill()
        return f"{victim}: {told}" if (told := _judged(program, folder / "said", out, "a.h5", wanted)) else ""


def _judged(program: subprocess.Popen[bytes], said: Path, out: Path, made: str, wanted: str) -> str:
    """0 and the whole, or 2, one line and nothing."""
    try:
        code = program.wait(LONGEST)
    except subprocess.TimeoutExpired:
        return f"took longer than {LONGEST:g} s"
    text = said.read_text(errors="replace")
    if code == 0:
        return "" if runs.digest(out / made) == wanted else "exit code 0, but other bytes"
    if code != 2 or "Traceback" in text or text.count("error: ") != 1:
        return f"exit code {code}: {text[-150:]!r}"
    left = sorted(path.name for path in out.iterdir())
    return f"{left[0]} is left" if left else ""


def torchrun(seed: int, number: int) -> str:
    """Two ranks that train, of which one is killed: the other ends soon, and what is there is whole."""
    from flmd.errors import FlmdError
    from flmd.models.checkpoint import load_model

    rng = random.Random(f"{seed} torchrun {number}")
    store, params = _to_train()
    with tempfile.TemporaryDirectory(prefix="flmd-siege-") as name:
        out, said = Path(name) / "out", Path(name) / "said"
        command = _training(store, out, params)
        program = _start(command, Path(name), said)
        try:
            until = time.monotonic() + LONGEST
            while (
                len(ranks := _ranks(program.pid)) < 2 and time.monotonic() < until and program.poll() is None
            ):
                time.sleep(0.1)
            time.sleep(rng.uniform(0, AFTER))
            if len(ranks) == 2:
                processes.end({rng.choice(sorted(ranks))})
            try:
                code = program.wait(ENDED)
            except subprocess.TimeoutExpired:
                return f"torchrun still runs {ENDED:g} s after the kill"
            if left := processes.left_after(ranks, 2.0):
                return f"{len(left)} ranks outlived torchrun"
            for model in out.glob("*.pt"):
                load_model(model)
            return "" if code else "" if (out / "best.pt").exists() else "exit code 0 without a model"
        except FlmdError as error:
            return f"a model that is not whole: {error}"
        finally:
            _stop(program)


def _training(store: Path, out: Path, params: Path) -> list[str]:
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    train = ["-m", "flmd.cli.flmd", "train", str(store), "--out", str(out), "--params", str(params)]
    return run + train


def _ranks(process: int) -> set[int]:
    return {child for child, parent in processes.parents().items() if parent == process}


@cache
def _to_train() -> tuple[Path, Path]:
    from tests.siege import store_mutations

    seeds = store_mutations.make_seeds(Path(tempfile.mkdtemp(prefix="flmd-siege-")))
    text = seeds.params.read_text(encoding="utf-8").replace("epochs: 1\n", "epochs: 40\n")
    seeds.params.write_text(text, encoding="utf-8")
    return seeds.good, seeds.params


def remote(seed: int, number: int) -> str:
    """Pushes to a folder, killed; then one undisturbed and `flmd remote check --repair`: a clone pulls all.

    Every other case kills the clone's pulls too.
    """
    rng = random.Random(f"{seed} remote {number}")
    with tempfile.TemporaryDirectory(prefix="flmd-siege-") as name:
        project = _project(Path(name))
        place = Remote("folder", str(Path(name) / "remote"), Folder(Path(name) / "remote"))
        project.use(place)
        for _ in range(2):
            _killed(project, "push", rng)
        project.run("dvc", "push", check=False)
        check = project.run(sys.executable, "-c", MODEL_PROGRAM, "remote", "check", "--repair",
                            check=False, PYTHONPATH=str(runs.ROOT))  # fmt: skip
        if check.returncode:
            return f"remote check --repair: exit code {check.returncode}: {check.stderr[-150:]!r}"
        clone = project.clone(Path(name) / "clone")
        clone.use(place)
        if number % 2:
            _killed(clone, "pull", rng)
        pulled = clone.run("dvc", "pull", check=False)
        if pulled.returncode or clone.files() != project.files():
            return f"dvc pull: exit code {pulled.returncode}: {pulled.stderr[-150:]!r}"
    return ""


def _killed(clone: Clone, what: str, rng: random.Random) -> None:
    seconds = rng.uniform(0.2, 3)
    clone.run("timeout", "-s", "KILL", f"{seconds:.2f}", "dvc", what, check=False)


@cache
def _made() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="flmd-siege-"))
    small_project(folder / "project")
    return folder / "project"


def _project(folder: Path) -> Clone:
    shutil.copytree(_made(), folder / "project", symlinks=True)
    return Clone(folder / "project")
