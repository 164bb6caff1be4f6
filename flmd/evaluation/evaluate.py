"""A model measured on the faces of a store: numbers, tables and pictures into a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from flmd.augmentation import build
from flmd.core import geometry
from flmd.core.params import EvaluateParams
from flmd.errors import ParamsError, StoreError
from flmd.evaluation import measure, metrics, plots, report_files
from flmd.evaluation.measure import Evaluation, TestFaces
from flmd.models import checkpoint
from flmd.models.checkpoint import ModelInfo
from flmd.models.devices import choose_device, cpu_threads
from flmd.store.face_store import FaceStore

BLOCK = 512
DRAWN = ("loss", "ced", "regions", "worst", "random")


def evaluate_store(
    store: FaceStore,
    model_path: Path,
    out: Path,
    settings: EvaluateParams,
    *,
    split: str = "test",
    seed: int = 0,
    device: str = "auto",
    threads: int = 0,
    made_from: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Measure a model on one split of a store; write what ``report_files`` lists, and plots.

    Parameters
    ----------
    store : with context crops. model_path : from ``flmd.training.loop``.
    split : "train", "val", "test", or "all" for every face.
    seed : which faces the random gallery shows.
    device : "auto", "cpu", "cuda" ... threads : of the CPU, 0 leaves their number as it is.
    made_from : digests and params, written into evaluation.json.

    Raises
    ------
    StoreError : no faces in the split, crops too small for the model's, or a model whose points are not those
        of its scheme.
    ParamsError : the model's landmark scheme is not the store's.
    """
    model, info = checkpoint.load_model(model_path, choose_device(device))
    if info.scheme != store.scheme.name:
        raise ParamsError(
            f"the model predicts {info.scheme}, the faces have {store.scheme.name}", where=str(model_path)
        )
    if info.points != store.scheme.count:
        raise StoreError(
            f"a model of {info.points} points, but its scheme {info.scheme} has {store.scheme.count}",
            where=str(model_path),
            hint="train again",
        )
    rows = np.arange(len(store)) if split == "all" else store.rows_where(split=split)
    if not len(rows):
        raise StoreError(f"no face has split {split!r}", where=str(store.path), hint="try --split all")
    faces = test_faces(store, rows)
    with cpu_threads(threads):
        predicted = predict_rows(store, rows, model, info, device)
    measured = measure.measure(
        faces, predicted, mean_shapes(store), store.scheme, settings.normaliser, settings.threshold
    )
    if made_from is not None:
        measured.settings["made_from"] = dict(made_from)
    report_files.write(measured, out)
    _draw(measured, info, store, rows, predicted, out / "plots", settings, seed)
    if made_from is not None:
        report_files.name_files(measured, out, [f"plots/{name}.png" for name in DRAWN])
    return measured


def test_faces(store: FaceStore, rows: NDArray[np.intp]) -> TestFaces:
    """The columns of a store's rows that metrics need."""
    names = ("image", "dataset", "subset", "subject", "box_source")
    texts = {name: store.texts(name, rows) for name in names}
    numbers = {name: store.numbers(name, rows) for name in ("box", "landmarks", "visibility")}
    return TestFaces(**texts, **numbers)  # type: ignore[arg-type]


def predict_rows(
    store: FaceStore, rows: NDArray[np.intp], model: Any, info: ModelInfo, device: str
) -> NDArray[np.float32]:
    """(N, K, 2) predicted points in image pixels, from plain crops cut as the model was trained."""
    points = []
    with tqdm(desc="predict", total=len(rows), unit="face", disable=None) as bar:
        for start in range(0, len(rows), BLOCK):
            made = build.plain_faces(store, rows[start : start + BLOCK], info.crop)
            points.append(
                measure.predict(
                    model,
                    made.images,
                    made.affine,
                    info.normalisation,
                    device=choose_device(device),
                    progress=bar.update,
                )
            )
    return np.concatenate(points)


def mean_shapes(store: FaceStore) -> dict[str, NDArray[np.float64]]:
    """Data set -> mean (K, 2) shape of its training faces in their boxes; without such, left out."""
    shapes = {}
    for name in dict.fromkeys(store.texts("dataset")):
        rows = store.rows_where(dataset=name, split="train")
        if len(rows):
            shapes[name] = metrics.mean_shape(store.numbers("landmarks", rows), store.numbers("box", rows))
    return shapes


def _draw(
    measured: Evaluation,
    info: ModelInfo,
    store: FaceStore,
    rows: NDArray[np.intp],
    predicted: NDArray[np.float32],
    out: Path,
    settings: EvaluateParams,
    seed: int,
) -> None:
    plots.loss_curves(info.history, out / "loss.png")
    plots.ced(
        {str(name): measured.curves[name].to_numpy() for name in measured.curves},
        settings.threshold,
        out / "ced.png",
        normaliser=settings.normaliser,
    )
    bars = measured.regions
    plots.region_bars(
        list(zip(bars["dataset"], bars["region"], bars["nme"], strict=True)),
        out / "regions.png",
        normaliser=settings.normaliser,
    )
    errors = measured.faces["nme"].to_numpy()
    worst = np.argsort(np.where(np.isnan(errors), -1, -errors), kind="stable")[: settings.gallery]
    some = np.random.default_rng(seed).permutation(len(rows))[: settings.gallery]
    for name, picked in (("worst", worst), ("random", np.sort(some))):
        _gallery(store, rows[picked], predicted[picked], errors[picked], out / f"{name}.png")


def _gallery(
    store: FaceStore,
    rows: NDArray[np.intp],
    predicted: NDArray[np.float32],
    errors: NDArray[np.float64],
    path: Path,
) -> None:
    affine = store.numbers("affine", rows)
    titles = [
        f"{Path(image).name}  {100 * error:.1f} %"
        for image, error in zip(store.texts("image", rows), errors, strict=True)
    ]
    plots.gallery(
        list(store.crops[rows]),
        geometry.apply(affine, store.numbers("landmarks", rows)),
        geometry.apply(affine, predicted),
        titles,
        path,
    )
