"""Models, a detector and dlib's predictor timed side by side: what `flmd bench` does.

Landmarks are timed from crops of levels 0-255 to points, normalisation and all; cutting the crops and
finding the faces apart. dlib's predictor looks at the picture itself and needs no crop.
"""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from flmd.core._version import __version__
from flmd.core.images import to_grey
from flmd.errors import FlmdError, ParamsError, StoreError, one_line
from flmd.inference import detection, latency, torch_backend
from flmd.inference.bench_table import Bench, Row
from flmd.inference.deploy import crops as faces_of
from flmd.inference.deploy import export, onnx_file
from flmd.inference.deploy.checks import Points
from flmd.inference.deploy.onnx_runtime import OnnxRuntime
from flmd.inference.deploy.torchscript import TorchScript
from flmd.inference.landmarker import Landmarker
from flmd.inference.picture import Picture, open_picture
from flmd.models.checkpoint import ModelInfo
from flmd.store.face_store import FaceStore

BATCHES = (1, 32)
CROPS = 64
CAMERA_SIDE = 640  # pixels, of a picture's longer side
TORCH, SCRIPT, ONNX, INT8 = "torch", "TorchScript", "ONNX Runtime", "ONNX Runtime int8"
LOOSE = 1.0  # pixels: a bench says the difference, `flmd export` judges it
LANDMARKS, CUT, DETECT = "landmarks", "cut a face", "detector"
PACKAGES = ("torch", "onnxruntime", "opencv-python-headless", "dlib-bin", "numpy")

Maker = Callable[[int], Points]  # threads -> what runs the model


def time_models(
    models: Sequence[Path],
    *,
    store: Path | None = None,
    dlib_predictor: Path | None = None,
    detector: str = "haar",
    pictures: Sequence[Path] = (),
    seconds: float = 1.0,
) -> Bench:
    """Time models at batch 1 and 32, with one thread and all, in turns.

    Parameters
    ----------
    models : .pt, .onnx and .torchscript files of one model. A .pt file is also exported to ONNX, and to int8
        when there is a store, unless such files are among them.
    store : faces to calibrate int8 and to look at; None: drawn faces.
    dlib_predictor : a shape predictor of dlib.
    detector : as :func:`flmd.inference.detection.get` takes it; "none" leaves it out.
    pictures : for the detector, the cutting and dlib; without, drawn ones.
    seconds : for each row.

    Raises
    ------
    InputError, StoreError : a file that cannot be used. ParamsError : models that take different crops, a
        package that is not installed.
    """
    result = Bench()
    find = None if detector == "none" else detection.get(detector)
    shown = _pictures(pictures, detector)
    predictor = None if dlib_predictor is None else _dlib(dlib_predictor, shown)
    with TemporaryDirectory(prefix="flmd-bench-") as folder:
        contenders, infos = _open_all(models, store, Path(folder), result)
        info = _of_one_crop(infos)
        landmarker = Landmarker(lambda crops: np.zeros((len(crops), info.points, 2), np.float32), info)
        images = _crops(store, info, landmarker, shown)
        result.conditions = _conditions(models, shown, seconds, "given" if pictures else "drawn")
        _time_landmarks(result, contenders, images, seconds)
        _add(result, CUT, {"OpenCV": lambda n: landmarker.crops(*_first(shown, n))}, 1, 1, seconds)
    if predictor is not None:
        _add(result, LANDMARKS, {"dlib, from the picture": predictor}, 1, 1, seconds)
    if find is not None:
        for threads in sorted({1, latency.cores()}):
            calls = {detector: lambda n: find(shown[n % len(shown)][0])}
            _add(result, DETECT, calls, 1, threads, seconds)
    result.conditions["load"].append(_load())
    return result


def _of_one_crop(infos: Mapping[Path, ModelInfo]) -> ModelInfo:
    """The first model; ParamsError when another one takes other crops."""
    info = next(iter(infos.values()))
    for path, other in infos.items():
        side, channels = other.normalisation.input_size, other.channels
        if (side, channels) != (info.normalisation.input_size, info.channels):
            raise ParamsError("takes other crops than the first model", where=str(path))
    return info


