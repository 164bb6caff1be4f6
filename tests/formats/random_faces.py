"""Hypothesis strategies for faces, shared by the tests of formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flmd.face import Face, visibility_of

HARD = " &'<>\"%#;=äéÿÅ中😀-_.abc0123"


def segments(alphabet: str) -> st.SearchStrategy[str]:
    """Parts of a path that mean themselves."""
    return st.text(alphabet, min_size=1, max_size=12).filter(lambda s: s not in (".", ".."))


def image_names(alphabet: str = HARD) -> st.SearchStrategy[str]:
    """Relative paths, up to three deep."""
    return st.lists(segments(alphabet), min_size=1, max_size=3).map("/".join)


def points(count: int, *, whole: bool) -> st.SearchStrategy[np.ndarray]:
    """(count, 2) float32, below zero too; any finite float32 unless ``whole``."""
    if whole:
        return hnp.arrays(np.int64, (count, 2), elements=st.integers(-5000, 20000)).map(np.float32)
    numbers = st.floats(-1e6, 1e6, width=32) | st.floats(allow_nan=False, allow_infinity=False, width=32)
    return hnp.arrays(np.float32, (count, 2), elements=numbers)


def make_face(image: str, landmarks: np.ndarray, **fields: object) -> Face:
    """A face whose visibility follows from its points."""
    return Face(image=image, landmarks=landmarks, visibility=visibility_of(landmarks), **fields)


def same_points(one: Face, two: Face) -> bool:
    """Bit for bit, NaN in the same places."""
    return np.array_equal(one.landmarks, two.landmarks, equal_nan=True) and np.array_equal(
        one.visibility, two.visibility
    )


def each_is_one_of(
    again: Iterable[object], faces: Iterable[Face], same: Callable[[Face, Face], bool]
) -> bool:
    """Whether each face read back is one of those written, none of them twice.

    Files come back in the order of their names, and faces may have the same points: only ``same`` tells
    which is which.
    """
    left = list(faces)
    for back in again:
        found = next((i for i, face in enumerate(left) if isinstance(back, Face) and same(face, back)), None)
        if found is None:
            return False
        del left[found]
    return True
