"""How the point names of files are taken: by what they say, as they stand, or by a map."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flmd.core import yaml_text
from flmd.errors import InputError, ParamsError, did_you_mean
from flmd.schemes.base import MOST_POINTS, SCHEMES, Scheme, scheme_of_count, unnamed_scheme
from flmd.schemes.point_names import (
    LEFT_OUT,
    Key,
    PointOrder,
    first_repeated,
    key_of,
    known_order,
    known_scheme,
    numbered_order,
    start_is_open,
)

LARGEST_FILE = 1 << 20  # bytes
WORDS = ("auto", "keep", "0", "1")
EXPECTED = "auto, keep, 0, 1, a list of names in the scheme's order, or a mapping of names to points"


@dataclass(frozen=True)
class PointNames:
    """What to do with the names that files give their points; :data:`AUTO` unless somebody says otherwise.

    Attributes
    ----------
    word : "auto": names of a known scheme, however spelt, tell the order, and others are an error where they
        would have a meaning; "keep": the order in which a file lists them is the scheme's; "0", "1": they
        are numbers that count from there; "map": ``points`` says what each name is.
    points : name -> a point's name in the scheme, its index from 0, or None for a point to leave out.
    origin : of the map, for messages.
    """

    word: str = "auto"
    points: Mapping[str, str | int | None] | None = None
    origin: str = ""

    @classmethod
    def of(cls, value: Any, origin: str = "--names") -> PointNames:
        """From a word, a list of names in the scheme's order, or a mapping; ParamsError for anything else."""
        if isinstance(value, str | int) and str(value) in WORDS:
            return cls(str(value))
        if isinstance(value, list) and value and all(isinstance(name, str | int) for name in value):
            texts = list(map(str, value))
            _no_repeats(texts, origin)
            return cls("map", {name: index for index, name in enumerate(texts)}, origin)
        if isinstance(value, Mapping) and value and all(map(_is_point, value.values())):
            return cls("map", {str(name): point for name, point in value.items()}, origin)
        raise ParamsError(f"names are {str(value)[:60]!r}", where=origin, expected=EXPECTED)

    @classmethod
    def parse(cls, text: str) -> PointNames:
        """From what stands on a command line: a word, or the path of a YAML file with a list or a mapping."""
        if text in WORDS:
            return cls(text)
        path = Path(text)
        if not path.is_file():
            raise ParamsError(f"--names {text}: no such file", expected="auto, keep, 0, 1 or a YAML file")
        return cls.of(_yaml(path), text)

    @property
    def said(self) -> object:
        """The word, or the mapping: what :meth:`of` makes the same choice of."""
        return self.word if self.points is None else dict(self.points)

    def scheme_of(self, names: Sequence[str], *, whole: bool = True) -> str | None:
        """Name of the scheme that the points of these names follow; None where they do not tell.

        ``names`` and ``whole`` as in :func:`flmd.schemes.point_names.known_scheme`.
        """
        if self.word == "auto":
            return known_scheme(names, whole=whole)
        if self.points is not None:
            points = [point for point in self.points.values() if point is not None]
            words = [point for point in points if isinstance(point, str)]
            if words:
                return known_scheme(words, whole=False)
            return scheme_of_count(max(int(point) for point in points) + 1) if points else None
        if self.word == "keep":
            return scheme_of_count(len(names)) if names else None
        orders = [order for name in names if (order := numbered_order([name], _LONG, int(self.word)))]
        places = [order.place(name) for order, name in zip(orders, names, strict=False)]
        found = [place for place in places if place is not None]
        return scheme_of_count(max(found) + 1) if len(found) == len(names) and found else None

    def maps_to(self, scheme: Scheme) -> bool:
        """Whether a map says which point of this scheme each name is."""
        own = {*map(key_of, scheme.points)}
        points = [point for point in (self.points or {}).values() if point is not None]
        return bool(points) and all(isinstance(point, str) and key_of(point) in own for point in points)

    def orders(self, scheme: Scheme) -> PointOrders:
        """What finds the order of each list of names that one reading comes upon."""
        return PointOrders(self, scheme)


AUTO = PointNames()
_MOST_KEPT = 1000  # lists of names whose order is remembered
_LONG = unnamed_scheme(MOST_POINTS)


