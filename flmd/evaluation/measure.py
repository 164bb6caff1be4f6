"""From a network and test faces to numbers: predictions in image pixels, and every metric of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from flmd.core import geometry, mirrored
from flmd.errors import InputError
from flmd.evaluation import metrics
from flmd.evaluation.face_table import TestFaces, face_table
from flmd.models.normalisation import Normalisation
from flmd.schemes import Scheme

__all__ = ["Evaluation", "TestFaces", "measure", "predict", "threshold_suffix"]

CURVE_STEPS = 200
FULL_300W = frozenset({"common", "challenging"})


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    Attributes
    ----------
    metrics : dotted name -> finite number; errors, rates and areas are fractions (0.031 is 3.1 %).
        ``<part>`` is a data set, or ``<data set>.<subset>`` (``full`` joins common and challenging),
        ``<data set>.pose_<bucket>`` or ``<data set>.size_<bucket>``. Every part has ``faces`` (all of
        them), ``faces_unmeasured`` (those without an NME), ``faces_missed`` (those that were not found,
        where that can be), ``nme``, ``mean_shape_nme``, ``auc08`` and
        ``fr08`` (named after the threshold, :func:`threshold_suffix`); a data set also has
        ``nme_<region>`` and, under each normaliser, ``nme_<normaliser>``. What has no number is left out.
    settings : what the numbers mean: normaliser, threshold, scheme, unit; per data set how many boxes
        came from where, and whether there was a mean shape.
    faces : a row per face, as :func:`flmd.evaluation.face_table.face_table` says.
    curves : ``threshold`` and, per data set, the CED of the model and of the mean shape.
    regions : ``dataset, region, label, nme, mean_shape_nme``, a row per data set and region.
    """

    metrics: dict[str, float]
    settings: dict[str, Any]
    faces: pd.DataFrame
    curves: pd.DataFrame
    regions: pd.DataFrame


def predict(
    model: nn.Module,
    images: NDArray[np.uint8],
    affines: ArrayLike,
    normalisation: Normalisation,
    *,
    device: torch.device | str = "cpu",
    batch: int = 64,
    progress: Callable[[int], object] = lambda n: None,
    flip_order: ArrayLike | None = None,
) -> NDArray[np.float32]:
    """Points in image pixels, for crops at network size.

    Parameters
    ----------
    model : (B, C, S, S) float32 -> (B, K, 2) in the network's units; moved to ``device`` and put into
        evaluation mode for the call, which it is left in as it came.
    images : (N, S, S) or (N, 3, S, S) uint8, may be a memory map.
    affines : (N, 2, 3) image pixels -> input pixels.
    normalisation : the recipe's units.
    progress : called with the number of faces of each finished batch.
    flip_order : (K,) of ``Scheme.flip_indices``: points are the means of those of a crop and of its mirror
        image. None: of the crop alone.

    Returns
    -------
    (N, K, 2) float32, pixels of the original images, the centre of the top-left pixel being (0, 0).

    Raises
    ------
    InputError : the network puts out numbers that are not finite.
    """
    to_image = geometry.invert(affines)
    training = model.training
    model.to(device).eval()
    outputs = []
    try:
        with torch.inference_mode():
            for start in range(0, len(images), batch):
                crops = np.array(images[start : start + batch])
                found = _look(model, crops, normalisation, device)
                if flip_order is not None:
                    other = _look(model, mirrored.mirror(crops), normalisation, device)
                    found = (found + mirrored.back(other, crops.shape[-1], flip_order)) / 2
                outputs.append(geometry.apply(to_image[start : start + batch], found))
                progress(len(crops))
    finally:
        model.train(training)
    if not outputs:
        raise InputError("no test faces to predict", hint="check datasets.*.split and test_share")
    points = np.concatenate(outputs).astype(np.float32)
    wrong = int((~np.isfinite(points)).any(axis=(1, 2)).sum())
    if wrong:
        raise InputError(
            f"the network's output is not finite for {wrong} of {len(points)} faces",
            hint="its training diverged; lower train.lr and train again",
        )
    return points


def _look(
    model: nn.Module, crops: NDArray[np.uint8], normalisation: Normalisation, device: torch.device | str
) -> NDArray[np.float64]:
    """(B, K, 2) points of crops, pixels of the crop."""
    units = model(normalisation.pixels(torch.from_numpy(crops).to(device)))
    return np.asarray(normalisation.denormalise_points(units.float().cpu().numpy().astype(np.float64)))


