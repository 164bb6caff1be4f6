"""A model, or another program's points, measured on the faces of a store: numbers, tables and pictures."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from flmd.augmentation import build
from flmd.core.atomic import whole_or_nothing
from flmd.core.box_rule import BoxRule
from flmd.core.orientation import STORED
from flmd.core.params import EvaluateParams
from flmd.errors import ParamsError, StoreError
from flmd.evaluation import drawings, matching, measure, metrics, report_files
from flmd.evaluation.matching import Matched
from flmd.evaluation.measure import Evaluation, TestFaces
from flmd.face import Face, Skipped
from flmd.models import checkpoint
from flmd.models.checkpoint import ModelInfo
from flmd.models.devices import choose_device, cpu_threads
from flmd.schemes import Scheme, get_scheme
from flmd.schemes.mapping import mapping
from flmd.store import h5file
from flmd.store.face_store import FaceStore

BLOCK = 512


@dataclass(frozen=True)
class Truth:
    """The faces of a store that are measured on.

    Attributes
    ----------
    store, rows : where they are. faces : their columns. scheme : of their points.
    mean_shapes : data set -> (K, 2), the baseline.
    """

    store: FaceStore
    rows: NDArray[np.intp]
    faces: TestFaces
    scheme: Scheme
    mean_shapes: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class System:
    """What is measured: a model's or another program's points.

    Attributes
    ----------
    name : as tables and legends call it.
    points : (N, K, 2) image pixels; NaN where ``missing`` allows a face that was not found.
    about : what evaluation.json says of it. history : of a model's training, for the loss curves.
    """

    name: str
    points: NDArray[np.floating]
    missing: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[Mapping[str, float]] = ()


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
    ParamsError : the model lacks points of the store's landmark scheme.
    """
    truth = truth_of(store, split)
    system = model_system(truth, "model", model_path, settings, device=device, threads=threads)
    return evaluate_system(truth, system, out, settings, seed=seed, made_from=made_from)


def truth_of(store: FaceStore, split: str, scheme: str | None = None) -> Truth:
    """The faces of one split ("train", "val", "test"; "all": every face).

    Parameters
    ----------
    scheme : that points are mapped to before they are measured; the store's own by default.

    Raises
    ------
    StoreError : no faces in the split. ParamsError : the store lacks points of the scheme.
    """
    rows = np.arange(len(store)) if split == "all" else store.rows_where(split=split)
    if not len(rows):
        raise StoreError(f"no face has split {split!r}", where=str(store.path), hint="try --split all")
    wanted = store.scheme if scheme is None else get_scheme(scheme)
    return Truth(store, rows, faces_under(store, rows, wanted), wanted, mean_shapes(store, wanted))


def model_system(
    truth: Truth,
    name: str,
    path: Path,
    settings: EvaluateParams | None = None,
    *,
    device: str = "auto",
    threads: int = 0,
) -> System:
    """A model's points for the faces, in their scheme; raises as :func:`evaluate_store`.

    ``settings`` : say whether it looks twice, and at mirror images; by default it does neither.
    """
    looks = settings or EvaluateParams()
    model, info = checkpoint.load_model(path, choose_device(device))
    own, change = get_scheme(info.scheme), None
    if info.points != own.count:
        raise StoreError(
            f"a model of {info.points} points, but its scheme {info.scheme} has {own.count}",
            where=str(path),
            hint="train again",
        )
    if info.scheme != truth.scheme.name:
        change = mapping(own, truth.scheme)
    with cpu_threads(threads):
        points = predict_rows(
            truth.store,
            truth.rows,
            model,
            info,
            device,
            second_look=looks.second_look,
            flip_average=looks.flip_average,
        )
    about = {"kind": "model", "network": info.network, "epoch": info.epoch}
    return System(
        name, points if change is None else change.points(points), about=about, history=info.history
    )


def predicted_system(
    truth: Truth,
    name: str,
    predictions: Iterable[Face | Skipped],
    about: Mapping[str, Any],
    *,
    least: float = matching.LEAST,
    frame: str = STORED,
) -> tuple[System, Matched]:
    """Another program's points for the faces, matched as :mod:`flmd.evaluation.matching` says.

    Parameters
    ----------
    predictions : in the scheme of ``truth``. about : the file and its format, for evaluation.json.
    least : overlap from which on two faces can be the same. frame : as for
        :func:`flmd.evaluation.matching.match_predictions`.
    """
    store = truth.store
    points = faces_under(store, np.arange(len(store)), truth.scheme).true_points
    found = matching.match_predictions(store, truth.rows, points, predictions, least=least, frame=frame)
    told = {**about, "least_overlap": least, **found.summary()}
    return System(name, found.points, missing=True, about=told), found


