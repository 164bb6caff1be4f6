"""A deployed ONNX file run by ONNX Runtime, behind the seam of :mod:`flmd.inference.landmarker`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError, ParamsError, StoreError, one_line
from flmd.inference.deploy import metadata, seal
from flmd.inference.deploy.network import crop_shape
from flmd.inference.deploy.onnx_file import require
from flmd.models.checkpoint import ModelInfo

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_CPU_INFO = Path("/proc/cpuinfo")
QUIET = 4  # only what is fatal: errors come as exceptions, and each is one line


class OnnxRuntime:
    """Crops in, points out.

    Parameters
    ----------
    path : a file of ``flmd export --to onnx``, int8 or not.
    device : "auto" or "cpu": the CPU; "cuda", "cuda:N": a GPU, where onnxruntime-gpu is installed.
    threads : that one call may use; None: all cores.

    Attributes
    ----------
    info : of the model. metadata : all that the file says, see :mod:`flmd.inference.deploy.metadata`.

    Raises
    ------
    ParamsError : onnxruntime is not installed, or not for that device.
    InputError : no such file. StoreError : not ONNX, damaged, or not made by flmd.
    """

    def __init__(self, path: Path, device: str = "auto", threads: int | None = None) -> None:
        if not path.is_file():
            raise InputError("no such file", where=str(path))
        require("onnxruntime")
        seal.check(path)
        self._session = _session(path, _providers(device), threads)
        said = self._session.get_modelmeta().custom_metadata_map.get(metadata.KEY)
        self.metadata, self.info = metadata.parse(said, str(path))
        self._shape = crop_shape(self.info)
        self._check_ends(path)

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, S, S) or (N, 3, S, S) uint8 crops -> (N, K, 2) float32 pixels of the crop.

        InputError for crops of another shape or type.
        """
        if crops.dtype != np.uint8 or crops.shape[1:] != self._shape:
            raise InputError(
                f"crops of shape {crops.shape}, {crops.dtype}",
                expected=f"(N, {', '.join(map(str, self._shape))}) uint8",
            )
        if not len(crops):
            return np.zeros((0, self.info.points, 2), np.float32)
        feed = {metadata.INPUT: np.ascontiguousarray(crops)}
        points: NDArray[np.float32] = self._session.run([metadata.OUTPUT], feed)[0]
        return points

    def _check_ends(self, path: Path) -> None:
        """The graph takes and gives what the metadata say."""
        found = [
            (end.name, end.type, tuple(end.shape[1:]))
            for end in (*self._session.get_inputs(), *self._session.get_outputs())
        ]
        wanted = [
            (metadata.INPUT, "tensor(uint8)", self._shape),
            (metadata.OUTPUT, "tensor(float)", (self.info.points, 2)),
        ]
        if found != wanted:
            raise StoreError(
                f"its graph takes and gives {found}",
                where=str(path),
                expected=str(wanted),
                hint="export the model again",
            )


def load(path: Path, device: str) -> tuple[OnnxRuntime, ModelInfo]:
    """For :mod:`flmd.inference.landmarker`; raises as :class:`OnnxRuntime` does."""
    backend = OnnxRuntime(path, device)
    return backend, backend.info


def saturates(cpu_info: str) -> bool:
    """Whether int8 products lose precision on this CPU: an x86 one without VNNI adds pairs in 16 bits.

    ONNX Runtime can avoid that, at half the speed, so it is asked for on such CPUs only.

    Parameters
    ----------
    cpu_info : Linux' /proc/cpuinfo; "" where there is none: then no.
    """
    flags = {word for line in cpu_info.splitlines() if line.startswith("flags") for word in line.split()}
    return bool(flags) and not flags & {"avx512_vnni", "avx_vnni"}


def _session(path: Path, providers: list[Any], threads: int | None) -> Any:
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as raised

    options = onnxruntime.SessionOptions()
    options.log_severity_level = QUIET
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1  # the networks are chains: nothing runs beside anything
    if saturates(_CPU_INFO.read_text() if _CPU_INFO.is_file() else ""):
        options.add_session_config_entry("session.x64quantprecision", "1")
    broken = (
        raised.Fail,
        raised.InvalidArgument,
        raised.InvalidGraph,
        raised.InvalidProtobuf,
        raised.NoSuchFile,
        raised.NotImplemented,
        raised.RuntimeException,
    )
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except broken as error:
        raise StoreError(
            f"ONNX Runtime cannot use it ({one_line(error)[:200]})",
            where=str(path),
            expected="a file of `flmd export --to onnx`",
        ) from None


def _providers(device: str) -> list[Any]:
    kind, _, number = device.partition(":")
    if device in ("auto", "cpu"):
        return [CPU]
    if kind != "cuda" or (number and not number.isdigit()):
        raise ParamsError(f"device {device!r}", expected="auto, cpu, cuda or cuda:N for an ONNX model")
    require("onnxruntime")
    import onnxruntime

    if CUDA not in onnxruntime.get_available_providers():
        raise ParamsError(
            f"device {device!r}, but ONNX Runtime here is for the CPU", hint="pip install onnxruntime-gpu"
        )
    return [(CUDA, {"device_id": int(number or 0)}), CPU]
