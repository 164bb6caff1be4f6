"""The models a page offers: those it was started with, then those that lie where trainings put them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from flmd.inference import landmarker

PLACES = ("data/model", "runs")
MOST = 50


def model_files(first: Iterable[str], folder: Path) -> list[Path]:
    """Files that may be models: ``first``, then those under ``data/model`` and ``runs`` of ``folder``.

    Each once, at most ``MOST``; in a folder the best epoch comes before the last. What a killed training
    left to go on from, in folders called ``resume``, is left out. Whether they are models is seen when they
    are loaded.
    """
    named = [Path(name) for name in first]
    found = [path.relative_to(folder) for place in PLACES for path in (folder / place).glob("**/*")]
    found = sorted(filter(_may_be_model, found), key=lambda p: (p.parts[:-1], p.stem != "best", p.name))
    once: dict[Path, Path] = {}
    for path in named + found:
        once.setdefault((folder / path).resolve(), path)
    return list(once.values())[:MOST]


def _may_be_model(path: Path) -> bool:
    apart = any(part.startswith(".") or part == "resume" for part in path.parts)
    return path.suffix.lower() in {".pt", *landmarker.LOADERS} and not apart
