"""Faces in rows: with true and predicted points, or with their boxes and points.

Points are in the pixels of the picture they are drawn on, the centre of its top-left pixel being (0, 0).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike, NDArray

from flmd.core import palette
from flmd.core.palette import BOX, DISTANCE, TRUE
from flmd.evaluation.figures import figure_for

TILE_INCHES = 2.4


def gallery(
    crops: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    true_points: ArrayLike,
    predicted_points: ArrayLike | Mapping[str, ArrayLike],
    titles: Sequence[str],
    path: Path,
    columns: int = 4,
    colours: Mapping[str, str] | None = None,
) -> None:
    """Faces with true points (green) and predicted points (orange), joined by a thin line.

    Parameters
    ----------
    crops : N pictures, uint8: (H, W) grey, (H, W, 3) RGB or (3, H, W) planar RGB.
    true_points, predicted_points : (N, K, 2) pixels of the crops; NaN is not drawn. Several programs'
        predictions under their names have a colour each; the first is joined to the true points.
    titles : N strings, e.g. ``"indoor_001.png  NME 12.3 %"``.
    path : the file to write; its ending says the kind (:data:`flmd.evaluation.figures.KINDS`).
    colours : name -> colour of its points; by default orange, and the others as they are named.
    """
    named = predicted_points if isinstance(predicted_points, Mapping) else {"predicted": predicted_points}
    true = np.asarray(true_points, dtype=np.float64)
    by_name = {name: np.asarray(points, dtype=np.float64) for name, points in named.items()}
    colour_of = colours or {n: palette.of(palette.SYSTEMS, i) for i, n in enumerate(by_name)}
    everything = np.concatenate([true, *by_name.values()], axis=1)
    with _tiles(crops, titles, path, columns, everything, header=0.45) as (figure, tiles):
        for row, axes in enumerate(tiles):
            first = next(iter(by_name.values()))[row]
            lines = np.stack([true[row], first], axis=1)
            axes.add_collection(
                LineCollection(
                    list(lines[np.isfinite(lines).all(axis=(1, 2))]), colors=DISTANCE, linewidths=0.8
                )
            )
            _dots(axes, true[row], TRUE)
            for name in reversed(by_name):  # the first on top
                _dots(axes, by_name[name][row], colour_of[name])
        marks = [_mark(TRUE, "true"), *(_mark(colour_of[name], name) for name in by_name)]
        marks.append(Line2D([], [], color=DISTANCE, label="distance"))
        legend = figure.legend(handles=marks, loc="upper center", ncols=len(marks), fontsize=10, frameon=True)
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
    lines = max((text.count("\n") + 1 for text in titles), default=1)
    title, gap = 0.11 + 0.15 * lines, 0.06
    width, height = columns * (inches + gap) + gap, rows * (inches + title) + header + gap
    with figure_for(path, width, height) as figure:
        figure.set_layout_engine("none")
        tiles = []
        for index, (crop, text) in enumerate(zip(crops, titles, strict=True)):
            row, column = divmod(index, columns)
            left, bottom = gap + column * (inches + gap), height - header - (row + 1) * (inches + title)
            axes = figure.add_axes((left / width, bottom / height, inches / width, inches / height))
            _show(axes, crop, around[index])
            characters = int(inches / 0.082)
            shown = "\n".join(_shortened(line, characters) for line in text.split("\n"))
            axes.set_title(shown, fontsize=8, pad=3, parse_math=False)
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


def _shortened(text: str, characters: int) -> str:
    """With the middle of a long title left out: its end, where the number stands, stays."""
    if len(text) <= characters:
        return text
    head = (characters - 1) // 2
    return f"{text[:head]}…{text[len(text) - (characters - 1 - head) :]}"
