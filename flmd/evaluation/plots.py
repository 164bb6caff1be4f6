"""Pictures of a training and an evaluation, drawn the same to the byte each time.

No window, no user style sheet, no time stamp: every function sets up its own figure from matplotlib's
defaults and writes one PNG. Points are in the pixels of the picture they are drawn on, the centre of its
top-left pixel being (0, 0).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike, NDArray

DPI = 100
TRUE, PREDICTED, MISS, BOX = "#00e676", "#ff5722", "#ffe082", "#40c4ff"
COLOURS = ("#1565c0", "#e65100", "#2e7d32", "#6a1b9a", "#00838f", "#ad1457", "#5d4037", "#455a64")
STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.prop_cycle": cycler(color=COLOURS),
    "grid.color": "#dddddd",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "svg.hashsalt": "flmd",
}
TILE_INCHES = 2.4


def loss_curves(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Training and validation loss, the validation error and the learning rate over the epochs.

    Parameters
    ----------
    history : a row per epoch with ``epoch`` and any of ``train_loss``, ``val_loss``, ``val_error_px``
        and ``lr``, as :class:`flmd.training.loop.FitResult` keeps it.
    path : the PNG to write.
    """
    panels = [
        ("loss", ("train_loss", "val_loss"), "loss", "log"),
        ("validation error", ("val_error_px",), "mean distance, input px", "linear"),
        ("learning rate", ("lr",), "learning rate", "linear"),
    ]
    panels = [panel for panel in panels if any(name in row for row in history for name in panel[1])]
    with _figure(4.2 * max(len(panels), 1), 3.4, path) as figure:
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


def ced(curves: Mapping[str, ArrayLike], threshold: float, path: Path, *, normaliser: str) -> None:
    """Cumulative error distributions, a colour per data set, the mean shape dashed.

    Parameters
    ----------
    curves : column name -> (T,) numbers, as :attr:`flmd.evaluation.measure.Evaluation.curves` holds them:
        ``threshold``, ``<data set>`` and ``<data set>_mean_shape``.
    threshold : where AUC and failure rate are measured; marked by a line.
    normaliser : its name, for the axis.
    """
    steps = np.asarray(curves["threshold"], dtype=np.float64)
    names = [n for n in curves if n != "threshold" and not n.endswith("_mean_shape")]
    with _figure(6.4, 4.4, path) as figure:
        axes = figure.add_subplot()
        for name, colour in _coloured(names):
            axes.plot(steps, np.asarray(curves[name]), color=colour, lw=2, label=name)
            baseline = np.asarray(curves.get(f"{name}_mean_shape", np.nan), dtype=np.float64)
            if np.isfinite(baseline).any():
                axes.plot(steps, baseline, color=colour, lw=1.4, ls="--", label=f"{name}, mean shape")
        axes.axvline(threshold, color="#888888", lw=1, ls=":")
        axes.set(
            xlim=(0, steps[-1]), ylim=(0, 1.01), ylabel="faces at or below", title="Error distribution (CED)"
        )
        axes.set_xlabel(f"NME, % of the {_words(normaliser)} length")
        axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=""))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        figure.legend(loc="outside lower center", ncols=2)


def region_bars(regions: Sequence[tuple[str, str, float]], path: Path, *, normaliser: str) -> None:
    """A bar per region and data set.

    Parameters
    ----------
    regions : (data set, region, NME fraction) each; a NaN gives no bar.
    normaliser : its name, for the axis.
    """
    datasets = list(dict.fromkeys(dataset for dataset, _, _ in regions))
    names = list(dict.fromkeys(region for _, region, _ in regions))
    values = {(dataset, region): 100 * value for dataset, region, value in regions}
    thickness = 0.8 / max(len(datasets), 1)
    with _figure(6.4, 1.2 + 0.5 * max(len(names), 2), path) as figure:
        axes = figure.add_subplot()
        for row, (dataset, colour) in enumerate(_coloured(datasets)):
            lengths = [values.get((dataset, name), np.nan) for name in names]
            places = np.arange(len(names)) + (row - (len(datasets) - 1) / 2) * thickness
            bars = axes.barh(places, lengths, thickness * 0.92, color=colour, label=dataset)
            labels = ["" if np.isnan(length) else f"{length:.2f}" for length in lengths]
            axes.bar_label(bars, labels=labels, padding=3, fontsize=8)
        axes.set_yticks(range(len(names)), [_words(name) for name in names])
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.margins(x=0.12)
        axes.set(xlabel=f"NME, % of the {_words(normaliser)} length", title="Error by region")
        if len(datasets) > 1:
            figure.legend(loc="outside lower center", ncols=4)


