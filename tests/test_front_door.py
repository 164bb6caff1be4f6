"""`import flmd` gives every public name, and loads nothing until one is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import flmd

HEAVY = {"numpy", "torch", "cv2", "h5py", "pandas", "matplotlib", "pydantic", "scipy"}


def test_importing_flmd_loads_nothing_heavy() -> None:
    code = "import flmd, sys; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())


@pytest.mark.parametrize("name", flmd.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(flmd, name) is not None
    assert name in dir(flmd)


def test_a_name_is_the_same_thing_as_in_its_module() -> None:
    from flmd.store.face_store import FaceStore

    assert flmd.FaceStore is FaceStore


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        flmd.lode  # noqa: B018


def test_type_checkers_see_the_names_that_are_loaded() -> None:
    """The imports under TYPE_CHECKING and the table of homes say the same."""
    (guarded,) = (
        node
        for node in ast.parse(Path(flmd.__file__).read_text(encoding="utf-8")).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {
        alias.asname: node.module
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }
    assert seen == flmd._HOMES
    assert set(flmd.__all__) == {"__version__", *seen}
