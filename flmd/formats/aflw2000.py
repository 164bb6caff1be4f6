"""AFLW2000-3D: 68 points of a fitted face for each picture, in a MATLAB file beside it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flmd.face import Attribute, Face
from flmd.formats.common.depth import numbers_of, numbers_text
from flmd.formats.pt3d_mat import (
    Pt3dFormat,
    Variables,
    depth_variables,
    has_shape,
    landmarks_of,
    matrix,
    projected,
)

AFLW21 = "aflw21"
_LABELS = (2, 21)


class Aflw2000(Pt3dFormat):
    """``image00050.mat`` (MATLAB 5) beside ``image00050.jpg``: ``pt3d_68`` 3x68, ``pt2d`` 2x21.

    The points are x and y of ``pt3d_68``, the 68 points of a 3-D face fitted to the picture; z becomes the
    text attribute ``z`` of 68 numbers. Their base is not published: 0 is taken, and ``--base 1`` is the
    option. The 21 labels of AFLW in ``pt2d`` become the text attribute ``aflw21``: x and y of each, ``nan
    nan`` where x is negative, which means that it is not labelled. There is no box and no visibility.

    Reading
    -------
    ``Pose_Para`` becomes the attributes ``pitch``, ``yaw``, ``roll`` (radians), ``tx``, ``ty``, ``tz`` and
    ``scale``; ``roi``, where the picture of 450x450 was cut out of AFLW's, ``roi_left``, ``roi_top``,
    ``roi_right`` and ``roi_bottom``. The parameters of shape, expression, texture, light and colour are not
    read. A point of ``pt3d_68`` that is NaN is not labelled. The subject is the picture's path without
    ending and ``_mirror``; the split that of the deepest folder that says one.

    A bad file is Skipped, and the next one is read: ``wrong_point_count`` (``pt3d_68`` of another shape, or
    missing), ``not_a_number`` (inf, NaN in one coordinate of two, beyond float32), ``unreadable_file``
    (truncated, damaged, above 1 MiB). No InputError.

    Writing
    -------
    A folder with ``<image stem>.mat``, and ``_face2``, ``_face3`` for further faces. z is 0 and ``pt2d`` -1
    where a face does not say them; ``Pose_Para`` and ``roi`` are left out unless all their attributes are
    there. Lost, by key of ``WriteReport.lost``: ``box``, ``visibility``, ``split`` (unless a folder says
    it), ``subject``, ``subset``, ``dataset``, ``attributes`` (all others), ``image name`` (not a .jpg, so
    that only the picture itself tells its ending; or it comes back otherwise). Not written at all: ``face
    with unwritable image name``.
    """

    name = "aflw2000"
    title = "AFLW2000-3D (68 points with depth and head pose, a .mat for each picture)"
    detected_by = "*.mat with MATLAB 5's header, pt3d_68 3x68 and no pt2d 2x68"
    required = detected_by

    def fits(self, variables: Variables) -> bool:
        return has_shape(variables.get("pt3d_68"), (3, 68)) and not has_shape(variables.get("pt2d"), (2, 68))

    def landmarks(self, variables: Variables) -> tuple[NDArray[np.float32], dict[str, Attribute]]:
        landmarks, attributes = projected(variables)
        if has_shape(variables.get("pt2d"), _LABELS):
            labels = matrix(variables, "pt2d", _LABELS).T
            labels[labels[:, 0] < 0] = np.nan
            attributes[AFLW21] = numbers_text(landmarks_of(labels))
        return landmarks, attributes

    def own_variables(self, face: Face) -> tuple[dict[str, object], set[str]]:
        variables, held = depth_variables(face, always=True)
        labels = numbers_of(face, AFLW21, 2 * _LABELS[1])
        points = np.full(_LABELS, np.nan) if labels is None else labels.reshape(-1, 2).T.astype(np.float64)
        variables["pt2d"] = np.where(np.isnan(points), -1.0, points)
        return variables, held if labels is None else held | {AFLW21}
