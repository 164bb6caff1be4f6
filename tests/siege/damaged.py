"""Overwritten bytes in model files, archives and dvc.lock: refused in one line, or nothing is changed."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from flmd import formats
from flmd.errors import FlmdError
from flmd.experiments import dvc_lock
from flmd.face import Face
from flmd.inference import torch_backend
from flmd.inference.deploy import export
from flmd.inference.deploy.onnx_runtime import OnnxRuntime
from flmd.schemes import get_scheme
from flmd.tree import open_tree
from tests import fuzzing
from tests.inference.deploy.models import model_file, noise
from tests.siege.damage import overwritten

MODELS = ("m.pt", "m.onnx", "m.torchscript")
ARCHIVES = ("a.zip", "a.tar", "a.tar.gz")
LOCK = Path(__file__).resolve().parents[2] / "dvc.lock"


def _run(path: Path) -> Any:
    """The points that a model file gives, twice the same."""
    if path.suffix == ".onnx":
        return OnnxRuntime(path, threads=1)(noise(2, 32, 32))
    if path.suffix == ".torchscript":
        from flmd.inference.deploy.torchscript import TorchScript

        return TorchScript(path)(noise(2, 32, 32))
    return torch_backend.load(path, "cpu")[0](noise(2, 32, 32))


@cache
def _models() -> dict[str, tuple[bytes, Any]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model_file(folder / "m.pt")
        for kind, ending in export.ENDINGS.items():
            export.export_model(folder / "m.pt", folder / f"m{ending}", kind)
        return {each: ((folder / each).read_bytes(), _run(folder / each)) for each in MODELS}


def model(seed: int, number: int) -> str:
    """A damaged model file: "" or what gave way."""
    name = MODELS[number % len(MODELS)]
    good, wanted = _models()[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(overwritten(good, seed * 1_000_003 + number))
        try:
            found = _run(path)
        except FlmdError as error:
            return _one_line(error, name)
        except Exception as error:
            return f"{name}: {type(error).__name__}: {str(error)[:150]!r}"
    return "" if np.array_equal(found, wanted) else f"{name}: other points than before, silently"


@cache
def _archives() -> dict[str, bytes]:
    from flmd.curation.write_annotations import write_faces

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for each in ARCHIVES:
            write_faces(
                fuzzing.drawn_faces("ibug68"), formats.get("pts"), folder / each, get_scheme("ibug68")
            )
        return {each: (folder / each).read_bytes() for each in ARCHIVES}


def archive(seed: int, number: int) -> str:
    """A damaged archive of annotations: faces, or an error for people."""
    name = ARCHIVES[number % len(ARCHIVES)]
    fmt = formats.get("pts")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(overwritten(_archives()[name], seed * 1_000_003 + number))
        try:
            with open_tree(path) as tree:
                found = fmt.detect(tree)
                for item in fmt.read(tree, get_scheme("ibug68"), found.files) if found.fits else ():
                    if isinstance(item, Face) and item.landmarks.shape != (68, 2):
                        return f"{name}: a face of shape {item.landmarks.shape}"
        except FlmdError as error:
            return _one_line(error, name)
        except Exception as error:
            return f"{name}: {type(error).__name__}: {str(error)[:150]!r}"
    return ""


def lock(seed: int, number: int) -> str:
    """A damaged dvc.lock: a lock, or an error for people."""
    text = overwritten(LOCK.read_bytes()[:3000], seed * 1_000_003 + number, 8).decode(errors="replace")
    try:
        dvc_lock.parse_lock(text, "dvc.lock")
    except FlmdError as error:
        return _one_line(error, "dvc.lock")
    except Exception as error:
        return f"dvc.lock: {type(error).__name__}: {str(error)[:150]!r}"
    return ""


def _one_line(error: FlmdError, name: str) -> str:
    return "" if str(error) and "\n" not in str(error) else f"{name}: not one line: {error}"
