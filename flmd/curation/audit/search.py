"""All pairs of vectors that are alike, without looking at pairs one by one.

Blocks of the matrix of inner products are made by BLAS and thresholded: 100,000 vectors of 256 numbers
are 5 x 10^9 products of 256, about a minute on two cores, in the memory of one block.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

BLOCK = 2048
MOST_EACH = 48  # matches kept of one face: frames of a long video are all alike


def alike(
    left: NDArray[np.float32],
    right: NDArray[np.float32],
    threshold: float,
    groups: NDArray[np.integer],
    what: str = "compare faces",
) -> tuple[NDArray[np.intp], NDArray[np.intp], bool]:
    """Pairs i < j with ``left[i] @ right[j] >= threshold``.

    Parameters
    ----------
    left, right : (N, D) float32 rows of length 1 or 0; ``right`` is ``left``, or its mirror image.
    groups : (N,) integers, the split of each. Of a face with more than ``MOST_EACH`` matches the best
        are kept, those in another group first.
    what : shown by the progress bar.

    Returns
    -------
    i, j, and whether any match was left out.
    """
    count = len(left)
    found_i, found_j = [np.empty(0, np.intp)], [np.empty(0, np.intp)]
    cut = False
    with tqdm(desc=what, total=count, unit="face", disable=None) as bar:
        for start in range(0, count, BLOCK):
            stop = min(start + BLOCK, count)
            rows: list[NDArray[np.intp]] = []
            columns: list[NDArray[np.intp]] = []
            scores: list[NDArray[np.float32]] = []
            for begin in range(start, count, BLOCK):
                product = left[start:stop] @ right[begin : begin + BLOCK].T
                i, j = np.divmod(np.flatnonzero(product >= threshold), product.shape[1])
                score = product[i, j]
                later = j + begin > i + start
                rows.append(i[later] + start)
                columns.append(j[later] + begin)
                scores.append(score[later])
            i, j, s = np.concatenate(rows), np.concatenate(columns), np.concatenate(scores)
            kept = _best(i, s + 2 * (groups[i] != groups[j]))
            cut |= len(kept) < len(i)
            found_i.append(i[kept])
            found_j.append(j[kept])
            bar.update(stop - start)
    return np.concatenate(found_i), np.concatenate(found_j), cut


def _best(rows: NDArray[np.intp], scores: NDArray[np.floating]) -> NDArray[np.intp]:
    """Indices of the best ``MOST_EACH`` entries of every row, in their order."""
    order = np.lexsort((-scores, rows))
    first = np.searchsorted(rows[order], rows[order], side="left")
    return np.sort(order[np.arange(len(order)) - first < MOST_EACH])


def closeness(
    left: NDArray[np.uint8], right: NDArray[np.uint8], reach: int = 2
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How alike the pictures of each pair are at their best shift of up to ``reach`` pixels.

    Parameters
    ----------
    left, right : (P, S, S) uint8.

    Returns
    -------
    tone, detail : (P,) normalised cross-correlation of the levels, and of the differences between
        neighbours, -1 ... 1. Faces share their tone; only copies share their detail.
    """
    pairs, side = len(left), left.shape[1]
    a, b = left.astype(np.float32), right.astype(np.float32)
    inner = slice(reach, side - reach)
    fixed = _with_details(a[:, inner, inner])
    tone, detail = np.full(pairs, -1.0), np.full(pairs, -1.0)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            moved = _with_details(b[:, reach + dy : side - reach + dy, reach + dx : side - reach + dx])
            found = [np.einsum("ij,ij->i", x, y) for x, y in zip(fixed, moved, strict=True)]
            better = found[1] > detail
            tone = np.where(better, found[0], tone)
            detail = np.where(better, found[1], detail)
    return tone, detail


def _with_details(pictures: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    n = len(pictures)
    across = np.diff(pictures, axis=2).reshape(n, -1)
    down = np.diff(pictures, axis=1).reshape(n, -1)
    levels = pictures.reshape(n, -1)
    return _unit(levels - levels.mean(axis=1, keepdims=True)), _unit(np.concatenate([across, down], axis=1))


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return np.asarray(rows / np.maximum(length, 1e-6))
