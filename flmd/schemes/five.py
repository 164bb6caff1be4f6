"""Five points: eyes, nose, mouth corners, as CelebA, MTFL and MTCNN have them."""

from __future__ import annotations

from flmd.schemes.anatomy import flip_order_of
from flmd.schemes.base import Scheme, register


def _five(name: str) -> Scheme:
    """Right eye, left eye, nose, right and left mouth corner, by the person's own sides.

    CelebA's header calls the first ``lefteye`` and MTFL's description "left eye": both mean the picture's
    left, which is the person's right eye.
    """
    landmarks = ("right_pupil", "left_pupil", "nose_tip", "right_mouth_corner", "left_mouth_corner")
    return Scheme(
        name=name,
        points=("right_eye", "left_eye", "nose", "right_mouth_corner", "left_mouth_corner"),
        flip_order=flip_order_of(landmarks),
        regions={"right_eye": (0,), "left_eye": (1,), "nose": (2,), "mouth": (3, 4)},
        skeleton=((0, 1), (3, 4)),
        outer_eye_corners=None,
        pupils=((0,), (1,)),
        landmarks=landmarks,
    )


CELEBA5 = register(_five("celeba5"))  # Liu et al., ICCV 2015
MTFL5 = register(_five("mtfl5"))  # Zhang et al., ECCV 2014; the lists MTCNN is trained on