def _conditions(
    models: Sequence[Path], shown: Sequence[tuple[Picture, NDArray[Any]]], seconds: float, how: str
) -> dict[str, Any]:
    """What the numbers hang on; the load of the machine before it works."""
    sizes = sorted({picture.size for picture, _ in shown})
    return {
        "cpu": latency.cpu_name(),
        "cores": latency.cores(),
        "python": platform.python_version(),
        "flmd": __version__,
        "versions": _versions(),
        "seconds": seconds,
        "load": [_load()],
        "pictures": f"Pictures {how}: {', '.join(f'{w}x{h}' for w, h in sizes[:4])} px",
        "models": [path.name for path in models],
    }


def _load() -> float:
    return round(os.getloadavg()[0], 2)


def _open_all(
    models: Sequence[Path], store: Path | None, folder: Path, result: Bench
) -> tuple[dict[str, Maker], dict[Path, ModelInfo]]:
    """Every way of running the model, and what its file says."""
    contenders: dict[str, Maker] = {}
    infos: dict[Path, ModelInfo] = {}
    for path in models:
        name, make, infos[path] = _open(path)
        if name in contenders:
            raise ParamsError(f"a second file for {name}", where=str(path), expected="one of each kind")
        contenders[name] = make
    trained = next((path for path in models if path.suffix not in export.ENDINGS.values()), None)
    if trained is None or {ONNX, INT8} <= contenders.keys():
        return contenders, infos
    try:
        for package in ("onnx", "onnxruntime"):
            onnx_file.require(package)
    except ParamsError as error:
        result.notes.append(f"ONNX Runtime was not measured: {error}")
        return contenders, infos
    if ONNX not in contenders:
        made = export.export_model(trained, folder / "float.onnx", "onnx", check=store, tolerance=LOOSE)
        contenders[ONNX] = _runtime(made.path)
        result.notes.append(
            f"ONNX Runtime's points are torch's to {made.difference:.2g} px on {made.faces} {made.source}."
        )
    if INT8 not in contenders and store is not None:
        made = export.export_model(trained, folder / "int8.onnx", "onnx", calibrate=store, tolerance=LOOSE)
        contenders[INT8] = _runtime(made.path)
        if made.loss is not None:
            loss = made.loss
            result.notes.append(
                f"int8: NME {100 * loss.nme_float:.3f} % becomes {100 * loss.nme:.3f} % "
                f"({loss.normaliser}, {loss.faces} faces)."
            )
    elif INT8 not in contenders:
        result.notes.append("int8 was not measured: it is calibrated on a store's faces, see --store.")
    return {name: contenders[name] for name in (TORCH, SCRIPT, ONNX, INT8) if name in contenders}, infos


def _open(path: Path) -> tuple[str, Maker, ModelInfo]:
    if path.suffix == export.ENDINGS["torchscript"]:
        script = TorchScript(path)
        return SCRIPT, lambda threads: script, script.info
    if path.suffix == export.ENDINGS["onnx"]:
        runtime = OnnxRuntime(path)
        return (INT8 if "int8" in runtime.metadata else ONNX), _runtime(path), runtime.info
    backend, info = torch_backend.load(path, "cpu")
    return TORCH, lambda threads: backend, info


def _runtime(path: Path) -> Maker:
    return lambda threads: OnnxRuntime(path, threads=threads)


