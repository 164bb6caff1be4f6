"""What git knows of a DVC project: which commit holds a dvc.lock, and whether files changed since."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from flmd.errors import FlmdError, one_line

# Set by git around its hooks; they would point our git at another repository than the folder's.
GIT_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")


@dataclass(frozen=True)
class Commit:
    """A commit: its full hexadecimal name, and whether it is HEAD."""

    name: str
    head: bool


class GitError(FlmdError):
    """Git is not installed, or the folder is no repository, or has no commit."""


class NoGitError(GitError):
    """Git is not installed."""


def git(folder: Path, *arguments: str) -> str:
    """The output of a git command in a folder; GitError when it fails, NoGitError without git."""
    environment = {k: v for k, v in os.environ.items() if k not in GIT_VARIABLES}
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=environment, capture_output=True, check=False
        )
    except FileNotFoundError:
        raise NoGitError("git is not installed", where=str(folder), hint="install git") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise GitError(said[-1] if said else f"git {arguments[0]} failed", where=str(folder))
    return done.stdout.decode(errors="replace")


def project_root(folder: Path) -> Path | None:
    """The DVC project that a folder lies in: the nearest folder upwards that holds ``.dvc``, or None."""
    start = folder.resolve()
    return next((f for f in (start, *start.parents) if (f / ".dvc").is_dir()), None)


def changed_files(root: Path) -> list[str]:
    """Tracked files that differ from HEAD, by their paths in the repository."""
    lines = git(root, "status", "--porcelain=v1", "-z", "--untracked-files=no", "--no-renames").split("\0")
    return [line[3:] for line in lines if line]


def committed(root: Path, commit: str, name: str) -> str | None:
    """The text of a project's file in a commit, or None when the commit has no such file."""
    try:
        return git(root, "show", f"{commit}:./{name}")
    except GitError:
        return None


def holding(root: Path, name: str, texts: Collection[str]) -> Commit | None:
    """The commit whose ``name`` holds all of ``texts``: HEAD if it does, else the newest that does, or None.

    Every branch, tag and DVC experiment is looked at.
    """
    head = git(root, "rev-parse", "HEAD").strip()
    found = committed(root, head, name)
    if found is not None and all(text in found for text in texts):
        return Commit(head, True)
    # Commits where one of the texts came or went, newest first; one where it came has it.
    for commit in git(root, "log", "--all", "--format=%H", f"-S{next(iter(texts))}", "--", name).split():
        found = committed(root, commit, name)
        if found is not None and all(text in found for text in texts):
            return Commit(commit, False)
    return None


def clone(root: Path, target: Path) -> Path:
    """A clone of the repository's HEAD at ``target``; the project's folder in it is returned."""
    top = Path(git(root, "rev-parse", "--show-toplevel").strip())
    try:
        git(root, "clone", "--quiet", "--no-tags", str(top), str(target))
        # A clone checks out the branch of its origin, which a detached HEAD may not be on.
        git(target, "checkout", "--quiet", "--detach", git(root, "rev-parse", "HEAD").strip())
    except GitError as error:
        raise GitError(f"cannot be cloned: {one_line(error)}", where=str(top)) from None
    return target / root.resolve().relative_to(top.resolve())
