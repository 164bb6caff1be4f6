"""The third coordinate of points, which a face has no field for: kept as one attribute, a text.

Such a text is the K numbers in the order of the points, separated by spaces, ``nan`` where there is none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flmd.face import Face
from flmd.formats.common.json_lists import shortest
from flmd.formats.common.text_list import numbers
from flmd.formats.writing import number_text

DEPTH = "z"


def numbers_text(values: NDArray[np.floating]) -> str:
    """The text of numbers of any shape, each with the fewest decimals that give the same float32."""
    return " ".join(map(number_text, shortest(values)))


def numbers_of(face: Face, key: str, count: int) -> NDArray[np.float32] | None:
    """(count,) float32 of the attribute of that name; None when it is no text of so many numbers."""
    text = face.attributes.get(key)
    if not isinstance(text, str):
        return None
    words = text.split()
    known = [word for word in words if word != "nan"]
    values = numbers(known)
    if len(words) != count or values is None:
        return None
    out = np.full(count, np.nan, np.float32)
    out[[word != "nan" for word in words]] = values
    return out
