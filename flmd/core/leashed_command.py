"""Runs a command for :mod:`flmd.core.commands`: ``python -I leashed_command.py DESCRIPTOR COMMAND...``.

The command, and what it starts, ends when nobody holds the other end of the pipe DESCRIPTOR any more. It has
a process group of its own; INT, TERM and HUP are passed on to it. Imports nothing of flmd: it is run by path.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

PATIENCE = 0.5  # seconds between asking and killing


def main() -> int:
    """The exit code of the command, 128 + N where signal N ended it."""
    leash, command = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(leash, False)
    try:
        child = subprocess.Popen(command, process_group=0)
    except OSError as error:
        print(f"error: {command[0]}: {error.strerror}", file=sys.stderr)
        return 127

    def send(number: int) -> None:
        with contextlib.suppress(OSError):
            os.killpg(child.pid, number)

    def watch() -> None:
        while os.read(leash, 1):
            pass
        send(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(PATIENCE)
        send(signal.SIGKILL)  # what it started may live on

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: send(number))
    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    code = child.wait()
    send(signal.SIGKILL)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
