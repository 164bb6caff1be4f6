"""The 68 points of iBUG 300-W."""

from __future__ import annotations

from flmd.schemes.base import Scheme, chain, register


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
    )


IBUG68 = register(_ibug68())