def evaluate_system(
    truth: Truth,
    system: System,
    out: Path,
    settings: EvaluateParams,
    *,
    seed: int = 0,
    kinds: Sequence[str] = ("png",),
    made_from: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Measure one system; write what ``report_files`` lists, and plots: all of it, or nothing.

    ``kinds`` : of the charts, of :data:`flmd.evaluation.figures.KINDS`. The rest as for
    :func:`evaluate_store`.
    """
    measured = measure.measure(
        truth.faces,
        system.points,
        truth.mean_shapes,
        truth.scheme,
        settings.normaliser,
        settings.threshold,
        missing=system.missing,
    )
    if system.missing:
        measured.settings["predictions"] = dict(system.about)
    if made_from is not None:
        measured.settings["made_from"] = dict(made_from)
    with whole_or_nothing(out) as new:
        report_files.write(measured, new)
        drawn = drawings.draw(measured, truth, system, new / "plots", settings, seed, kinds)
        if made_from is not None:
            report_files.name_files(measured, new, [f"plots/{name}" for name in drawn])
        shutil.rmtree(out / report_files.CURVES, ignore_errors=True)  # of data sets that were measured before
    return measured


def test_faces(store: FaceStore, rows: NDArray[np.intp]) -> TestFaces:
    """The columns of a store's rows that metrics need."""
    return faces_under(store, rows, store.scheme)


def faces_under(store: FaceStore, rows: NDArray[np.intp], scheme: Scheme) -> TestFaces:
    """:func:`test_faces`, with their points mapped to a scheme."""
    names = ("image", "dataset", "subset", "subject", "box_source")
    texts = {name: list(map(h5file.shown, store.texts(name, rows))) for name in names}
    numbers = {name: store.numbers(name, rows) for name in ("box", "landmarks", "visibility")}
    if scheme.name != store.scheme.name:
        change = mapping(store.scheme, scheme)
        numbers["landmarks"] = change.points(numbers["landmarks"])
        numbers["visibility"] = change.visibility(numbers["visibility"])
    return TestFaces(**texts, **numbers)  # type: ignore[arg-type]


def predict_rows(
    store: FaceStore,
    rows: NDArray[np.intp],
    model: Any,
    info: ModelInfo,
    device: str,
    *,
    second_look: bool = False,
    flip_average: bool = False,
) -> NDArray[np.float32]:
    """(N, K, 2) predicted points in image pixels, from plain crops cut as the model was trained.

    Parameters
    ----------
    second_look : the box is drawn anew around the first points, by the rule of the model's training faces
        (of an older model: of the store's), and the points are those found in that box.
    flip_average : the points are the means of those of a crop and of its mirror image.

    Raises
    ------
    ParamsError : the scheme cannot be mirrored; there is no rule of boxes.
    """
    order = get_scheme(info.scheme).flip_indices() if flip_average else None
    rule = box_rule(store, info) if second_look else None
    where, points = choose_device(device), []
    with tqdm(desc="predict", total=len(rows), unit="face", disable=None) as bar:
        for start in range(0, len(rows), BLOCK):
            faces = rows[start : start + BLOCK]
            made = build.plain_faces(store, faces, info.crop)
            shared: dict[str, Any] = {"device": where, "flip_order": order}
            found = measure.predict(model, made.images, made.affine, info.normalisation, **shared)
            if rule is not None:
                made = build.plain_faces(store, faces, info.crop, rule.boxes(found))
                found = measure.predict(model, made.images, made.affine, info.normalisation, **shared)
            points.append(found)
            bar.update(len(faces))
    return np.concatenate(points)


def box_rule(store: FaceStore, info: ModelInfo) -> BoxRule:
    """How boxes lie around points: as the model says, else as the store's training faces say; ParamsError."""
    if info.box_rule is not None:
        return BoxRule(*info.box_rule)
    rows, rule = store.rows_where(split="train"), None
    if len(rows) and store.scheme.name == info.scheme:
        rule = BoxRule.fit(store.numbers("landmarks", rows), store.numbers("box", rows))
    if rule is None:
        raise ParamsError(
            "neither the model nor the store says how boxes lie around points",
            where=str(store.path),
            hint="evaluate without the second look, or train the model again",
        )
    return rule


def mean_shapes(store: FaceStore, scheme: Scheme | None = None) -> dict[str, NDArray[np.float64]]:
    """Data set -> mean (K, 2) shape of its training faces in their boxes; without such, left out."""
    change = None if scheme is None or scheme.name == store.scheme.name else mapping(store.scheme, scheme)
    shapes = {}
    for name in dict.fromkeys(store.texts("dataset")):
        rows = store.rows_where(dataset=name, split="train")
        if len(rows):
            points = store.numbers("landmarks", rows)
            points = points if change is None else change.points(points)
            shapes[h5file.shown(name)] = metrics.mean_shape(points, store.numbers("box", rows))
    return shapes
