"""Workers end with who works with them: real processes, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from flmd.core import commands
from tests import processes
from tests.factories import make_face, write_picture

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
ROOT = Path(__file__).resolve().parents[2]
# A server, a tracker of resources, and three workers.
WITH_THREE_WORKERS = 5
SECONDS = 1.0
SCRIPT = """
    import sys, threading, time
    from flmd import errors
    from flmd.core.atomic import Scratch
    from flmd.parallel.pool import in_order
    from pathlib import Path
    from tests.parallel.test_leash import {work}

    def main():
        with Scratch(Path.cwd(), "copy") as scratch:
            (scratch.folder / "large").write_text("x")
            for _ in in_order({work}, None, range(1000), workers=3):
                print("one", flush=True)

    if {thread}:
        one = threading.Thread(target=main)
        one.start()
        one.join()
    sys.exit(errors.run(main))
"""


def slowly(context: None, task: int) -> int:
    time.sleep(0.3)
    return task


def never_letting_go(context: None, task: int) -> int:
    """As a call into C that holds the interpreter: no thread of this worker runs meanwhile."""
    if task:
        sys.setswitchinterval(1000)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            pass
    return task


def started(folder: Path, work: str = "slowly", thread: bool = False) -> subprocess.Popen[str]:
    script = folder / "script.py"
    script.write_text(textwrap.dedent(SCRIPT.format(work=work, thread=thread)))
    process = subprocess.Popen(
        [sys.executable, str(script)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=processes.hear_signals,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "one\n"
    return process


def gone(process: subprocess.Popen[str], number: int) -> str:
    """Send a signal; every process below has to be gone within a second. What was said on stderr."""
    workers = processes.wait_for_children(process.pid, WITH_THREE_WORKERS)
    process.send_signal(number)
    try:
        said = process.communicate(timeout=20)[1]
        assert not processes.left_after(workers, SECONDS)
    finally:
        processes.end(workers | {process.pid})
    return said


@pytest.mark.parametrize("work", ["slowly", "never_letting_go"])
def test_workers_of_a_killed_process_are_gone(tmp_path: Path, work: str) -> None:
    process = started(tmp_path, work)
    gone(process, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


def test_workers_started_in_a_thread_are_gone_too(tmp_path: Path) -> None:
    gone(started(tmp_path, thread=True), signal.SIGKILL)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_stopped_process_cleans_up_and_says_so(tmp_path: Path, number: signal.Signals, code: int) -> None:
    process = started(tmp_path)
    assert gone(process, number) == f"stopped by {number.name}\n"
    assert process.returncode == code
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]


def test_a_signal_that_comes_twice_is_one(tmp_path: Path) -> None:
    """`timeout` sends TERM to its child, and then to the group that the child is in."""
    process = started(tmp_path)
    for _ in range(20):
        process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20)[1] == "stopped by SIGTERM\n"
    assert process.returncode == 143
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]


def test_a_killed_server_of_workers_is_one_line(tmp_path: Path) -> None:
    process = started(tmp_path)
    workers = processes.wait_for_children(process.pid, WITH_THREE_WORKERS)
    tree = processes.parents()
    server = next(w for w in workers if any(tree.get(other) == w for other in workers))
    os.kill(server, signal.SIGKILL)
    said = process.communicate(timeout=60)[1]
    assert said.startswith("error: a worker process died (killed, or out of memory); run again")
    assert said.count("\n") == 1
    assert process.returncode == 2
    assert not processes.left_after(workers, SECONDS)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_convert_leaves_no_process_and_no_copy(tmp_path: Path, number: signal.Signals) -> None:
    write_picture(tmp_path / "one.jpg", np.full((240, 240, 3), 90, np.uint8))
    points = make_face("one.jpg").landmarks
    lines = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points)
    (tmp_path / "one.pts").write_text(f"version: 1\nn_points: {len(points)}\n{{\n{lines}\n}}\n")
    with tarfile.open(tmp_path / "big.tar.gz", "w:gz", compresslevel=1) as archive:
        for i in range(600):
            for ending in ("jpg", "pts"):
                archive.add(tmp_path / f"one.{ending}", f"{i}.{ending}")
    (tmp_path / "out").mkdir()
    command = [sys.executable, "-c", "import flmd.cli.flmd_data as f; f.main()", "convert"]
    process = subprocess.Popen(
        [*command, str(tmp_path / "big.tar.gz"), str(tmp_path / "out" / "t.h5"), "--workers", "3"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    said = gone(process, number)
    if number != signal.SIGKILL:
        assert said.splitlines()[-1] == f"stopped by {number.name}"
        assert process.returncode == 128 + number
        assert not list((tmp_path / "out").iterdir())


GRANDCHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"


def test_a_leashed_command_ends_with_its_block() -> None:
    with commands.leashed([sys.executable, "-c", GRANDCHILD]) as process:
        below = processes.wait_for_children(process.pid, 2)
    assert not processes.left_after(below, SECONDS)


def test_a_leashed_command_ends_with_a_killed_parent(tmp_path: Path) -> None:
    code = f"from flmd.core import commands; commands.run([{sys.executable!r}, '-c', {GRANDCHILD!r}])"
    parent = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)})
    below = processes.wait_for_children(parent.pid, 3)
    parent.kill()
    parent.wait()
    try:
        assert not processes.left_after(below, SECONDS)
    finally:
        processes.end(below)


def test_a_leashed_command_gives_what_it_says_and_its_code() -> None:
    done = commands.run([sys.executable, "-c", "import sys; print('a'); sys.exit('b')"])
    assert (done.returncode, done.stdout, done.stderr) == (1, "a\n", "b\n")
    assert commands.run(["/no/such"]).returncode == 127
