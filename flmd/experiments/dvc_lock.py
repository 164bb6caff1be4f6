"""dvc.lock: the bytes that every stage read and made, by DVC's digests (md5), and the params it used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flmd.core import yaml_text
from flmd.core.nested import flattened
from flmd.errors import InputError, one_line

NAME = "dvc.lock"


@dataclass(frozen=True)
class LockedStage:
    """A stage as it last ran.

    Attributes
    ----------
    deps, outs : path in the project -> md5, that of a folder ending in ``.dir``; "" where DVC keeps another
        kind of digest.
    params : dotted key of params.yaml -> value.
    """

    name: str
    deps: Mapping[str, str]
    outs: Mapping[str, str]
    params: Mapping[str, Any]


class Lock:
    """All stages of a dvc.lock, by name."""

    def __init__(self, stages: Mapping[str, LockedStage]) -> None:
        self.stages = stages
        self.makers = {path: stage.name for stage in stages.values() for path in stage.outs}
        self.outs = {path: md5 for stage in stages.values() for path, md5 in stage.outs.items()}

    def users(self, path: str) -> list[str]:
        """Names of the stages that read a path, or the folder it lies in."""
        return [
            stage.name
            for stage in self.stages.values()
            if any(path == dep or path.startswith(f"{dep}/") for dep in stage.deps)
        ]

    def inputs(self, stage: LockedStage) -> dict[str, str]:
        """A stage's dependencies that no stage makes: path -> md5."""
        return {
            path: md5
            for path, md5 in stage.deps.items()
            if not any(out == path or out.startswith(f"{path}/") for out in self.outs)
        }

    def downstream(self, name: str) -> set[str]:
        """A stage and all that read, directly or not, what it makes."""
        found: set[str] = set()
        todo = [name] if name in self.stages else []
        while todo:
            stage = todo.pop()
            if stage not in found:
                found.add(stage)
                todo += [user for out in self.stages[stage].outs for user in self.users(out)]
        return found

    def __iter__(self) -> Iterator[LockedStage]:
        return iter(self.stages.values())


def read_lock(root: Path) -> Lock:
    """The dvc.lock of a project; InputError when there is none, or it is not one."""
    path = root / NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError("no such file", where=str(path), hint="run `dvc repro` first") from None
    except UnicodeDecodeError:
        raise InputError("not UTF-8 text", where=str(path), expected="a dvc.lock") from None
    return parse_lock(text, str(path))


def parse_lock(text: str, where: str) -> Lock:
    """The stages in the text of a dvc.lock; InputError, naming ``where``, when it is not one."""
    try:
        tree = yaml_text.read(text)
        stages = [_stage(name, body) for name, body in (tree.get("stages") or {}).items()]
    except (AttributeError, TypeError, KeyError, ValueError, RecursionError) as error:
        raise InputError(
            f"not a dvc.lock: {one_line(error)[:160]}", where=where, hint="restore it with git"
        ) from None
    return Lock({stage.name: stage for stage in stages})


def _stage(name: str, body: Mapping[str, Any]) -> LockedStage:
    def digests(key: str) -> dict[str, str]:
        return {str(item["path"]): str(item.get("md5", "")) for item in body.get(key) or []}

    params = {k: v for file in (body.get("params") or {}).values() for k, v in (file or {}).items()}
    return LockedStage(str(name), digests("deps"), digests("outs"), flattened(params))
