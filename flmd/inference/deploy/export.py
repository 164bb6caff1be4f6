"""From a model file to a deployed file: written, checked against torch, quantised if asked, then named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from flmd.core._version import __version__
from flmd.core.atomic import whole_or_nothing
from flmd.core.provenance import sha256_of
from flmd.errors import FlmdError, ParamsError
from flmd.evaluation import metrics
from flmd.inference import torch_backend
from flmd.inference.deploy import checks, crops, int8, metadata, onnx_file, torchscript
from flmd.inference.deploy.checks import Points
from flmd.inference.deploy.network import CropsToPoints, crop_shape
from flmd.inference.deploy.onnx_runtime import OnnxRuntime
from flmd.inference.landmarker import Landmarker
from flmd.models import checkpoint
from flmd.models.checkpoint import ModelInfo
from flmd.store.face_store import FaceStore

ENDINGS = {"onnx": ".onnx", "torchscript": ".torchscript"}
CHECKED, MEASURED = 64, 1000  # faces
SPLITS = ("test", "val", "train")  # the first that has faces


@dataclass(frozen=True)
class Loss:
    """What int8 costs.

    Attributes
    ----------
    faces, normaliser : what the errors are the mean of, and a fraction of.
    nme_float, nme : mean NME of the float file and of the int8 one.
    moved_px : root mean square of how far points moved, pixels of the crop.
    calibrated : faces that the ranges were taken from.
    """

    faces: int
    normaliser: str
    nme_float: float
    nme: float
    moved_px: float
    calibrated: int


@dataclass(frozen=True)
class Exported:
    """What was made.

    Attributes
    ----------
    path : the file. info : of the model.
    difference : the largest distance from torch's points, px of the crop (of the float file, for int8).
    faces : how many it was looked for on. source : which.
    loss : of int8; None for a float file.
    """

    path: Path
    info: ModelInfo
    difference: float
    faces: int
    source: str
    loss: Loss | None = None


def export_model(
    model: Path,
    target: Path,
    kind: str,
    *,
    check: Path | None = None,
    calibrate: Path | None = None,
    tolerance: float = checks.TOLERANCE,
) -> Exported:
    """Write a deployed file, whole and checked or not at all.

    Parameters
    ----------
    model : a model file of a training. target : replaced when it is there.
    kind : one of :data:`ENDINGS`.
    check : store whose faces the check looks at; None: the one to calibrate with, else drawn faces.
    calibrate : ONNX only: store with training faces; the file is int8, its loss measured on the test faces.
    tolerance : px of the crop that the float file's points may lie from torch's.

    Raises
    ------
    FlmdError : the file's points are not torch's; nothing is left.
    ParamsError : a package is missing, or a store does not fit the model. StoreError, InputError : a file
        that cannot be used.
    """
    if kind not in ENDINGS:
        raise ParamsError(f"kind {kind!r}", expected=" or ".join(ENDINGS))
    if calibrate is not None and kind != "onnx":
        raise ParamsError("int8 is for ONNX", hint="use --to onnx")
    if kind == "onnx":
        onnx_file.require("onnx")
        onnx_file.require("onnxruntime")
    network, info = checkpoint.load_model(model)
    reference, _ = torch_backend.load(model, "cpu")
    exported = {"flmd": __version__, "torch": torch.__version__, "model_sha256": sha256_of(model)}
    described = metadata.describe(info, exported)
    images, source = _faces(check or calibrate, info, reference)
    with whole_or_nothing(target) as new:
        floating = new.with_name(f"{new.name}.float")
        deployed = _write(kind, CropsToPoints(network, info), info, described, floating)
        found = checks.require_equal(reference, deployed, images, tolerance, str(target))
        loss = None
        if calibrate is None:
            floating.replace(new)
        else:
            loss = _quantise(calibrate, info, floating, deployed, new, described)
    return Exported(target, info, found, len(images), source, loss)


def _write(kind: str, whole: CropsToPoints, info: ModelInfo, described: dict[str, Any], path: Path) -> Points:
    """The float file, and what runs it."""
    # Levels that differ, and more than one face: a trace must not take a size or a value for a constant.
    levels = torch.arange(2 * int(np.prod(crop_shape(info)))) % 251
    example = levels.to(torch.uint8).view(2, *crop_shape(info))
    if kind == "torchscript":
        torchscript.write(whole, example, path, described)
        return torchscript.TorchScript(path)
    onnx_file.write(whole, example, path)
    onnx_file.set_metadata(path, described)
    return OnnxRuntime(path)


def _faces(store: Path | None, info: ModelInfo, reference: Points) -> tuple[NDArray[np.uint8], str]:
    """Faces for the check, and where they come from."""
    if store is None:
        return crops.drawn(Landmarker(reference, info)).images, "drawn faces"
    with FaceStore(store) as faces:
        return crops.of_store(faces, info, SPLITS, CHECKED).images, f"faces of {store.name}"


def _quantise(
    store: Path, info: ModelInfo, floating: Path, deployed: Points, path: Path, described: dict[str, Any]
) -> Loss:
    """The int8 file, and what it costs on faces that it was not calibrated with."""
    with FaceStore(store) as faces:
        seen = crops.of_store(faces, info, ("train",), int8.FACES)
        int8.quantise(floating, path, seen.images)
        onnx_file.set_metadata(path, described)
        test = crops.of_store(faces, info, SPLITS, MEASURED)
        normaliser = next(
            n for n in ("inter_ocular", "box") if n in metrics.available_normalisers(faces.scheme)
        )
        points = [_points(backend, test.images) for backend in (deployed, OnnxRuntime(path))]
        found = [int8.errors(faces, test, at, normaliser) for at in points]
    if not np.isfinite(found).any(axis=1).all():
        raise FlmdError("the loss of int8 cannot be measured: no test face has an NME", where=str(store))
    moved = float(np.sqrt(np.square(points[1] - points[0]).sum(axis=-1).mean()))
    before, after = (float(np.nanmean(errors)) for errors in found)
    loss = Loss(len(test.rows), normaliser, before, after, moved, len(seen.rows))
    onnx_file.set_metadata(path, {**described, "int8": {**vars(loss), "store_sha256": sha256_of(store)}})
    return loss


def _points(backend: Points, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.concatenate([backend(images[i : i + 64]) for i in range(0, len(images), 64)])
