"""Finding faces in pictures: one file for each detector, and the registry that makes them by name.

A new detector is a new file with a :class:`~flmd.inference.detection.Detector` and a line in ``DETECTORS``.
"""

from __future__ import annotations

import importlib
from typing import Any

from flmd.errors import ParamsError
from flmd.inference.detection.base import Detector, Found

__all__ = ["DETECTORS", "Detector", "Found", "get", "names"]

DETECTORS = {
    "boxes": "flmd.inference.detection.boxes:Boxes",
    "haar": "flmd.inference.detection.haar:Haar",
    "none": "flmd.inference.detection.whole:WholePicture",
    "yunet": "flmd.inference.detection.yunet:YuNet",
}


def names() -> list[str]:
    """The detectors there are, sorted; imports none of them."""
    return sorted(DETECTORS)


def get(spec: str) -> Detector:
    """A detector by name.

    Parameters
    ----------
    spec : "haar", "none", "yunet:FILE.onnx" with its model file, "boxes:FILE.csv" or only "FILE.csv".

    Raises
    ------
    ParamsError : no such detector, or one that needs a file and is given none.
    InputError : its file cannot be used.
    """
    if spec.lower().endswith(".csv") and not spec.startswith("boxes:"):
        spec = f"boxes:{spec}"
    name, _, file = spec.partition(":")
    if name not in DETECTORS:
        raise ParamsError(
            f"detector {spec!r}", expected="one of " + ", ".join(names()) + ", or a boxes.csv of your own"
        )
    module, _, attribute = DETECTORS[name].partition(":")
    kind: Any = getattr(importlib.import_module(module), attribute)
    made: Detector = kind.from_spec(file)
    return made
