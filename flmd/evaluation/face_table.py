"""The test faces as columns, and everything measured of them as a row per face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flmd.core import geometry
from flmd.errors import InputError
from flmd.evaluation import metrics
from flmd.schemes import Scheme, head_pose

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TestFaces:
    """The faces that a model is measured on, as columns of N.

    Attributes
    ----------
    image, dataset, subset, subject, box_source : N strings each, as in :class:`flmd.face.Face`.
    box : (N, 4) x, y, width, height, image pixels.
    landmarks : (N, K, 2) true points, image pixels, NaN where not labelled.
    visibility : (N, K) 0 not labelled, 1 hidden, 2 visible.
    """

    __test__: ClassVar[bool] = False  # not a test case, whatever pytest makes of the name

    image: list[str]
    dataset: list[str]
    subset: list[str]
    subject: list[str]
    box: NDArray[np.floating]
    box_source: list[str]
    landmarks: NDArray[np.floating]
    visibility: NDArray[np.integer]

    def __post_init__(self) -> None:
        if self.landmarks.shape != (*self.visibility.shape, 2):
            raise ValueError(f"landmarks {self.landmarks.shape}, visibility {self.visibility.shape}")
        if self.box.shape != (len(self), 4):
            raise ValueError(f"box has shape {self.box.shape}, expected {(len(self), 4)}")
        for name in ("image", "dataset", "subset", "subject", "box_source"):
            if len(getattr(self, name)) != len(self):
                raise ValueError(f"{name} has {len(getattr(self, name))} entries for {len(self)} faces")

    def __len__(self) -> int:
        return len(self.landmarks)

    @property
    def true_points(self) -> Array:
        """(N, K, 2) float64 landmarks, NaN wherever visibility is 0."""
        points: Array = np.where(self.visibility[..., None] > 0, self.landmarks, np.nan).astype(np.float64)
        return points


def face_table(
    faces: TestFaces,
    predicted: NDArray[np.floating],
    mean_shapes: Mapping[str, NDArray[np.floating]],
    scheme: Scheme,
    normaliser: str,
    *,
    missing: bool = False,
) -> pd.DataFrame:
    """What is measured of every face.

    Parameters
    ----------
    predicted, mean_shapes, scheme, normaliser, missing : as for :func:`flmd.evaluation.measure.measure`.

    Returns
    -------
    A row per face, in the order of ``faces``: its texts, ``box_side`` (longer side), ``yaw``, ``pitch`` and
    ``roll`` (of the true points), ``pose`` and ``size`` (buckets), ``labelled`` (points), ``normaliser_px``,
    ``nme``, ``mean_shape_nme``, ``inter_ocular_px``, ``nme_<normaliser>``, ``nme_<region>`` and
    ``mean_shape_nme_<region>``; errors are fractions, lengths image pixels, angles degrees, NaN what has
    no number; the error of a face that was not found is infinite.
    """
    _check(faces, predicted, scheme, missing)
    true = faces.true_points
    lengths = metrics.normaliser_lengths(normaliser, true, faces.box, scheme)
    errors = metrics.point_errors(predicted, true)
    baseline_errors = _baseline_errors(faces, mean_shapes)
    yaw, pitch, roll = _pose(faces, scheme)
    side = geometry.box_side(faces.box)
    columns: dict[str, Any] = {
        "image": faces.image,
        "dataset": faces.dataset,
        "subset": faces.subset,
        "subject": faces.subject,
        "box_source": faces.box_source,
        "box_side": side,
        "yaw": yaw,
        "pitch": pitch,
        "roll": roll,
        "pose": metrics.pose_bucket(yaw),
        "size": metrics.size_bucket(side),
        "labelled": (~np.isnan(errors)).sum(axis=1),
        "normaliser_px": lengths,
        "nme": metrics.mean_over_points(errors) / lengths,
        "mean_shape_nme": metrics.mean_over_points(baseline_errors) / lengths,
    }
    for name in metrics.available_normalisers(scheme):
        length = metrics.normaliser_lengths(name, true, faces.box, scheme)
        if name == "inter_ocular":
            columns["inter_ocular_px"] = length
        columns[f"nme_{name}"] = metrics.mean_over_points(errors) / length
    for prefix, distances in (("nme", errors), ("mean_shape_nme", baseline_errors)):
        regions = metrics.region_nme(distances, lengths, scheme)
        columns |= {f"{prefix}_{name}": values for name, values in regions.items()}
    return pd.DataFrame(columns)


def _check(faces: TestFaces, predicted: NDArray[np.floating], scheme: Scheme, missing: bool) -> None:
    if not len(faces):
        raise InputError("no test faces to measure", hint="check datasets.*.split and test_share")
    if predicted.shape != faces.landmarks.shape or faces.landmarks.shape[1] != scheme.count:
        raise InputError(
            f"predictions of shape {predicted.shape} for landmarks of shape {faces.landmarks.shape}",
            expected=f"{scheme.count} points each, as scheme {scheme.name} has",
        )
    if not missing and not np.isfinite(predicted).all():
        raise InputError("a predicted point is not finite", hint="the training diverged; lower train.lr")


def _baseline_errors(faces: TestFaces, mean_shapes: Mapping[str, NDArray[np.floating]]) -> Array:
    """(N, K) point errors of the mean shapes; NaN for the faces of a data set without one."""
    true = faces.true_points
    errors = np.full(true.shape[:2], np.nan)
    for name, shape in mean_shapes.items():
        here = np.asarray(faces.dataset) == name
        errors[here] = metrics.point_errors(metrics.place_mean_shape(shape, faces.box[here]), true[here])
    return errors


def _pose(faces: TestFaces, scheme: Scheme) -> tuple[Array, Array, Array]:
    """Yaw, pitch and roll in degrees from the true points; NaN under a scheme that has no 3-D shape."""
    if scheme.name != "ibug68":
        unknown = np.full(len(faces), np.nan)
        return unknown, unknown, unknown
    return head_pose.estimate_pose(faces.true_points, faces.visibility)
