"""The chain of a file back to the raw archives: what made it, from what, by which params, in which commit.

Each link is a file that the next one recorded. The records tell the whole chain even where no file is at
hand; where one is, its SHA-256 is compared.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flmd.core.nested import flattened
from flmd.errors import FlmdError, InputError
from flmd.experiments import dvc_lock, git
from flmd.experiments.dvc_lock import Lock
from flmd.experiments.git import Commit, GitError
from flmd.experiments.records import Found, Record, find_record
from flmd.sources.fetch.manifest import load_manifest

VERIFIED, DIFFERS, ABSENT = "verified", "differs", "not here"
BLOCK = 1 << 20
SECOND = re.compile(r" \(\d+\)$")  # the second input of the same name
RAW_STAGES = ("convert", "flmd-data convert", "weights")  # what they read was not made by flmd


@dataclass(frozen=True)
class Link:
    """A file of the chain.

    Attributes
    ----------
    name : where it lies in the project or on the disk, else as the next output recorded it.
    sha256 : as recorded; of the file itself for the one asked for.
    state : "verified", "differs", "not here"; "" for the file asked for when nothing says what it should be.
    stage, flmd, params : what made it; empty when no record tells.
    inputs : SHA-256 of each input.
    raw : nothing of flmd made it: it came from outside.
    origin : where a raw archive came from, when that is known.
    """

    name: str
    sha256: str
    state: str = ""
    stage: str = ""
    flmd: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    raw: bool = False
    origin: str = ""


@dataclass(frozen=True)
class Chain:
    """All links by SHA-256, the file asked for first, and what git says.

    Attributes
    ----------
    carrier : the file beside that carries the record of the file asked for, or "".
    commit : the commit whose dvc.lock holds these digests, or None. changed : files changed since HEAD.
    no_commit : why there is no commit.
    """

    file: Link
    links: dict[str, Link]
    carrier: str
    commit: Commit | None
    changed: list[str]
    no_commit: str

    @property
    def differing(self) -> list[Link]:
        """Links whose file at hand is not what was recorded."""
        return [link for link in self.links.values() if link.state == DIFFERS]


class _Project:
    """Where files of the chain may lie: the DVC project of the file or of the current folder, and folders."""

    def __init__(self, file: Path, folders: list[Path], progress: Callable[[int], object]) -> None:
        self.root = git.project_root(file.absolute().parent) or git.project_root(Path.cwd())
        self.lock = Lock({})
        if self.root is not None and (self.root / dvc_lock.NAME).is_file():
            self.lock = dvc_lock.read_lock(self.root)
        self.folders = [file.absolute().parent, *folders]
        self._digests: dict[Path, tuple[str, str]] = {}
        self._progress = progress
        # A file of a recorded name is the recorded one only where the project made the file asked for: where
        # its dvc.lock has it by path, or a copy of it by digest. Elsewhere equal names are chance.
        outs = self.lock.outs
        self.made_file = bool(outs) and (self.shown(file) in outs or self.digests(file)[1] in outs.values())

    def digests(self, path: Path) -> tuple[str, str]:
        """SHA-256 and md5 of a file, read once."""
        path = path.absolute()
        if path not in self._digests:
            sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
            with path.open("rb") as stream:
                while block := stream.read(BLOCK):
                    sha256.update(block)
                    md5.update(block)
                    self._progress(len(block))
            self._digests[path] = (sha256.hexdigest(), md5.hexdigest())
        return self._digests[path]

    def shown(self, path: Path) -> str:
        """A path in the project, else as short as it can be said from here."""
        path = path.absolute()
        for base in (self.root, Path.cwd()):
            if base is not None and path.is_relative_to(base):
                return path.relative_to(base).as_posix()
        return str(path)

    def known_as(self, name: str) -> str | None:
        """The path in dvc.lock of an input that was recorded by its last part."""
        paths = dict.fromkeys([*self.lock.outs, *(dep for stage in self.lock for dep in stage.deps)])
        return next((path for path in paths if path.rpartition("/")[2] == name), None)

    def locate(self, name: str, sha256: str, unless: Path) -> tuple[Path | None, str]:
        """The file at hand of a recorded input, and its state.

        A file of its name and other bytes "differs" in the project that made the file asked for; of another
        project's input it says nothing.
        """
        name = Path(SECOND.sub("", name)).name
        known = self.known_as(name)
        places = [self.root / known] if self.root is not None and known else []
        places += [folder / name for folder in self.folders]
        there = [place for place in places if place.is_file() and not place.samefile(unless)]
        for place in there:
            if self.digests(place)[0] == sha256:
                return place, VERIFIED
        return (there[0], DIFFERS) if there and self.made_file else (None, ABSENT)


def trace(path: Path, folders: list[Path], progress: Callable[[int], object] = lambda n: None) -> Chain:
    """The chain of a file.

    Parameters
    ----------
    path : the file. folders : where its inputs may lie, besides its own folder and the DVC project.
    progress : told of bytes read.

    Raises
    ------
    InputError : no such file, or nothing tells what made it.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise InputError(what, where=str(path), expected="an output of flmd")
    project = _Project(path, folders, progress)
    found = find_record(path)
    sha256, md5 = project.digests(path)
    name = project.shown(path)
    known = project.lock.outs.get(name)
    if found is None and known is None:
        raise InputError(
            "nothing tells what made it",
            where=str(path),
            expected="a store, arrays, model or report of flmd, or an output in dvc.lock",
        )
    expected = {found.sha256: sha256} if found is not None and found.sha256 else {}
    if known:
        expected[known] = md5
    state = "" if not expected else VERIFIED if all(a == b for a, b in expected.items()) else DIFFERS
    links: dict[str, Link] = {}
    _follow(links, project, path, name, sha256, state, found)
    commit, changed, why = _commit(project, path, found, links)
    carrier = "" if found is None or found.carrier == path else project.shown(found.carrier)
    return Chain(links[sha256], links, carrier, commit, changed, why)


