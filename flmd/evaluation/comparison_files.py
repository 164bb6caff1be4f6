"""Several systems measured and written beside each other.

===================== ======================================================================
file                  what
===================== ======================================================================
comparison.json       :attr:`flmd.evaluation.compare.Comparison.tree`, and what it was made from
comparison.csv        a row per face, a column of NME per system (inf: not found)
wins.csv              by data set, subset, pose and size: the share of faces each is best on
plots/ced             a panel per data set, a curve per system, the mean shape
plots/regions_<data>  NME by region, a bar per system
plots/wins_<system>   faces on which it is furthest ahead of the next
<system>/             what an evaluation of it alone has
===================== ======================================================================
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flmd.core import palette
from flmd.core.atomic import whole_or_nothing
from flmd.core.params import EvaluateParams
from flmd.core.terminal import TextTable
from flmd.errors import ParamsError
from flmd.evaluation import drawings, metrics, plots
from flmd.evaluation.compare import Comparison, compare
from flmd.evaluation.evaluate import System, Truth, evaluate_system
from flmd.evaluation.measure import Evaluation
from flmd.evaluation.report_files import CURVES, UNITS, write_csv

RESERVED = ("plots", plots.MEAN_SHAPE)


def evaluate_systems(
    truth: Truth,
    systems: Sequence[System],
    out: Path,
    settings: EvaluateParams,
    *,
    seed: int = 0,
    kinds: Sequence[str] = ("png",),
    made_from: Mapping[str, Any] | None = None,
) -> tuple[Comparison, dict[str, Evaluation]]:
    """Measure two systems or more on the same faces, and write the files of the table above: all, or none.

    Parameters
    ----------
    settings, seed, kinds, made_from : as for :func:`flmd.evaluation.evaluate.evaluate_system`.

    Raises
    ------
    ParamsError : two systems of one name, or a name that no folder can have.
    """
    folders = _folders(systems)
    with whole_or_nothing(out) as new:
        new.mkdir()
        measured = {
            system.name: evaluate_system(
                truth,
                system,
                new / folders[system.name],
                settings,
                seed=seed,
                kinds=kinds,
                made_from=made_from,
            )
            for system in systems
        }
        found = compare(measured, seed=seed)
        about = {system.name: {**system.about, "folder": folders[system.name]} for system in systems}
        record = {} if made_from is None else {"made_from": dict(made_from)}
        tree = {
            "normaliser": settings.normaliser,
            "threshold": settings.threshold,
            "scheme": truth.scheme.name,
            "systems": about,
            **found.tree,
            **record,
        }
        text = json.dumps(tree, indent=2, allow_nan=False, ensure_ascii=False)
        (new / "comparison.json").write_text(text + "\n", encoding="utf-8")
        for frame, name in ((found.faces, "comparison.csv"), (found.wins, "wins.csv")):
            write_csv(new / name, frame)
        _draw(truth, systems, measured, found, new / "plots", settings, kinds, folders)
        for folder in folders.values():
            shutil.rmtree(out / folder / CURVES, ignore_errors=True)  # of data sets that were measured before
    return found, measured


def _folders(systems: Sequence[System]) -> dict[str, str]:
    """The folder of each system by its name; ParamsError where two would share one."""
    folders = {system.name: folder_of(system.name) for system in systems}
    for name, folder in folders.items():
        if list(folders.values()).count(folder) > 1 or folder in RESERVED or len(folders) != len(systems):
            raise ParamsError(
                f"a system is called {name!r}",
                expected="names that differ, and none of " + ", ".join(RESERVED),
                hint="name them: --predictions NAME=FILE",
            )
    return folders


def folder_of(name: str) -> str:
    """The folder of a system: its name, of letters, digits, dots, dashes and underscores."""
    return re.sub(r"[^\w.-]+", "_", name).strip(".") or "_"


def _draw(
    truth: Truth,
    systems: Sequence[System],
    measured: Mapping[str, Evaluation],
    found: Comparison,
    out: Path,
    settings: EvaluateParams,
    kinds: Sequence[str],
    folders: Mapping[str, str],
) -> None:
    names = [system.name for system in systems]
    curves: dict[str, dict[str, Any]] = {}
    notes: dict[tuple[str, str], str] = {}
    for dataset, rows in found.faces.groupby("dataset", sort=False):
        by_system: dict[str, Any] = {n: measured[n].curves[dataset].to_numpy() for n in names}
        errors = {name: rows[name].to_numpy() for name in names}
        if metrics.measured(rows["mean_shape"]).any():
            by_system[plots.MEAN_SHAPE] = measured[names[0]].curves[f"{dataset}_mean_shape"].to_numpy()
            errors[plots.MEAN_SHAPE] = rows["mean_shape"].to_numpy()
        curves[str(dataset)] = by_system
        notes |= {
            (str(dataset), name): drawings.legend_note(values, settings.threshold)
            for name, values in errors.items()
        }
    steps = measured[names[0]].curves["threshold"].to_numpy()
    for kind in dict.fromkeys(("png", *kinds)):
        plots.ced_of_systems(
            curves,
            steps,
            settings.threshold,
            out / f"ced.{kind}",
            normaliser=settings.normaliser,
            notes=notes,
        )
        for dataset in curves:
            bars = [
                (name, str(region), float(nme))
                for name in names
                for bars_of, region, nme in measured[name].regions[["dataset", "region", "nme"]].to_numpy()
                if bars_of == dataset
            ]
            path = out / f"regions_{folder_of(dataset)}.{kind}"
            plots.region_bars(bars, path, normaliser=settings.normaliser, systems=True, title=dataset)
    if truth.store.has_crops:
        _galleries(truth, systems, found, out, settings.gallery, folders)


def _galleries(
    truth: Truth,
    systems: Sequence[System],
    found: Comparison,
    out: Path,
    count: int,
    folders: Mapping[str, str],
) -> None:
    """Of each system the faces on which it is furthest ahead of the next one found."""
    names = [system.name for system in systems]
    colours = {name: palette.of(palette.SYSTEMS, i) for i, name in enumerate(names)}
    margins = found.faces["margin"].to_numpy()
    best = found.faces["best"].to_numpy()
    for system in systems:
        won = np.flatnonzero((best == system.name) & np.isfinite(margins))
        picked = won[np.argsort(-margins[won], kind="stable")][:count]
        order = [system, *(other for other in systems if other is not system)]
        own = found.faces[system.name].to_numpy()
        errors = {"": own, "next": own + margins}
        points = {s.name: s.points for s in order}
        path = out / f"wins_{folders[system.name]}.png"
        drawings.gallery(truth, picked, points, errors, path, colours)


def comparison_table(
    found: Comparison, measured: Mapping[str, Evaluation], settings: EvaluateParams
) -> tuple[str | TextTable, ...]:
    """For a terminal: of each data set a row per system and the mean shape, and a row per pair."""
    share = f"{100 * settings.threshold:g}%"
    title = (
        f"NME in % of {UNITS[settings.normaliser]}, of the faces found; AUC and FR at {share}, of all faces"
    )
    header = ["", "faces", "missed", "NME %", "95 % interval", f"AUC@{share}", f"FR@{share}", "best on"]
    rows, pairs = [], []
    for dataset, tree in found.tree["datasets"].items():
        rows.append([f"{dataset} ({tree['subjects']} subjects)", *[""] * 7])
        for name, numbers in tree["systems"].items():
            rows.append(
                [
                    f"  {name}",
                    str(numbers["found"] + numbers["missed"]),
                    str(numbers["missed"]),
                    _cell(numbers["nme"]["value"], ".2f", 100),
                    _interval(numbers["nme"], ".2f", 100),
                    _cell(numbers["auc"]["value"], ".3f"),
                    _cell(numbers["failure_rate"], ".1%"),
                    _cell(numbers["best_on"], ".0%"),
                ]
            )
        baseline = next(iter(measured.values())).metrics.get(f"{dataset}.mean_shape_nme")
        rows.append(
            [f"  {plots.MEAN_SHAPE}", str(tree["faces"]), "0", _cell(baseline, ".2f", 100), *[""] * 4]
        )
        for pair in tree["pairs"]:
            pairs.append(
                [
                    f"{pair['a']} - {pair['b']}, {dataset}",
                    str(pair["faces"]),
                    _cell(pair["nme_difference"]["value"], "+.2f", 100),
                    _interval(pair["nme_difference"], "+.2f", 100),
                    _cell(pair["auc_difference"]["value"], "+.3f"),
                    _interval(pair["auc_difference"], "+.3f"),
                    _cell(pair["a_better"], ".0%"),
                ]
            )
    told = found.tree["bootstrap"]
    note = (
        f"Intervals: 95 % of {told['draws']} draws of subjects with replacement (seed {told['seed']}), "
        "the same for all systems. Missed faces count as failed in AUC and FR; NME leaves them out."
    )
    heads = ["difference", "faces", "NME %", "95 % interval", "AUC", "95 % interval", "first better on"]
    return title, "", TextTable(header, rows), "", TextTable(heads, pairs), "", note


def _cell(value: float | None, form: str, factor: float = 1) -> str:
    return "-" if value is None else format(value * factor, form)


def _interval(numbers: Mapping[str, float | None], form: str, factor: float = 1) -> str:
    return f"{_cell(numbers['low'], form, factor)} to {_cell(numbers['high'], form, factor)}"
