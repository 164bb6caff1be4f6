"""The systems as a picture: error over what a face costs, a panel for each data set and split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from benchmarks.accuracy.results import Row, groups


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write a PNG: networks as dots over MFLOPs, others as lines; no short trainings."""
    matplotlib.use("Agg")
    found = groups(row for row in rows if row.whole)
    figure = Figure(figsize=(5.2 * len(found), 6), layout="constrained")
    axes = figure.subplots(1, len(found), squeeze=False)[0]
    names = dict.fromkeys(row.system for row in rows if row.whole and row.flops is not None)
    colours = {name: f"C{number}" for number, name in enumerate(names)}  # C10 is C0 again
    for place, ((dataset, _), systems) in zip(axes, found.items(), strict=True):
        _panel(place, dataset, list(systems.values()), colours)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, metadata={"Software": None})


def _panel(place: Axes, dataset: str, rows: list[Row], colours: Mapping[str, str]) -> None:
    """One test; a system has the same colour in each."""
    place.set_title(f"{dataset}, split {rows[0].splits.get(dataset) or 'unknown'}")
    place.set_xscale("log")
    place.set_yscale("log")
    place.set_xlabel("MFLOPs a face")
    place.set_ylabel(f"NME, % ({rows[0].settings['normaliser'].replace('_', '-')})")
    place.grid(which="both", alpha=0.25)
    # From the best on, so that the legend is a ranking.
    for row in sorted(rows, key=lambda row: row.metrics[f"{dataset}.nme"]):
        nme = row.metrics[f"{dataset}.nme"] * 100
        label = f"{nme:.2f} %  {row.system}"
        if row.flops is None:
            style = "--" if row.parameters and row.parameters > 1000 else ":"
            place.axhline(nme, linestyle=style, linewidth=1.5, color="black", label=label)
        else:
            place.plot(row.flops / 1e6, nme, "o", color=colours[row.system], label=label)
    place.legend(loc="upper left", bbox_to_anchor=(0, -0.14), frameon=False)
    place.margins(x=0.1, y=0.15)
    for axis in (place.xaxis, place.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(LogLocator(subs=(2, 5)))
        axis.set_minor_formatter("{x:g}")
