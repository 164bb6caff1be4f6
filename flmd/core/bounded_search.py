"""A regular expression that somebody wrote, searched in names that somebody else wrote, for a limited time.

Python's ``re`` backtracks: ``(a+)+$`` takes years on a name of forty letters, and nothing in the same process
can stop it. The search runs in a process of its own, which the system ends when its time is over. Expressions
that cannot take long, nearly all that people write here, are searched at once.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence

from flmd.errors import InputError

SECONDS = 1.0  # of the processor for one name; a usual expression takes microseconds
LONGEST = 2000  # characters of an expression
_MEMORY = 512 << 20  # bytes

# No group is repeated or optional, no alternatives, references or look-ahead, and two repeats of one
# character at most: the steps are no more than the cube of the length. Read from the text, so it errs on the
# careful side.
_CAREFUL = re.compile(r"\)[*+?{]|\(\?|\\[0-9]|\|")
_REPEATS = re.compile(r"[*+?{]")
_SHORT = 300  # characters of a name

# A line of JSON in, a line of JSON out. Imports nothing of flmd. The timer counts this process' own time, so
# that a busy machine does not make an expression bad; its signal ends the process, there is no handler.
_CHILD = """
import json, re, sys
try:
    import resource, signal
    signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]),) * 2)
    timer = lambda seconds: signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
except (ImportError, AttributeError, OSError, ValueError):
    timer = lambda seconds: None
for number, line in enumerate(sys.stdin):
    text = json.loads(line)
    timer(float(sys.argv[1]))
    if not number:
        expression = re.compile(text)
    else:
        found = expression.search(text)
        print(json.dumps(found and [found[0], *found.groups()]), flush=True)
    timer(0)
"""


class BoundedSearch:
    """An expression to search names with; safe in any thread.

    Parameters
    ----------
    pattern : of Python's ``re``, at most LONGEST characters. It is searched, not matched from the start.

    Raises
    ------
    ValueError : no expression; the message says why.
    """

    def __init__(self, pattern: str) -> None:
        if len(pattern) > LONGEST:
            raise ValueError(f"{len(pattern)} characters, expected {LONGEST} or less")
        try:
            self._here = re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(str(error)) from None
        self.pattern = pattern
        self._quick = not _CAREFUL.search(pattern) and len(_REPEATS.findall(pattern)) <= 2
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None

    def search(self, text: str) -> Sequence[str | None] | None:
        """All that is matched first, then the groups, None for those without a part; None: not found.

        Raises
        ------
        InputError : it takes longer than SECONDS, or more memory than a search needs.
        """
        if self._quick and len(text) <= _SHORT:
            match = self._here.search(text)
            return match and [match[0], *match.groups()]
        with self._lock:
            answer = self._asked(text)
        if not answer:
            raise InputError(
                f"the search for {self.pattern[:200]!r} in {text[:200]!r} takes more than {SECONDS:g} s, or "
                f"{_MEMORY >> 20} MiB",
                expected="an expression that repeats no part which has a repeat in it, as (a+)+ does",
            )
        found: Sequence[str | None] | None = json.loads(answer)
        return found

    def _asked(self, text: str) -> str:
        """A line of the process; "" where it has ended."""
        if self._child is None:
            self._child = self._started()
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(json.dumps(text) + "\n")
            child.stdin.flush()
            answer = child.stdout.readline()
        except BrokenPipeError:
            answer = ""
        except BaseException:  # interrupted: the answer that is still to come would be taken for the next one
            child.kill()
            self._child = None
            raise
        if not answer:
            self._child = None
        return answer

    def _started(self) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _CHILD, str(SECONDS), str(_MEMORY)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="ascii",
        )
        weakref.finalize(self, _end, child)
        assert child.stdin is not None
        child.stdin.write(json.dumps(self.pattern) + "\n")
        return child


def _end(child: subprocess.Popen[str]) -> None:
    """It ends when it has read all there is, as it does when this process is killed."""
    with contextlib.suppress(OSError):
        child.communicate()
