"""ONNX files: written from a network, and their metadata."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from flmd.errors import FlmdError, ParamsError, one_line
from flmd.inference.deploy import seal
from flmd.inference.deploy.metadata import BATCH, INPUT, KEY, OUTPUT, to_text
from flmd.inference.deploy.network import CropsToPoints

# 17 is read by ONNX Runtime 1.12 (2022) and later, OpenVINO, TensorRT and CoreML's converters; no network
# here needs a later one.
OPSET = 17
INSTALL = "pip install 'flmd[onnx]'"


def write(whole: CropsToPoints, example: torch.Tensor, path: Path) -> None:
    """Write a network as ONNX, any number of crops at once; batch norms are folded into convolutions.

    torch's TorchScript-based exporter: it needs no further package, is done in a second where the other one
    takes half a minute (resnet152: ten and 35), and its graphs run as fast.

    Parameters
    ----------
    example : (2, ...) uint8 crops.

    Raises
    ------
    ParamsError : the package onnx is not installed. FlmdError : torch cannot express the network in ONNX.
    """
    require("onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this exporter is the older one; traced sizes are constants
        try:
            torch.onnx.export(
                whole,
                (example,),
                str(path),
                dynamo=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: {0: BATCH}, OUTPUT: {0: BATCH}},
            )
        except (RuntimeError, ValueError, TypeError) as error:  # torch.onnx's own errors are RuntimeErrors
            raise FlmdError(
                f"torch cannot write this network as ONNX ({one_line(error)[:300]})",
                where=whole.network.__class__.__name__,
                hint="use --to torchscript",
            ) from error


def set_metadata(path: Path, metadata: Mapping[str, Any]) -> None:
    """Put metadata into a file's ``metadata_props``, a line for people into its description; seal the file.

    The seal is a checksum: :mod:`flmd.inference.deploy.seal`.
    """
    import onnx

    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {KEY: to_text(metadata)})
    model.producer_name, model.domain = "flmd", "flmd"
    shape = "x".join(str(n) for n in metadata["input"]["shape"])
    model.doc_string = (
        f"{metadata['network']['name']}: {shape} uint8 {metadata['input']['color']} crops to "
        f"{metadata['scheme']['name']} points in {metadata['output']['unit']}. All else: metadata {KEY!r}."
    )
    onnx.checker.check_model(model)
    onnx.save(model, path)
    seal.put(path)


def require(package: str) -> None:
    """ParamsError, with what to install, when one of the ONNX packages is not here."""
    import importlib

    try:
        importlib.import_module(package)
    except ImportError as error:
        raise ParamsError(
            f"{package} is not installed, or cannot be loaded ({one_line(error)})", hint=INSTALL
        ) from None
