"""The same changes through one albumentations Compose."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.core.crop_spec import CropSpec
from flmd.schemes import IBUG68


class Peer:
    """One face from its context crop to the network's crop.

    Affine takes the zoom from context crop to network crop along, so that a picture is resampled once;
    CenterCrop cuts to the network's size; the points' flip order is put right afterwards.
    """

    def __init__(self, limits: dict[str, Any], context: CropSpec, floats: bool = False) -> None:
        import albumentations as A  # noqa: N812

        size = limits["input_size"]
        zoom = size / (context.size * limits["padding"] / context.margin)
        low, high = zoom * (1 - limits["scale"]), zoom * (1 + limits["scale"])
        shift = limits["shift"] * size / context.size
        crop = A.CenterCrop(size, size)
        factors = [
            (1 - limits.get(name, 0), 1 + limits.get(name, 0))
            for name in ("brightness", "contrast", "saturation")
        ]
        hue = limits.get("hue", 0)
        changes = [
            A.Affine(
                scale=(low, high),
                rotate=(-limits["rotation"], limits["rotation"]),
                translate_percent=(-shift, shift),
                p=1,
            ),
            crop,
            A.HorizontalFlip(p=limits["flip"]),
            A.ColorJitter(*factors, (-hue, hue), p=1),
        ]
        turns_grey = (context.color, limits["color"]) == ("rgb", "grey")
        last = [A.ToGray(num_output_channels=1, p=1)] if turns_grey else []
        if floats:
            last += [A.Normalize(mean=0.5, std=0.5), A.ToTensorV2()]
        keypoints = A.KeypointParams("xy", remove_invisible=False)
        self._changed = A.Compose([*changes, *last], keypoint_params=keypoints)
        self._plain = A.Compose([A.Affine(scale=zoom, p=1), crop, *last], keypoint_params=keypoints)
        self._flip = IBUG68.flip_indices()
        self._one_channel = limits["color"] == "grey" and not floats

    def __call__(
        self, picture: NDArray[np.uint8], points: NDArray[np.floating[Any]], plain: bool = False
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        made = (self._plain if plain else self._changed)(image=picture, keypoints=points)
        image, moved = made["image"], made["keypoints"]
        # Seen from the points alone: a mirrored face has its left eye's corner left of its right one's.
        if moved[36, 0] > moved[45, 0]:
            moved = moved[self._flip]
        return (image.reshape(image.shape[:2]) if self._one_channel else image), moved.astype(np.float32)
