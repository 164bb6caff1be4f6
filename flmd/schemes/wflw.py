"""The 98 points of WFLW."""

from __future__ import annotations

from flmd.schemes.anatomy import (
    BRIDGE,
    BROW_LOWER,
    BROW_UPPER,
    CONTOUR,
    LOWER_LID,
    MOUTH,
    NOSE_BASE,
    UPPER_LID,
    across,
    flip_order_of,
    left,
    right,
)
from flmd.schemes.base import Scheme, chain, register


def _wflw98() -> Scheme:
    """The 98 points of WFLW (Wu et al., "Look at Boundary", CVPR 2018).

    33 contour points, nine a brow (upper edge, then back along the lower one), four down the ridge of
    the nose and five under it, eight an eye, twelve outer and eight inner lip points, the pupils last.
    """
    landmarks = (
        *across(CONTOUR, "chin"),
        *right((*BROW_UPPER, *BROW_LOWER)),
        *left((*reversed(BROW_UPPER), *reversed(BROW_LOWER))),
        *BRIDGE,
        *NOSE_BASE,
        *right((*UPPER_LID, *LOWER_LID)),
        *left((*reversed(UPPER_LID), *reversed(LOWER_LID))),
        *MOUTH,
        "right_pupil",
        "left_pupil",
    )
    return Scheme(
        name="wflw98",
        points=landmarks,
        flip_order=flip_order_of(landmarks),
        regions={
            "jaw": tuple(range(33)),
            "right_brow": tuple(range(33, 42)),
            "left_brow": tuple(range(42, 51)),
            "nose": tuple(range(51, 60)),
            "right_eye": (*range(60, 68), 96),
            "left_eye": (*range(68, 76), 97),
            "mouth": tuple(range(76, 96)),
        },
        skeleton=(
            *chain(0, 32),
            *chain(33, 41, closed=True),
            *chain(42, 50, closed=True),
            *chain(51, 54),
            *chain(55, 59),
            *chain(60, 67, closed=True),
            *chain(68, 75, closed=True),
            *chain(76, 87, closed=True),
            *chain(88, 95, closed=True),
        ),
        outer_eye_corners=(60, 72),
        pupils=((96,), (97,)),
        landmarks=landmarks,
    )


WFLW98 = register(_wflw98())
