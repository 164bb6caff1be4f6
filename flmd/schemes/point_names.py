"""What files call points, and the order that their names tell.

A name is known however it is spelt: ``jaw_0``, ``Jaw 0``, ``kpt-3``, ``3``, ``03``. Names that differ in
nothing but a number are numbers, and the whole set of them tells whether they count from 0 or from 1.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from flmd.schemes.base import SCHEMES, USUAL, Scheme, scheme_of_count

Key = tuple[str | int, ...]

LEFT_OUT = -1
_WORD = re.compile(r"[0-9]+|[^\W\d_]+|[^\w\s.:/()\[\]#-]")
_MOST_DIGITS = 9
_MOST_SEEN = 20_000  # names whose place is remembered
_OWN_FRAME = ("point", "#")  # of points<K>, which count from 0
# First numbers of a whole set of K points, besides 0 and 1: ibug51 is points 17 to 67 of ibug68.
_TAILS = {51: (17, 18)}
# Where the numbers are this set, they are ids, in this order. Source: the ldm_ids of SPIGA's data bases; its
# 300W, MERL-RAV and COFW-68 share the 68.
_IDS = {
    "ibug68": (
        *range(101, 109), 24, *range(110, 118), 1, 119, 2, 121, 3, 4, 124, 5, 126, 6, *range(128, 131),
        17, 16, 133, 134, 135, 18, 7, 138, 139, 8, 141, 142, 11, 144, 145, 12, 147, 148, 20, 150, 151, 22,
        153, 154, 21, 156, 157, 23, *range(159, 169),
    ),
    "wflw98": (
        *range(100, 116), 24, *range(117, 133), 1, 134, 2, 136, 3, *range(138, 142), 4, 143, 5, 145, 6,
        *range(147, 154), 17, 16, 156, 157, 158, 18, 7, 161, 9, 163, 8, 165, 10, 167, 11, 169, 13, 171, 12,
        173, 14, 175, 20, 177, 178, 22, 180, 181, 21, 183, 184, 23, *range(186, 198),
    ),
}  # fmt: skip
# Other words for the parts of ibug68, counted from 1 in each. Source: the names of COCO-WholeBody's face.
_PARTS = {
    "ibug68": (
        ("facecontour", 17), ("rightbrow", 5), ("leftbrow", 5), ("nosebridge", 4), ("nose", 5),
        ("righteye", 6), ("lefteye", 6), ("mouth", 12), ("lip", 8),
    )
}  # fmt: skip


def key_of(name: str) -> Key:
    """A name without its spelling: ``("rightbrow", 3)`` for "right_brow_3" and for "Right Eyebrow 03"."""
    parts: list[str | int] = []
    for word in _WORD.findall(name):
        if word.isdecimal() and len(word) <= _MOST_DIGITS:
            parts.append(int(word))
        elif parts and isinstance(parts[-1], str):
            parts[-1] += word.lower()
        else:
            parts.append(word.lower())
    if not parts:
        return (name,)
    return tuple(part.replace("eyebrow", "brow") if isinstance(part, str) else part for part in parts)


def first_repeated(names: Iterable[str]) -> str | None:
    """The first name that is another one's too, spelt alike or otherwise; None when each is its own."""
    seen: set[Key] = set()
    for name in names:
        key = key_of(name)
        if key in seen:
            return name
        seen.add(key)
    return None


def _number_in(key: Key) -> int | None:
    """The only number in a key; None when there is none, or another one."""
    numbers = [part for part in key if isinstance(part, int)]
    return numbers[0] if len(numbers) == 1 else None


def frame_of(name: str) -> Key | None:
    """What names that differ in nothing but a number have in common; None for a name that has no number."""
    key = key_of(name)
    return None if _number_in(key) is None else _frame(key)


def _frame(key: Key) -> Key:
    """A key without its number."""
    return tuple("#" if isinstance(part, int) else part for part in key)


def _spellings(scheme: Scheme) -> tuple[Mapping[Key, int], ...]:
    """Keys of all points of a scheme -> index, in each way that they are spelt; the scheme's own first."""
    return _spelt(scheme.name, scheme.points)


@cache
def _spelt(scheme: str, points: tuple[str, ...]) -> tuple[Mapping[Key, int], ...]:
    own = list(map(key_of, points))
    found: list[list[Key]] = [own]
    if all(_number_in(key) is not None for key in own):
        found.append([tuple(part + 1 if isinstance(part, int) else part for part in key) for key in own])
    if scheme in _IDS:
        found.append([(number,) for number in _IDS[scheme]])
    if scheme in _PARTS:
        found.append([(part, number) for part, count in _PARTS[scheme] for number in range(1, count + 1)])
    return tuple({key: index for index, key in enumerate(keys)} for keys in found)


@dataclass(frozen=True)
class PointOrder:
    """Where the points that a file names belong in a scheme.

    Attributes
    ----------
    places : key of a name -> index in the scheme, or LEFT_OUT.
    frame, start, count : of names that are numbers: their key without the number, the number of the first
        point, and how many points there are; ``frame`` is None where they are none.
    """

    places: Mapping[Key, int]
    frame: Key | None = None
    start: int = 0
    count: int = 0
    _seen: dict[str, int | None] = field(default_factory=dict, init=False, repr=False, compare=False)

    def place(self, name: str) -> int | None:
        """Index of the point of that name, LEFT_OUT for one to pass over; None for no point at all."""
        if name not in self._seen:
            if len(self._seen) >= _MOST_SEEN:
                self._seen.clear()
            self._seen[name] = self._place(key_of(name))
        return self._seen[name]

    def _place(self, key: Key) -> int | None:
        number = _number_in(key) if self.frame is not None and _frame(key) == self.frame else None
        if number is not None:
            return number - self.start if 0 <= number - self.start < self.count else None
        return self.places.get(key)


