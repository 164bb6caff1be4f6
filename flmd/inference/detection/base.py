"""What a detector is: a picture in, boxes like those the networks were trained with out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from flmd.errors import ParamsError

if TYPE_CHECKING:
    from flmd.inference.picture import Picture


@dataclass(frozen=True)
class Found:
    """The faces of one picture.

    Attributes
    ----------
    boxes : (N, 4) float32 x, y, width, height, stored pixels; may reach outside the picture.
    scores : (N,) float32, larger is surer, in the detector's own unit; NaN where it says nothing.
    source : what made the boxes, one of ``flmd.face.BOX_SOURCES``.
    """

    boxes: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    scores: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    source: str = "detector"

    def __len__(self) -> int:
        return len(self.boxes)


class Detector(ABC):
    """Finds the faces of a picture. ``name`` is the one in commands."""

    name: ClassVar[str]

    @classmethod
    def from_spec(cls, file: str) -> Self:
        """Made from what stands behind "name:"; ParamsError unless that fits the detector."""
        if file:
            raise ParamsError(f"detector {cls.name}:{file}", expected=f"{cls.name} alone: it takes no file")
        return cls()

    @abstractmethod
    def __call__(self, picture: Picture) -> Found:
        """The faces of a picture, the largest first; none is no error."""
