"""The OpenMP threads of torch spin briefly, whichever room loads torch first."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flmd.core import processor

ROOT = Path(__file__).parents[2]
# Prints the variable as the OpenMP library would read it, and leaves before torch is really loaded.
WATCH = """
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(os.environ.get("GOMP_SPINCOUNT"), flush=True)
            os._exit(0)
sys.meta_path.insert(0, Watch())
"""


def loads_torch(path: Path) -> bool:
    """Whether importing a file imports torch, or albumentations, which does."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        if {name.split(".")[0] for name in names} & {"torch", "torchvision", "albumentations"}:
            return True
    return False


def first_modules() -> list[str]:
    """Of each room that loads torch, the first module that does."""
    found = {}
    for path in sorted((ROOT / "flmd").rglob("*.py")):
        if loads_torch(path):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found.setdefault(name.split(".")[1], name)
    return list(found.values())


def seen_by_openmp(statement: str, **environment: str) -> str:
    """GOMP_SPINCOUNT at the moment that a statement, run in the clone's folder, loads torch."""
    clean = {key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"}
    command = [sys.executable, "-c", f"{WATCH}\n{statement}\nprint('torch was not loaded')"]
    done = subprocess.run(
        command, env={**clean, **environment}, cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_rooms_that_load_torch_are_found() -> None:
    rooms = {name.split(".")[1] for name in first_modules()}
    assert {"models", "training", "evaluation", "inference"} <= rooms


@pytest.mark.parametrize("module", first_modules())
def test_a_short_spin_is_asked_for_before_torch_is_loaded(module: str) -> None:
    assert seen_by_openmp(f"import {module}") == "10000"


@pytest.mark.parametrize("stage", ["train", "evaluate"])
def test_a_stage_asks_for_it(stage: str) -> None:
    statement = f"import runpy; runpy.run_path('pipeline/{stage}.py')['main']()"
    assert seen_by_openmp(statement, **processor.pins()) == "10000"


def test_prediction_asks_for_it() -> None:
    """`flmd predict` and users of the library go through ``flmd.load``."""
    assert seen_by_openmp("import flmd; flmd.load; import flmd.inference.torch_backend") == "10000"


def test_a_spin_that_the_user_has_set_stays() -> None:
    assert seen_by_openmp("import flmd.training.loop", GOMP_SPINCOUNT="7") == "7"
