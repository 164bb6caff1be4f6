"""The MATLAB files of 300W-LP and AFLW2000: points of a fitted 3-D face, its pose, where it was cut out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import Attribute, Face, SkipFace, Skipped, visibility_of
from flmd.formats.base import Certainty, Detection, WriteReport
from flmd.formats.common.depth import DEPTH, numbers_of, numbers_text
from flmd.formats.common.mat5 import HEADER, Variable, is_mat5, mat5_bytes, read_mat5
from flmd.formats.common.sidecar_files import Points, SidecarFormat
from flmd.formats.layout import LARGEST, PicturesBeside
from flmd.schemes import Scheme
from flmd.tree import FileTree

POINTS = 68
POSE = (
    "pitch",
    "yaw",
    "roll",
    "tx",
    "ty",
    "tz",
    "scale",
)  # Pose_Para: radians, then the fitted model's place
ROI = ("roi_left", "roi_top", "roi_right", "roi_bottom")
_NAMES = {"Pose_Para": POSE, "roi": ROI}
_WHOLE = 1 << 31
_LARGEST_FILE = 1 << 20  # bytes; a face has 5,000
_EXPANDED = 1 << 22
_LOOKED_AT = 5

Variables = dict[str, Variable]
Described = tuple[NDArray[np.float32], NDArray[np.uint8], dict[str, Attribute]]


class Pt3dFormat(SidecarFormat):
    """What both formats share: a ``.mat`` beside each picture, with ``Pose_Para`` and ``roi``.

    ``required`` says in words what :meth:`fits` looks for.
    """

    scheme = "ibug68"
    ending = ".mat"
    keeps = ("unlabelled points",)
    required: ClassVar[str]

    @abstractmethod
    def fits(self, variables: Variables) -> bool:
        """Whether a file's variables are this format's."""

    @abstractmethod
    def landmarks(self, variables: Variables) -> tuple[NDArray[np.float32], dict[str, Attribute]]:
        """(68, 2) points and what else is said of them, or SkipFace."""

    @abstractmethod
    def own_variables(self, face: Face) -> tuple[dict[str, object], set[str]]:
        """The variables of a face besides pose and place, and the attributes that they hold."""

    def annotation_beside(self, name: str) -> str:
        """The name of a file as if it lay beside its picture."""
        return name

    def detect(self, tree: FileTree) -> Detection:
        """The ``*.mat`` that have a picture, or all where none has; one of the first five must fit."""
        names = [name for name in tree.names if name.lower().endswith(".mat")]
        beside = PicturesBeside(tree)
        names = [name for name in names if beside.find(self.annotation_beside(name))] or names
        for name in names[:_LOOKED_AT]:
            if self._accepts(tree, name):
                return Detection(tuple(names), f"{len(names)} .mat files", Certainty.LIKELY)
        return Detection((), f"no {self.required}")

    def accepts(self, tree: FileTree, name: str) -> bool:
        """Whether it holds this format's variables."""
        return name.lower().endswith(".mat") and self._accepts(tree, name)

    def described(self, tree: FileTree, name: str, count: int) -> Described:
        """Points, visibility and attributes of a file."""
        variables = _variables(tree, name)
        landmarks, attributes = self.landmarks(variables)
        return landmarks, visibility_of(landmarks), _pose(variables) | attributes

    def points(self, tree: FileTree, name: str, count: int) -> Points:
        """The points and visibility of a file alone."""
        return self.described(tree, name, count)[:2]

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield the face of each file in order; see the class for what is skipped."""
        _check(scheme)
        return super().read(tree, scheme, files)

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a folder of files; see the class for what is lost."""
        _check(scheme)
        return super().write(faces, target, scheme, pictures)

    def picture_finder(self, tree: FileTree) -> Callable[[str], str]:
        """The picture beside a file."""
        beside = PicturesBeside(tree)
        return lambda name: beside.name_for(self.annotation_beside(name))

    def text(self, face: Face) -> bytes:
        """The compressed MATLAB file of a face."""
        variables, _ = self.own_variables(face)
        return mat5_bytes(variables | _pose_variables(face))

    def held_attributes(self, face: Face) -> Collection[str]:
        """Those that the format's own variables, ``Pose_Para`` and ``roi`` hold."""
        held = self.own_variables(face)[1]
        for key in _pose_variables(face):
            held |= {*_NAMES[key]}
        return held

    def _accepts(self, tree: FileTree, name: str) -> bool:
        try:
            return is_mat5(tree.read(name, 0, HEADER)) and self.fits(_variables(tree, name))
        except (InputError, SkipFace):
            return False


