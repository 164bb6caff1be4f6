"""Runs the data stages in the current folder, unpinned, and prints a digest of every output as JSON.

    FLMD_PINS=off python -m tests.pipeline.data_stages [PLANT [COUNT]]

COUNT: of stages, all by default. PLANT names a function of flmd.core.exact that numpy's own stands in for,
to see the comparison fail.
"""

from __future__ import annotations

import hashlib
import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from flmd.core import exact

ROOT = Path(__file__).resolve().parents[2]
STAGES = (
    ("download", "ibug300w"),
    ("download", "youtube_faces"),
    ("convert", "ibug300w"),
    ("convert", "youtube_faces"),
    ("merge",),
    ("augment",),
)
PLANTS: dict[str, Callable[..., Any]] = {
    "exp": lambda x: np.exp(np.float32(x)).astype(np.float64),
    "sin_cos": lambda x: tuple(f(np.float32(x)).astype(np.float64) for f in (np.sin, np.cos)),
}


def digests(folder: Path) -> dict[str, str]:
    """Path -> SHA-256 of every file that the stages made."""
    made = [file for part in ("data", "reports") for file in (folder / part).rglob("*")]
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(made)
        if file.is_file() and "manifests" not in file.parts
    }


def main(plant: str | None = None, count: str = "6") -> None:
    """Run the first stages here, in one process."""
    if plant:
        setattr(exact, plant, PLANTS[plant])
    for stage, *arguments in STAGES[: int(count)]:
        sys.argv[1:] = arguments
        runpy.run_path(str(ROOT / "pipeline" / f"{stage}.py"))["main"]()
    print(json.dumps(digests(Path.cwd())))


if __name__ == "__main__":
    main(*sys.argv[1:])
