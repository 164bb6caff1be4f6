"""Faces and points whose labels disagree with a model, the worst first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flmd.curation.alignment import to_complex
from flmd.curation.audit.explanations import Explainer, Explanation
from flmd.curation.audit.findings import Audit, OddPoint, Suspect
from flmd.curation.audit.outliers import robust
from flmd.curation.audit.yardstick import Yardstick, root_mean_square
from flmd.schemes import Scheme

SUSPECT = 3.0  # robust standard deviations above usual faces, of the logarithm
ODD_POINT = 6.0  # deviations of a point, over the usual one of its face where that is above 1
NAMED = 5  # points of a face that are told
MOST_EXPLAINED = 1000  # faces whose kinds are looked for

Array = NDArray[np.float64]


ENOUGH = 30  # faces; of fewer it is not known how far points usually lie off


@dataclass(frozen=True)
class Judged:
    """What a model says of faces, beside their labels.

    Attributes
    ----------
    rows : (N,) of the store.
    labels, predicted : (N, K, 2) image pixels; NaN where not labelled, or not found.
    groups : (N,) integers, faces that are measured by each other: of one data set, all seen by the model or
        all not.
    images, splits : of the N faces. scheme : of the points.
    judge : the model, in words. unseen : it never learned from any of them.
    """

    rows: NDArray[np.intp]
    labels: NDArray[np.floating]
    predicted: NDArray[np.floating]
    groups: NDArray[np.integer]
    images: Sequence[str]
    splits: Sequence[str]
    scheme: Scheme
    judge: str
    unseen: bool = False

    def by_row(self) -> dict[int, NDArray[np.floating]]:
        """Row of the store -> (K, 2) the model's points."""
        return dict(zip(self.rows.tolist(), self.predicted, strict=True))


def judge_labels(found: Audit, judged: Judged, least: float = SUSPECT) -> None:
    """Add to an audit where labels disagree with a model, and what that is worth."""
    found.judge = judged.judge
    found.suspects, found.odd_points = disagreements(judged, least)
    learned = sum(split == "train" for split in judged.splits)
    if learned and not judged.unseen:
        found.notes.append(
            f"{learned} of the {len(judged.rows)} faces that {judged.judge} judged have split train: a model "
            "that learned from them has learned part of their faults; --folds judges each by a network that "
            "has not seen it"
        )
    missing = int(np.isnan(judged.predicted).all(axis=(1, 2)).sum())
    if missing:
        found.notes.append(f"{missing} faces were not judged: the model has no points for them")
    if len(judged.rows) < ENOUGH:
        found.notes.append(
            f"fewer than {ENOUGH} faces were judged: how far points usually lie off is a guess"
        )


def disagreements(
    judged: Judged, least: float = SUSPECT, *, first: int | None = None
) -> tuple[list[Suspect], list[OddPoint]]:
    """Faces with a score of ``least`` or more, and single points that stick out, both the worst first.

    ``first`` : so many faces instead, whatever their scores.
    """
    stick = Yardstick.of(judged.labels, judged.predicted, judged.groups, judged.scheme)
    labels = to_complex(judged.labels)
    every = np.arange(len(labels))
    deviations = stick.deviations(labels, every)
    away = np.abs(labels - stick.expected(every)) / stick.size[:, None]
    score = scores(deviations, stick.group)
    explainer = Explainer(stick, labels, deviations, judged.images, judged.scheme)
    found: list[Suspect] = []
    order = np.argsort(-score, kind="stable")
    chosen = order[score[order] >= least] if first is None else order[:first]
    for n in chosen.tolist():
        why = explainer.of(n) if len(found) < MOST_EXPLAINED else Explanation("other")
        points = _worst(deviations[n], judged.scheme)
        mean = float(np.nanmean(away[n]))
        found.append(
            Suspect(
                int(judged.rows[n]),
                judged.images[n],
                judged.splits[n],
                why.kind,
                round(float(score[n]), 2),
                _words(why, judged.images),
                round(mean, 4),
                points,
            )
        )
    return found, _odd_points(judged, deviations, away)


def scores(deviations: Array, groups: NDArray[np.integer]) -> Array:
    """How odd each face is among those of its group.

    The larger of two, each in robust standard deviations of the logarithm above the median: the root mean
    square of its deviations, and the worst of them over their median. The first finds faces that are wrong
    as a whole, the second a wrong point among good ones.

    Parameters
    ----------
    deviations : (N, K), NaN where not labelled. groups : (N,) integers.

    Returns
    -------
    (N,) float64; -inf for a face that has no deviation.
    """
    known = np.isfinite(deviations)
    judged = known.any(axis=1)
    whole = root_mean_square(deviations)
    worst = np.where(known, deviations, 0).max(axis=1)
    middle = _medians(deviations)
    score = np.full(len(deviations), -np.inf)
    for group in np.unique(groups):
        members = judged & (groups == group)
        if members.any():
            single = robust(worst[members] / np.maximum(middle[members], 1e-6))
            score[members] = np.maximum(robust(whole[members]), single)
    return score


def _medians(deviations: Array) -> Array:
    """(N,) median of the labelled points' deviations; 0 where there is none."""
    out = np.zeros(len(deviations))
    some = np.isfinite(deviations).any(axis=1)
    out[some] = np.nanmedian(deviations[some], axis=1)
    return out


def _worst(deviations: Array, scheme: Scheme) -> tuple[str, ...]:
    order = np.argsort(-np.where(np.isfinite(deviations), deviations, -1), kind="stable")[:NAMED]
    return tuple(scheme.points[k] for k in order.tolist() if np.isfinite(deviations[k]))


def _words(why: Explanation, images: Sequence[str]) -> str:
    whose = "" if why.other is None else f"those of {images[why.other]}"
    return ", ".join(part for part in (why.says, whose) if part)


def _odd_points(judged: Judged, deviations: Array, away: Array) -> list[OddPoint]:
    times = deviations / np.maximum(_medians(deviations), 1)[:, None]
    rows, points = np.nonzero(np.nan_to_num(times) >= ODD_POINT)
    order = np.argsort(-times[rows, points], kind="stable")
    return [
        OddPoint(
            int(judged.rows[n]),
            judged.images[n],
            judged.scheme.points[k],
            round(float(times[n, k]), 2),
            round(float(away[n, k]), 4),
        )
        for n, k in zip(rows[order].tolist(), points[order].tolist(), strict=True)
    ]
