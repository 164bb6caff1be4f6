"""The 19 points of AFLW as its published lists have them."""

from __future__ import annotations

from flmd.schemes.anatomy import across, flip_order_of, left, right
from flmd.schemes.base import Scheme, chain, register

_BROW = ("brow_outer_corner", "brow_middle", "brow_inner_corner")
_EYE = ("eye_outer_corner", "pupil", "eye_inner_corner")


def _aflw19() -> Scheme:
    """AFLW's 21 points without the ears (Koestinger et al., 2011; the list of Zhu et al., CVPR 2016).

    AFLW's own names ("LeftBrowLeftCorner") go by the picture's left; these by the person's.
    """
    landmarks = (
        *right(_BROW),
        *left(reversed(_BROW)),
        *right(_EYE),
        *left(reversed(_EYE)),
        *across(("alar_side",), "nose_tip"),
        *across(("mouth_corner",), "mouth_center"),
        "chin",
    )
    return Scheme(
        name="aflw19",
        points=landmarks,
        flip_order=flip_order_of(landmarks),
        regions={
            "jaw": (18,),
            "right_brow": (0, 1, 2),
            "left_brow": (3, 4, 5),
            "nose": (12, 13, 14),
            "right_eye": (6, 7, 8),
            "left_eye": (9, 10, 11),
            "mouth": (15, 16, 17),
        },
        skeleton=(
            *chain(0, 2),
            *chain(3, 5),
            *chain(6, 8),
            *chain(9, 11),
            *chain(12, 14),
            *chain(15, 17),
        ),
        outer_eye_corners=(6, 11),
        pupils=((7,), (10,)),
        landmarks=landmarks,
    )


AFLW19 = register(_aflw19())
