"""A worker process ends when the process that works with it does, however that ended.

A worker that waits for its next task would wait for ever: it holds the other end of its own pipe. Two things
see to it: the kernel kills a worker with its parent (Linux), and a thread waits for the end of a pipe whose
other end only the process that asked for the worker holds (everywhere).
"""

from __future__ import annotations

import ctypes
import multiprocessing
import multiprocessing.process
import os
import signal
import sys
import threading

SERVER = "flmd.parallel.leashed_server"
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """To be called by a worker of ``multiprocessing`` before its first task; does nothing elsewhere."""
    asked_by = multiprocessing.parent_process()
    if asked_by is None:
        return
    kill_with_parent()
    _let_server_go()
    threading.Thread(target=_watch, args=(asked_by,), name="leash", daemon=True).start()


def kill_with_parent() -> None:
    """Linux: the kernel kills this process when the thread that started it ends; elsewhere nothing."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    try:
        done = ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    except (OSError, AttributeError):
        return
    if done == 0 and os.getppid() != parent:  # it ended in between: the kernel says nothing any more
        os._exit(1)


def preload() -> list[str]:
    """Modules that the server of worker processes imports first; one ties it to the process that starts it.

    None from another thread than the main one: the kernel would kill the server when that thread ends.
    """
    main = threading.current_thread() is threading.main_thread()
    return [SERVER] if main and sys.platform == "linux" else []


def _watch(asked_by: multiprocessing.process.BaseProcess) -> None:
    asked_by.join()
    os._exit(1)


def _let_server_go() -> None:
    """Close this worker's copy of the pipe that keeps the server of worker processes alive.

    Each worker is given one, to start workers of its own, so that the server outlives who started it.
    """
    module = sys.modules.get("multiprocessing.forkserver")
    server = getattr(module, "_forkserver", None)
    descriptor = getattr(server, "_forkserver_alive_fd", None)
    if isinstance(descriptor, int):
        os.close(descriptor)
        server._forkserver_alive_fd = None  # type: ignore[union-attr]