def gallery(
    crops: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    true_points: ArrayLike,
    predicted_points: ArrayLike,
    titles: Sequence[str],
    path: Path,
    columns: int = 4,
) -> None:
    """Faces with true points (green) and predicted points (orange), joined by a thin line.

    Parameters
    ----------
    crops : N pictures, uint8: (H, W) grey, (H, W, 3) RGB or (3, H, W) planar RGB.
    true_points, predicted_points : (N, K, 2) pixels of the crops; NaN is not drawn.
    titles : N strings, e.g. ``"indoor_001.png  NME 12.3 %"``.
    path : the PNG to write.
    """
    true = np.asarray(true_points, dtype=np.float64)
    predicted = np.asarray(predicted_points, dtype=np.float64)
    both = np.concatenate([true, predicted], axis=1)
    with _tiles(crops, titles, path, columns, both, header=0.45) as (figure, tiles):
        for axes, t, p in zip(tiles, true, predicted, strict=True):
            lines = np.stack([t, p], axis=1)
            axes.add_collection(
                LineCollection(list(lines[np.isfinite(lines).all(axis=(1, 2))]), colors=MISS, linewidths=0.8)
            )
            _dots(axes, t, TRUE)
            _dots(axes, p, PREDICTED)
        marks = [
            _mark(TRUE, "true"),
            _mark(PREDICTED, "predicted"),
            Line2D([], [], color=MISS, label="distance"),
        ]
        legend = figure.legend(handles=marks, loc="upper center", ncols=3, fontsize=10, frameon=True)
        legend.get_frame().set(facecolor="#444444", edgecolor="none")
        for text in legend.get_texts():
            text.set_color("white")


def contact_sheet(
    crops: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    points: ArrayLike,
    boxes: ArrayLike,
    titles: Sequence[str],
    path: Path,
    numbers: bool = False,
    columns: int = 6,
    visibility: ArrayLike | None = None,
    skeleton: Sequence[tuple[int, int]] = (),
) -> None:
    """Faces with their boxes and points.

    Parameters
    ----------
    crops : N pictures, as for :func:`gallery`.
    points : (N, K, 2) pixels of the crops; NaN is not drawn.
    boxes : (N, 4) x, y, width, height, pixels of the crops; a box is drawn along its edges,
        x - 0.5 ... x + width - 0.5. NaN is not drawn.
    numbers : write each point's 0-based index beside it, on larger tiles.
    visibility : (N, K) of the points; those that are 1, labelled but hidden, are drawn hollow.
    skeleton : pairs of points joined by a line.
    """
    all_points, all_boxes = np.asarray(points, dtype=np.float64), np.asarray(boxes, dtype=np.float64)
    columns, inches = (min(columns, 3), 2 * TILE_INCHES) if numbers else (columns, TILE_INCHES)
    first, last = all_boxes[:, :2], all_boxes[:, :2] + all_boxes[:, 2:] - 1
    around = np.concatenate([all_points, first[:, None], last[:, None]], axis=1)
    hidden = np.zeros(all_points.shape[:2], bool) if visibility is None else np.asarray(visibility) == 1
    pairs = np.array(skeleton, dtype=np.intp).reshape(-1, 2)
    with _tiles(crops, titles, path, columns, around, inches=inches) as (_, tiles):
        for axes, face, hollow, (x, y, width, height) in zip(
            tiles, all_points, hidden, all_boxes, strict=True
        ):
            if np.isfinite([x, y, width, height]).all():
                axes.add_patch(Rectangle((x - 0.5, y - 0.5), width, height, fill=False, ec=BOX, lw=1.2))
            lines = face[pairs]
            lines = lines[np.isfinite(lines).all(axis=(1, 2))]
            axes.add_collection(LineCollection(list(lines), colors=TRUE, linewidths=0.7, alpha=0.8))
            _dots(axes, face[~hollow], TRUE)
            _rings(axes, face[hollow], TRUE)
            if numbers:
                for index in np.flatnonzero(np.isfinite(face).all(axis=1)):
                    place = (face[index, 0], face[index, 1])
                    axes.annotate(
                        str(index),
                        place,
                        (2, 2),
                        textcoords="offset points",
                        color="white",
                        fontsize=6,
                        clip_on=True,
                        path_effects=[withStroke(linewidth=1.4, foreground="black")],
                    )


