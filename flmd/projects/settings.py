"""The settings of a command that works with and without a project: its params.yaml, else flmd's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from flmd.core import params
from flmd.experiments import recipes
from flmd.projects import template

NAME = "params.yaml"


def load(path: Path | None = None, recipe: str | None = None) -> tuple[params.Params, str]:
    """The settings, and in words where they are from.

    Parameters
    ----------
    path : of a params file; None: params.yaml here, and where there is none, flmd's own.
    recipe : of ``flmd recipe list``, merged into them; no file is changed.

    Raises
    ------
    ParamsError : no such file or recipe, or not valid.
    """
    own = path is None and not Path(NAME).exists()
    if own:
        origin = f"flmd's own {NAME}"
        tree: Any = YAML().load(template.own_file(NAME))
        if recipe is None:
            return params.parse(tree, where=origin), origin
    else:
        origin = str(path or NAME)
        if recipe is None:
            return params.load(origin), origin
        tree = recipes.read(Path(origin))
    recipes.merge(tree, recipes.fitting(recipes.load(recipe, recipes.folder()), tree).settings)
    origin = f"{origin} with recipe {recipe}"
    return params.parse(tree, where=origin), origin


def write_own(path: Path) -> None:
    """flmd's own params.yaml as a file, where there is none."""
    path.write_text(template.own_file(NAME), encoding="utf-8", newline="")
