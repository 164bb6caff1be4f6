"""On which machine the outputs of dvc.lock were made: what to look at first when they come out differently.

The record lies in ``reports/made_on.json``, which is neither an input nor an output of a stage: it changes no
result. It is written when the outputs of dvc.lock differ from those that it describes. So it stays as it is
where a colleague gets the same outputs.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from flmd.core import atomic, processor
from flmd.core._version import __version__
from flmd.experiments.dvc_lock import Lock

NAME = "reports/made_on.json"
# What may decide a byte: arithmetic, decoders and encoders, file formats.
PACKAGES = (
    "numpy",
    "scipy",
    "opencv-python-headless",
    "pillow",
    "simplejpeg",
    "albumentations",
    "h5py",
    "torch",
    "torchvision",
    "pandas",
    "matplotlib",
    "dvclive",
)

# What another version of a package may change. Measured for the stages up to data/arrays.h5 (docs/trust.md).
_FROM_TRAINING = "nothing up to data/arrays.h5 in the versions tried"
DECIDES = {
    "opencv-python-headless": "the pictures of the sample, and so every output",
    "albumentations": "data/arrays.h5, where augment.albumentations names a transform",
    "torch": "what training and evaluation make",
    "matplotlib": "the plots",
    **dict.fromkeys(("numpy", "pillow", "simplejpeg", "h5py"), _FROM_TRAINING),
}


@dataclass(frozen=True)
class Machine:
    """A machine, as far as it may decide a byte.

    Attributes
    ----------
    processor : its name. architecture : "x86_64", "aarch64" ... instruction_sets : those for arithmetic.
    cores : that this process may use. system : kernel and C library. versions : of Python, flmd and packages.
    """

    processor: str = ""
    architecture: str = ""
    instruction_sets: tuple[str, ...] = ()
    cores: int = 0
    system: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


def this_machine() -> Machine:
    """The machine that this process runs on."""
    versions = {"python": platform.python_version(), "flmd": __version__}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return Machine(
        processor.name(),
        platform.machine(),
        processor.instruction_sets(),
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        " ".join([platform.system(), *platform.libc_ver()]).strip(),
        versions,
    )


def outputs_digest(lock: Lock) -> str:
    """One SHA-256 for all outputs of a dvc.lock."""
    lines = "".join(f"{md5}  {path}\n" for path, md5 in sorted(lock.outs.items()))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def record(root: Path, lock: Lock) -> bool:
    """Write which machine made the outputs of ``lock``, unless the file speaks of the same outputs already.

    Returns
    -------
    Whether it was written.
    """
    path, digest = root / NAME, outputs_digest(lock)
    try:
        if json.loads(path.read_text(encoding="utf-8"))["outputs"] == digest:
            return False
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    tree = {"outputs": digest, "machine": asdict(this_machine())}
    with atomic.whole_or_nothing(path) as part:
        part.write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")
    return True


def parse(text: str | None, lock: Lock) -> Machine | None:
    """The machine that made the outputs of ``lock``; None where the text does not say, or means others."""
    try:
        tree: Any = json.loads(text or "")
        if tree["outputs"] != outputs_digest(lock):
            return None
        known = {key: tree["machine"][key] for key in Machine.__dataclass_fields__ if key in tree["machine"]}
        known["instruction_sets"] = tuple(map(str, known.get("instruction_sets", ())))
        known["versions"] = {str(k): str(v) for k, v in dict(known.get("versions", {})).items()}
        return Machine(**known)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def differences(made_on: Machine, here: Machine) -> list[tuple[str, str, str]]:
    """What differs, as (what, there, here): nothing when the two are alike."""
    rows = []
    for key in ("processor", "architecture", "cores", "system"):
        rows.append((key, str(getattr(made_on, key)), str(getattr(here, key))))
    there_only = [name for name in made_on.instruction_sets if name not in here.instruction_sets]
    here_only = [name for name in here.instruction_sets if name not in made_on.instruction_sets]
    rows.append(("instruction sets only one has", " ".join(there_only) or "-", " ".join(here_only) or "-"))
    names = dict.fromkeys([*made_on.versions, *here.versions])
    rows += [(name, made_on.versions.get(name, "-"), here.versions.get(name, "-")) for name in names]
    return [row for row in rows if row[1] != row[2]]


def decided_by(rows: list[tuple[str, str, str]]) -> list[str]:
    """One line for each package in ``rows`` of :func:`differences`: what its version may change."""
    known = [row for row in rows if row[0] in DECIDES]
    return [f"{name} {there} or {here} may decide: {DECIDES[name]}" for name, there, here in known]
