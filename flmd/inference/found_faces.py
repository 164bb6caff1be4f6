"""What was found in a picture, as faces: boxes, points, and what is known about them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flmd.core import geometry
from flmd.core.orientation import STORED, attributes_of
from flmd.face import Attribute, Face, visibility_of
from flmd.formats.common.depth import numbers_text
from flmd.formats.openpose import CONFIDENCE
from flmd.inference.detection import Found
from flmd.inference.network_pass import Looked
from flmd.inference.picture import Picture
from flmd.models.confidence import Confidence

ERROR = "point_error"


def told(picture: Picture, found: Found, looked: Looked, confidence: Confidence | None) -> list[Face]:
    """The faces of a picture, in the order of the detector, in stored pixels.

    Attributes of a face: ``score`` where the detector gives one, those of
    :func:`flmd.core.orientation.attributes_of`, and with ``confidence`` those of :func:`confidence_of`.
    """
    turned = attributes_of(picture.orientation, STORED)
    faces = []
    for row, (box, score, landmarks) in enumerate(zip(found.boxes, found.scores, looked.points, strict=True)):
        attributes: dict[str, Attribute] = {**turned}
        if not np.isnan(score):
            attributes["score"] = float(score)
        if confidence is not None and looked.spread is not None:
            attributes |= confidence_of(confidence, looked.spread[row], float(geometry.box_side(box)))
        faces.append(
            Face(
                image=picture.name,
                landmarks=landmarks,
                visibility=visibility_of(landmarks),
                box=box,
                box_source=found.source,
                image_size=picture.size,
                attributes=attributes,
                where=picture.name,
            )
        )
    return faces


def confidence_of(confidence: Confidence, spread: NDArray[np.floating], side: float) -> dict[str, str]:
    """What a face says of its points: texts of K numbers.

    ``point_confidence``: the probability, 0.001 to 0.999, that a point lies within ``Confidence.limit`` sides
    of where people label it. ``point_error``: the distance to be expected, pixels, to a hundredth.

    Parameters
    ----------
    spread : (K,) shares of the face's side. side : of the face, pixels.
    """
    within = np.clip(np.round(confidence.within_at(spread), 3), 0.001, 0.999)
    error = np.round(confidence.error_at(spread) * side, 2)
    return {
        CONFIDENCE: numbers_text(within.astype(np.float32)),
        ERROR: numbers_text(error.astype(np.float32)),
    }