def measure(
    faces: TestFaces,
    predicted: NDArray[np.floating],
    mean_shapes: Mapping[str, NDArray[np.floating]],
    scheme: Scheme,
    normaliser: str = "inter_ocular",
    threshold: float = 0.08,
    *,
    missing: bool = False,
) -> Evaluation:
    """All metrics of predictions on test faces, beside those of the mean shape laid into each box.

    Parameters
    ----------
    predicted : (N, K, 2) image pixels, from :func:`predict`.
    mean_shapes : data set -> (K, 2) in box units, from :func:`flmd.evaluation.metrics.mean_shape` of its
        *training* faces; a data set without one has no baseline.
    normaliser : one of :data:`flmd.evaluation.metrics.NORMALISERS`.
    threshold : of AUC and failure rate, a fraction above 0.
    missing : predictions may be NaN where a face was not found. Such faces are counted as
        ``faces_missed``; CED, AUC and failure rate count them as failed, the means leave them out.

    Raises
    ------
    ParamsError : the scheme has no points for the normaliser, or the threshold is not above 0.
    InputError : no test faces, the wrong number of points, or a predicted point that is not finite.
    """
    table = face_table(faces, predicted, mean_shapes, scheme, normaliser, missing=missing)
    groups = list(dict.fromkeys(faces.dataset))
    numbers: dict[str, float] = {}
    for name in groups:
        of_dataset = table[table["dataset"] == name]
        for part, rows in parts_of(of_dataset):
            numbers |= _summary(".".join(filter(None, (name, part))), rows, threshold, missing)
        for column in of_dataset.columns:
            if column.startswith("nme_"):
                numbers[f"{name}.{column}"] = _mean(of_dataset[column])
    settings = {
        "normaliser": normaliser,
        "threshold": threshold,
        "scheme": scheme.name,
        "unit": "fraction of the normaliser; 0.031 is 3.1 %",
        "datasets": {
            name: {
                "box_source": _counts(faces.box_source, faces.dataset, name),
                "mean_shape": name in mean_shapes,
            }
            for name in groups
        },
    }
    return Evaluation(
        metrics={key: value for key, value in numbers.items() if np.isfinite(value)},
        settings=settings,
        faces=table,
        curves=_curves(table, groups, threshold),
        regions=_regions(table, groups, scheme),
    )


def threshold_suffix(threshold: float) -> str:
    """The decimals of a threshold, two at least: 0.08 -> ``08``, 0.1 -> ``10``, 0.075 -> ``075``."""
    whole, _, decimals = format(Decimal(repr(float(threshold))), "f").partition(".")
    decimals = decimals.ljust(2, "0")
    return decimals if whole == "0" else f"{whole}_{decimals}"


def parts_of(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """A data set's parts by name: "" for all of it, its subsets, pose and size buckets."""
    yield "", table
    subsets = sorted(set(table["subset"]) - {""})
    for name in subsets:
        yield name, table[table["subset"] == name]
    if set(subsets) >= FULL_300W and "full" not in subsets:
        yield "full", table[table["subset"].isin(sorted(FULL_300W))]
    for kind, names in (("pose", metrics.POSES), ("size", metrics.SIZES)):
        for name in names:
            rows = table[table[kind] == name]
            if len(rows):
                yield f"{kind}_{name}", rows


def _summary(part: str, rows: pd.DataFrame, threshold: float, missing: bool) -> dict[str, float]:
    errors = rows["nme"].to_numpy()
    suffix = threshold_suffix(threshold)
    missed = {f"{part}.faces_missed": int(np.isinf(errors).sum())} if missing else {}
    return missed | {
        f"{part}.faces": len(rows),
        f"{part}.faces_unmeasured": int((~metrics.measured(errors)).sum()),
        f"{part}.nme": _mean(errors),
        f"{part}.mean_shape_nme": _mean(rows["mean_shape_nme"]),
        f"{part}.auc{suffix}": metrics.auc(errors, threshold),
        f"{part}.fr{suffix}": metrics.failure_rate(errors, threshold),
    }


def _curves(table: pd.DataFrame, groups: list[str], threshold: float) -> pd.DataFrame:
    """CEDs on an even grid up to twice the threshold, which is on the grid."""
    steps = np.linspace(0, 2 * threshold, CURVE_STEPS + 1)
    columns = {"threshold": steps}
    for name in groups:
        here = table["dataset"] == name
        columns[name] = metrics.ced(table.loc[here, "nme"], steps)
        columns[f"{name}_mean_shape"] = metrics.ced(table.loc[here, "mean_shape_nme"], steps)
    return pd.DataFrame(columns)


def _regions(table: pd.DataFrame, groups: list[str], scheme: Scheme) -> pd.DataFrame:
    rows = [
        (
            name,
            region,
            f"{name} {region}",
            _mean(here[f"nme_{region}"]),
            _mean(here[f"mean_shape_nme_{region}"]),
        )
        for name in groups
        for here in [table[table["dataset"] == name]]
        for region in scheme.regions
    ]
    return pd.DataFrame(rows, columns=["dataset", "region", "label", "nme", "mean_shape_nme"])


def _counts(values: list[str], datasets: list[str], name: str) -> dict[str, int]:
    return dict(sorted(Counter(v for v, d in zip(values, datasets, strict=True) if d == name).items()))


def _mean(values: ArrayLike) -> float:
    """Of the faces that have a number and were found; NaN when there is none."""
    kept = np.asarray(values, dtype=np.float64)
    kept = kept[np.isfinite(kept)]
    return float(kept.mean()) if len(kept) else float("nan")