@contextmanager
def _figure(width: float, height: float, path: Path) -> Iterator[Figure]:
    """A figure under the default style, written to ``path`` when the block ends well."""
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None})


@contextmanager
def _tiles(
    crops: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    titles: Sequence[str],
    path: Path,
    columns: int,
    around: NDArray[np.float64],
    *,
    inches: float = TILE_INCHES,
    header: float = 0.05,
) -> Iterator[tuple[Figure, list[Axes]]]:
    """One square axes per picture, in rows of ``columns``, under a header of that many inches.

    ``around`` (N, M, 2): the points that each tile is to show.
    """
    columns = max(1, min(columns, len(crops)))
    rows = max(1, -(-len(crops) // columns))
    title, gap = 0.26, 0.06
    width, height = columns * (inches + gap) + gap, rows * (inches + title) + header + gap
    with _figure(width, height, path) as figure:
        figure.set_layout_engine("none")
        tiles = []
        for index, (crop, text) in enumerate(zip(crops, titles, strict=True)):
            row, column = divmod(index, columns)
            left, bottom = gap + column * (inches + gap), height - header - (row + 1) * (inches + title)
            axes = figure.add_axes((left / width, bottom / height, inches / width, inches / height))
            _show(axes, crop, around[index])
            characters = int(inches / 0.082)
            axes.set_title(_shortened(text, characters), fontsize=8, pad=3)
            tiles.append(axes)
        yield figure, tiles


def _show(axes: Axes, crop: NDArray[np.uint8], around: NDArray[np.float64]) -> None:
    """The picture with pixel centres at whole numbers, zoomed to the square that holds some points.

    ``around`` is (M, 2); NaN is left out. The square stays within the picture, and within it what was
    predicted far outside is not seen.
    """
    planar = crop.ndim == 3 and crop.shape[0] == 3 and crop.shape[2] != 3
    picture = np.ascontiguousarray(crop.transpose(1, 2, 0) if planar else crop)
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="bilinear")
    edges = np.array([picture.shape[1], picture.shape[0]], dtype=np.float64)
    known = around[np.isfinite(around).all(axis=1)]
    inside = np.clip(known, 0, edges - 1) if len(known) else np.array([[0, 0], edges - 1])
    low, high = inside.min(axis=0), inside.max(axis=0)
    side = min(max(1.3 * (high - low).max(), 16), edges.min())
    left, top = np.clip((low + high) / 2 - side / 2, -0.5, edges - side - 0.5)
    axes.set(xlim=(left, left + side), ylim=(top + side, top), autoscale_on=False)
    axes.set_axis_off()


def _dots(axes: Axes, points: NDArray[np.float64], colour: str) -> None:
    axes.scatter(points[:, 0], points[:, 1], s=7, c=colour, linewidths=0.3, edgecolors="black", zorder=3)


def _rings(axes: Axes, points: NDArray[np.float64], colour: str) -> None:
    # A dark ring below a bright one shows on any picture.
    for width, edge in ((1.8, "black"), (0.9, colour)):
        axes.scatter(
            points[:, 0], points[:, 1], s=10, facecolors="none", edgecolors=edge, linewidths=width, zorder=3
        )


def _mark(colour: str, label: str) -> Line2D:
    return Line2D([], [], color=colour, marker="o", ls="none", ms=5, label=label)


def _curve(axes: Axes, x: Sequence[float], y: Sequence[float], name: str) -> None:
    axes.plot(x, y, lw=2, marker="o" if len(x) < 2 else None, label=_words(name))


def _coloured(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    return ((name, COLOURS[index % len(COLOURS)]) for index, name in enumerate(names))


def _words(name: str) -> str:
    return name.replace("_", " ").replace("inter ", "inter-")


def _shortened(text: str, characters: int) -> str:
    """With the middle of a long title left out: its end, where the number stands, stays."""
    if len(text) <= characters:
        return text
    head = (characters - 1) // 2
    return f"{text[:head]}…{text[len(text) - (characters - 1 - head) :]}"
