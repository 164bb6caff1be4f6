"""Several systems on the same faces: differences with intervals, and who is better where.

Intervals are percentile bootstrap ones (Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993):
subjects are drawn with replacement, all faces of a subject together, so that the frames of one video do not
count as many; every draw is the same for all systems, so differences are paired.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flmd.evaluation import metrics
from flmd.evaluation.measure import Evaluation, parts_of

Array = NDArray[np.float64]

DRAWS, LEVEL = 2000, 0.95
CELLS = 4 << 20  # of a block of draws
TEXTS = ("image", "dataset", "subset", "subject", "pose", "size")


@dataclass(frozen=True)
class Comparison:
    """Several systems on the same faces.

    Attributes
    ----------
    tree : JSON. ``bootstrap``: how intervals were drawn. ``datasets``: name -> ``faces`` and ``subjects``;
        ``systems``: name -> ``found``, ``nme`` (of the faces it found), ``auc`` (a face that was not found
        counts 0), each with its interval, and ``best_on``, of the faces that all found and measured the
        share on which it is the best; ``pairs``: ``a``, ``b``, ``faces`` (both found), ``nme_difference``
        (a - b on those), ``auc_difference`` (all faces) with intervals, ``a_better``, a share.
    faces : a row per face: TEXTS, ``mean_shape``, a column of NME per system (infinite: not found),
        ``best`` and ``margin``, by how much the next is worse.
    wins : a row per data set and part: ``faces`` that all found, and of each system the share it is best on.
    """

    tree: dict[str, Any]
    faces: pd.DataFrame
    wins: pd.DataFrame


def compare(evaluations: Mapping[str, Evaluation], *, seed: int, draws: int = DRAWS) -> Comparison:
    """Compare the evaluations of two systems or more on the same faces, under the same settings.

    Parameters
    ----------
    evaluations : name of the system -> its evaluation. seed : of the draws.
    """
    names = list(evaluations)
    first = evaluations[names[0]]
    threshold = float(first.settings["threshold"])
    table = first.faces[list(TEXTS)].assign(mean_shape=first.faces["mean_shape_nme"])
    for name in names:
        table[name] = evaluations[name].faces["nme"].to_numpy()
    table["best"], table["margin"] = best_of(table[names].to_numpy(), names)
    rng = np.random.default_rng(seed)
    datasets = {
        str(name): _dataset(rows, names, threshold, rng, draws)
        for name, rows in table.groupby("dataset", sort=False)
    }
    bootstrap = {"draws": draws, "level": LEVEL, "of": "subjects", "seed": seed}
    wins = [
        {"dataset": dataset, "part": part or "all", **_shares(rows, names)}
        for dataset, here in table.groupby("dataset", sort=False)
        for part, rows in parts_of(here)
    ]
    return Comparison({"bootstrap": bootstrap, "datasets": datasets}, table, pd.DataFrame(wins))


def best_of(errors: Array, names: list[str]) -> tuple[list[str], Array]:
    """Who has the least error on each face, and by how much the next is worse.

    Parameters
    ----------
    errors : (N, S) NME; infinite where not found, NaN where not measured.

    Returns
    -------
    N names, "" where none found the face or the two least are equal; (N,) margins, NaN there.
    """
    if not len(errors):
        return [], np.empty(0)
    order = np.sort(np.where(np.isnan(errors), np.inf, errors), axis=1)
    with np.errstate(invalid="ignore"):
        margin = order[:, 1] - order[:, 0]
    clear = np.isfinite(order[:, 0]) & (margin > 0)
    least = np.nanargmin(np.where(np.isnan(errors), np.inf, errors), axis=1)
    best = [names[which] if good else "" for which, good in zip(least.tolist(), clear.tolist(), strict=True)]
    return best, np.where(clear, margin, np.nan)


def bootstrap_means(values: Array, clusters: NDArray[np.intp], rng: np.random.Generator, draws: int) -> Array:
    """Means of columns over faces whose clusters are drawn with replacement.

    Parameters
    ----------
    values : (N, M); NaN takes no part. clusters : (N,) numbers from 0.

    Returns
    -------
    (draws, M) float64; NaN where a draw has no number.
    """
    count = int(clusters.max()) + 1 if len(clusters) else 0
    known = ~np.isnan(values)
    sums, sizes = np.zeros((count, values.shape[1])), np.zeros((count, values.shape[1]))
    np.add.at(sums, clusters, np.where(known, values, 0.0))
    np.add.at(sizes, clusters, known.astype(np.float64))
    found = []
    for weights in _weights(count, rng, draws):
        size = weights @ sizes
        found.append(np.where(size > 0, (weights @ sums) / np.maximum(size, 1), np.nan))
    return np.concatenate([*found, np.empty((0, values.shape[1]))])


def _weights(count: int, rng: np.random.Generator, draws: int) -> Iterator[Array]:
    """(B, count) how often each cluster is drawn, block by block."""
    block = max(1, min(draws, CELLS // max(count, 1)))
    for start in range(0, draws, block):
        size = min(block, draws - start)
        drawn = rng.integers(0, count, (size, count)) + count * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count).astype(np.float64)


def _dataset(
    rows: pd.DataFrame, names: list[str], threshold: float, rng: np.random.Generator, draws: int
) -> dict[str, Any]:
    """The numbers of one data set, as :class:`Comparison` lists them."""
    errors = {name: rows[name].to_numpy(np.float64) for name in names}
    finite = {name: np.where(np.isfinite(e), e, np.nan) for name, e in errors.items()}
    # A face under the curve; see metrics.auc. NaN, not measured, stays NaN; not found counts 0.
    areas = {name: np.clip(1 - e / threshold, 0, 1) for name, e in errors.items()}
    columns: dict[tuple[str, ...], Array] = {}
    for name in names:
        columns[name, "nme"], columns[name, "auc"] = finite[name], areas[name]
    for a, b in combinations(names, 2):
        columns[a, b, "nme_difference"] = finite[a] - finite[b]
        columns[a, b, "auc_difference"] = areas[a] - areas[b]
    clusters = np.unique(rows["subject"].where(rows["subject"] != "", rows["image"]), return_inverse=True)[1]
    values = np.stack(list(columns.values()), axis=1)
    drawn = bootstrap_means(values, clusters, rng, draws)
    numbers = {key: _estimate(values[:, i], drawn[:, i]) for i, key in enumerate(columns)}
    shares = _shares(rows, names)
    systems = {
        name: {
            "found": int(np.isfinite(errors[name]).sum()),
            "missed": int(np.isinf(errors[name]).sum()),
            "nme": numbers[name, "nme"],
            "auc": numbers[name, "auc"],
            "failure_rate": _number(metrics.failure_rate(errors[name], threshold)),
            "best_on": _number(shares[name]),
        }
        for name in names
    }
    pairs = [
        {
            "a": a,
            "b": b,
            "faces": int(np.isfinite(finite[a] - finite[b]).sum()),
            "nme_difference": numbers[a, b, "nme_difference"],
            "auc_difference": numbers[a, b, "auc_difference"],
            "a_better": _number(_better(finite[a], finite[b])),
        }
        for a, b in combinations(names, 2)
    ]
    return {"faces": len(rows), "subjects": int(clusters.max()) + 1, "systems": systems, "pairs": pairs}


def _shares(rows: pd.DataFrame, names: list[str]) -> dict[str, Any]:
    """Of the faces that all systems found: how many, and the share on which each is best."""
    whole = rows[np.isfinite(rows[names].to_numpy()).all(axis=1)]
    shares = {name: float((whole["best"] == name).mean()) if len(whole) else float("nan") for name in names}
    return {"faces": len(whole), **shares}


def _estimate(values: Array, drawn: Array) -> dict[str, float | None]:
    tail = 50 * (1 - LEVEL)
    known = drawn[~np.isnan(drawn)]
    low, high = np.percentile(known, [tail, 100 - tail]) if len(known) else (np.nan, np.nan)
    return {"value": _number(_mean(values, values)), "low": _number(low), "high": _number(high)}


def _better(a: Array, b: Array) -> float:
    """Of the faces that both found the share on which ``a`` has the lesser error; equal ones count half."""
    return _mean((a < b) + 0.5 * (a == b), a - b)


def _mean(values: Array, known: Array) -> float:
    kept = values[~np.isnan(known)]
    return float(kept.mean()) if len(kept) else float("nan")


def _number(value: float) -> float | None:
    """For JSON: a millionth at the least, and None for what has no number."""
    return round(float(value), 6) if np.isfinite(value) else None
