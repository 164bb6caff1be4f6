"""Static int8 quantisation of an ONNX file, calibrated on training faces, and what it costs in NME.

Convolutions and linear layers but the first and the last are quantised, and what lies between them:
weights for each channel, activations by the range they take on the calibration faces. The first
convolution sees few channels, so int8 would save nothing there and round the picture itself. From the last
one on everything stays float: heat maps are read to hundredths of a pixel by a soft-max, and coordinates
have more than 256 places.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.core import geometry
from flmd.errors import FlmdError, one_line
from flmd.evaluation import metrics
from flmd.inference.deploy.crops import Crops
from flmd.inference.deploy.metadata import INPUT
from flmd.inference.deploy.onnx_file import require
from flmd.store.face_store import FaceStore

FACES = 256  # to calibrate with
BATCH = 16
WEIGHTED = ("Conv", "Gemm")
QUANTISED = [*WEIGHTED, "Add", "Relu", "LeakyRelu", "MaxPool", "AveragePool", "Resize", "Concat"]


def quantise(source: Path, target: Path, crops: NDArray[np.uint8]) -> None:
    """Write the int8 version of an ONNX file of ours; metadata are not carried along.

    Parameters
    ----------
    crops : (N, S, S) or (N, 3, S, S) uint8 faces to calibrate with.

    Raises
    ------
    FlmdError : the network has fewer than three weighted layers, or ONNX Runtime cannot quantise it.
    """
    require("onnx")
    require("onnxruntime")
    import onnx
    from onnxruntime import quantization

    with _quiet():
        try:
            quantization.quantize_static(
                str(source),
                str(target),
                _reader(crops),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                op_types_to_quantize=QUANTISED,
                nodes_to_exclude=kept_float(onnx.load(source).graph),
            )
        except (RuntimeError, ValueError, AssertionError, KeyError) as error:
            raise FlmdError(f"ONNX Runtime cannot quantise it ({one_line(error)[:200]})") from error


def kept_float(graph: Any, where: str = "") -> list[str]:
    """Names of the nodes that stay float: the first weighted one, the last, and all that follows that.

    Parameters
    ----------
    graph : an ``onnx.GraphProto``, its nodes in topological order, as ONNX demands.

    Raises
    ------
    FlmdError : nothing would be left to quantise.
    """
    weighted = [node for node in graph.node if node.op_type in WEIGHTED]
    if len(weighted) < 3:
        raise FlmdError(
            f"{len(weighted)} weighted layers", where=where or None, expected="3 or more, to quantise some"
        )
    last = weighted[-1]
    names, made = {weighted[0].name, last.name}, set(last.output)
    for node in graph.node:
        if made & set(node.input):
            names.add(node.name)
            made |= set(node.output)
    return sorted(names)


def errors(
    store: FaceStore, crops: Crops, points: NDArray[np.floating], normaliser: str
) -> NDArray[np.float64]:
    """(N,) NME of each face, a fraction of the normaliser; NaN where it cannot be measured.

    Parameters
    ----------
    points : (N, K, 2) in pixels of ``crops``.
    """
    true, box = store.numbers("landmarks", crops.rows), store.numbers("box", crops.rows)
    lengths = metrics.normaliser_lengths(normaliser, true, box, store.scheme)
    in_image = geometry.apply(geometry.invert(crops.affine), points)
    return metrics.nme(in_image, true, lengths)


def _reader(crops: NDArray[np.uint8]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    batches: Iterator[dict[str, NDArray[np.uint8]]] = iter(
        [{INPUT: crops[start : start + BATCH]} for start in range(0, len(crops), BATCH)]
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            return next(batches, None)

    return Reader()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser prints and logs advice that we follow already."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
