"""The plots of one evaluation: loss, error distribution, regions, and galleries of the worst and of some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flmd.core import geometry
from flmd.core.params import EvaluateParams
from flmd.evaluation import galleries, metrics, plots
from flmd.evaluation.measure import Evaluation

if TYPE_CHECKING:
    from flmd.evaluation.evaluate import System, Truth


def draw(
    measured: Evaluation,
    truth: Truth,
    system: System,
    out: Path,
    settings: EvaluateParams,
    seed: int,
    kinds: Sequence[str] = ("png",),
) -> list[str]:
    """Draw them into a folder.

    Parameters
    ----------
    settings : their ``gallery`` is how many faces a gallery shows. seed : which the random one shows.
    kinds : of the charts, beside PNG; galleries are photographs, and PNG.

    Returns
    -------
    The names of the files.
    """
    names = []
    for kind in dict.fromkeys(("png", *kinds)):
        if system.history:
            names.append(f"loss.{kind}")
            plots.loss_curves(system.history, out / names[-1])
        names.append(f"ced.{kind}")
        plots.ced(
            {str(name): measured.curves[name].to_numpy() for name in measured.curves},
            settings.threshold,
            out / names[-1],
            normaliser=settings.normaliser,
            notes=legend_notes(measured, settings.threshold),
        )
        names.append(f"regions.{kind}")
        bars = measured.regions
        plots.region_bars(
            list(zip(bars["dataset"], bars["region"], bars["nme"], strict=True)),
            out / names[-1],
            normaliser=settings.normaliser,
        )
    if not truth.store.has_crops:
        return names
    errors = measured.faces["nme"].to_numpy()
    worst = np.argsort(np.where(np.isfinite(errors), -errors, np.inf), kind="stable")[: settings.gallery]
    some = np.random.default_rng(seed).permutation(len(truth.rows))[: settings.gallery]
    for name, picked in (("worst", worst), ("random", np.sort(some))):
        names.append(f"{name}.png")
        gallery(truth, picked, {"predicted": system.points}, {"": errors}, out / names[-1])
    return names


def legend_notes(measured: Evaluation, threshold: float) -> dict[str, str]:
    """Column of the curves -> how many faces it stands on, and the area under it."""
    notes = {}
    for dataset, table in measured.faces.groupby("dataset", sort=False):
        for column, name in (("nme", str(dataset)), ("mean_shape_nme", f"{dataset}_mean_shape")):
            notes[name] = legend_note(table[column].to_numpy(), threshold)
    return notes


def legend_note(errors: NDArray[np.float64], threshold: float) -> str:
    """How many faces were measured, and the area under their curve; of those not found, how many."""
    missed = int(np.isinf(errors).sum())
    n = f"n {int(metrics.measured(errors).sum())}" + (f", {missed} missed" if missed else "")
    return f"{n}, AUC {metrics.auc(errors, threshold):.3f}"


def gallery(
    truth: Truth,
    picked: NDArray[np.intp],
    points: Mapping[str, NDArray[np.floating]],
    errors: Mapping[str, NDArray[np.float64]],
    path: Path,
    colours: Mapping[str, str] | None = None,
) -> None:
    """Some of the measured faces, with true and predicted points.

    Parameters
    ----------
    picked : which of the N faces. points : name -> (N, K, 2) image pixels.
    errors : what stands before each number of a title -> (N,) NME.
    """
    rows = truth.rows[picked]
    affine = truth.store.numbers("affine", rows)
    titles = []
    for place in picked.tolist():
        numbers = "  ".join(f"{name} {_percent(values[place])}".strip() for name, values in errors.items())
        titles.append(f"{truth.faces.dataset[place]}  {numbers}\n{Path(truth.faces.image[place]).name}")
    galleries.gallery(
        list(truth.store.crops[rows]),
        geometry.apply(affine, truth.faces.true_points[picked]),
        {name: geometry.apply(affine, p[picked]) for name, p in points.items()},
        titles,
        path,
        colours=colours,
    )


def _percent(error: float) -> str:
    if np.isnan(error):
        return "not measured"
    return f"{100 * error:.1f} %" if np.isfinite(error) else "not found"
