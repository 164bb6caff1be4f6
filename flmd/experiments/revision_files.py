"""The files of an experiment: of the working folder, or of any git revision or DVC experiment.

A revision's metrics and params are blobs of git; its curves and pictures are DVC outputs, read from the
local cache. Nothing is checked out, and no remote is asked: comparing works without network.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, TypeGuard

from flmd.core import yaml_text
from flmd.core.nested import flattened
from flmd.errors import InputError, ParamsError, one_line
from flmd.experiments import git


class ExperimentFiles(Protocol):
    """What both kinds of files offer; paths are relative to the project's root, POSIX."""

    name: str
    """For people: "workspace", or the revision as the user named it with its short hash."""

    def read(self, path: str) -> bytes | None:
        """The bytes of a file; None where it cannot be had, and :meth:`why_missing` says why."""

    def why_missing(self, path: str) -> str:
        """Why :meth:`read` gave None, in a few words."""

    def listing(self, folder: str) -> list[str]:
        """The names of the files in a folder, sorted; empty where there is no such folder."""


class WorkspaceFiles:
    """The files of a folder as they are."""

    name = "workspace"

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, path: str) -> bytes | None:
        """As :meth:`ExperimentFiles.read`."""
        try:
            return (self._root / path).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    def why_missing(self, path: str) -> str:
        """As :meth:`ExperimentFiles.why_missing`."""
        return f"no {path} in the workspace"

    def listing(self, folder: str) -> list[str]:
        """As :meth:`ExperimentFiles.listing`."""
        where = self._root / folder
        return sorted(p.name for p in where.iterdir() if p.is_file()) if where.is_dir() else []


class RevisionFiles:
    """The files of one commit, through DVC's own file systems. Made by :func:`revision`."""

    def __init__(self, repo: Any, commit: str, name: str, stack: ExitStack) -> None:
        self.commit = commit
        self.name = commit[:7] if commit.startswith(name) else f"{name} ({commit[:7]})"
        self._repo, self._stack = repo, stack
        self._git = repo.scm.get_fs(commit)
        self._below = PurePosixPath(*repo.fs.relparts(repo.root_dir, repo.scm.root_dir))
        self._outputs: Any = None

    def read(self, path: str) -> bytes | None:
        """As :meth:`ExperimentFiles.read`."""
        data = self._of_git(path)
        return self._of_dvc(path) if data is None else data

    def why_missing(self, path: str) -> str:
        """As :meth:`ExperimentFiles.why_missing`."""
        outputs = self._dvc()
        try:
            if outputs is None:
                raise FileNotFoundError
            outputs.info(path)
        except FileNotFoundError:
            return f"no {path} in {self.name}"
        except _unreadable():  # the list of a folder is not in the cache
            pass
        return f"{path} of {self.name} is not in this machine's DVC cache; `dvc fetch` gets it"

    def listing(self, folder: str) -> list[str]:
        """As :meth:`ExperimentFiles.listing`."""
        outputs = self._dvc()
        try:
            found = outputs.ls(folder, detail=True) if outputs is not None else []
        except _unreadable():
            return []
        return sorted(PurePosixPath(entry["name"]).name for entry in found if entry["type"] == "file")

    def _of_git(self, path: str) -> bytes | None:
        where = str(self._below / path)
        try:
            return bytes(self._git.cat_file(where)) if self._git.isfile(where) else None
        except OSError:
            return None

    def _of_dvc(self, path: str) -> bytes | None:
        outputs = self._dvc()
        try:
            return bytes(outputs.cat_file(path)) if outputs is not None and outputs.isfile(path) else None
        except _unreadable():
            return None

    def _dvc(self) -> Any:
        """The revision with its DVC outputs; takes most of a second, so not before it is asked for."""
        from dvc.exceptions import DvcException

        if self._outputs is None and self._repo.dvc_dir:
            try:
                self._stack.enter_context(self._repo.switch(self.commit))
                self._outputs = self._repo.dvcfs
            except DvcException as error:
                raise InputError(f"DVC cannot read it: {one_line(error)}", where=self.name) from None
        return self._outputs


def _unreadable() -> tuple[type[Exception], ...]:
    """What DVC raises for an output that is not there, or is not in the cache."""
    from dvc.exceptions import DvcException
    from dvc_data.index import DataIndexDirError

    return OSError, DvcException, DataIndexDirError


@contextmanager
def revision(root: Path, name: str) -> Iterator[RevisionFiles]:
    """The files of a commit, branch, tag or DVC experiment of the git repository that holds ``root``.

    Raises
    ------
    ParamsError : ``root`` is in no git repository, or the repository has no such revision.
    NoGitError : git is not installed.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import NoSCM, RevError, SCMError, resolve_rev

    with ExitStack() as stack:
        try:
            repo = stack.enter_context(Repo(str(root), uninitialized=True))
        except (DvcException, SCMError) as error:
            raise ParamsError(f"cannot be opened: {one_line(error)}", where=str(root)) from None
        if isinstance(repo.scm, NoSCM):
            raise ParamsError(
                "no git repository", where=str(root.absolute()), expected="a clone of a project"
            )
        repo.config["remote"].clear()  # what is not in the cache is missing: no remote is asked
        repo.config["core"].pop("remote", None)
        try:
            commit = resolve_rev(repo.scm, name) if name else ""
            if commit and git.git(root, "cat-file", "-t", commit).strip() != "commit":
                commit = ""  # `HEAD:` and `HEAD:file` are a tree and a file, over which DVC stumbles
        except git.NoGitError:
            raise
        except (RevError, SCMError, ValueError, git.GitError):
            commit = ""
        if not commit:
            raise ParamsError(
                f"no revision {name!r}",
                expected="a commit, branch, tag or experiment",
                hint="a shallow clone lacks old commits: `git fetch origin REVISION` brings them",
            )
        yield RevisionFiles(repo, commit, name, stack)


def project_root(folder: Path) -> Path:
    """The folder of the DVC project around ``folder``; without one, of the git repository, else itself."""
    around = (folder, *folder.parents)
    for mark in (".dvc", ".git"):
        for parent in around:
            if (parent / mark).exists():
                return parent
    return folder


def parsed(data: bytes, path: str, name: str) -> dict[str, Any]:
    """JSON, YAML or TOML, by the ending as DVC does it, with names joined by dots: ``{"a.b": 1}``.

    Values are what the file says: numbers, but also NaN, text, lists, true, null.

    Parameters
    ----------
    path, name : of the file and of the experiment, for the message.

    Raises
    ------
    InputError : not such a file, or not a mapping.
    """
    from dvc.utils.serialize import PARSERS, ParseError

    where = f"{path} in {name}"
    ending = PurePosixPath(path).suffix.lower()
    try:
        if ending in (".yaml", ".yml"):
            yaml_text.read(data)  # its limits: DVC's parser has none
        tree = PARSERS[ending](data.decode("utf-8"), path)
    except (ParseError, ValueError, RecursionError) as error:
        raise InputError(f"cannot be read: {one_line(error)}", where=where) from None
    if not isinstance(tree, Mapping):
        raise InputError(f"holds a {type(tree).__name__}", where=where, expected="names with values")
    return flattened(tree)


def finite(value: object) -> TypeGuard[float]:
    """Is it a number, and neither NaN nor infinite? ``True`` and ``"0.1"`` are no numbers."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
