"""The exceptions a user can cause, and the one place that turns them into exit codes.

Every :class:`FlmdError` prints as one line: where, what, what was expected, what to do.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import math
import os
import re
import select
import signal
import stat
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from types import FrameType, TracebackType

SECRET_KEYS = (
    r"x-amz-[\w-]*|x-goog-[\w-]*|signature|sig|token|access_token|expires|awsaccesskeyid|api_?key|"
    r"key-pair-id|policy|password|secret"
)
"""Names, as a regular expression, of what in an address lets its holder in."""
_SIGNALS = ("SIGTERM", "SIGHUP")
_TWICE = 2.0  # seconds within which a signal that comes again is the same one: `timeout` sends it twice
STARVED = (
    "failed to map segment from shared object",
    "can't allocate memory",
    "annot allocate memory",
    "nsufficient memory",
    "can't start new thread",
    "error return without exception set",
)
"""What the loader, torch, OpenCV, threads and extensions say when no memory is left (``ulimit -v``)."""
_USER = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/\s'\"<>]*)@")
_SECRET = re.compile(rf"(?<=[?&])({SECRET_KEYS})=[^&\s'\"<>]*", re.IGNORECASE)


class FlmdError(Exception):
    """Something the user can mend. ``str(error)`` is one line, without the passwords of addresses.

    Parameters
    ----------
    what : what is wrong, naming the value that was found.
    where : file, line, element, row or key; printed first.
    expected : what would have been right.
    hint : what to do now.
    """

    exit_code = 2

    def __init__(
        self, what: str, *, where: str | None = None, expected: str | None = None, hint: str | None = None
    ) -> None:
        self.what = masked(what)
        self.where, self.expected, self.hint = (part and masked(part) for part in (where, expected, hint))
        text = f"{self.where}: {self.what}" if where else self.what
        if expected:
            text += f"; expected {self.expected}"
        if hint:
            text += f"; {self.hint}"
        super().__init__(" ".join(text.split()))

    def __reduce__(self) -> tuple[Callable[..., FlmdError], tuple[object, ...]]:
        """Pickle by field, so that an error crosses a process boundary whole."""
        return _rebuild, (type(self), self.what, self.where, self.expected, self.hint)


def _rebuild(
    kind: type[FlmdError], what: str, where: str | None, expected: str | None, hint: str | None
) -> FlmdError:
    return kind(what, where=where, expected=expected, hint=hint)


class InputError(FlmdError):
    """An annotation, image or archive that cannot be used."""


class ParamsError(FlmdError):
    """params.yaml or a command-line option says something impossible."""


class SourceError(FlmdError):
    """Raw data that cannot be had: no answer, wrong digest, licence not accepted."""


class FormatError(FlmdError):
    """The code of an annotation format that somebody else wrote has failed: not the user's data."""

    exit_code = 1


class StoreError(FlmdError):
    """An HDF5 file that is not a store this version can read, or cannot be written."""


def one_line(error: BaseException) -> str:
    """The message of any exception on one line, with its type when it has no text; passwords masked."""
    return " ".join(masked(str(error)).split()) or type(error).__name__


