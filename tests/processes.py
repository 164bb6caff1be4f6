"""The processes below one, as Linux tells them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path


def killed_at(process: subprocess.Popen[str], beginning: str) -> None:
    """SIGKILL a process as soon as it prints a line that begins so; it has to die of that."""
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(beginning):
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL


def hear_signals() -> None:
    """For ``preexec_fn``: a program in the background, or under nohup, is started deaf to some signals."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def parents() -> dict[int, int]:
    """Process number -> that of its parent, of all that live and are no zombies."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if stat[0] not in "ZX":
                found[int(folder.name)] = int(stat[1])
    return found


def below(process: int) -> set[int]:
    """All that a process started, and what those started."""
    all_parents = parents()
    found: set[int] = set()
    todo = [process]
    while todo:
        todo = [child for child, parent in all_parents.items() if parent in todo and child not in found]
        found.update(todo)
    return found


def wait_for_children(process: int, count: int, seconds: float = 60.0) -> set[int]:
    """Those below a process, once there are ``count``."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if len(found := below(process)) >= count:
            return found
        time.sleep(0.05)
    raise TimeoutError(f"{len(below(process))} processes below {process}, not {count}, after {seconds} s")


def left_after(processes: set[int], seconds: float) -> set[int]:
    """Those that still live after so long; returns as soon as none does."""
    until = time.monotonic() + seconds
    while (left := processes & parents().keys()) and time.monotonic() < until:
        time.sleep(0.02)
    return left


def end(processes: set[int]) -> None:
    """Kill what a failed test would leave."""
    for process in processes & parents().keys():
        os.kill(process, 9)
