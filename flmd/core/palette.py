"""The colours of every picture, page and chart: each means one thing, wherever it is drawn.

Points, lines and boxes lie on faces of any skin and light, so theirs are bright. Charts lie on white, so
theirs are dark. The charts' colours leave out green and orange, which mean true and predicted.
"""

from __future__ import annotations

TRUE = "#00e676"  # annotated points
PREDICTED = "#ff5722"  # points of a model, or of another program
DISTANCE = "#ffe082"  # from the one to the other
BOX = "#40c4ff"
EDGE, LABEL = "#000000", "#ffffff"  # round marks, and of text on pictures

BASELINE = "#757575"  # the mean shape where systems are compared
LIMIT = "#888888"  # the threshold of AUC and failure rate
GRID = "#dddddd"
TRAINING, VALIDATION = "#455a64", "#1565c0"

DATASETS = ("#1565c0", "#ad1457", "#00838f", "#6a1b9a", "#827717", "#5d4037", "#1a237e", "#455a64")
# Several programs or models beside each other; the first is what one alone has.
SYSTEMS = (PREDICTED, "#2979ff", "#d500f9", "#b8860b", "#00838f", "#c62828", "#5e35b1", "#5d4037")


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green, blue, 0 to 255, of ``"#rrggbb"``."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def of(colours: tuple[str, ...], place: int) -> str:
    """The colour of the ``place``-th of some things, from 0; they repeat when there are too few."""
    return colours[place % len(colours)]
