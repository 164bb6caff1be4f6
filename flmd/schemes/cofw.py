"""The 29 points of COFW."""

from __future__ import annotations

from flmd.schemes.anatomy import flip_order_of, left, right
from flmd.schemes.base import Scheme, chain, register

_LIDS = ("eye_upper_middle", "eye_lower_middle")
_BROW = ("brow_upper_middle", "brow_lower_middle")


def _both(word: str) -> tuple[str, str]:
    return (f"right_{word}", f"left_{word}")


def _cofw29() -> Scheme:
    """The 29 points of COFW (Burgos-Artizzu et al., ICCV 2013), mostly in pairs, right before left."""
    landmarks = (
        *_both("brow_outer_corner"),
        *_both("brow_inner_corner"),
        *right(_BROW),
        *left(_BROW),
        *_both("eye_outer_corner"),
        *_both("eye_inner_corner"),
        *right(_LIDS),
        *left(_LIDS),
        *_both("pupil"),
        *_both("alar_side"),
        "nose_tip",
        "subnasal",
        *_both("mouth_corner"),
        "upper_lip_top",
        "upper_lip_bottom",
        "lower_lip_top",
        "lower_lip_bottom",
        "chin",
    )
    return Scheme(
        name="cofw29",
        points=landmarks,
        flip_order=flip_order_of(landmarks),
        regions={
            "jaw": (28,),
            "right_brow": (0, 2, 4, 5),
            "left_brow": (1, 3, 6, 7),
            "nose": (18, 19, 20, 21),
            "right_eye": (8, 10, 12, 13, 16),
            "left_eye": (9, 11, 14, 15, 17),
            "mouth": tuple(range(22, 28)),
        },
        skeleton=(
            *_ring(0, 4, 2, 5),
            *_ring(1, 6, 3, 7),
            *_ring(8, 12, 10, 13),
            *_ring(9, 14, 11, 15),
            *((18, 21), (21, 19), *chain(20, 21)),
            *_ring(22, 24, 23, 27),
            *_ring(22, 25, 23, 26),
        ),
        outer_eye_corners=(8, 9),
        pupils=((16,), (17,)),
        landmarks=landmarks,
    )


def _ring(*points: int) -> tuple[tuple[int, int], ...]:
    return tuple(zip(points, (*points[1:], points[0]), strict=True))


COFW29 = register(_cofw29())
