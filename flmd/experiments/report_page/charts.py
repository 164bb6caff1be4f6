"""Line and bar charts as inline SVG in the page's own colours, light or dark; the same bytes each time."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Drawn in these, replaced by the page's variables: colour -> CSS.
NOW, BASE, DIM, INK, GRID = "#010101", "#020202", "#030303", "#040404", "#050505"
_CSS = {NOW: "var(--now)", BASE: "var(--base)", DIM: "var(--dim)", INK: "var(--ink)", GRID: "var(--line)"}
_STYLE = {
    "font.size": 9,
    "font.family": ["DejaVu Sans"],
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": DIM,
    "axes.labelcolor": INK,
    "text.color": INK,
    "text.parse_math": False,  # a data set may be called "$x$"
    "xtick.color": DIM,
    "ytick.color": DIM,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    "legend.frameon": False,
    "svg.fonttype": "none",
}


@dataclass(frozen=True)
class Line:
    """One curve: x and y of one length, NaN where it has a gap."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str = NOW
    style: str = "-"


def lines(
    title: str,
    curves: Sequence[Line],
    *,
    x: str,
    y: str,
    log: bool = False,
    percent: bool = False,
    mark: float | None = None,
) -> Markup:
    """A chart of curves, as an SVG element in which all texts are escaped.

    Parameters
    ----------
    title : what a screen reader says; each chart of a page has its own.
    x, y : what the axes are called.
    log : a logarithmic y axis, where all values are above 0.
    percent : both axes are fractions and read in %.
    mark : an x that a vertical line marks.
    """
    from matplotlib.ticker import LogLocator, MaxNLocator, PercentFormatter

    def paint(axes: Axes) -> None:
        for curve in curves:
            marker = "o" if sum(map(math.isfinite, curve.y)) < 2 else None
            axes.plot(
                curve.x, curve.y, curve.style, color=curve.colour, lw=1.6, marker=marker, label=curve.name
            )
        axes.set(xlabel=x, ylabel=y)
        values = [value for curve in curves for value in curve.y if math.isfinite(value)]
        if log and values and min(values) > 0:
            axes.set_yscale("log")
            # Matplotlib's own labels are TeX, and too few where a loss falls by less than a factor of ten.
            axes.yaxis.set_major_formatter("{x:g}")
            near = max(values) < 100 * min(values)
            axes.yaxis.set_minor_locator(LogLocator(subs=(2, 3, 5) if near else (1,)))
            axes.yaxis.set_minor_formatter("{x:g}")
        if percent:
            axes.xaxis.set_major_locator(MaxNLocator(6))
            axes.xaxis.set_major_formatter(PercentFormatter(1))
            axes.yaxis.set_major_formatter(PercentFormatter(1))
            axes.set_xlim(left=0)
            axes.set_ylim(0, 1.02)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if mark is not None:
            axes.axvline(mark, color=DIM, lw=1, ls=":")

    return _svg(title, 2.9, paint, len(curves))


def bars(
    title: str, names: Sequence[str], series: Sequence[tuple[str, Sequence[float], str]], *, x: str
) -> Markup:
    """Horizontal bars: a group for each name, in it one for each (label, values, colour); fractions in %."""
    from matplotlib.ticker import PercentFormatter

    thick = 0.78 / max(len(series), 1)

    def paint(axes: Axes) -> None:
        for index, (label, values, colour) in enumerate(series):
            places = [row + thick * (index - (len(series) - 1) / 2) for row in range(len(names))]
            lengths = [value if math.isfinite(value) else 0 for value in values]
            axes.barh(places, lengths, thick * 0.92, color=colour, label=label)
        axes.set_yticks(range(len(names)), list(names))
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.set_xlabel(x)

    return _svg(title, 0.9 + 0.34 * max(len(names), 2), paint, len(series))


def _svg(title: str, height: float, paint: Callable[[Axes], None], labels: int) -> Markup:
    import matplotlib.style
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # The salt makes what one chart refers to its own: all of them share one page.
    with matplotlib.style.context(["default", {**_STYLE, "svg.hashsalt": title}]):
        figure = Figure(figsize=(4.2, height), layout="constrained")
        FigureCanvasSVG(figure)
        figure.patch.set_visible(False)
        axes = figure.add_subplot()
        axes.patch.set_visible(False)
        paint(axes)
        figure.legend(loc="outside lower center", ncols=min(labels, 2), fontsize=8)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in used else "", svg)
    for colour, css in _CSS.items():
        svg = svg.replace(colour, css)
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1))
