"""The 70 points of OpenPose's face: iBUG's 68 and the two pupils. FaceSynthetics has the same."""

from __future__ import annotations

from flmd.schemes.anatomy import flip_order_of
from flmd.schemes.base import Scheme, register
from flmd.schemes.ibug import IBUG68


def _openpose70() -> Scheme:
    """iBUG's points, then the person's right and left pupil (Cao et al., 2019; Wood et al., ICCV 2021)."""
    landmarks = (*IBUG68.landmarks, "right_pupil", "left_pupil")
    regions = dict(IBUG68.regions)
    regions["right_eye"] += (68,)
    regions["left_eye"] += (69,)
    return Scheme(
        name="openpose70",
        points=(*IBUG68.points, "right_pupil", "left_pupil"),
        flip_order=flip_order_of(landmarks),
        regions=regions,
        skeleton=IBUG68.skeleton,
        outer_eye_corners=IBUG68.outer_eye_corners,
        pupils=((68,), (69,)),
        landmarks=landmarks,
    )


OPENPOSE70 = register(_openpose70())
