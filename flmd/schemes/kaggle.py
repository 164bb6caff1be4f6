"""The 15 points of Kaggle's Facial Keypoints Detection."""

from __future__ import annotations

from flmd.schemes.anatomy import flip_order_of
from flmd.schemes.base import Scheme, register

# A column's name (without _x, _y) and what it is. The columns' left and right are the person's own. The
# competition does not say where the "center" of a lip is; it is taken for the middle of its outer edge: the
# two of its first row are 0.32 of the distance of the pupils apart, where the median of 1008 iBUG faces is
# 0.29 between the outer edges and 0.17 between the lips' middles.
_COLUMNS = (
    ("left_eye_center", "left_pupil"),
    ("right_eye_center", "right_pupil"),
    ("left_eye_inner_corner", "left_eye_inner_corner"),
    ("left_eye_outer_corner", "left_eye_outer_corner"),
    ("right_eye_inner_corner", "right_eye_inner_corner"),
    ("right_eye_outer_corner", "right_eye_outer_corner"),
    ("left_eyebrow_inner_end", "left_brow_inner_corner"),
    ("left_eyebrow_outer_end", "left_brow_outer_corner"),
    ("right_eyebrow_inner_end", "right_brow_inner_corner"),
    ("right_eyebrow_outer_end", "right_brow_outer_corner"),
    ("nose_tip", "nose_tip"),
    ("mouth_left_corner", "left_mouth_corner"),
    ("mouth_right_corner", "right_mouth_corner"),
    ("mouth_center_top_lip", "upper_lip_top"),
    ("mouth_center_bottom_lip", "lower_lip_bottom"),
)


def _kaggle15() -> Scheme:
    """The columns of training.csv, in their order and under their names."""
    landmarks = tuple(word for _, word in _COLUMNS)
    return Scheme(
        name="kaggle15",
        points=tuple(column for column, _ in _COLUMNS),
        flip_order=flip_order_of(landmarks),
        regions={
            "right_brow": (8, 9),
            "left_brow": (6, 7),
            "nose": (10,),
            "right_eye": (1, 4, 5),
            "left_eye": (0, 2, 3),
            "mouth": (11, 12, 13, 14),
        },
        skeleton=((8, 9), (6, 7), (5, 1), (1, 4), (2, 0), (0, 3), (12, 13), (13, 11), (11, 14), (14, 12)),
        outer_eye_corners=(5, 3),
        pupils=((1,), (0,)),
        landmarks=landmarks,
    )


KAGGLE15 = register(_kaggle15())
