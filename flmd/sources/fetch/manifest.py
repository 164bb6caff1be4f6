"""The small git-tracked record of where a data set is published and which bytes were had from there.

A manifest is JSON::

    {"official": {"url": ..., "license": ..., "about": ...},
     "known": {url: {"sha256": ..., "bytes": ...}}}

Neither of the built-in data sets is published with a checksum, so the digest of the first download is
written under ``known`` and enforced from then on: commit the change. ``official`` is for data sets that
``flmd.sources.datasets`` does not know; both keys may be absent, and so may the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from flmd.core.atomic import whole_or_nothing
from flmd.errors import SourceError, os_error_message
from flmd.sources.datasets.official import Official as Official
from flmd.sources.datasets.rules import rules_for

SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Known:
    """A file once had from an address: lower-case hexadecimal ``sha256``, and its size in ``bytes``."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """What :func:`load_manifest` returns; ``official`` is None for a data set of the user's own."""

    official: Official | None = None
    known: Mapping[str, Known] = field(default_factory=dict)


def official_of(name: str, folder: Path) -> Official | None:
    """Where a data set is published: as its manifest in a folder says, else as ``flmd.sources.datasets``."""
    return load_manifest(folder / f"{name}.json").official or rules_for(name).official


def load_manifest(path: Path) -> Manifest:
    """Read and check a manifest; one that does not exist is empty. Raises SourceError naming the key."""
    try:
        data = json.loads(path.read_text("utf-8"), object_pairs_hook=_no_repeats)
    except FileNotFoundError:
        return Manifest()
    except OSError as error:
        raise SourceError(os_error_message(error)) from error
    except UnicodeDecodeError as error:
        raise SourceError("it is not UTF-8 text", where=str(path), expected="a JSON manifest") from error
    except json.JSONDecodeError as error:
        where = f"{path}: line {error.lineno}"
        raise SourceError(error.msg, where=where, expected="a JSON manifest") from error
    except ValueError as error:
        raise SourceError(str(error), where=str(path), hint="remove one of them") from error
    root = _mapping(data, path, "the manifest", required=(), allowed=("official", "known"))
    official = None
    if "official" in root:
        keys = ("url", "license", "about")
        entry = _mapping(root["official"], path, "official", required=keys, allowed=keys)
        official = Official(*(_text(entry[key], path, f"official.{key}") for key in keys))
    known = root.get("known", {})
    if not isinstance(known, dict):
        raise _wrong(path, "known", known, "a mapping of addresses to sha256 and bytes")
    return Manifest(official, {url: _known(entry, path, f"known.{url}") for url, entry in known.items()})


def save_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest with sorted keys, whole or not at all."""
    data: dict[str, object] = {"known": {url: asdict(known) for url, known in manifest.known.items()}}
    if manifest.official is not None:
        data["official"] = asdict(manifest.official)
    text = json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    with whole_or_nothing(path) as new:
        new.write_text(text, encoding="utf-8")


def record(path: Path, url: str, known: Known) -> None:
    """Add one file to the manifest at ``path``, which is read again first. Raises SourceError."""
    manifest = load_manifest(path)
    if manifest.known.get(url) != known:
        save_manifest(path, replace(manifest, known={**manifest.known, url: known}))


def _known(data: object, path: Path, key: str) -> Known:
    entry = _mapping(data, path, key, required=("sha256", "bytes"), allowed=("sha256", "bytes"))
    sha256, size = entry["sha256"], entry["bytes"]
    if not isinstance(sha256, str) or not SHA256.fullmatch(sha256):
        raise _wrong(path, f"{key}.sha256", sha256, "64 lower-case hexadecimal digits")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise _wrong(path, f"{key}.bytes", size, "a number of bytes")
    return Known(sha256, size)


def _mapping(
    data: object, path: Path, key: str, *, required: tuple[str, ...], allowed: tuple[str, ...]
) -> dict[str, object]:
    if not isinstance(data, dict):
        raise _wrong(path, key, data, f"a mapping with {', '.join(allowed)}")
    for name in required:
        if name not in data:
            raise SourceError(f"{name} is missing", where=f"{path}: {key}", expected=", ".join(required))
    for name in data:
        if name not in allowed:
            raise SourceError(f"unknown key {name!r}", where=f"{path}: {key}", expected=", ".join(allowed))
    return data


def _text(value: object, path: Path, key: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(path, key, value, "a text")
    return value


def _wrong(path: Path, key: str, value: object, expected: str) -> SourceError:
    return SourceError(f"{key} is {json.dumps(value)[:80]}", where=str(path), expected=expected)


def _no_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {repeated!r} occurs twice")
    return found
