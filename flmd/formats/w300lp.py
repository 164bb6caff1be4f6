"""300W-LP: faces of 300-W turned to large poses, a MATLAB file beside each picture."""

from __future__ import annotations

import posixpath
import re

import numpy as np
from numpy.typing import NDArray

from flmd.face import Attribute, Face
from flmd.formats.base import Detection
from flmd.formats.pt3d_mat import (
    POINTS,
    Pt3dFormat,
    Variables,
    depth_variables,
    has_shape,
    landmarks_of,
    matrix,
    projected,
)
from flmd.tree import FileTree

_PLAIN = "_pts.mat"
_TURNED = re.compile(r"((?:AFW|HELEN|IBUG|LFPW)_.+)_[0-9]{1,2}")


class W300Lp(Pt3dFormat):
    """``AFW/AFW_134212_1_0.mat`` (MATLAB 5) beside its .jpg: ``pt2d`` 2x68, perhaps ``pt3d_68`` 3x68.

    The points are x and y of ``pt3d_68`` where a file has it, as in AFLW2000, z becoming the text attribute
    ``z`` of 68 numbers; else those of ``pt2d``; else ``pts_2d`` 68x2, which the files
    ``landmarks/AFW/AFW_134212_1_0_pts.mat`` hold. Along the jaw of a turned face they differ: ``pt3d_68``
    stays on the surface, the others follow the outline that is seen. Their base is not published: 0 is
    taken, and ``--base 1`` is the option. There is no box and no visibility.

    Reading
    -------
    ``Pose_Para`` and ``roi`` become attributes as with AFLW2000 (``flmd.formats.aflw2000``). The files in
    ``landmarks/`` are read only where those beside the pictures are not there. The subject is the picture's
    path without the last number, which counts the poses that one face was turned to, and with the folder
    ``AFW`` for its mirrored twins in ``AFW_Flip``. The split is that of the deepest folder that says one,
    never of the file's own name: ``LFPW_image_test_0001`` is training data here like all of it.

    A bad file is Skipped, and the next one is read: as with AFLW2000. No InputError.

    Writing
    -------
    A folder with ``<image stem>.mat``, and ``_face2``, ``_face3`` for further faces: ``pt2d``, ``pt3d_68``
    where the face has a ``z``, ``Pose_Para`` and ``roi`` where all their attributes are there. Lost: as with
    AFLW2000.
    """

    name = "300w-lp"
    title = "300W-LP (68 points of turned faces with head pose, a .mat for each picture)"
    detected_by = "*.mat with MATLAB 5's header and pt2d 2x68, or *_pts.mat with pts_2d 68x2"
    required = detected_by

    def detect(self, tree: FileTree) -> Detection:
        """As for all such files; those in ``landmarks/`` only where there are no others."""
        found = super().detect(tree)
        files = tuple(name for name in found.files if not name.endswith(_PLAIN)) or found.files
        return Detection(files, f"{len(files)} .mat files" if files else found.why, found.certainty)

    def fits(self, variables: Variables) -> bool:
        return has_shape(variables.get("pt2d"), (2, POINTS)) or has_shape(
            variables.get("pts_2d"), (POINTS, 2)
        )

    def landmarks(self, variables: Variables) -> tuple[NDArray[np.float32], dict[str, Attribute]]:
        if "pt3d_68" in variables:
            return projected(variables)
        if "pt2d" not in variables and "pts_2d" in variables:
            return landmarks_of(matrix(variables, "pts_2d", (POINTS, 2))), {}
        return landmarks_of(matrix(variables, "pt2d", (2, POINTS)).T), {}

    def own_variables(self, face: Face) -> tuple[dict[str, object], set[str]]:
        variables, held = depth_variables(face, always=False)
        return variables | {"pt2d": face.landmarks.T.astype(np.float64)}, held

    def subject(self, name: str, image: str) -> str:
        """The picture's path without the number of the pose, and without ``_Flip``."""
        folder, file = posixpath.split(posixpath.splitext(image)[0])
        parts = [part.removesuffix("_Flip") for part in folder.split("/")]
        turned = _TURNED.fullmatch(file)
        return posixpath.join("/".join(parts), turned[1] if turned else file)

    def annotation_beside(self, name: str) -> str:
        """``AFW/AFW_134212_1_0.mat`` for ``landmarks/AFW/AFW_134212_1_0_pts.mat``."""
        if not name.endswith(_PLAIN):
            return name
        parts = name.removesuffix(_PLAIN).split("/")
        if "landmarks" in parts[:-1]:
            parts.remove("landmarks")
        return "/".join(parts) + ".mat"
