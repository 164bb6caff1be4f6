"""How well a calibrated model knows its own errors: told against found on faces it was not measured on.

    python -m benchmarks.reliability sure.pt faces.h5 --dataset ibug300w -o docs/reliability.png

``sure.pt`` is written by ``flmd calibrate``. Points of the test faces are sorted by what is told, into ten
groups of equal size; of each the mean of what is told stands beside what is found. The plot shows no picture.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flmd.errors import ParamsError
from flmd.evaluation.figures import figure_for
from flmd.inference import torch_backend
from flmd.inference.calibration import measured
from flmd.models.confidence import Confidence
from flmd.store.face_store import FaceStore

GROUPS = 10


def table(
    confidence: Confidence, spread: NDArray[np.float64], error: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(10, 4): probability told, share found; error told, error found, in shares of the face's side."""
    known = np.isfinite(error)
    spread, error = spread[known], error[known]
    within, expected = confidence.within_at(spread), confidence.error_at(spread)
    small = error <= confidence.limit
    rows = zip(
        np.array_split(np.argsort(within, kind="stable"), GROUPS),
        np.array_split(np.argsort(expected, kind="stable"), GROUPS),
        strict=True,
    )
    found = [(within[a], small[a], expected[b], error[b]) for a, b in rows]
    return np.array([[column.mean() for column in row] for row in found])


def draw(found: NDArray[np.float64], limit: float, title: str, path: Path) -> None:
    """Both reliability plots, side by side."""
    with figure_for(path, 8.6, 4.2) as figure:
        for place, columns, name, unit in (
            (1, found[:, :2], f"within {100 * limit:g} % of the face's side", "share of points"),
            (2, 100 * found[:, 2:], "error", "% of the face's side"),
        ):
            axes = figure.add_subplot(1, 2, place)
            most = 1.0 if place == 1 else 1.1 * float(columns.max())
            axes.plot([0, most], [0, most], color="0.6", linewidth=1)
            axes.plot(columns[:, 0], columns[:, 1], marker="o", color="#1f77b4")
            axes.set(xlabel=f"told: {unit}", ylabel=f"found: {unit}", title=name)
            axes.set(xlim=(0, most), ylim=(0, most))
            axes.set_aspect("equal")
        figure.suptitle(title, fontsize=10)


def main() -> None:
    """Print the table and draw the plot."""
    asked = argparse.ArgumentParser(prog="python -m benchmarks.reliability")
    asked.add_argument("model", type=Path)
    asked.add_argument("store", type=Path)
    asked.add_argument("--dataset", default="")
    asked.add_argument("--split", default="test")
    asked.add_argument("-o", "--output", type=Path)
    given = asked.parse_args()
    backend, info = torch_backend.load(given.model, "cpu")
    if info.confidence is None:
        raise ParamsError("the model was not calibrated", where=str(given.model), hint="flmd calibrate")
    confidence = Confidence.from_dict(info.confidence)
    with FaceStore(given.store) as store:
        spread, error, rows = measured(backend, info, store, given.split, given.dataset)
    found = table(confidence, spread, error)
    print("told   found   error told %   error found %")
    for row in found:
        print(f"{row[0]:.2f}   {row[1]:.2f}    {100 * row[2]:.2f}           {100 * row[3]:.2f}")
    apart = np.abs(found[:, 0] - found[:, 1])
    print(f"{len(rows)} faces; told and found {apart.mean():.3f} apart on average, {apart.max():.3f} at most")
    if given.output is not None:
        names = ", ".join(confidence.source["datasets"])
        title = f"{len(rows)} {given.split} faces; measured on {confidence.faces} faces of {names}"
        draw(found, confidence.limit, title, given.output)


if __name__ == "__main__":
    main()
