"""Finding the record of what made a file (:mod:`flmd.core.provenance`): inside it, or in a JSON beside it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flmd.core import provenance
from flmd.errors import InputError

HDF5 = b"\x89HDF\r\n\x1a\n"
LARGEST_JSON = 64 << 20
ABOVE = 4  # folders looked in for the JSON beside: reports/training/plots/metrics/x.tsv has it two up


@dataclass(frozen=True)
class Record:
    """What made an output.

    Attributes
    ----------
    stage : of dvc.yaml, or a command; "" when it is not known. flmd : the version.
    inputs : name -> SHA-256. params : as they were used. earlier : SHA-256 -> record of an input, or of
        an input's input.
    """

    stage: str = ""
    flmd: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    earlier: Mapping[str, Record] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """A record, the file that carries it, and the SHA-256 that a JSON beside lists for the file asked for."""

    record: Record
    carrier: Path
    sha256: str | None = None


def find_record(path: Path) -> Found | None:
    """The record of a file, or None when there is none.

    Raises
    ------
    InputError : the file cannot be read, or what stands in the record's place is no record.
    StoreError : an HDF5 file or a model that is damaged.
    """
    with path.open("rb") as stream:
        head = stream.read(512)
    tree: Any = None
    if head.startswith(HDF5):
        tree = _in_hdf5(path)
    elif head.startswith(b"PK") and _is_zip(path):
        tree = _in_model(path)
    elif head.lstrip()[:1] == b"{":
        tree = _json(path).get("made_from")
    if isinstance(tree, Mapping):
        return Found(parse_record(tree, str(path)), path)
    return _beside(path)


def _is_zip(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # one that speaks of several disks: reading says what is wrong
        return True


def parse_record(tree: Any, where: str) -> Record:
    """A record from its JSON; InputError when it is none. A record without inputs ends its chain."""

    def texts(value: Any) -> dict[str, str]:
        if not isinstance(value, Mapping) or not all(isinstance(v, str) for v in value.values()):
            raise InputError("its record of what made it is damaged", where=where, hint="make it again")
        return {str(key): text for key, text in value.items()}

    if not isinstance(tree, Mapping):
        raise InputError("its record of what made it is damaged", where=where, hint="make it again")
    own = texts({key: tree.get(key, "") for key in ("stage", "flmd")})
    params, earlier = tree.get("params", {}), tree.get("earlier", {})
    if not isinstance(params, Mapping) or not isinstance(earlier, Mapping):
        raise InputError("its record of what made it is damaged", where=where, hint="make it again")
    others = {
        str(digest): parse_record({**record, "earlier": {}} if isinstance(record, Mapping) else None, where)
        for digest, record in earlier.items()
    }
    return Record(own["stage"], own["flmd"], texts(tree.get("inputs", {})), params, others)


def _in_hdf5(path: Path) -> Any:
    from flmd.errors import StoreError
    from flmd.store import opening
    from flmd.store.hdf5_file import Hdf5File

    try:
        file = Hdf5File(path)
        try:
            return json.loads(opening.json_text(file, "made_from", "null"))
        finally:
            file.close()
    except StoreError as error:
        raise InputError(error.what, where=str(path), expected=error.expected, hint=error.hint) from None
    except (ValueError, RecursionError):
        raise InputError("its record of what made it is damaged", where=str(path)) from None


def _in_model(path: Path) -> Any:
    """The record in a model of flmd; None in any other file of torch's."""
    with zipfile.ZipFile(path) as archive:
        if not any(name.endswith("/data.pkl") for name in archive.namelist()):
            return None  # some other zip: a raw archive
    from flmd.errors import StoreError
    from flmd.models import checkpoint

    try:
        return checkpoint.read_info(path).made_from
    except StoreError:
        if _beside(path) is None:
            raise
        return None  # weights of another maker, with a record beside them


def _beside(path: Path) -> Found | None:
    """The record in a JSON file beside, or further up, that lists this file."""
    folder = path.absolute().parent
    names = ("evaluation.json", provenance.BESIDE, f"{path.stem}.json")
    for above in [folder, *folder.parents][:ABOVE]:
        for name in names if above == folder else names[:2]:
            carrier = above / name
            if not carrier.is_file():
                continue
            tree = _json(carrier)
            files, inside = tree.get("files"), path.absolute().relative_to(above).as_posix()
            if isinstance(files, Mapping) and inside in files and isinstance(tree.get("made_from"), Mapping):
                return Found(parse_record(tree["made_from"], str(carrier)), carrier, str(files[inside]))
    return None


def _json(path: Path) -> Mapping[str, Any]:
    """The object in a JSON file; an empty one when it holds something else."""
    if path.stat().st_size > LARGEST_JSON:
        return {}
    try:
        tree = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise InputError("not valid JSON", where=str(path), hint="make it again") from None
    return tree if isinstance(tree, Mapping) else {}
