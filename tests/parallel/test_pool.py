"""Tasks over processes: order kept, errors whole, a dead worker named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flmd.errors import FlmdError, InputError, ParamsError
from flmd.parallel.pool import in_order, worker_count


def add(context: int, task: int) -> int:
    return context + task


def fail(context: None, task: int) -> int:
    if task == 3:
        raise InputError("bad", where=f"task {task}", hint="mend it")
    return task


def die(context: None, task: int) -> int:
    if task == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_order(workers: int) -> None:
    assert list(in_order(add, 10, range(50), workers=workers)) == list(range(10, 60))


def test_any_executor_will_do() -> None:
    with ThreadPoolExecutor(2) as pool:
        assert list(in_order(add, 1, range(9), executor=pool)) == list(range(1, 10))


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_cross_whole(workers: int) -> None:
    with pytest.raises(InputError) as caught:
        list(in_order(fail, None, range(9), workers=workers))
    assert str(caught.value) == "task 3: bad; mend it"


def test_a_killed_worker_is_one_line() -> None:
    with pytest.raises(FlmdError, match="worker process died"):
        list(in_order(die, None, range(9), workers=2))


def test_tasks_are_taken_as_results_are(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def tasks():  # type: ignore[no-untyped-def]
        for i in range(1000):
            taken.append(i)
            yield i

    results = in_order(add, 0, tasks(), workers=2)
    for _ in range(5):
        next(results)
    assert len(taken) < 30
    results.close()


def test_worker_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLMD_WORKERS", "3")
    assert worker_count() == 3
    assert worker_count(2) == 2
    monkeypatch.setenv("FLMD_WORKERS", "many")
    with pytest.raises(ParamsError, match="FLMD_WORKERS is 'many'"):
        worker_count()
    with pytest.raises(ParamsError, match="workers is 0"):
        worker_count(0)


def run_script(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run a script of somebody's own, a process of its own."""
    script = folder / "script.py"
    script.write_text(textwrap.dedent(text), encoding="utf-8")
    return subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)


def test_a_plain_script_may_use_processes(tmp_path: Path) -> None:
    """It has no `if __name__ == "__main__":`, and no worker runs it again."""
    done = run_script(
        tmp_path,
        """
        import operator
        from flmd.parallel.pool import in_order
        print(list(in_order(operator.mul, 3, [1, 2, 5], workers=2)))
        """,
    )
    assert (done.returncode, done.stdout) == (0, "[3, 6, 15]\n"), done.stderr


def test_workers_know_what_a_guarded_script_defines(tmp_path: Path) -> None:
    done = run_script(
        tmp_path,
        """
        from flmd.parallel.pool import in_order

        class Factor:
            value = 3

        def product(factor, task):
            return factor.value * task

        if __name__ == "__main__":
            print(list(in_order(product, Factor(), [1, 2, 5], workers=2)))
        """,
    )
    assert (done.returncode, done.stdout) == (0, "[3, 6, 15]\n"), done.stderr