class PointOrders:
    """The orders of the lists of names in the files of one reading.

    Names without a known meaning, for ``points<K>`` or with "keep", have the order of the first list in which
    they occur; a later list of the same names is put into that order.
    """

    def __init__(self, choice: PointNames, scheme: Scheme) -> None:
        self.choice, self._scheme = choice, scheme
        self._found: dict[tuple[tuple[str, ...], bool], PointOrder] = {}
        self._first: dict[frozenset[Key], PointOrder] = {}

    def of(self, names: Sequence[str], where: str, *, whole: bool = True) -> PointOrder:
        """Where the points of these names belong.

        Parameters
        ----------
        names : as in :func:`flmd.schemes.point_names.known_order`, in the file's order.
        where : which list, for messages.

        Raises
        ------
        InputError : a name occurs twice; names of no known meaning, for a scheme that has one; a name that
            the map does not have; of names without a meaning, too few to know the order of all.
        """
        asked = tuple(names), whole
        if asked not in self._found:
            _no_repeats(names, where)
            if len(self._found) >= _MOST_KEPT:
                self._found.clear()
            self._found[asked] = self._order(names, where, whole)
        return self._found[asked]

    def _order(self, names: Sequence[str], where: str, whole: bool) -> PointOrder:
        choice, scheme = self.choice, self._scheme
        if choice.points is not None:
            return self._mapped(names, choice.points, where)
        if choice.word in ("0", "1"):
            order = numbered_order(names, scheme, int(choice.word))
            if order is None:
                raise InputError(
                    f"{_some(names)} are no numbers", where=where, hint=f"not --names {choice.word}"
                )
            return order
        if choice.word == "auto":
            order = known_order(names, scheme, whole=whole)
            if order is not None:
                return order
            own = set(map(key_of, scheme.points))
            if scheme.name != unnamed_scheme(scheme.count).name or not own.isdisjoint(map(key_of, names)):
                raise unknown_names(names, scheme, where)
        return self._as_first_listed(list(map(key_of, names)), names, where, whole)

    def _as_first_listed(self, keys: list[Key], names: Sequence[str], where: str, whole: bool) -> PointOrder:
        for listed, order in self._first.items():
            if listed.issuperset(keys):
                return order
        if not whole and len(keys) < self._scheme.count:
            what = f"{len(keys)} names of {self._scheme.count} points ({_some(names)}), which is too few"
            raise InputError(what, where=where, hint="--names FILE says which is which")
        order = PointOrder({key: index for index, key in enumerate(keys[: self._scheme.count])})
        self._first[frozenset(keys)] = order
        return order

    def _mapped(self, names: Sequence[str], points: Mapping[str, str | int | None], where: str) -> PointOrder:
        own = {key_of(name): index for index, name in enumerate(self._scheme.points)}
        places: dict[Key, int] = {}
        for name, point in points.items():
            index = LEFT_OUT if point is None else own.get(key_of(point)) if isinstance(point, str) else point
            if index is None or not LEFT_OUT <= index < self._scheme.count:
                what = f"{name!r} is point {point!r}, which scheme {self._scheme.name} does not have"
                hint = did_you_mean(str(point), self._scheme.points) if isinstance(point, str) else None
                raise ParamsError(what, where=self.choice.origin, hint=hint)
            if index != LEFT_OUT and index in places.values():
                what = f"{name!r} is point {point!r}, and so is another name"
                raise ParamsError(what, where=self.choice.origin)
            places[key_of(name)] = index
        unknown = next((name for name in names if key_of(name) not in places), None)
        if unknown is not None:
            hint = did_you_mean(unknown, points)
            raise InputError(f"point {unknown[:60]!r} is not in {self.choice.origin}", where=where, hint=hint)
        return PointOrder(places)


def strangers(names: Collection[str]) -> list[str]:
    """Those that the scheme with most of the names does not have; all where none has half of them."""
    keys = {name: key_of(name) for name in names}
    schemes = [set(map(key_of, scheme.points)) for scheme in SCHEMES.values()]
    own = max(schemes, key=lambda points: sum(key in points for key in keys.values()))
    odd = [name for name, key in keys.items() if key not in own]
    return odd if 2 * len(odd) <= len(keys) else list(names)


def unknown_names(names: Sequence[str], scheme: Scheme, where: str) -> InputError:
    """The error for names whose order cannot be trusted to be the scheme's."""
    if start_is_open(names, scheme):
        what = f"points are numbers, of which neither 0 nor {scheme.count} occurs: {_some(names)}"
        return InputError(what, where=where, hint="--names 0 or --names 1 says what they count from")
    own = set(map(key_of, scheme.points))
    # Those that are not the scheme's, where others are: a misspelt name is not looked for among 67 good ones.
    named = [name for name in names if key_of(name) not in own] or names
    what = f"points named {_some(named)} are none of scheme {scheme.name}, so their order cannot be trusted"
    return InputError(
        what, where=where, hint="--names FILE says which is which, --names keep takes them as they stand"
    )


def _no_repeats(names: Sequence[str], where: str) -> None:
    repeated = first_repeated(names)
    if repeated is not None:
        what = f"point name {repeated[:60]!r} stands twice, spelt alike or otherwise"
        raise InputError(what, where=where, expected="a name for each point")


def _some(names: Sequence[str]) -> str:
    """The first names, for a message."""
    return ", ".join(repr(name[:40]) for name in names[:3]) + (", …" if len(names) > 3 else "")


def _is_point(value: Any) -> bool:
    return value is None or isinstance(value, str) or (type(value) is int and 0 <= value < MOST_POINTS)


def _yaml(path: Path) -> Any:
    if path.stat().st_size > LARGEST_FILE:
        raise ParamsError(f"more than {LARGEST_FILE} bytes", where=str(path), expected=EXPECTED)
    try:
        return yaml_text.read(path.read_bytes())
    except yaml_text.YamlTextError as error:
        raise ParamsError(error.what, where=error.at(str(path))) from None
