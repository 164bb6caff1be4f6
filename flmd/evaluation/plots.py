"""Charts of a training and of evaluations: loss curves, error distributions, errors by region."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike

from flmd.core import palette
from flmd.evaluation.figures import figure_for, legend_below, words

SERIES = {
    "train_loss": palette.TRAINING,
    "val_loss": palette.VALIDATION,
    "val_error_px": palette.VALIDATION,
    "lr": palette.TRAINING,
}
MEAN_SHAPE = "mean shape"  # among systems
PANEL = (4.6, 4.0)  # inches


def loss_curves(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Training and validation loss, the validation error and the learning rate over the epochs.

    Parameters
    ----------
    history : a row per epoch with ``epoch`` and any of ``train_loss``, ``val_loss``, ``val_error_px``
        and ``lr``, as :class:`flmd.training.loop.FitResult` keeps it.
    path : the file to write; its ending says the kind (:data:`flmd.evaluation.figures.KINDS`).
    """
    panels = [
        ("loss", ("train_loss", "val_loss"), "loss", "log"),
        ("validation error", ("val_error_px",), "mean distance, input px", "linear"),
        ("learning rate", ("lr",), "learning rate", "linear"),
    ]
    panels = [panel for panel in panels if any(name in row for row in history for name in panel[1])]
    with figure_for(path, 4.2 * max(len(panels), 1), 3.4) as figure:
        for index, (title, names, label, scale) in enumerate(panels, start=1):
            axes = figure.add_subplot(1, len(panels), index)
            for name in names:
                rows = [row for row in history if name in row]
                if rows:
                    _curve(axes, [row["epoch"] for row in rows], [row[name] for row in rows], name)
            axes.set(title=title, xlabel="epoch", ylabel=label)
            positive = all(row.get(name, 1) > 0 for row in history for name in names)
            axes.set_yscale(scale if positive else "linear")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            if len(names) > 1:
                axes.legend()