def _follow(
    links: dict[str, Link],
    project: _Project,
    path: Path,
    name: str,
    sha256: str,
    state: str,
    found: Found | None,
) -> None:
    """Add the file and all before it, nearest first."""
    todo: list[tuple[str, str, str, Record | None, str, Path | None]] = [
        (name, sha256, state, found.record if found else None, "", path)
    ]
    earlier = dict(found.record.earlier) if found else {}
    while todo:
        name, sha256, state, record, user, at = todo.pop(0)
        if sha256 in links:
            continue
        links[sha256] = _link(project, name, sha256, state, record, user, at)
        for recorded, digest in (record.inputs if record else {}).items():
            place, how = project.locate(recorded, digest, path)
            below = earlier.get(digest)
            if below is None and place is not None and how == VERIFIED:
                inner = _record_or_none(place)
                if inner is not None:
                    below = inner
                    earlier = {**inner.earlier, **earlier}
            known = project.known_as(SECOND.sub("", recorded)) if project.made_file else None
            shown = project.shown(place) if place is not None else known or recorded
            todo.append((shown, digest, how, below, record.stage if record else "", place))


def _record_or_none(path: Path) -> Record | None:
    try:
        found = find_record(path)
    except FlmdError:
        return None  # its bytes are what was recorded; that they carry no record is no fault of the chain
    return None if found is None else found.record


def _link(
    project: _Project, name: str, sha256: str, state: str, record: Record | None, user: str, at: Path | None
) -> Link:
    if record is not None:
        params = flattened(record.params)
        inputs = tuple(record.inputs.values())
        return Link(name, sha256, state, record.stage, record.flmd, params, inputs)
    stage = project.lock.stages.get(project.lock.makers.get(name, ""))
    locked = project.lock.outs.get(name)
    if locked and at is not None and state == VERIFIED and project.digests(at)[1] != locked:
        stage = None  # dvc.lock tells of other bytes than the recorded ones
    raw = user in RAW_STAGES or (stage is not None and stage.name.startswith("download"))
    if stage is None:
        return Link(name, sha256, state, raw=raw, origin=_published(project, sha256))
    origin = _published(project, sha256) or _source(dict(stage.params))
    return Link(name, sha256, state, stage.name, "", dict(stage.params), raw=raw, origin=origin)


def _published(project: _Project, sha256: str) -> str:
    """The address that a manifest of the project knows this archive from."""
    if project.root is None:
        return ""
    for path in sorted((project.root / "data" / "manifests").glob("*.json")):
        for address, known in load_manifest(path).known.items():
            if known.sha256 == sha256:
                return f"{address} ({project.shown(path)})"
    return ""


def _source(params: dict[str, Any]) -> str:
    """In words, the params of a download."""
    by_end = {key.rpartition(".")[2]: value for key, value in params.items()}
    faces = by_end.get("sample", by_end.get("sample_faces"))  # the second as earlier versions had it
    if "sample" in by_end or by_end.get("source") == "sample":
        many = f", {faces} faces" if faces else ""
        return f"the built-in sample{many}, seed {by_end.get('seed')} (dvc.lock)"
    return f"{by_end['source']} (dvc.lock)" if "source" in by_end else ""


def _commit(
    project: _Project, path: Path, found: Found | None, links: dict[str, Link]
) -> tuple[Commit | None, list[str], str]:
    """The commit whose dvc.lock holds the digests of all files at hand, as far as it lists them."""
    if project.root is None:
        return None, [], "not in a DVC project"
    at_hand = [project.root / link.name for link in links.values() if link.state != DIFFERS]
    at_hand += [path.absolute()] + ([found.carrier.absolute()] if found else [])
    listed = [p for p in at_hand if project.shown(p) in project.lock.outs and p.is_file()]
    digests = list(dict.fromkeys(project.digests(p)[1] for p in listed))
    own = project.digests(path)[1]
    if own in project.lock.outs.values() and own not in digests:
        digests.insert(0, own)  # a copy of an output
    if not digests:
        return None, [], "dvc.lock lists none of these files"
    try:
        changed = git.changed_files(project.root)
        commit = git.holding(project.root, dvc_lock.NAME, digests)
    except GitError as error:
        return None, [], str(error)
    return commit, changed, "" if commit else "no commit's dvc.lock holds all these digests"


def walk(chain: Chain) -> Iterator[tuple[int, Link, bool]]:
    """(depth, link, whether it was shown before), the file asked for first, inputs below it."""
    seen: set[str] = set()

    def below(depth: int, link: Link) -> Iterator[tuple[int, Link, bool]]:
        again = link.sha256 in seen
        seen.add(link.sha256)
        yield depth, link, again
        for digest in () if again else link.inputs:
            yield from below(depth + 1, chain.links[digest])

    yield from below(0, chain.file)
