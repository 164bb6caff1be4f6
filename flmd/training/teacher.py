"""A trained model that a network in training learns from beside the labels: distillation.

A label is one person's answer, a teacher's points are what many labels say of this very crop, noise and all
(Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015). Each crop of a batch goes
through the teacher as the network in training sees it, turned and covered, at the teacher's own input size.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from flmd.core.crop_spec import ROUNDING, CropSpec
from flmd.errors import ParamsError
from flmd.models.checkpoint import ModelInfo, load_model

KEY = "train.teacher"


class Teacher:
    """A model file, asked for the points of the crops of another network.

    Parameters
    ----------
    path : a model of flmd. share : of a target that is the teacher's, above 0, at most 1.
    student : the network in training. device : where it learns.
    precision : of autocast; None for float32.

    Raises
    ------
    ParamsError : a model of another scheme or colour, or one that looks at another part of the picture.
    InputError, StoreError : as :func:`flmd.models.checkpoint.load_model` raises them.
    """

    def __init__(
        self,
        path: str,
        share: float,
        student: ModelInfo,
        device: torch.device,
        precision: torch.dtype | None = None,
    ) -> None:
        self.model, self.info = load_model(Path(path), device)
        self.model.requires_grad_(False).to(memory_format=torch.channels_last)
        self.share, self._precision = share, precision
        _check(self.info, student, path)

    @torch.no_grad()
    def blend(self, images: Tensor, points: Tensor) -> Tensor:
        """What the network shall predict: a mean of the label and the teacher's point, ``share`` its weight.

        Parameters
        ----------
        images : (B, C, S, S) uint8, the batch. points : (B, K, 2) float32 labels, pixels of S; NaN where
            there is none.

        Returns
        -------
        (B, K, 2) float32, pixels of S; NaN where there is no label.
        """
        return points + self.share * (self.points(images) - points)

    @torch.no_grad()
    def points(self, images: Tensor) -> Tensor:
        """(B, K, 2) float32 of (B, C, S, S) uint8 crops, in pixels of S, the first pixel's centre being 0."""
        own, side = self.info.normalisation, images.shape[-1]
        levels = images.float()
        if own.input_size != side:
            size = (own.input_size, own.input_size)
            levels = interpolate(levels, size=size, mode="bicubic", align_corners=False, antialias=True)
        pixels = own.pixels(levels).contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, dtype=self._precision, enabled=self._precision is not None):
            predicted: Tensor = self.model(pixels)
        # Pixels of one size to pixels of another: centres lie half a pixel from the sides of both.
        found: Tensor = own.denormalise_points(predicted.float())
        return (found + 0.5) * (side / own.input_size) - 0.5


def _check(teacher: ModelInfo, student: ModelInfo, path: str) -> None:
    """ParamsError unless both see the same square of a face and predict the same points."""
    if teacher.scheme != student.scheme:
        raise ParamsError(
            f"{KEY} predicts {teacher.scheme}", where=path, expected=f"{student.scheme}, as the faces have it"
        )
    if teacher.crop.color != student.crop.color:
        raise ParamsError(
            f"{KEY} looks at {teacher.crop.color} crops",
            where=path,
            expected=f"{student.crop.color}, as augment.color says",
        )
    if abs(teacher.crop.zoom - student.crop.zoom) > ROUNDING:
        raise ParamsError(
            f"{KEY} looks at {_square(teacher.crop)} times the box",
            where=path,
            expected=f"{_square(student.crop)}, augment.padding times augment.crop",
        )


def _square(crop: CropSpec) -> str:
    return f"{crop.zoom:g}"