def ced(
    curves: Mapping[str, ArrayLike],
    threshold: float,
    path: Path,
    *,
    normaliser: str,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Cumulative error distributions, a colour per data set, the mean shape dashed.

    Parameters
    ----------
    curves : column name -> (T,) numbers, as :attr:`flmd.evaluation.measure.Evaluation.curves` holds them:
        ``threshold``, ``<data set>`` and ``<data set>_mean_shape``.
    threshold : where AUC and failure rate are measured; marked by a line.
    normaliser : its name, for the axis.
    notes : of a column, for the legend: ``"n 554, AUC 0.512"``.
    """
    steps = np.asarray(curves["threshold"], dtype=np.float64)
    names = [n for n in curves if n != "threshold" and not n.endswith("_mean_shape")]
    notes = notes or {}
    with figure_for(path, 6.4, 4.8) as figure:
        axes = figure.add_subplot()
        for name, colour in _coloured(names):
            axes.plot(
                steps, np.asarray(curves[name]), color=colour, lw=2, label=_noted(name, notes.get(name))
            )
            column = f"{name}_mean_shape"
            baseline = np.asarray(curves.get(column, np.nan), dtype=np.float64)
            if np.isfinite(baseline).any():
                label = _noted(f"{name}, mean shape", notes.get(column))
                axes.plot(steps, baseline, color=colour, lw=1.4, ls="--", label=label)
        _ced_axes(axes, steps[-1], threshold, normaliser, "Error distribution (CED)")
        legend_below(figure, 2, fontsize=9)


def ced_of_systems(
    curves: Mapping[str, Mapping[str, ArrayLike]],
    steps: ArrayLike,
    threshold: float,
    path: Path,
    *,
    normaliser: str,
    notes: Mapping[tuple[str, str], str],
) -> None:
    """Error distributions of several systems: a panel per data set, a colour per system.

    Parameters
    ----------
    curves : data set -> system -> (T,) shares; the system ``"mean shape"`` is drawn grey and dashed.
    steps : (T,) NME fractions. notes : of (data set, system), for the legend.
    """
    last = float(np.asarray(steps, dtype=np.float64)[-1])
    with figure_for(path, PANEL[0] * max(len(curves), 1), PANEL[1] + 0.9) as figure:
        for index, (dataset, systems) in enumerate(curves.items(), start=1):
            axes = figure.add_subplot(1, len(curves), index)
            for name, style in _styled(systems):
                label = _noted(name, notes.get((dataset, name)))
                axes.plot(np.asarray(steps), np.asarray(systems[name]), label=label, **style)
            _ced_axes(axes, last, threshold, normaliser, dataset)
            axes.legend(loc="upper left", bbox_to_anchor=(0, -0.16), fontsize=9, borderaxespad=0)


def region_bars(
    regions: Sequence[tuple[str, str, float]],
    path: Path,
    *,
    normaliser: str,
    systems: bool = False,
    title: str = "",
) -> None:
    """A bar per region and data set.

    Parameters
    ----------
    regions : (data set, region, NME fraction) each; a NaN gives no bar.
    normaliser : its name, for the axis.
    systems : the first of each are systems on one data set, and have the systems' colours.
    title : the data set's name, where it is one.
    """
    bars_of = list(dict.fromkeys(first for first, _, _ in regions))
    names = list(dict.fromkeys(region for _, region, _ in regions))
    values = {(first, region): 100 * value for first, region, value in regions}
    thickness = 0.8 / max(len(bars_of), 1)
    height = 1.2 + max(0.5, 0.22 * len(bars_of)) * max(len(names), 2)
    with figure_for(path, 6.4, height) as figure:
        axes = figure.add_subplot()
        coloured = [(n, s["color"]) for n, s in _styled(bars_of)] if systems else list(_coloured(bars_of))
        for row, (first, colour) in enumerate(coloured):
            lengths = [values.get((first, name), np.nan) for name in names]
            places = np.arange(len(names)) + (row - (len(bars_of) - 1) / 2) * thickness
            bars = axes.barh(places, lengths, thickness * 0.92, color=colour, label=first)
            labels = ["" if np.isnan(length) else f"{length:.2f}" for length in lengths]
            axes.bar_label(bars, labels=labels, padding=3, fontsize=8)
        axes.set_yticks(range(len(names)), [words(name) for name in names])
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.margins(x=0.12)
        axes.set(
            xlabel=f"NME, % of the {words(normaliser)} length",
            title=f"Error by region{title and f', {title}'}",
        )
        if len(bars_of) > 1:
            legend_below(figure, 4)


def _ced_axes(axes: Axes, last: float, threshold: float, normaliser: str, title: str) -> None:
    axes.axvline(threshold, color=palette.LIMIT, lw=1, ls=":")
    axes.set(xlim=(0, last), ylim=(0, 1.01), ylabel="faces at or below", title=title)
    axes.set_xlabel(f"NME, % of the {words(normaliser)} length")
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    axes.yaxis.set_major_formatter(PercentFormatter(1))


def _curve(axes: Axes, x: Sequence[float], y: Sequence[float], name: str) -> None:
    marker = "o" if len(x) < 2 else None
    axes.plot(x, y, lw=2, marker=marker, label=words(name), color=SERIES.get(name))


def _noted(name: str, note: str | None) -> str:
    return f"{name}  ({note})" if note else name


def _coloured(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    return ((name, palette.of(palette.DATASETS, index)) for index, name in enumerate(names))


def _styled(systems: Sequence[str] | Mapping[str, ArrayLike]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each system with the looks of its line; the mean shape is no system of its own colour."""
    place = 0
    for name in systems:
        if name == MEAN_SHAPE:
            yield name, {"color": palette.BASELINE, "lw": 1.4, "ls": "--"}
        else:
            yield name, {"color": palette.of(palette.SYSTEMS, place), "lw": 2}
            place += 1
