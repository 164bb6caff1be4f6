"""What the demos share: small settings, and an environment without the user's own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from flmd.experiments import reproduce

ROOT = Path(__file__).resolve().parents[2]
SMALL: dict[str, Any] = {**reproduce.SMALL, "datasets.ibug300w.source": reproduce.SMALL_SAMPLE}


def put(path: Path, settings: Mapping[str, Any]) -> None:
    """Set keys ("train.epochs") of a params.yaml; comments and order stay."""
    yaml = YAML()
    yaml.width = 1 << 16
    tree = yaml.load(path)
    for key, value in settings.items():
        *parts, last = key.split(".")
        place = tree
        for part in parts:
            place = place[part]
        place[last] = value
    yaml.dump(tree, path)


def environment(person: str, site: Path, unset: tuple[str, ...] = ("GIT_", "DVC_")) -> dict[str, str]:
    """Variables for commands of somebody: nothing of the user's own settings of git and DVC.

    ``site`` : DVC's memory of digests. ``unset`` : how the names of variables begin that are left out.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unset)}
    names = {f"GIT_{role}_NAME": person.capitalize() for role in ("AUTHOR", "COMMITTER")}
    mails = {f"GIT_{role}_EMAIL": f"{person}@example.org" for role in ("AUTHOR", "COMMITTER")}
    return {
        **kept,
        **names,
        **mails,
        "PYTHONDONTWRITEBYTECODE": "1",
        "NO_ALBUMENTATIONS_UPDATE": "1",
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(site),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "COLUMNS": "110",
    }
