"""How the threads of torch wait for each other on the CPU."""

from __future__ import annotations

import os


def wait_briefly() -> None:
    """Let OpenMP threads sleep after a short spin, unless GOMP_SPINCOUNT is set already.

    A room that loads torch calls this first: the OpenMP library reads the variable once, when it is loaded.
    Threads that wait spin, for minutes if need be. On a machine that has other work, a thread that lost its
    core then holds up all the rest: measured, two threads trained at a tenth of the speed of one. A short
    spin costs nothing on a quiet machine.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
