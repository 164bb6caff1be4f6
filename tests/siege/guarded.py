"""Work done in a forked child that may hang, grow or die: what it said, or how it ended."""

from __future__ import annotations

import faulthandler
import os
import resource
import select
import signal
import time
from collections.abc import Callable

MEMORY = 1 << 30  # bytes of address space beyond what the process has
SECONDS = 10  # of the processor; a case takes a hundredth of one
PATIENCE = 120.0  # seconds of the clock, however busy the machine


def guarded(work: Callable[[], str]) -> str:
    """What ``work`` returns, called in a forked child; or one line on how the child ended instead."""
    end, begin = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(end)
            faulthandler.disable()
            used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()  # noqa: SIM115, PTH123
            resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
            spent = int(time.process_time()) + 1
            resource.setrlimit(resource.RLIMIT_CPU, (spent + SECONDS, spent + SECONDS))
            os.write(begin, (work()[:4000] or "held").encode(errors="replace"))
        finally:
            os._exit(0)
    os.close(begin)
    said, until = b"", time.monotonic() + PATIENCE
    while select.select([end], [], [], max(0.0, until - time.monotonic()))[0]:
        part = os.read(end, 65536)
        if not part:
            break
        said += part
    else:
        os.kill(child, signal.SIGKILL)
    os.close(end)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"took longer than {SECONDS} s of the processor, or {PATIENCE:g} s"
    if code or not said:
        return f"the process ended with exit code {code}"
    return "" if said == b"held" else said.decode(errors="replace")
