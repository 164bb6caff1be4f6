"""Points that a file names: which of them are points of the scheme, and where they go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flmd.face import NOT_LABELLED, SkipFace
from flmd.schemes import Scheme
from flmd.schemes.name_choice import PointOrders
from flmd.schemes.point_names import LEFT_OUT


@dataclass(frozen=True)
class Layout:
    """Which points of a list are points of a scheme of ``count``.

    ``columns``, ``places`` : (n,) indices in the list, and in the scheme.
    """

    columns: NDArray[np.intp]
    places: NDArray[np.intp]
    count: int

    def points(
        self, listed: NDArray[np.float32], visibility: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """(count, 2) points and (count,) visibility of those listed; not labelled where the list has none."""
        landmarks = np.full((self.count, 2), np.nan, np.float32)
        seen = np.full(self.count, NOT_LABELLED, np.uint8)
        landmarks[self.places], seen[self.places] = listed[self.columns], visibility[self.columns]
        return landmarks, seen


def layout_of(names: Sequence[str], scheme: Scheme, orders: PointOrders, where: str) -> Layout | None:
    """Where the points of a list go; None when they are those of the scheme, in order.

    Raises
    ------
    SkipFace : ``unknown_point``, a name that is no point of the scheme. InputError : as ``PointOrders.of``.
    """
    order = orders.of(names, where)
    columns, places = [], []
    for column, name in enumerate(names):
        place = order.place(name)
        if place is None:
            raise SkipFace("unknown_point", f"{name[:40]!r} is no point of scheme {scheme.name}")
        if place != LEFT_OUT:
            columns.append(column)
            places.append(place)
    if places == list(range(scheme.count)) == columns and len(names) == scheme.count:
        return None
    return Layout(np.array(columns, np.intp), np.array(places, np.intp), scheme.count)
