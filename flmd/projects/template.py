"""A project of one's own, made from what comes with flmd: the files of its own pipeline, without its code.

``params.yaml`` and ``dvc.yaml`` are those of flmd itself. In the second, a stage runs ``flmd stage NAME`` and
depends on ``flmd.version`` (:mod:`flmd.projects.version`), where flmd's own depends on files of its code.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from flmd.core.atomic import Scratch, move_onto
from flmd.errors import ParamsError
from flmd.experiments import git
from flmd.projects import version

PACKAGE = Path(__file__).resolve().parents[1]
HERE = Path(__file__).parent / "files"
COPIED = ("params.yaml", ".dvcignore", "data/.gitignore", "data/weights/README.md", "reports/.gitignore")
DVC_CONFIG = "[core]\n    analytics = false\n    check_update = false\n"
WITHOUT_GIT = "    no_scm = true\n"
_CODE = re.compile(r"(\s*- )(?:flmd|pipeline)/\S+\s*")
_COMMAND = re.compile(r"^(\s*cmd: )python pipeline/(\w+)\.py", re.MULTILINE)


def own_file(name: str) -> str:
    """The text of a file of flmd's own pipeline, from the installed package or from a clone.

    Raises
    ------
    ParamsError : it is in neither.
    """
    for path in (PACKAGE / "project_data" / name, PACKAGE.parent / name):
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise ParamsError("not in this installation of flmd", where=name, hint="install flmd again")


def stages() -> str:
    """The text of a project's dvc.yaml."""
    lines: list[str] = []
    for line in _COMMAND.sub(r"\1flmd stage \2", own_file("dvc.yaml")).splitlines():
        code = _CODE.fullmatch(line)
        told = f"{code[1]}{version.NAME}" if code else line
        if not code or lines[-1] != told:  # a stage's code stands in one block
            lines.append(told)
    return "\n".join(lines) + "\n"


def files(*, with_git: bool) -> dict[str, str]:
    """Path in a project -> text, all that :func:`make` writes."""
    return {
        **{name: own_file(name) for name in COPIED},
        "dvc.yaml": stages(),
        version.NAME: version.installed(),
        "README.md": (HERE / "README.md").read_text(encoding="utf-8"),
        ".gitignore": (HERE / "gitignore").read_text(encoding="utf-8"),
        ".dvc/config": DVC_CONFIG + ("" if with_git else WITHOUT_GIT),
        ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
    }


def make(folder: Path, *, with_git: bool = True) -> list[str]:
    """Make a project in a folder, which may hold other files; a git repository too, unless it is in one.

    Returns
    -------
    The files that were written, by their paths in the folder.

    Raises
    ------
    ParamsError : one of the files is there already, or the folder lies in a DVC project; nothing is written.
    GitError : git is not installed.
    """
    root = git.project_root(folder)
    if root is not None:
        raise ParamsError("lies in a DVC project already", where=str(folder), hint=f"its root is {root}")
    texts = files(with_git=with_git)
    for name in texts:
        if (folder / name).exists():
            raise ParamsError("exists already", where=str(folder / name), hint="choose another folder")
    new = not folder.exists()
    try:
        with Scratch(folder, "project") as scratch:
            if with_git and not _in_git(folder):
                try:
                    git.git(scratch.folder, "init", "--quiet", "--initial-branch", "main")
                except git.GitError as error:
                    raise git.GitError(
                        error.what, where=str(folder), hint="or leave git out: --no-git"
                    ) from None
            for name, text in texts.items():
                path = scratch.folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8", newline="")
            move_onto(scratch.folder, folder)
    except BaseException as error:
        if new:
            with suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError):  # of a file that nobody asked for
            raise OSError(error.errno, error.strerror, str(folder)) from error
        raise
    return list(texts)


def _in_git(folder: Path) -> bool:
    start = folder.resolve()
    return any((place / ".git").exists() for place in (start, *start.parents))
