"""The parts of a whole dlib box: points by their names, whatever their order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import SkipFace
from flmd.formats.dlib_xml_parts import Part, quoted
from flmd.formats.layout import LARGEST, number_in
from flmd.schemes import Scheme
from flmd.schemes.name_choice import PointOrders
from flmd.schemes.point_names import LEFT_OUT, first_repeated


class PartPoints:
    """Puts the parts of boxes into the order of a scheme."""

    def __init__(self, scheme: Scheme, orders: PointOrders) -> None:
        self._scheme, self._orders = scheme, orders
        self._names: tuple[str | None, ...] = ()  # of the last box, which most others share
        self._places: NDArray[np.intp] | None = None

    def of(self, parts: Sequence[Part]) -> NDArray[np.float32]:
        """(K, 2) in the scheme's order; NaN throughout for a box without parts.

        Raises
        ------
        SkipFace : ``unknown_part``, ``duplicate_part``, ``wrong_point_count``, ``not_a_number``.
        """
        if not parts:
            return np.full((self._scheme.count, 2), np.nan, np.float32)
        try:
            names, xs, ys = zip(*parts, strict=True)
            texts = xs + ys
            values = np.fromiter(map(float, texts), np.float64, len(texts)).reshape(2, -1)
            plain = "_" not in "".join(texts) and bool((np.abs(values) <= LARGEST).all())
        except (TypeError, ValueError):
            plain = False
        if not plain:
            raise self._fault(parts)
        if names != self._names:
            self._places, self._names = self._places_of(names), names
        if self._places is not None:
            values = values[:, self._places]
        return values.T.astype(np.float32, order="C")

    def _places_of(self, names: Sequence[str | None]) -> NDArray[np.intp] | None:
        """Which part each point of the scheme is; None where they are in its order."""
        count = self._scheme.count
        named = [name for name in names if name is not None]
        if len(named) < len(names):
            raise SkipFace("unknown_part", "a part without a name")
        repeated = first_repeated(named)
        if repeated is not None:
            raise SkipFace("duplicate_part", f"part {repeated[:40]!r} occurs twice")
        if len(named) < count:
            raise SkipFace("wrong_point_count", f"{len(named)} parts, expected {count}")
        try:
            order = self._orders.of(named, "", whole=len(named) == count)
        except InputError as error:
            raise SkipFace("unknown_part", str(error)) from None
        columns: dict[int, int] = {}
        for column, name in enumerate(named):
            place = order.place(name)
            if place is None:
                what = f"part {name[:40]!r} is no point of scheme {self._scheme.name}"
                raise SkipFace("unknown_part", what)
            if place != LEFT_OUT:
                columns[place] = column
        if len(columns) != count:
            raise SkipFace("wrong_point_count", f"{len(columns)} parts, expected {count}")
        found = np.array([columns[place] for place in range(count)], np.intp)
        return None if np.array_equal(found, np.arange(len(names))) else found

    def _fault(self, parts: Sequence[Part]) -> SkipFace:
        """What is wrong with the parts of a box that is known to be no face: names first, then numbers."""
        try:
            self._places_of([name for name, _, _ in parts])
        except SkipFace as fault:
            return fault
        for name, *point in parts:
            for axis, text in zip("xy", point, strict=True):
                if number_in(text) is None:
                    return SkipFace(
                        "not_a_number", f"{axis} of part {name!r} is {quoted(text)}, expected a number"
                    )
        raise AssertionError("no fault in the parts")
