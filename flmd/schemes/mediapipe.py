"""The 478 points of MediaPipe's face landmarker: a mesh of 468, and five of each iris.

Which of them are iBUG's 68 has been published more than once, and not alike. The words below follow P.
Yan's map of 2024 (``Mediapipe_2_Dlib_Landmarks``), the nearer one to real faces, but for the person's
left jaw, where it is not its own mirror image. docs/schemes.md says how far apart the maps are.
"""

from __future__ import annotations

import itertools

from flmd.schemes.anatomy import LEFT, RIGHT, flip_order_of, mirrored
from flmd.schemes.base import Scheme, register
from flmd.schemes.ibug import IBUG68

MESH, IRIS = 468, 5
_MIDLINE = (*(0, 1, 2, 4, 5, 6), *range(8, 20), *(94, 151, 152, 164, 168, 175, 195, 197, 199, 200))
_FIRST_LEFT = 248  # from here on, the mirror images of the points before that are off the midline, in order

# iBUG's index -> the mesh's, on the person's right and the midline. What is made of two is in the rules of
# flmd.schemes.mapping.
_IBUG = {
    0: 127, 1: 234, 2: 93, 5: 136, 6: 150, 7: 176, 8: 152,
    17: 70, 18: 63, 19: 105, 20: 66, 21: 107,
    29: 5, 30: 4, 31: 75, 32: 97, 33: 2,
    36: 33, 37: 160, 38: 158, 39: 133, 40: 153, 41: 144,
    48: 61, 49: 39, 50: 37, 51: 0, 57: 17, 58: 84, 59: 91,
    60: 78, 61: 82, 62: 13, 66: 14, 67: 87,
}  # fmt: skip
_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
_BROW = ((70, 63, 105, 66, 107), (46, 53, 52, 65, 55))
_LIPS = (
    (61, 146, 91, 181, 84, 17), (61, 185, 40, 39, 37, 0),
    (78, 95, 88, 178, 87, 14), (78, 191, 80, 81, 82, 13),
)  # fmt: skip
_OVAL = (10, 109, 67, 103, 54, 21, 162, 127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152)
_JAW = _OVAL[_OVAL.index(127) :]
_NOSE = (168, 6, 197, 195, 5, 4, 1, 19, 94, 2)
_NOSTRIL = (75, 97, 98)


def _left_of() -> dict[int, int]:
    """The person's right point -> its mirror image."""
    right = [i for i in range(_FIRST_LEFT) if i not in _MIDLINE]
    return dict(zip(right, range(_FIRST_LEFT, MESH), strict=True))


def _words() -> tuple[str, ...]:
    """A word for each point: iBUG's where it is one, else the mesh's index, of the right side."""
    words = {i: f"mesh_{i}" for i in _MIDLINE}
    for right, left in _left_of().items():
        words[right], words[left] = f"{RIGHT}mesh_{right}", f"{LEFT}mesh_{right}"
    for ibug, right in _IBUG.items():
        words[right] = word = IBUG68.landmarks[ibug]
        words[_left_of().get(right, right)] = mirrored(word)
    # Of an iris the centre, then what the picture has at its right, top, left and bottom.
    names = ("pupil", "iris_inner", "iris_top", "iris_outer", "iris_bottom")
    for start, side, order in ((MESH, RIGHT, (0, 1, 2, 3, 4)), (MESH + IRIS, LEFT, (0, 3, 2, 1, 4))):
        words |= {start + i: side + names[place] for i, place in enumerate(order)}
    return tuple(words[i] for i in range(MESH + 2 * IRIS))


def _mediapipe478() -> Scheme:
    """MediaPipe's order; 468 points are those without the irises."""
    landmarks, left_of = _words(), _left_of()

    def left(points: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(left_of.get(i, i) for i in points)

    def both(points: tuple[int, ...]) -> set[int]:
        return {*points, *left(points)}

    right_eye = (*_EYE, *range(MESH, MESH + IRIS))
    regions = {
        "jaw": tuple(sorted(both(_JAW))),
        "right_brow": tuple(sorted(i for line in _BROW for i in line)),
        "left_brow": tuple(sorted(i for line in _BROW for i in left(line))),
        "nose": tuple(sorted(both((*_NOSE, *_NOSTRIL)))),
        "right_eye": tuple(sorted(right_eye)),
        "left_eye": tuple(sorted((*left(_EYE), *range(MESH + IRIS, MESH + 2 * IRIS)))),
        "mouth": tuple(sorted({i for line in _LIPS for i in both(line)})),
    }
    named = {i for points in regions.values() for i in points}
    regions["skin"] = tuple(i for i in range(len(landmarks)) if i not in named)
    lines = [_OVAL, *_BROW, (*_EYE, _EYE[0]), *_LIPS]
    pairs = [pair for line in lines for side in (line, left(line)) for pair in itertools.pairwise(side)]
    return Scheme(
        name="mediapipe478",
        points=tuple(f"mesh_{i}" for i in range(MESH)) + landmarks[MESH:],
        flip_order=flip_order_of(landmarks),
        regions=regions,
        skeleton=(*pairs, *itertools.pairwise(_NOSE)),
        outer_eye_corners=(33, 263),
        pupils=((33, 160, 158, 133, 153, 144), (263, 387, 385, 362, 380, 373)),
        landmarks=landmarks,
    )


MEDIAPIPE478 = register(_mediapipe478())
