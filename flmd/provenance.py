"""What an output was made from: digests of its inputs and the params it used."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from flmd import __version__


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, lower-case hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def made_from(inputs: list[Path], params: dict[str, Any]) -> dict[str, Any]:
    """The record that stores, arrays and checkpoints carry.

    Parameters
    ----------
    inputs : files, named by their last part so that no path of a machine gets into an output.
    params : what was used of params.yaml; sections may be pydantic models.
    """
    plain = {k: v.model_dump() if isinstance(v, BaseModel) else v for k, v in params.items()}
    return {"flmd": __version__, "inputs": {p.name: sha256_of(p) for p in inputs}, "params": plain}
