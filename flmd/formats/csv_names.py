"""The names that a table's header gives its points, and the order that they tell."""

from __future__ import annotations

from collections.abc import Sequence

from flmd.errors import InputError
from flmd.face import SkipFace
from flmd.formats.common.named_points import Layout, layout_of
from flmd.formats.csv_map import Column, CsvMap
from flmd.schemes import Scheme
from flmd.schemes.name_choice import PointOrders
from flmd.schemes.point_names import key_of, known_order


def layout_of_header(
    table_map: CsvMap, header: Sequence[str], scheme: Scheme, orders: PointOrders, where: str
) -> Layout | None:
    """Where the points that the map names go in the scheme; None when they are in its order.

    A list of columns is an order that somebody wrote down: only the scheme's own words overrule it. A run of
    columns is read by the header, by position where that tells nothing and the map names the scheme.

    Raises
    ------
    InputError : names that are not the scheme's, of a table whose map does not name it.
    """
    names = _point_names(table_map, [cell.strip() for cell in header])
    if names is None:
        return None
    if orders.choice.word == "auto":
        listed = table_map.points.columns is not None
        own = set(map(key_of, scheme.points))
        words = bool(scheme.landmarks) and own.issuperset(map(key_of, names))
        said = table_map.scheme is not None and known_order(names, scheme) is None
        if (listed and not words) or (not listed and said):
            return None
    try:
        return layout_of(names, scheme, orders, where)
    except SkipFace as fault:
        raise InputError(fault.what, where=where, hint="--names FILE says which is which") from None


def _point_names(table_map: CsvMap, header: Sequence[str]) -> list[str] | None:
    """What is common to the names of the columns of each point; None where one has no such name."""
    points, count = table_map.points, table_map.count()
    if not table_map.header or points.x is not None:  # a pattern with numbers tells the order itself
        return None
    pairs = points.pairs(count)
    if pairs is None:
        first = header.index(points.start) if points.start in header else points.start
        if isinstance(first, str):
            return None
        at = range(first, first + 2 * count)
        xs, ys = (at[:count], at[count:]) if points.order == "xxyy" else (at[::2], at[1::2])
        pairs = list(zip(xs, ys, strict=True))
    names = [_common(_cell(header, x), _cell(header, y)) for x, y in pairs]
    found = [name for name in names if name is not None]
    return found if len(found) == len(names) else None


def _cell(header: Sequence[str], column: Column) -> str:
    if isinstance(column, str):
        return column.strip()
    return header[column] if 0 <= column < len(header) else ""


def _common(x: str, y: str) -> str | None:
    """``left_eye`` of ``left_eye_x`` and ``left_eye_y``: the names differ in one letter, x and y."""
    differ = [i for i, (a, b) in enumerate(zip(x, y, strict=False)) if a != b]
    if len(x) != len(y) or len(differ) != 1 or (x[differ[0]] + y[differ[0]]).lower() != "xy":
        return None
    return x[: differ[0]] + " " + x[differ[0] + 1 :]
