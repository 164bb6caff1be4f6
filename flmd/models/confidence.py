"""What the spread of a heat map says of the error of its point: measured on faces the model has not learnt.

A map's spread is no error by itself: a network is free to draw wide maps around good points. So the relation
is measured (:meth:`Confidence.fit`): points are sorted by spread into groups of equal size, the mean error
and the share of small errors of each group are made monotone (isotonic regression, Barlow et al., 1972), and
what lies between two groups is interpolated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

LIMIT = 0.02  # of the face's side: an error below it counts as small
GROUPS = 20  # of points, by their spread
LEAST = 40  # points in a group
LEAST_POINTS = 5 * LEAST


@dataclass(frozen=True)
class Confidence:
    """From the spread of a heat map to the error to be expected of its point.

    All lengths are shares of the face's side, the longer one of its box.

    Attributes
    ----------
    spread : (G,) increasing. error : (G,) mean error at that spread, not decreasing.
    within : (G,) share of points whose error is at most ``limit``, not increasing, above 0 and below 1.
    limit : see ``within``. faces, points : how many it was measured on. source : of what, for people.

    Raises
    ------
    ValueError : columns of different lengths, not finite, not in that order or out of range.
    """

    spread: tuple[float, ...]
    error: tuple[float, ...]
    within: tuple[float, ...]
    limit: float = LIMIT
    faces: int = 0
    points: int = 0
    source: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        spread, error, within = (np.asarray(v, np.float64) for v in (self.spread, self.error, self.within))
        if not (1 <= len(spread) == len(error) == len(within) <= 1000):
            raise ValueError(f"confidence of {len(spread)}, {len(error)} and {len(within)} numbers")
        good = bool(np.isfinite([*spread, *error, *within, self.limit]).all())
        good &= bool((np.diff(spread) > 0).all() and (np.diff(error) >= 0).all())
        good &= bool((np.diff(within) <= 0).all() and within[-1] > 0 and within[0] < 1)
        if not (good and spread[0] >= 0 and error[0] >= 0 and self.limit > 0):
            raise ValueError("confidence whose numbers are out of order or out of range")

    @classmethod
    def fit(
        cls,
        spread: NDArray[np.floating],
        error: NDArray[np.floating],
        *,
        source: Mapping[str, Any] | None = None,
    ) -> Self:
        """Measure the relation.

        Parameters
        ----------
        spread, error : (N, K) of N faces; points whose error is NaN are left out.
        source : see the class.

        Raises
        ------
        ValueError : fewer than ``LEAST_POINTS`` points have an error.
        """
        from scipy.optimize import isotonic_regression

        known = np.isfinite(error)
        s, e = np.asarray(spread, np.float64)[known], np.asarray(error, np.float64)[known]
        if len(s) < LEAST_POINTS:
            raise ValueError(f"{len(s)} points; {LEAST_POINTS} are needed")
        order = np.argsort(s, kind="stable")
        groups = np.array_split(order, min(GROUPS, len(s) // LEAST))
        counts = np.array([len(group) for group in groups], np.float64)
        # Laplace's rule of succession: no share is 0 or 1 for want of points.
        small = np.array([(np.count_nonzero(e[g] <= LIMIT) + 1) / (len(g) + 2) for g in groups])
        middle = np.array([s[group].mean() for group in groups])
        mean = isotonic_regression([e[group].mean() for group in groups], weights=counts).x
        within = isotonic_regression(small, weights=counts, increasing=False).x
        keep = np.concatenate([[True], np.diff(middle) > 0])  # equal spreads say the same
        spreads, errors, shares = (tuple(column[keep].tolist()) for column in (middle, mean, within))
        return cls(
            spreads,
            errors,
            shares,
            faces=int(known.any(axis=1).sum()),
            points=len(s),
            source=dict(source or {}),
        )

    def error_at(self, spread: NDArray[np.floating]) -> NDArray[np.float64]:
        """The mean error to be expected; beyond the measured spreads, that at the last one."""
        return np.asarray(np.interp(spread, self.spread, self.error))

    def within_at(self, spread: NDArray[np.floating]) -> NDArray[np.float64]:
        """The probability that the error is at most ``limit``; beyond the measured, as at the last."""
        return np.asarray(np.interp(spread, self.spread, self.within))

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        columns = {name: list(getattr(self, name)) for name in ("spread", "error", "within")}
        return {**vars(self), **columns, "source": dict(self.source)}

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`; KeyError, TypeError or ValueError when it is not one."""
        spread, error, within = (tuple(map(float, tree[n])) for n in ("spread", "error", "within"))
        return cls(
            spread,
            error,
            within,
            limit=float(tree["limit"]),
            faces=int(tree["faces"]),
            points=int(tree["points"]),
            source=dict(tree["source"]),
        )