def _crops(
    store: Path | None, info: ModelInfo, landmarker: Landmarker, shown: Sequence[tuple[Picture, NDArray[Any]]]
) -> NDArray[np.uint8]:
    """Crops to time with, CROPS or a few more."""
    if store is not None:
        with FaceStore(store) as faces:
            images = faces_of.of_store(faces, info, export.SPLITS, CROPS).images
    else:
        images = np.concatenate([landmarker.crops(picture, boxes)[0] for picture, boxes in shown])
    return np.concatenate([images] * -(-CROPS // len(images)))


def _pictures(paths: Sequence[Path], detector: str) -> list[tuple[Picture, NDArray[np.float64]]]:
    """Pictures with (N, 4) boxes: those given, as the detector sees them, or drawn ones."""
    if not paths:
        return [_enlarged(picture, boxes) for picture, boxes in faces_of.drawn_pictures()]
    find = detection.get(detector)
    found = [(picture, find(picture).boxes.astype(np.float64)) for picture in map(open_picture, paths)]
    with_faces = [(picture, boxes) for picture, boxes in found if len(boxes)]
    if not with_faces:
        raise FlmdError(f"{detector} finds no face in the {len(paths)} pictures", hint="give others")
    return with_faces


def _enlarged(picture: Picture, boxes: NDArray[np.float64]) -> tuple[Picture, NDArray[np.float64]]:
    """At the size of a camera's: drawn pictures are small. The corner of the first pixel stays."""
    scale = CAMERA_SIDE / max(picture.size)
    pixels = cv2.resize(picture.pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    corner = (boxes[:, :2] + 0.5) * scale - 0.5
    return Picture(picture.name, np.asarray(pixels, np.uint8)), np.hstack([corner, boxes[:, 2:] * scale])


def _time_landmarks(
    result: Bench, contenders: Mapping[str, Maker], images: NDArray[np.uint8], seconds: float
) -> None:
    for threads in sorted({1, latency.cores()}):
        made = {name: make(threads) for name, make in contenders.items()}
        for batch in BATCHES:
            calls = {name: _batched(points, images, batch) for name, points in made.items()}
            _add(result, LANDMARKS, calls, batch, threads, seconds)


def _batched(points: Points, images: NDArray[np.uint8], batch: int) -> latency.Call:
    starts = range(0, len(images) - batch + 1, batch)
    return lambda number: points(images[(start := starts[number % len(starts)]) : start + batch])


def _first(
    shown: Sequence[tuple[Picture, NDArray[np.float64]]], number: int
) -> tuple[Picture, NDArray[np.float64]]:
    picture, boxes = shown[number % len(shown)]
    return picture, boxes[:1]


def _dlib(path: Path, shown: Sequence[tuple[Picture, NDArray[np.float64]]]) -> latency.Call:
    """dlib's predictor on grey pictures and whole-pixel boxes, as dlib wants them."""
    try:
        dlib: Any = importlib.import_module("dlib")
    except ImportError as error:
        raise ParamsError(f"dlib is not installed ({one_line(error)})", hint="pip install dlib-bin") from None
    if not path.is_file():
        raise StoreError("no such file", where=str(path))
    try:
        predictor = dlib.shape_predictor(str(path))
    except RuntimeError as error:
        raise StoreError(f"dlib cannot read it ({one_line(error)[:120]})", where=str(path)) from None
    faces = []
    for picture, boxes in shown:
        left, top, width, height = np.rint(boxes[0]).astype(int).tolist()
        faces.append((to_grey(picture.pixels), dlib.rectangle(left, top, left + width - 1, top + height - 1)))
    return lambda number: predictor(*faces[number % len(faces)])


def _add(
    result: Bench, part: str, calls: Mapping[str, latency.Call], batch: int, threads: int, seconds: float
) -> None:
    with (
        latency.threads(threads),
        tqdm(
            desc=f"{part}, {batch} a call, {threads} threads",
            total=len(calls) * latency.TURNS,
            unit="turn",
            disable=None,
            leave=False,
        ) as bar,
    ):
        timed = latency.in_turns(calls, seconds, turns=latency.TURNS, progress=bar.update)
    for by, timing in timed.items():
        times = timing.median_ms, timing.p95_ms, timing.least_ms, timing.cpu_ms, timing.rate * batch
        result.rows.append(Row(part, by, batch, threads, len(timing.seconds), *times))


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
