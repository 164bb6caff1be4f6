"""What an output was made from: digests of its inputs, the params it used, and the same of those inputs.

A record is JSON::

    {"stage": "train", "flmd": "0.1.0",
     "inputs": {"arrays.h5": SHA-256},
     "params": {"train": {...}, "seed": 7},
     "earlier": {SHA-256 of an input, or of an input's input ...: its record, without "earlier"}}

Stores, arrays and models carry it inside (``made_from``); JSON files under that key; all others have it
in a JSON file beside them, which lists their own digests under ``files``. So any output alone tells of
all that came before it. No path, time or host name gets into a record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from flmd.core._version import __version__
from flmd.core.atomic import whole_or_nothing
from flmd.errors import masked

BESIDE = "made_from.json"
OWN = ("stage", "flmd", "inputs", "params")  # of a record, without those of its inputs


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, lower-case hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def made_from(
    inputs: Iterable[Path] | Mapping[Path, Mapping[str, Any] | None],
    params: Mapping[str, Any],
    *,
    stage: str = "",
) -> dict[str, Any]:
    """The record that an output carries.

    Parameters
    ----------
    inputs : files, with the record that each carries, where it carries one. They are named by their last
        part so that no path of a machine gets into an output.
    params : what was used of params.yaml; sections may be pydantic models.
    stage : what makes the output: a stage of dvc.yaml, or a command.
    """
    records = inputs if isinstance(inputs, Mapping) else dict.fromkeys(inputs)
    digests = {path: sha256_of(path) for path in records}
    earlier: dict[str, Any] = {}
    for path, record in records.items():
        if record:
            earlier |= record.get("earlier", {})
            earlier[digests[path]] = {key: record[key] for key in OWN if key in record}
    names = _names(records)
    return record_of({names[path]: digest for path, digest in digests.items()}, params, stage, earlier)


def record_of(
    inputs: Mapping[str, str],
    params: Mapping[str, Any],
    stage: str,
    earlier: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A record of inputs whose digests are known: name -> SHA-256."""
    own = {"stage": stage, "flmd": __version__, "inputs": dict(inputs), "params": _plain(params)}
    return {**own, "earlier": dict(sorted(earlier.items()))} if earlier else own


def write_beside(path: Path, record: Mapping[str, Any], files: Iterable[Path]) -> None:
    """Write the record of files that cannot carry one, as JSON, whole or not at all.

    Parameters
    ----------
    path : of the JSON. files : in its folder or below; their digests are written too.
    """
    tree = {"made_from": dict(record), "files": digests_below(path.parent, files)}
    with whole_or_nothing(path) as new:
        new.write_text(json.dumps(tree, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def origins(record: Mapping[str, Any]) -> dict[str, str]:
    """Where the data sets in a record come from, by name: "sample", "official" or "own".

    Of a training on some data sets alone, those. Records made before this was kept name none.
    """
    train = record.get("params", {}).get("train", {})
    chosen = train.get("datasets") if record.get("stage") == "train" else None
    found: dict[str, str] = {}
    for one in (record, *record.get("earlier", {}).values()):
        params = one.get("params", {}) if one.get("stage") == "convert" else {}
        source = params.get("dataset", {}).get("source")
        found |= dict.fromkeys(one["inputs"], source) if source else {}
    return {name: kind for name, kind in sorted(found.items()) if not chosen or name in chosen}


def read_beside(path: Path) -> dict[str, Any]:
    """The record that :func:`write_beside` wrote; OSError or ValueError when it cannot be read."""
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["made_from"]
    return record


def digests_below(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    """Name in the folder -> SHA-256, sorted."""
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in sorted(files)}


def listing_digest(files: Mapping[str, str]) -> str:
    """One SHA-256 for many files (name -> SHA-256): of what ``sha256sum`` prints of them, sorted by name."""
    lines = (f"{digest}  {name}\n" for name, digest in sorted(files.items()))
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _plain(value: Any) -> Any:
    """JSON values, of the path of a machine only its last part, and no password of an address."""
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, str | Path) and Path(value).is_absolute():
        return Path(value).name
    return masked(value) if isinstance(value, str) else value


def _names(paths: Iterable[Path]) -> dict[Path, str]:
    """The last part of each path; a second of the same name becomes ``name (2)``."""
    names: dict[Path, str] = {}
    for path in paths:
        name, number = path.name, 2
        while name in names.values():
            name, number = f"{path.name} ({number})", number + 1
        names[path] = name
    return names
