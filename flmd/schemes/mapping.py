"""From one landmark scheme to another, point by point, through the words both call their points by.

A target point is *exact* where the source has a point of the same word, *interpolated* where it is made of
other points by ``RULES``, and *absent* otherwise. No table for a pair of schemes exists: the published ones
(WFLW's 98 to 68) follow from the words, and the tests hold them to that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from flmd.core import exact
from flmd.errors import ParamsError
from flmd.face import Face
from flmd.schemes.anatomy import LEFT, RIGHT, mirrored
from flmd.schemes.base import SCHEMES, Scheme, get_scheme

Kind = Literal["exact", "interpolated", "absent"]

_EYE = tuple(
    f"right_eye_{place}"
    for place in ("outer_corner", "upper_outer", "upper_inner", "inner_corner", "lower_inner", "lower_outer")
)

# A word and the points whose mean stands for it, the best choice first; for the right side and the midline,
# the left follows. A single point stands in for a neighbour: iBUG has one line of points along a brow where
# others have its two edges or its middle. The sides of the nose's wings are not made of the nostrils' outer
# ends: they lie half as far again from each other.
RULES: dict[str, tuple[tuple[str, ...], ...]] = {
    "right_pupil": (_EYE,),
    "right_eye_center": (("right_pupil",), _EYE),
    "right_eye_upper_middle": (("right_eye_upper_outer", "right_eye_upper_inner"),),
    "right_eye_lower_middle": (("right_eye_lower_outer", "right_eye_lower_inner"),),
    "right_brow_inner_corner": (
        ("right_brow_upper_inner_end", "right_brow_lower_inner_end"),
        ("right_brow_upper_inner_end",),
    ),
    "right_brow_middle": (
        ("right_brow_upper_middle", "right_brow_lower_middle"),
        ("right_brow_upper_middle",),
    ),
    # MediaPipe's mesh, which has points on either side of some of iBUG's: see flmd.schemes.mediapipe.
    "right_contour_10": (("right_mesh_132", "right_mesh_58"),),
    "right_contour_8": (("right_mesh_58", "right_mesh_172"),),
    "nose_bridge_top": (("mesh_168", "mesh_6"),),
    "nose_bridge_upper": (("mesh_197", "mesh_195"),),
    "mouth_center": (("upper_lip_bottom", "lower_lip_top"),),
}
_NAMED = 5  # missing points that a message names


@dataclass(frozen=True, eq=False)
class SchemeMapping:
    """How the points of ``target`` are had from those of ``source``.

    Attributes
    ----------
    source, target : the schemes, of K_s and K_t points.
    kinds : K_t times "exact", "interpolated" or "absent".
    weights : (K_t, K_s) float64, read-only; a row sums to 1, or is 0 where the point is absent.
    """

    source: Scheme
    target: Scheme
    kinds: tuple[Kind, ...]
    weights: NDArray[np.float64]

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the target's points that the source has not."""
        return tuple(
            name for name, kind in zip(self.target.points, self.kinds, strict=True) if kind == "absent"
        )

    def points(self, landmarks: NDArray[np.floating]) -> NDArray[np.float32]:
        """``(..., K_s, 2)`` to ``(..., K_t, 2)`` float32, NaN where a needed point is NaN or absent.

        Exact points are copies, bit for bit; others are added up in float64. ValueError for another shape.
        """
        if landmarks.shape[-2:] != (self.source.count, 2):
            raise ValueError(f"landmarks of shape {landmarks.shape}, expected (..., {self.source.count}, 2)")
        mapped = np.full((*landmarks.shape[:-2], self.target.count, 2), np.nan, dtype=np.float32)
        for to, needed in self._needed():
            if self.kinds[to] == "exact":
                mapped[..., to, :] = landmarks[..., needed[0], :]
            else:
                shares = self.weights[to, needed][:, None] * landmarks[..., needed, :].astype(np.float64)
                mapped[..., to, :] = exact.total(shares, axis=-2)
        mapped[np.isnan(mapped).any(axis=-1)] = np.nan
        return mapped

    def visibility(self, visibility: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """``(..., K_s)`` to ``(..., K_t)`` uint8: that of the least visible point needed, 0 where absent."""
        if visibility.shape[-1:] != (self.source.count,):
            raise ValueError(f"visibility of shape {visibility.shape}, expected (..., {self.source.count})")
        mapped = np.zeros((*visibility.shape[:-1], self.target.count), dtype=np.uint8)
        for to, needed in self._needed():
            mapped[..., to] = visibility[..., needed].min(axis=-1)
        return mapped

    def face(self, face: Face) -> Face:
        """The face with its points in the target scheme; all else, the box too, stays as it is."""
        return replace(
            face, landmarks=self.points(face.landmarks), visibility=self.visibility(face.visibility)
        )

    def _needed(self) -> list[tuple[int, NDArray[np.intp]]]:
        """Each target point that can be had, with the source points it needs."""
        rows = ((to, np.flatnonzero(row)) for to, row in enumerate(self.weights))
        return [(to, needed) for to, needed in rows if needed.size]


def mapping(source: Scheme | str, target: Scheme | str, *, partial: bool = False) -> SchemeMapping:
    """The mapping from one scheme to another.

    ParamsError naming the points when the source lacks some of the target's, unless ``partial``; those are
    then NaN and not labelled. Schemes without a point in common are always an error.
    """
    source = get_scheme(source) if isinstance(source, str) else source
    target = get_scheme(target) if isinstance(target, str) else target
    mapped = _mapped(source, target)
    missing = mapped.missing
    if len(missing) == target.count or (missing and not partial):
        others = ", ".join(available(source))
        raise ParamsError(
            f"scheme {source.name} lacks {len(missing)} of the {target.count} points of {target.name}: "
            + ", ".join(missing[:_NAMED])
            + (f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""),
            hint=f"it can be mapped to {others}" if others else None,
        )
    return mapped


def available(source: Scheme | str) -> list[str]:
    """Names of the other registered schemes whose every point the source has or yields, sorted."""
    source = get_scheme(source) if isinstance(source, str) else source
    return sorted(
        name
        for name, target in SCHEMES.items()
        if name != source.name and not _mapped(source, target).missing
    )


def _mapped(source: Scheme, target: Scheme) -> SchemeMapping:
    weights = np.zeros((target.count, source.count))
    kinds: list[Kind] = []
    if source.name == target.name:
        np.fill_diagonal(weights, 1.0)
        kinds = ["exact"] * target.count
    else:
        place = {word: i for i, word in enumerate(source.landmarks)}
        words: Sequence[str | None] = target.landmarks or (None,) * target.count
        for row, word in zip(weights, words, strict=True):
            if word in place:
                row[place[word]] = 1.0
                kinds.append("exact")
                continue
            made_of = next((p for p in _choices(word) if all(w in place for w in p)), None)
            kinds.append("interpolated" if made_of else "absent")
            for other in made_of or ():
                row[place[other]] = 1.0 / len(made_of or ())
    weights.setflags(write=False)
    return SchemeMapping(source, target, tuple(kinds), weights)


def _choices(word: str | None) -> tuple[tuple[str, ...], ...]:
    """What a word may be made of, best first."""
    if word is None:
        return ()
    if word.startswith(LEFT):
        twin = RULES.get(RIGHT + word.removeprefix(LEFT), ())
        return tuple(tuple(mirrored(other) for other in choice) for choice in twin)
    return RULES.get(word, ())