def printable(text: str, keep: str = "") -> str:
    """Text that a terminal shows and does not obey: control and format characters as escapes (``\\x1b``).

    Parameters
    ----------
    text : may hold what cannot be encoded, such as a file name that is not UTF-8.
    keep : characters that stay, such as the newlines of a text of several lines.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that surrogateescape carried
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def masked(text: str) -> str:
    """Text whose addresses hold no password and no signature: ``https://***@host/a?token=***``.

    A user name alone stays in ``ssh://ann@host``; in other addresses it may be a token.
    """
    if "://" not in text:
        return text
    return _SECRET.sub(r"\1=***", _USER.sub(_masked_user, text))


def _masked_user(found: re.Match[str]) -> str:
    scheme, user = found.groups()
    keeps = scheme.lower() in ("ssh", "sftp") and ":" not in user
    return found[0] if keeps else f"{scheme}://***@"


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """``"did you mean 'ibug68'?"``: the known word most like a misspelt one, in any case of its letters.

    None when nothing is alike. Only the first 5,000 known words are looked at: they can be a file's.
    """
    by_letters = {name.lower(): name for name in islice(known, 5000)}
    near = difflib.get_close_matches(word.lower(), by_letters, n=1)
    return f"did you mean {by_letters[near[0]]!r}?" if near else None


class Stopped(BaseException):
    """The program was told to end. Like KeyboardInterrupt it is no error that code should handle.

    Attributes
    ----------
    number : of the signal; a shell sees the exit code 128 + number.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"stopped by {signal.Signals(number).name}")


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """TERM and HUP raise :class:`Stopped` in the block, in the main thread: what is held can be cleaned up.

    ``timeout``, Slurm, systemd and a terminal that is closed send them; Python itself would be gone at once.
    Does nothing in another thread, nor for a signal that is ignored (``nohup``) or has a handler already.
    """
    first = -math.inf

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if time.monotonic() - first > _TWICE:
            first = time.monotonic()
            raise Stopped(number)

    taken: list[signal.Signals] = []
    if threading.current_thread() is threading.main_thread():
        numbers = [signal.Signals[name] for name in _SIGNALS if hasattr(signal, name)]
        taken = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def run(function: Callable[[], object], *, debug: bool | None = None) -> int:
    """Call ``function`` and return the exit code a shell should see.

    0: it returned. 2: a :class:`FlmdError`, or a full or read-only disk. 1: any other failure of
    the program. 130: interrupted. 143, 129: stopped by TERM, HUP, once what it holds is cleaned up. The
    message goes to stderr as one line; ``debug`` (or the environment variable ``FLMD_DEBUG=1``) prints the
    traceback as well.
    """
    if debug is None:
        debug = os.environ.get("FLMD_DEBUG", "") not in ("", "0")
    try:
        with answered():
            _open_standard_streams()
            function()
            if sys.stdout is not None:
                sys.stdout.flush()  # else a full disk is noticed when nobody can say it any more
    except FlmdError as error:
        return _report(error, str(error), error.exit_code, debug)
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    except Stopped as stopped:
        _say(str(stopped))
        return 128 + stopped.number
    except OSError as error:
        if _nobody_reads():  # `flmd-data formats | head -1`
            return 128 + signal.SIGPIPE
        return _report(error, os_error_message(error), 2, debug)
    except RecursionError as error:
        return _report(error, "an input is nested too deeply", 2, debug)
    except Exception as error:
        if isinstance(error, MemoryError) or any(words in str(error) for words in STARVED):
            text = "there is not enough memory; give it more, or use fewer workers"
            return _report(error, text, 2, debug)
        text = (
            f"{type(error).__name__}: {one_line(error)} (a failure of flmd; run with --debug for the trace)"
        )
        return _report(error, text, 1, debug)
    return 0


def _open_standard_streams() -> None:
    """Give a program that was started with closed streams (``2>&-``) ones that lead nowhere.

    The next file that it opens would take their number, and what a library writes to stderr go into it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            if getattr(sys, name) is None:
                setattr(sys, name, os.fdopen(number, mode, closefd=False))


def _nobody_reads() -> bool:
    """Whether stdout is a pipe without a reader; then what is still to be written goes nowhere."""
    try:
        number = sys.stdout.fileno()
        ends = select.poll()
        ends.register(number, select.POLLERR)
        broken = any(event & select.POLLERR for _, event in ends.poll(0)) and stat.S_ISFIFO(
            os.fstat(number).st_mode
        )
    except (OSError, ValueError, AttributeError):
        return False
    if broken:
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    return broken


def quiet_interrupts() -> None:
    """Ctrl-C while a program still imports what it needs is one line and exit code 130 as well."""
    usual = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            usual(kind, error, trace)
            return
        _say("interrupted")
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()
        os._exit(130)

    sys.excepthook = hook


def os_error_message(error: OSError) -> str:
    """One line for an operating-system error: which file, what, what to do."""
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{where}the disk is full; free some space and run again, nothing half-written was kept"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return f"{where}too many open files; raise the limit (ulimit -n) and run again, or use fewer workers"
    return f"{where}{error.strerror or one_line(error)}"


def _report(error: BaseException, text: str, code: int, debug: bool) -> int:
    if debug:
        _say("".join(traceback.format_exception(error)).rstrip("\n"))
    _say(f"error: {text}")
    return code


def _say(text: str) -> None:
    """Print on stderr, where there is one: a process may be started without."""
    if sys.stderr is not None:
        print(printable(masked(text), keep="\n\t"), file=sys.stderr)
