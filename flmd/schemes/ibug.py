"""The 68 points of iBUG 300-W, the 51 of them inside the face, and COCO-WholeBody's copy of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from flmd.schemes.anatomy import (
    BRIDGE,
    BROW_UPPER,
    CONTOUR,
    MOUTH,
    NOSE_BASE,
    across,
    flip_order_of,
    left,
    right,
)
from flmd.schemes.base import Scheme, chain, register

_UPPER_LID = ("eye_outer_corner", "eye_upper_outer", "eye_upper_inner", "eye_inner_corner")
_LOWER_LID = ("eye_lower_inner", "eye_lower_outer")
_INSIDE = (
    *right(BROW_UPPER),
    *left(reversed(BROW_UPPER)),
    *BRIDGE,
    *NOSE_BASE,
    *right((*_UPPER_LID, *_LOWER_LID)),
    *left((*reversed(_UPPER_LID), *reversed(_LOWER_LID))),
    *MOUTH,
)
_JAW = 17


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
            *chain(0, 16),
            *chain(17, 21),
            *chain(22, 26),
            *chain(27, 30),
            *chain(31, 35),
            *chain(36, 41, closed=True),
            *chain(42, 47, closed=True),
            *chain(48, 59, closed=True),
            *chain(60, 67, closed=True),
        ),
        outer_eye_corners=(36, 45),
        pupils=(tuple(range(36, 42)), tuple(range(42, 48))),
        landmarks=(*across(CONTOUR[::2], "chin"), *_INSIDE),
    )


def _ibug51(whole: Scheme) -> Scheme:
    """The 68 points without the 17 of the jaw, as 300-W scores them apart."""

    def moved(indices: Iterable[int]) -> tuple[int, ...]:
        return tuple(i - _JAW for i in indices)

    return Scheme(
        name="ibug51",
        points=whole.points[_JAW:],
        flip_order=flip_order_of(_INSIDE),
        regions={name: moved(points) for name, points in whole.regions.items() if name != "jaw"},
        skeleton=tuple((a - _JAW, b - _JAW) for a, b in whole.skeleton if min(a, b) >= _JAW),
        outer_eye_corners=(19, 28),
        pupils=(tuple(range(19, 25)), tuple(range(25, 31))),
        landmarks=_INSIDE,
    )


IBUG68 = register(_ibug68())
IBUG51 = register(_ibug51(IBUG68))
WHOLEBODY68 = register(replace(IBUG68, name="wholebody68"))  # COCO-WholeBody's face_kpts (Jin et al., 2020)
