"""Runs the data stages in the current folder, unpinned, and prints a digest of every output as JSON.

    FLMD_PINS=off python -m tests.pipeline.data_stages [PLANT [COUNT]]
    FLMD_PINS=off python -m tests.pipeline.data_stages real SOURCE...

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

from flmd.augmentation import build
from flmd.conversion.converter import convert
from flmd.conversion.settings import SplitSettings
from flmd.core import exact, params
from flmd.store.face_store import FaceStore

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
        if file.is_file()
    }


def main(plant: str | None = None, count: str = "6") -> None:
    """Run the first stages here, in one process."""
    if plant:
        setattr(exact, plant, PLANTS[plant])
    for stage, *arguments in STAGES[: int(count)]:
        sys.argv[1:] = arguments
        runpy.run_path(str(ROOT / "pipeline" / f"{stage}.py"))["main"]()
    print(json.dumps(digests(Path.cwd())))


def real(*sources: str) -> None:
    """Convert and augment faces in any known format, with the settings of params.yaml."""
    settings = params.load(ROOT / "params.yaml")
    for number, source in enumerate(sources):
        store, arrays = (Path(f"data/{number}_{name}.h5") for name in ("faces", "arrays"))
        convert(source, store, box="landmarks", split=SplitSettings("subject", seed=settings.seed))
        with FaceStore(store) as faces:
            build.build(faces, arrays, settings.augment, seed=settings.seed, made_from=faces.made_from)
    print(json.dumps(digests(Path.cwd())))


if __name__ == "__main__":
    if sys.argv[1:2] == ["real"]:
        real(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
