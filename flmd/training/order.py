"""Which faces an epoch shows, in which order, in which batches: functions of their arguments alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def draw(count: int, faces: int, seed: int, epoch: int, *, shuffle: bool = True) -> Rows:
    """The rows of one epoch, in order.

    Rows come from one endless stream: a random permutation of all ``count`` rows, then another, and so
    on. Epoch ``epoch`` (from 0) is the stream's ``epoch``-th piece of ``faces`` rows (0: ``count``, so
    that every epoch is one permutation). ``shuffle`` False: each pass is 0 ... count - 1.

    Returns
    -------
    (faces,) int64.
    """
    places, drawn = _places(count, faces, epoch), []
    for number in range(places[0] // count, places[-1] // count + 1):
        drawn.append(_permutation(count, seed, number) if shuffle else np.arange(count))
    rows: Rows = np.concatenate(drawn)[places - places[0] // count * count]
    return rows


def passes(count: int, faces: int, epoch: int) -> Rows:
    """For each row of :func:`draw`, how many times it came earlier in the stream: (faces,) int64."""
    return _places(count, faces, epoch) // count


def cut(rows: Rows, batch: int, *, drop_last: bool = False) -> list[Rows]:
    """Batches of ``batch`` rows, the last one shorter; a lone last row joins the batch before it.

    Batch norm cannot learn from one row, and no row is left out, unless ``drop_last`` leaves out the whole
    last, shorter batch.
    """
    if drop_last:
        rows = rows[: len(rows) // batch * batch]
    pieces = [rows[i : i + batch] for i in range(0, len(rows), batch)]
    if len(pieces) > 1 and len(pieces[-1]) == 1 < batch:
        pieces[-2:] = [np.concatenate(pieces[-2:])]
    return pieces


def _places(count: int, faces: int, epoch: int) -> Rows:
    """Where the rows of an epoch stand in the stream."""
    faces = faces or count
    return np.arange(epoch * faces, (epoch + 1) * faces, dtype=np.int64)


def _permutation(count: int, seed: int, number: int) -> Rows:
    key: Any = np.array([seed, number], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).permutation(count)
