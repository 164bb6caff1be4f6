"""What a landmark scheme is, and the registry of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from flmd.errors import ParamsError, did_you_mean


@dataclass(frozen=True)
class Scheme:
    """A set of K named landmarks.

    Attributes
    ----------
    name : as written in stores and params.
    points : K names, in order.
    flip_order : K indices; point ``i`` of a mirrored face is point ``flip_order[i]`` of the original.
        None where no mirrored counterpart is defined: flipping such a scheme is an error.
    regions : region name -> indices.
    skeleton : pairs of indices joined by a line when a face is drawn.
    outer_eye_corners : the two points of the inter-ocular distance, or None.
    pupils : the two groups of points whose means are the pupils, or None. In both of these the person's
        right comes first.
    landmarks : what each point is, in the words of ``flmd.schemes.anatomy``; empty where nothing is known.
        Two schemes share a point where they share its word.
    """

    name: str
    points: tuple[str, ...]
    flip_order: tuple[int, ...] | None
    regions: Mapping[str, tuple[int, ...]]
    skeleton: tuple[tuple[int, int], ...] = field(repr=False)
    outer_eye_corners: tuple[int, int] | None
    pupils: tuple[tuple[int, ...], tuple[int, ...]] | None
    landmarks: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        count = len(self.points)
        if len(set(self.points)) != count:
            raise ValueError(f"{self.name}: point names repeat")
        if self.landmarks and (len(self.landmarks) != count or len(set(self.landmarks)) != count):
            raise ValueError(f"{self.name}: not one landmark for each of the {count} points")
        if self.flip_order is not None:
            if sorted(self.flip_order) != list(range(count)):
                raise ValueError(f"{self.name}: flip order is not a permutation of 0..{count - 1}")
            if any(self.flip_order[other] != i for i, other in enumerate(self.flip_order)):
                raise ValueError(f"{self.name}: flipping twice is not the identity")

    @property
    def count(self) -> int:
        """K, the number of points."""
        return len(self.points)

    def flip_indices(self) -> NDArray[np.intp]:
        """``(K,)`` indices to permute a mirrored face's points by; ParamsError without a flip order."""
        if self.flip_order is None:
            raise ParamsError(f"scheme {self.name} has no flip order", hint="set augment.flip: 0")
        return np.asarray(self.flip_order, dtype=np.intp)


SCHEMES: dict[str, Scheme] = {}
# Point counts that mean one scheme in practice. 106 points are also InsightFace's, in another order, but
# those are a model's output, not a data set's. Not here: 5 (CelebA, MTFL, RetinaFace's and dlib's five
# differ) and 19 (AFLW's list, and several challenges' own).
USUAL = {
    15: "kaggle15",
    29: "cofw29",
    51: "ibug51",
    68: "ibug68",
    70: "openpose70",
    98: "wflw98",
    106: "lapa106",
    478: "mediapipe478",
}
MOST_POINTS = 10_000
_UNNAMED = re.compile(r"points([1-9][0-9]{0,4})")


def register(scheme: Scheme) -> Scheme:
    """Add a scheme to the registry; a name can be taken once."""
    if scheme.name in SCHEMES:
        raise ValueError(f"scheme {scheme.name} is registered twice")
    SCHEMES[scheme.name] = scheme
    return scheme


def get_scheme(name: str) -> Scheme:
    """The scheme of that name; ParamsError that names the nearest one otherwise.

    ``points<K>``, such as ``points17``, is K points of which nothing is known but their number.
    """
    if name in SCHEMES:
        return SCHEMES[name]
    unnamed = _UNNAMED.fullmatch(name)
    if unnamed and 0 < int(unnamed[1]) <= MOST_POINTS:
        return unnamed_scheme(int(unnamed[1]))
    expected, hint = "one of " + ", ".join(sorted(SCHEMES)), did_you_mean(name, SCHEMES)
    raise ParamsError(f"unknown scheme {name!r}", expected=expected, hint=hint)


@cache
def unnamed_scheme(count: int) -> Scheme:
    """``points<K>``: K points without meaning, which can be kept and drawn but not flipped."""
    names = tuple(f"point_{i}" for i in range(count))
    return Scheme(f"points{count}", names, None, {}, (), None, None)


def scheme_of_count(count: int) -> str:
    """Name of the scheme that K points must mean: the one registered as usual for K, else ``points<K>``."""
    return USUAL.get(count, f"points{count}")


def chain(first: int, last: int, *, closed: bool = False) -> tuple[tuple[int, int], ...]:
    """Pairs of neighbours first ... last, for a skeleton; ``closed`` joins the ends."""
    steps = tuple((i, i + 1) for i in range(first, last))
    return (*steps, (last, first)) if closed else steps
