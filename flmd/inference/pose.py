"""Head pose of predicted faces, in degrees, from their points (``flmd.schemes.head_pose``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from flmd.core import geometry
from flmd.errors import FlmdError, ParamsError
from flmd.face import Face
from flmd.schemes import IBUG68, Scheme, head_pose
from flmd.schemes.mapping import mapping


def posed(faces: Iterable[Face], scheme: Scheme, to_upright: NDArray[np.float64]) -> Iterator[Face]:
    """The faces with ``yaw``, ``pitch`` and ``roll`` among their attributes, degrees to a hundredth.

    Parameters
    ----------
    faces : in ``scheme``; it is mapped to iBUG's 68 points as far as it goes. A face whose points cannot
        tell its pose has no such attributes.
    to_upright : (2, 3) from the faces' pixels to those of the picture as people see it: angles are of that.

    Raises
    ------
    ParamsError : the scheme shares fewer than six points with iBUG's.
    """
    change = None
    if scheme.name != IBUG68.name:
        try:
            change = mapping(scheme, IBUG68, partial=True)
        except FlmdError as error:
            raise ParamsError(f"no head pose from {scheme.name}: {error.what}") from None
        known = sum(kind != "absent" for kind in change.kinds)
        if known < head_pose.LEAST_POINTS:
            raise ParamsError(
                f"no head pose from {scheme.name}: it has {known} of iBUG's points",
                expected=f"{head_pose.LEAST_POINTS} or more",
            )
    for face in faces:
        points = face.landmarks if change is None else change.points(face.landmarks)
        upright = geometry.apply(to_upright, points)
        angles = [float(angle[0]) for angle in head_pose.estimate_pose(upright[None])]
        if np.isfinite(angles).all():
            named = dict(zip(("yaw", "pitch", "roll"), (round(angle, 2) for angle in angles), strict=True))
            yield replace(face, attributes={**face.attributes, **named})
        else:
            yield face
