"""Context crops that lie on a device, where every batch of versions is made in one step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flmd.augmentation import on_device, photometric
from flmd.augmentation.augmenter import Augmenter
from flmd.augmentation.photometric import Photometric
from flmd.training.crop_source import Rows

if TYPE_CHECKING:
    from flmd.training.live_crops import LiveCrops

NOTHING = Photometric()


class ResidentLiveCrops:
    """The faces of live crops on a device; see :class:`~flmd.training.crop_source.ResidentCrops`.

    Points and draws are those of the CPU; pixels within :data:`flmd.augmentation.on_device.TOLERANCE`.
    """

    def __init__(
        self, faces: LiveCrops, augmenter: Augmenter, crops: NDArray[np.uint8], device: torch.device
    ) -> None:
        self._faces, self._augmenter, self._device = faces, augmenter, device
        first = self._prepared(crops[faces.rows[0]])
        self._crops = torch.empty((len(faces), *first.shape), dtype=torch.uint8, device=device)
        for row, face in enumerate(faces.rows.tolist()):
            self._crops[row] = torch.from_numpy(self._prepared(crops[face]))
        self._table = torch.from_numpy(photometric.noise_table(augmenter.seed)).to(device)

    def _prepared(self, crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(C, H, W): grey already where only the grey counts, as on the CPU."""
        source = self._augmenter.source(crop)
        return source[None] if source.ndim == 2 else np.ascontiguousarray(source.transpose(2, 0, 1))

    def make(self, rows: Rows, passes: Rows) -> tuple[Tensor, Tensor, Tensor]:
        """See :class:`~flmd.training.crop_source.ResidentCrops`."""
        plan = self._faces.plan(rows, passes)
        config = self._augmenter.config
        drawn = [change or NOTHING for change in plan.changes]
        channels = 1 if config.color == "grey" else self._crops.shape[1]
        changes = on_device.changes_on(
            self._device, plan.from_crop, drawn, config.input_size, channels, len(self._table)
        )
        which = torch.from_numpy(rows).to(self._device)
        images = on_device.augment(
            self._crops[which], changes, self._table, config, on_device.subpixels(plan.from_crop)
        )
        points = torch.from_numpy(plan.points.astype(np.float32)).to(self._device)
        return images, points, torch.from_numpy(plan.visibility).to(self._device)
