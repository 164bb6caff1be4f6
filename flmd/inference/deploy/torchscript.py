"""TorchScript files: for programs in C++, and for torch without flmd.

A TorchScript archive is a program. :func:`load` runs it, so ``flmd.load`` does not look for such files by
itself: load only your own.
"""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from flmd.errors import InputError, StoreError, one_line
from flmd.inference.deploy import metadata
from flmd.inference.deploy.network import CropsToPoints
from flmd.models import intact
from flmd.models.checkpoint import ModelInfo

_jit: Any = torch.jit  # some releases annotate it, some do not


def write(whole: CropsToPoints, example: torch.Tensor, path: Path, described: Mapping[str, Any]) -> None:
    """Write a network as TorchScript: traced, frozen, batch norms folded into convolutions.

    Parameters
    ----------
    example : (2, ...) uint8 crops. described : the metadata, an extra file of the archive.
    """
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        warnings.simplefilter("ignore")  # that TorchScript is not developed further; traced sizes
        frozen = _jit.freeze(_jit.trace(whole, (example,), check_trace=False))
        extra = {metadata.EXTRA_FILE: metadata.to_text(described)}
        whole_archive = io.BytesIO()
        _jit.save(frozen, whole_archive, _extra_files=extra)
    # Beside the program stand tables of which line of which file of this machine made which instruction:
    # of no use elsewhere, and another thing to differ between two exports.
    with zipfile.ZipFile(whole_archive) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            if not name.endswith(".debug_pkl"):
                new.writestr(zipfile.ZipInfo(name), old.read(name))


class TorchScript:
    """Crops in, points out, as :class:`flmd.inference.deploy.onnx_runtime.OnnxRuntime`.

    Raises
    ------
    InputError : no such file. StoreError : not TorchScript, or not made by flmd.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise InputError("no such file", where=str(path))
        extra = {metadata.EXTRA_FILE: ""}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                with path.open("rb") as file:
                    intact.check_zip(file, str(path), "export the model again")
                    self._module = _jit.load(file, map_location="cpu", _extra_files=extra)
            except (RuntimeError, ValueError) as error:
                raise StoreError(
                    f"torch cannot load it ({one_line(error)[:200]})",
                    where=str(path),
                    expected="a file of `flmd export --to torchscript`",
                ) from None
        text: str | bytes = extra[metadata.EXTRA_FILE]
        said = text.decode(errors="replace") if isinstance(text, bytes) else text
        self.metadata, self.info = metadata.parse(said, str(path))

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, S, S) or (N, 3, S, S) uint8 crops -> (N, K, 2) float32 pixels of the crop."""
        with torch.inference_mode():
            points: NDArray[np.float32] = self._module(torch.from_numpy(crops)).numpy()
        return points


def load(path: Path) -> tuple[TorchScript, ModelInfo]:
    """A TorchScript file of ours; it is a program and runs."""
    backend = TorchScript(path)
    return backend, backend.info
