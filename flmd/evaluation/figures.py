"""What all drawings share: figures that come out the same to the byte each time, as PNG, SVG or PDF.

No window, no user style sheet, no time stamp: every function sets up its own figure from matplotlib's
defaults and writes one file, whose name's ending says the kind.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.style
from cycler import cycler
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from flmd.core import palette
from flmd.core.atomic import whole_or_nothing

DPI = 200
KINDS: dict[str, dict[str, Any]] = {  # ending -> what matplotlib is to leave out of the file
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
}
STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.prop_cycle": cycler(color=palette.DATASETS),
    "grid.color": palette.GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "svg.hashsalt": "flmd",
    "svg.fonttype": "none",  # text stays text
    "pdf.fonttype": 42,
}


@contextmanager
def figure_for(path: Path, width: float, height: float) -> Iterator[Figure]:
    """A figure of that many inches under the default style, written to ``path`` when the block ends well.

    ``path`` : its ending is one of KINDS; ValueError for another.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise ValueError(f"{path.name}: expected an ending of {', '.join(KINDS)}")
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        with whole_or_nothing(path) as new, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph ", UserWarning)
            figure.savefig(new, format=kind, dpi=DPI, metadata=KINDS[kind])


def legend_below(figure: Figure, columns: int, fontsize: float | None = None) -> None:
    """The figure's legend under its axes, in so many columns or as many fewer as make it fit its width."""
    for count in range(columns, 0, -1):
        legend = figure.legend(loc="outside lower center", ncols=count, fontsize=fontsize)
        if count == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def words(name: str) -> str:
    """The name of a region, a column or a normaliser as it is read."""
    return name.replace("_", " ").replace("inter ", "inter-")