def known_scheme(names: Iterable[str], *, whole: bool = True) -> str | None:
    """Name of the scheme whose points these names are, however spelt; None where they do not tell.

    Of the schemes with names of their own that have all of these, the smallest; of a ``whole`` list that does
    not number its points, only one of which at least half of the points are there. Other numbers tell how
    many points there are, and so the scheme that is meant by as many.
    """
    keys = set(map(key_of, names))
    if not keys:
        return None
    schemes = _usual_first()
    for scheme in schemes:
        if any(keys == places.keys() for places in _spellings(scheme)):
            return scheme.name
    numbered = _numbers(keys)
    all_numbered = numbered is not None and len(numbered[1]) == len(keys)
    own = {scheme.name: _spellings(scheme)[0] for scheme in schemes}
    fitting = [name for name, places in own.items() if keys <= places.keys()]
    if whole and not all_numbered:
        fitting = [name for name in fitting if 2 * len(keys) >= len(own[name])]
    if fitting:
        return min(fitting, key=lambda name: len(own[name]))
    if numbered is None or not all_numbered:
        return None
    frame, numbers = numbered
    count = len(numbers) if whole else _count_of(numbers, frame)
    known = not whole or max(numbers) - min(numbers) < count
    return scheme_of_count(count) if known else None


def _usual_first() -> list[Scheme]:
    return list({name: SCHEMES[name] for name in (*USUAL.values(), *SCHEMES)}.values())


def known_order(names: Sequence[str], scheme: Scheme, *, whole: bool = True) -> PointOrder | None:
    """The order that names tell; None where they are not those of the scheme, however spelt.

    Parameters
    ----------
    names : of a file's points, none twice.
    whole : these are all the points there are, as a category's are; else those that have occurred so far,
        of which a few may be no points.
    """
    keys = set(map(key_of, names))
    spellings = _spellings(scheme)
    for places in spellings:
        if keys == places.keys():
            return PointOrder(places)
    if keys <= spellings[0].keys():
        return PointOrder(spellings[0])
    numbered = _numbers(keys)
    if numbered is not None and not (whole and len(numbered[1]) < len(keys)):
        frame, numbers = numbered
        ids = next((ids for ids in spellings[1:] if max(numbers) > scheme.count and keys <= ids.keys()), None)
        if ids is not None and not whole:
            return PointOrder(ids)
        start = _first_number(numbers, frame, scheme.count, whole=whole)
        if start is not None:
            return PointOrder(spellings[0], frame, start, scheme.count)
    own = len(keys & spellings[0].keys())
    return PointOrder(spellings[0]) if own and not whole and 2 * own >= len(keys) else None


def misplaced_part(labels: Mapping[str, Collection[int]], scheme: Scheme) -> str | None:
    """The first label that names a part of the face but has points of another part; None when there is none.

    ``labels`` : a part's name -> indices of its points. "left" and "right" are the picture's for some and the
    person's for others, so either is right.
    """
    parts: dict[str, set[int]] = {}
    for region, points in scheme.regions.items():
        parts.setdefault(_part(region), set()).update(points)
    for label, mask in labels.items():
        expected = parts.get(_part(label))
        if expected is not None and not expected.issuperset(mask):
            return label
    return None


def _part(label: str) -> str:
    words = "".join(part for part in key_of(label) if isinstance(part, str))
    return words.removeprefix("left").removeprefix("right")


def start_is_open(names: Iterable[str], scheme: Scheme) -> bool:
    """Whether names are numbers that may count from 0 as well as from 1."""
    numbered = _numbers(set(map(key_of, names)))
    return numbered is not None and 0 < min(numbered[1]) <= max(numbered[1]) < scheme.count


def numbered_order(names: Iterable[str], scheme: Scheme, start: int) -> PointOrder | None:
    """The order of names that are numbers counted from ``start``; None where they are no numbers."""
    numbered = _numbers(set(map(key_of, names)))
    return None if numbered is None else PointOrder({}, numbered[0], start, scheme.count)


def _numbers(keys: Collection[Key]) -> tuple[Key, set[int]] | None:
    """The frame that at least half of the keys share, and their numbers in it; None where there is none."""
    frames: dict[Key, set[int]] = {}
    for key in keys:
        number = _number_in(key)
        if number is not None:
            frames.setdefault(_frame(key), set()).add(number)
    if not frames:
        return None
    frame, numbers = max(frames.items(), key=lambda item: len(item[1]))
    return (frame, numbers) if 2 * len(numbers) >= len(keys) else None


def _first_number(numbers: Collection[int], frame: Key, count: int, *, whole: bool) -> int | None:
    """What the first of ``count`` points is called, from the numbers that occur; None where that is open."""
    if whole and len(numbers) >= count:
        low, high = min(numbers), max(numbers)
        if len(numbers) == high - low + 1 == count and low in (0, 1, *_TAILS.get(count, ())):
            return low
    if 0 in numbers:
        return 0
    if count in numbers:
        return 1
    return 0 if frame == _OWN_FRAME else None


def _count_of(numbers: Collection[int], frame: Key) -> int:
    """How many points there are, of which some have these numbers."""
    last = max(numbers)
    if 0 in numbers:
        return last + 1
    all_from_1 = len(numbers) == last and last + 1 not in USUAL and frame != _OWN_FRAME
    return last if last in USUAL or all_from_1 else last + 1
