"""One vocabulary of facial landmarks, which every scheme's points are called by.

Two schemes agree on a point exactly where they use the same word for it. A side is the person's own and
comes first: ``right_eye_outer_corner``. Mirroring a face swaps ``right_`` and ``left_``; a word without a
side lies on the midline.

The contour is counted from the chin up: ``right_contour_16`` is at the right temple, ``right_contour_1``
next to ``chin``. Schemes with 17 contour points have every second one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

RIGHT, LEFT = "right_", "left_"

CONTOUR = tuple(f"contour_{i}" for i in range(16, 0, -1))
BROW_UPPER = ("brow_outer_corner", "brow_upper_outer", "brow_upper_middle", "brow_upper_inner",
              "brow_upper_inner_end")  # fmt: skip
BROW_LOWER = ("brow_lower_inner_end", "brow_lower_inner", "brow_lower_middle", "brow_lower_outer")
BRIDGE = ("nose_bridge_top", "nose_bridge_upper", "nose_bridge_lower", "nose_tip")
UPPER_LID = ("eye_outer_corner", "eye_upper_outer", "eye_upper_middle", "eye_upper_inner",
             "eye_inner_corner")  # fmt: skip
LOWER_LID = ("eye_lower_inner", "eye_lower_middle", "eye_lower_outer")


def right(words: Iterable[str]) -> tuple[str, ...]:
    """The words on the person's right, in the order given."""
    return tuple(RIGHT + word for word in words)


def left(words: Iterable[str]) -> tuple[str, ...]:
    """The words on the person's left, in the order given."""
    return tuple(LEFT + word for word in words)


def across(words: Sequence[str], middle: str) -> tuple[str, ...]:
    """A line over the midline: the words on the right, the middle, the words backwards on the left."""
    return (*right(words), middle, *left(reversed(words)))


def around(words: Sequence[str], middle: str) -> tuple[str, ...]:
    """As ``across``, from the person's left to the right: the way back of a closed line."""
    return (*left(words), middle, *right(reversed(words)))


NOSE_BASE = across(("nostril_outer", "nostril_inner"), "subnasal")
OUTER_LIP = (
    *across(("mouth_corner", "upper_lip_outer", "upper_lip_peak"), "upper_lip_top"),
    *around(("lower_lip_outer", "lower_lip_inner"), "lower_lip_bottom"),
)
INNER_LIP = (
    *across(("inner_mouth_corner", "inner_upper_lip"), "upper_lip_bottom"),
    *around(("inner_lower_lip",), "lower_lip_top"),
)
MOUTH = (*OUTER_LIP, *INNER_LIP)


def mirrored(word: str) -> str:
    """The word for the same landmark on the other side; the word itself on the midline."""
    if word.startswith(RIGHT):
        return LEFT + word.removeprefix(RIGHT)
    if word.startswith(LEFT):
        return RIGHT + word.removeprefix(LEFT)
    return word


def flip_order_of(landmarks: Sequence[str]) -> tuple[int, ...]:
    """K indices: where each word's mirrored word stands."""
    place = {word: i for i, word in enumerate(landmarks)}
    return tuple(place[mirrored(word)] for word in landmarks)
