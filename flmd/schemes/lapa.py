"""The 106 points of LaPa and of the JD-landmark challenge."""

from __future__ import annotations

from flmd.schemes.anatomy import (
    BRIDGE,
    BROW_LOWER,
    BROW_UPPER,
    CONTOUR,
    LOWER_LID,
    MOUTH,
    UPPER_LID,
    across,
    flip_order_of,
    left,
    right,
)
from flmd.schemes.base import Scheme, chain, register

_NOSE = ("nose_root_side", "alar_top", "alar_side", "nostril_outer", "nostril_inner")


def _points106(name: str) -> Scheme:
    """106 points: as WFLW's 98, but eleven around the nose and a centre for each eye.

    74 and 83 are the eyes' centres, 104 and 105 the pupils; the published faces looked at have them on the
    same spot. That 58 to 62, not 57 and 63, are iBUG's 31 to 35 was measured: iBUG's nose base as predicted
    from the other points of a face lies within 0.04 of the inter-ocular distance of 58 to 62, and 0.06 to
    0.09 from 57 and 63, which sit on the sides of the wings.
    """
    landmarks = (
        *across(CONTOUR, "chin"),
        *right((*BROW_UPPER, *BROW_LOWER)),
        *left((*reversed(BROW_UPPER), *reversed(BROW_LOWER))),
        *BRIDGE,
        *across(_NOSE, "subnasal"),
        *right((*UPPER_LID, *LOWER_LID, "eye_center")),
        *left((*reversed(UPPER_LID), *reversed(LOWER_LID), "eye_center")),
        *MOUTH,
        "right_pupil",
        "left_pupil",
    )
    return Scheme(
        name=name,
        points=landmarks,
        flip_order=flip_order_of(landmarks),
        regions={
            "jaw": tuple(range(33)),
            "right_brow": tuple(range(33, 42)),
            "left_brow": tuple(range(42, 51)),
            "nose": tuple(range(51, 66)),
            "right_eye": (*range(66, 75), 104),
            "left_eye": (*range(75, 84), 105),
            "mouth": tuple(range(84, 104)),
        },
        skeleton=(
            *chain(0, 32),
            *chain(33, 41, closed=True),
            *chain(42, 50, closed=True),
            *chain(51, 54),
            *chain(55, 65),
            *chain(66, 73, closed=True),
            *chain(75, 82, closed=True),
            *chain(84, 95, closed=True),
            *chain(96, 103, closed=True),
        ),
        outer_eye_corners=(66, 79),
        pupils=((104,), (105,)),
        landmarks=landmarks,
    )


LAPA106 = register(_points106("lapa106"))  # Liu et al., AAAI 2020
JD106 = register(_points106("jd106"))  # Liu et al., ICME 2019: the same markup, by the same people
