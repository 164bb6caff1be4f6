"""Landmark schemes: what each point is called, which points mirror into which, and which make an eye.

A scheme is plain data. Indices are 0-based. "left" and "right" are the *person's* own, as in iBUG's
papers: the right eye (36-41) is on the left side of an unmirrored picture.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from flmd.errors import ParamsError


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
    pupils : the two groups of points whose means are the pupils, or None.
    """

    name: str
    points: tuple[str, ...]
    flip_order: tuple[int, ...] | None
    regions: Mapping[str, tuple[int, ...]]
    skeleton: tuple[tuple[int, int], ...] = field(repr=False)
    outer_eye_corners: tuple[int, int] | None
    pupils: tuple[tuple[int, ...], tuple[int, ...]] | None

    def __post_init__(self) -> None:
        count = len(self.points)
        if len(set(self.points)) != count:
            raise ValueError(f"{self.name}: point names repeat")
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


def register(scheme: Scheme) -> Scheme:
    """Add a scheme to the registry; a name can be taken once."""
    if scheme.name in SCHEMES:
        raise ValueError(f"scheme {scheme.name} is registered twice")
    SCHEMES[scheme.name] = scheme
    return scheme


def get_scheme(name: str) -> Scheme:
    """The scheme of that name; ParamsError that names the nearest one otherwise."""
    if name in SCHEMES:
        return SCHEMES[name]
    near = difflib.get_close_matches(name, SCHEMES, n=1)
    hint = f"did you mean {near[0]!r}?" if near else None
    raise ParamsError(f"unknown scheme {name!r}", expected="one of " + ", ".join(sorted(SCHEMES)), hint=hint)


def _chain(first: int, last: int, *, closed: bool = False) -> tuple[tuple[int, int], ...]:
    steps = tuple((i, i + 1) for i in range(first, last))
    return (*steps, (last, first)) if closed else steps


def _ibug68() -> Scheme:
    """The 68 points of iBUG 300-W (Sagonas et al., 2013), order and flips as in FORMATS.md."""
    names = (
        *(f"jaw_{i}" for i in range(17)),
        *(f"right_brow_{i}" for i in range(5)),
        *(f"left_brow_{i}" for i in range(5)),
        *(f"nose_bridge_{i}" for i in range(4)),
        *(f"nostril_{i}" for i in range(5)),
        *(f"right_eye_{i}" for i in range(6)),
        *(f"left_eye_{i}" for i in range(6)),
        *(f"outer_lip_{i}" for i in range(12)),
        *(f"inner_lip_{i}" for i in range(8)),
    )
    flip = (
        *range(16, -1, -1),
        *range(26, 16, -1),
        27, 28, 29, 30,
        35, 34, 33, 32, 31,
        45, 44, 43, 42, 47, 46,
        39, 38, 37, 36, 41, 40,
        *range(54, 47, -1),
        *range(59, 54, -1),
        *range(64, 59, -1),
        67, 66, 65,
    )  # fmt: skip
    return Scheme(
        name="ibug68",
        points=names,
        flip_order=flip,
        regions={
            "jaw": tuple(range(17)),
            "right_brow": tuple(range(17, 22)),
            "left_brow": tuple(range(22, 27)),
            "nose": tuple(range(27, 36)),
            "right_eye": tuple(range(36, 42)),
            "left_eye": tuple(range(42, 48)),
            "mouth": tuple(range(48, 68)),
        },
        skeleton=(
            *_chain(0, 16),
            *_chain(17, 21),
            *_chain(22, 26),
            *_chain(27, 30),
            *_chain(31, 35),
            *_chain(36, 41, closed=True),
            *_chain(42, 47, closed=True),
            *_chain(48, 59, closed=True),
            *_chain(60, 67, closed=True),
        ),
        outer_eye_corners=(36, 45),
        pupils=(tuple(range(36, 42)), tuple(range(42, 48))),
    )


IBUG68 = register(_ibug68())
