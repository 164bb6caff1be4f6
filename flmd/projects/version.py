"""flmd.version: with which flmd the results of a project are made.

Two lines, the version and a digest of the code::

    flmd 0.1.0
    code sha256 4f0c...

Every stage of the project depends on the file, and none runs where another flmd is installed. So results of
two versions do not lie side by side unnoticed.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from flmd.core._version import __version__
from flmd.core.atomic import whole_or_nothing
from flmd.errors import ParamsError

NAME = "flmd.version"
PACKAGE = Path(__file__).resolve().parents[1]
SHOWN = 12  # digits of a digest in a message


@cache
def installed() -> str:
    """The text of the file for the flmd that runs this: the same for a wheel and a clone with that code."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py"), key=lambda path: path.relative_to(PACKAGE).as_posix()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{content}  {path.relative_to(PACKAGE).as_posix()}\n".encode())
    return f"flmd {__version__}\ncode sha256 {digest.hexdigest()}\n"


def check(project: Path) -> None:
    """Nothing where the project's file names the installed flmd, or there is no file (a clone of flmd).

    Raises
    ------
    ParamsError : another flmd is installed.
    """
    path = project / NAME
    try:
        said = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    if said.split() != installed().split():
        raise ParamsError(
            f"the project's results are made with {_short(said)}, and {_short(installed())} is installed",
            where=str(path),
            hint=f"install the first, or take the second with `flmd init --accept {project}`",
        )


def accept(project: Path) -> bool:
    """Write the installed flmd into a project's file; returns whether that is another than before.

    Raises
    ------
    ParamsError : the folder has no such file.
    """
    path = project / NAME
    if not path.is_file():
        raise ParamsError("no such file", where=str(path), hint=f"make a project with `flmd init {project}`")
    if path.read_text(encoding="utf-8", errors="replace") == installed():
        return False
    with whole_or_nothing(path) as new:
        new.write_text(installed(), encoding="utf-8")
    return True


def _short(text: str) -> str:
    """``flmd 0.1.0 (code 4f0c0a1b2c3d)``."""
    words = text.split()
    if len(words) != 5 or words[0] != "flmd":
        return repr(" ".join(words)[:80])
    return f"flmd {words[1]} (code {words[4][:SHOWN]})"
