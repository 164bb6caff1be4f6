"""The files at hand hashed again, and compared with dvc.lock.

`dvc status` alone would not do: it believes a file whose size and time of change stayed the same.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flmd.core import commands
from flmd.errors import FlmdError
from flmd.experiments import dvc_lock
from flmd.experiments.reproduce import dvc_environment

WITHIN = {"added": "new", "deleted": "missing"}  # DVC's words for files in a folder that is here


@dataclass(frozen=True)
class Changed:
    """A file that is not what dvc.lock says.

    Attributes
    ----------
    path : in the project. what : "modified"; "deleted", when it is not here; "missing" from a folder that
        is here; "new".
    maker : the stage that made it, or "" for an input. users : stages that read it.
    """

    path: str
    what: str
    maker: str
    users: tuple[str, ...]


def changed_data(root: Path) -> tuple[list[Changed], int]:
    """Hash every output and every input that lies beside outputs again, whatever DVC believes of them.

    DVC does the hashing, with an empty memory: it would else take the digest of a file whose size and
    time did not change from its state database.

    Returns
    -------
    The files that are not what dvc.lock says, and how many paths of dvc.lock were looked at.
    """
    lock = dvc_lock.read_lock(root)
    folders = {path.partition("/")[0] for path in lock.outs if "/" in path}
    inputs = {path for stage in lock for path in lock.inputs(stage) if path.partition("/")[0] in folders}
    paths = [*lock.outs, *sorted(inputs)]
    with tempfile.TemporaryDirectory(prefix="flmd-verify-") as name, dvc_environment(Path(name)) as given:
        status = _asked(root, given, "status")
        states: dict[str, str] = {}
        for changes in status.values():
            for change in changes:
                for items in change.values() if isinstance(change, dict) else []:
                    states |= {p: s for p, s in items.items() if isinstance(s, str) and p in paths}
        wrong = {path: what for path, what in states.items() if what != "not in cache"}
        inside = _asked(root, given, "data", "status", "--granular").get("uncommitted", {}) if wrong else {}
    found = []
    for path, what in wrong.items():
        files = [(f, kind) for kind, fs in inside.items() for f in fs if f.startswith(f"{path}/")]
        named = [(f, WITHIN.get(kind, kind)) for f, kind in files if not f.endswith("/")]
        for file, how in named if what == "modified" and named else [(path, what)]:
            found.append(Changed(file, how, lock.makers.get(path, ""), tuple(lock.users(path))))
    return found, len(paths)


def _asked(root: Path, environment: Mapping[str, str], *arguments: str) -> dict[str, Any]:
    """What a dvc command answers in JSON."""
    command = [sys.executable, "-m", "dvc", *arguments, "--json"]
    done = commands.run(command, cwd=root, env=dict(environment))
    try:
        if done.returncode:
            raise ValueError
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise FlmdError(
            f"`dvc {' '.join(arguments)}` failed: {_last_line(done.stderr)}", where=str(root)
        ) from None
    return answer


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:200] if lines else "it said nothing"