def _check(scheme: Scheme) -> None:
    if scheme.count != POINTS:
        raise InputError(f"scheme {scheme.name} has {scheme.count} points", expected=str(POINTS))


def has_shape(value: Variable | None, shape: tuple[int, int]) -> bool:
    """Whether a variable is a matrix of numbers of that shape."""
    return isinstance(value, np.ndarray) and value.shape == shape


def matrix(variables: Variables, key: str, shape: tuple[int, int]) -> NDArray[np.float64]:
    """A variable of numbers that float32 can hold, NaN among them; SkipFace for any other."""
    value: Any = variables.get(key)
    if not has_shape(value, shape):
        what = f"of shape {value.shape}" if isinstance(value, np.ndarray) else "missing"
        raise SkipFace("wrong_point_count", f"{key} is {what}, expected {shape[0]}x{shape[1]}")
    numbers = np.array(value, np.float64)
    if (np.abs(numbers[~np.isnan(numbers)]) > LARGEST).any():
        raise SkipFace("not_a_number", f"{key} holds a number that float32 cannot hold")
    return numbers


def projected(variables: Variables) -> tuple[NDArray[np.float32], dict[str, Attribute]]:
    """The points of ``pt3d_68`` 3x68: (68, 2) x and y, and z as an attribute. A point of NaN is none."""
    x_y_z = matrix(variables, "pt3d_68", (3, POINTS))
    landmarks = landmarks_of(x_y_z[:2].T)
    return landmarks, {DEPTH: numbers_text(x_y_z[2])}


def landmarks_of(points: NDArray[np.float64]) -> NDArray[np.float32]:
    """(K, 2) float32; SkipFace where one coordinate of two is NaN."""
    missing = np.isnan(points)
    if (missing[:, 0] != missing[:, 1]).any():
        raise SkipFace("not_a_number", "NaN in one coordinate of two")
    return points.astype(np.float32)


def _variables(tree: FileTree, name: str) -> Variables:
    try:
        if tree.size(name) > _LARGEST_FILE:
            raise SkipFace("unreadable_file", f"{tree.size(name)} bytes, expected {_LARGEST_FILE} or less")
        return read_mat5(tree.read(name), tree.where(name), limit=_EXPANDED)
    except InputError as error:
        raise SkipFace("unreadable_file", error.what) from None


def depth_variables(face: Face, always: bool) -> tuple[dict[str, object], set[str]]:
    """``pt3d_68`` of a face that has a z, or ``always``; and the attribute it holds."""
    depth = numbers_of(face, DEPTH, POINTS)
    if depth is None and not always:
        return {}, set()
    z = np.zeros(POINTS, np.float32) if depth is None else depth
    return {"pt3d_68": np.vstack([face.landmarks.T, z])}, set() if depth is None else {DEPTH}


def _pose(variables: Variables) -> dict[str, Attribute]:
    """``Pose_Para`` and ``roi`` as attributes, as far as they are finite numbers."""
    out: dict[str, Attribute] = {}
    for key, names in _NAMES.items():
        value = variables.get(key)
        if isinstance(value, np.ndarray) and value.shape == (1, len(names)):
            numbers = value[0].tolist()
            out |= {n: v for n, v in zip(names, numbers, strict=True) if np.isfinite(v)}
    return out


def _pose_variables(face: Face) -> dict[str, object]:
    """``Pose_Para`` and ``roi`` of a face that has all their attributes."""
    variables: dict[str, object] = {}
    for key, names in _NAMES.items():
        values = [face.attributes.get(name) for name in names]
        if not all(map(_is_number, values)):
            continue
        if key == "roi":
            if all(isinstance(v, int) and abs(v) < _WHOLE for v in values):
                variables[key] = np.array([values], np.int32)
            continue
        exact = np.array([values], np.float64)
        single = exact.astype(np.float32)
        variables[key] = single if np.array_equal(exact, single) else exact
    return variables


def _is_number(value: Attribute | None) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and abs(value) <= LARGEST
