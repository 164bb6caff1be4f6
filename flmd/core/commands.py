"""Other programs, run so that they end when this one does, with all that they started."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from flmd.core import leashed_command


@contextlib.contextmanager
def leashed(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a command that ends with the block, or with this process however that ends.

    Parameters
    ----------
    options : of ``subprocess.Popen``; standard input is empty, texts are UTF-8 with replacements.

    Raises
    ------
    OSError : no process can be started. A command that is not there ends with 127.
    """
    end, held = os.pipe()
    try:
        own = [sys.executable, "-I", str(Path(leashed_command.__file__)), str(end), *command]
        process = subprocess.Popen(
            own, pass_fds=(end,), stdin=subprocess.DEVNULL, text=True, errors="replace", **options
        )
    except BaseException:
        os.close(held)
        raise
    finally:
        os.close(end)
    try:
        yield process
    finally:
        os.close(held)  # a command that still runs is ended
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        process.wait()


def run(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """What a command says, and its exit code; options and errors as of :func:`leashed`."""
    with leashed(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options) as process:
        said, complained = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, said, complained)
