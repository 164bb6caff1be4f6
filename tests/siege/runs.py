"""Whole programs killed, stopped and starved of disk: old or whole, one line, no process and no file left."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import numpy as np

from tests import processes
from tests.factories import make_face, write_picture

ROOT = Path(__file__).resolve().parents[2]
DATA = (sys.executable, "-c", "from flmd.cli.flmd_data import main; main()")
MODEL = (sys.executable, "-c", "from flmd.cli.flmd import main; main()")
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
CODES = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGINT: 130}
SECONDS = 1.0  # that anything may outlive its parent
PATIENCE = 300.0  # seconds that a program may take
FACES = 24

Started = tuple["subprocess.Popen[bytes]", Path]  # and where its stderr goes
Step = tuple[str, tuple[str, ...], str]
# Name, command line with {out} for a new folder and {in} for what was made before, what it makes.
STEPS: tuple[Step, ...] = tuple(
    (name, (*program, *arguments.split()), made)
    for name, program, arguments, made in (
        ("convert", DATA, "convert {in}/set.tar.gz {out}/a.h5 --box landmarks --workers 2", "a.h5"),
        ("merge", DATA, "merge {in}/a.h5 {in}/a.h5 -o {out}/b.h5", "b.h5"),
        ("split", DATA, "split {in}/a.h5 --by image -o {out}/c.h5", "c.h5"),
        ("write", DATA, "convert {in}/set.tar.gz {out}/d.zip --to dlib-xml --images copy", "d.zip"),
        ("preview", DATA, "preview {in}/a.h5 -o {out}/e.png", "e.png"),
        ("export", MODEL, "export {in}/m.pt -o {out}/f.onnx", "f.onnx"),
        (
            "predict",
            MODEL,
            "predict {in}/pictures --model {in}/m.pt -o {out}/g --no-draw --detector none",
            "g",
        ),
    )
)


@cache
def inputs() -> Path:
    """A folder with what the steps read, and the digest of what each makes undisturbed."""
    from tests.inference.deploy.models import model_file

    folder = Path(tempfile.mkdtemp(prefix="flmd-siege-"))
    pictures = folder / "pictures"
    for number in range(FACES):
        rgb = np.random.default_rng(number).integers(0, 255, (60, 60, 3), dtype=np.uint8)
        write_picture(pictures / f"{number}.jpg", rgb.repeat(3, 0).repeat(3, 1))
        points = make_face("x", seed=number).landmarks
        lines = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points)
        text = f"version: 1\nn_points: {len(points)}\n{{\n{lines}\n}}\n"
        (pictures / f"{number}.pts").write_text(text)
    subprocess.run(["tar", "czf", folder / "set.tar.gz", "-C", pictures, "."], check=True)
    model_file(folder / "m.pt")
    step = STEPS[0]
    _finished(_started(step, folder, folder))
    return folder


def kill(seed: int, number: int) -> str:
    """A step ended by a signal at a random moment, then run again undisturbed."""
    rng = random.Random(f"{seed} kill {number}")
    step = STEPS[number % len(STEPS)]
    sent = rng.choice(SIGNALS)
    wanted, seconds = _undisturbed(step[0])
    with tempfile.TemporaryDirectory(prefix="flmd-siege-") as name:
        out = Path(name)
        started = _started(step, inputs(), out)
        time.sleep(rng.uniform(0.05, 1.1) * seconds)
        below = processes.below(started[0].pid)
        started[0].send_signal(sent)
        code, said = _finished(started)
        left = processes.left_after(below, SECONDS)
        processes.end(left)
        if left:
            return f"{step[0]}: {len(left)} processes outlived {sent.name}"
        if code not in (0, CODES[sent], -sent):
            return f"{step[0]}: exit code {code} after {sent.name}: {said[-150:]!r}"
        if code not in (0, -sent) and "Traceback" in said:
            return f"{step[0]}: a traceback after {sent.name}"
        found = digest(out / step[2])
        if found not in ("", wanted):
            return f"{step[0]}: neither nothing nor the whole after {sent.name}"
        if sent != signal.SIGKILL and (left_files := _others(out, step[2])):
            return f"{step[0]}: {left_files[0]} is left after {sent.name}"
        if not found:
            code, said = _finished(_started(step, inputs(), out))
            if code != 0 or digest(out / step[2]) != wanted:
                return f"{step[0]}: run again after {sent.name}: exit code {code}: {said[-150:]!r}"
            if left_files := _others(out, step[2]):
                return f"{step[0]}: {left_files[0]} is left by the dead and not removed by the next"
    return ""


def disk(seed: int, number: int) -> str:
    """A step on a disk that is full after some bytes (a limit on the size of each file)."""
    rng = random.Random(f"{seed} disk {number}")
    step = STEPS[number % len(STEPS)]
    wanted, _ = _undisturbed(step[0])
    with tempfile.TemporaryDirectory(prefix="flmd-siege-") as name:
        out = Path(name)
        most = rng.choice((4096, rng.randrange(4096, 1 << 18)))  # what is said has to fit too
        code, said = _finished(_started(step, inputs(), out, most))
        if code == 0:
            return "" if digest(out / step[2]) == wanted else f"{step[0]}: exit code 0, but other bytes"
        if (
            code != 2
            or "Traceback" in said
            or not said.splitlines()
            or "error: " not in said.splitlines()[-1]
        ):
            return f"{step[0]}: exit code {code} on a full disk: {said[-150:]!r}"
        if left := sorted(path.name for path in out.iterdir()):
            return f"{step[0]}: {left[0]} is left on a full disk"
    return ""


@cache
def _undisturbed(name: str) -> tuple[str, float]:
    """The digest of what a step makes, and how long it takes."""
    step = next(step for step in STEPS if step[0] == name)
    source = inputs()
    with tempfile.TemporaryDirectory(prefix="flmd-siege-") as folder:
        begun = time.monotonic()
        code, said = _finished(_started(step, source, Path(folder)))
        if code != 0:
            raise RuntimeError(f"{name} fails undisturbed, exit code {code}: {said}")
        return digest(Path(folder) / step[2]), time.monotonic() - begun


def _started(step: Step, source: Path, out: Path, most: int | None = None) -> Started:
    def starve() -> None:
        if most is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    command = [part.replace("{in}", str(source)).replace("{out}", str(out)) for part in step[1]]
    said = Path(tempfile.mkstemp(prefix="flmd-siege-")[1])
    process = subprocess.Popen(
        command,
        cwd=out,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONWARNINGS": "ignore",
        },
        stdout=subprocess.DEVNULL,
        stderr=said.open("w"),  # no pipe: an orphan would hold its other end
        preexec_fn=starve,
    )
    return process, said


def _finished(started: Started) -> tuple[int, str]:
    """Exit code and what was said on stderr."""
    process, path = started
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        processes.end(processes.below(process.pid) | {process.pid})
        return -1000, f"took longer than {PATIENCE:g} s"
    said = path.read_text(errors="replace")
    path.unlink()
    return process.returncode, said


def _others(out: Path, made: str) -> list[str]:
    return sorted(path.name for path in out.iterdir() if path.name != made)


def digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and bytes of a folder; "" where there is nothing."""
    if not path.exists():
        return ""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    sha = hashlib.sha256()
    for file in files:
        sha.update(file.relative_to(path.parent).as_posix().encode() + b"\0" + file.read_bytes())
    return sha.hexdigest()
