"""Streams that are closed, full or left, interrupts, too little memory: an exit code and one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flmd import errors
from tests import processes

ROOT = Path(__file__).resolve().parents[1]
DATA = [sys.executable, "-c", "from flmd.cli.flmd_data import main; main()"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which $DATA is flmd-data."""
    command = ["bash", "-c", line, "bash", *DATA]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_streams_to_nowhere(closed: str) -> None:
    done = shell(f'"$@" formats {closed}')
    assert done.returncode == 0
    assert done.stderr == ""


def test_a_file_never_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    """A library that writes to stderr would write into it."""
    code = "import os, sys; from flmd import errors; "
    code += f"sys.exit(errors.run(lambda: sys.exit(int(open({str(tmp_path / 'x')!r}, 'w').fileno() < 3))))"
    command = ["bash", "-c", '"$@" 2>&- <&-', "bash", sys.executable, "-c", code]
    assert subprocess.run(command, env=ENVIRONMENT, check=False).returncode == 0


PRINTS_MUCH = {
    "a program": "import sys; from flmd import errors; "
    "sys.exit(errors.run(lambda: [print('x' * 999) for _ in range(9999)]))",
    "a command": "import typer; from flmd.cli.common import main_for; app = typer.Typer(); "
    "app.command()(lambda: [print('x' * 999) for _ in range(9999)] and None); main_for(lambda _: app, 'x')()",
}


@pytest.mark.parametrize("code", PRINTS_MUCH.values(), ids=PRINTS_MUCH)
def test_who_reads_no_further_is_no_failure(code: str) -> None:
    command = ["bash", "-c", '"$@" | head -1 >/dev/null; echo ${PIPESTATUS[0]}', "bash", sys.executable, "-c"]
    done = subprocess.run([*command, code], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"{128 + signal.SIGPIPE}\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no /dev/full")
def test_a_full_disk_under_stdout_is_said() -> None:
    done = shell('"$@" formats >/dev/full')
    assert done.returncode == 2
    assert done.stderr.startswith("error: the disk is full")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("failure", "said"),
    [(RecursionError("maximum"), "nested too deeply"), (MemoryError(), "not enough memory")],
)
def test_an_input_that_asks_too_much_is_one_line_and_2(
    failure: Exception, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise failure

    assert errors.run(fail) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert shown.count("\n") == 1


def test_an_interrupt_while_a_stage_imports_is_one_line(tmp_path: Path) -> None:
    """numpy is replaced by a module that takes a minute to import."""
    (tmp_path / "numpy.py").write_text(
        f"import pathlib, time\npathlib.Path({str(tmp_path / 'importing')!r}).touch()\ntime.sleep(60)\n"
    )
    path = os.pathsep.join((str(tmp_path), str(ROOT)))
    for command in ([sys.executable, str(ROOT / "pipeline" / "augment.py")], [*DATA, "stats", "x.h5"]):
        (tmp_path / "importing").unlink(missing_ok=True)
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=processes.hear_signals,
        )
        while not (tmp_path / "importing").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30)[1] == "interrupted\n"
        assert process.returncode == 130
