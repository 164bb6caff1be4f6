"""Faces of a store for pipelines of one's own: torchvision's v2 transforms, or albumentations.

    pipeline = v2.Compose([MirrorFace("ibug68"), v2.RandomRotation(20), v2.Resize(96, antialias=True)])
    dataset = FaceDataset("data/faces.h5", split="train", transform=pipeline)
    loader = torch.utils.data.DataLoader(dataset, batch_size=64, shuffle=True)

Two things that such libraries do not know of faces are seen to here. In the mirror a left eye becomes a right
one, so points change places. And a pixel has a size: when a picture becomes s times as large, the centre of
the pixel (0, 0) comes to (s - 1) / 2, where these libraries leave it at 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional
from torchvision.tv_tensors import Image, KeyPoints

from flmd.errors import ParamsError
from flmd.schemes import Scheme, get_scheme
from flmd.store.face_store import FaceStore

HALF = 0.5  # from the centre of the first pixel to the corner of the picture


class Target(TypedDict):
    """What is known of a face.

    ``points``: (K, 2) float32 pixels of the picture beside it; NaN where not labelled. ``visibility``: (K,)
    uint8: 0 not labelled, 1 hidden, 2 visible. ``row``: of the store.
    """

    points: KeyPoints
    visibility: Tensor
    row: int


class MirrorFace(nn.Module):
    """Mirrors picture and points with probability ``p``; left and right points change places.

    In place of v2.RandomHorizontalFlip, in the transform of a :class:`FaceDataset`.

    Parameters
    ----------
    scheme : of the points, or its name. p : 0 ... 1.

    Raises
    ------
    ParamsError : the scheme has no mirror image, such as ``points17``.
    """

    def __init__(self, scheme: Scheme | str, p: float = 0.5) -> None:
        super().__init__()
        self.p = p
        known = get_scheme(scheme) if isinstance(scheme, str) else scheme
        self.order = torch.from_numpy(known.flip_indices())

    def forward(self, image: Image, target: Target) -> tuple[Tensor, Target]:
        if torch.rand(()) >= self.p:
            return image, target
        points = target["points"]
        mirrored = points.as_subclass(Tensor)[self.order] * torch.tensor([-1.0, 1.0])
        mirrored[:, 0] += points.canvas_size[1]
        return functional.horizontal_flip(image), {
            **target,
            "points": KeyPoints(mirrored, canvas_size=points.canvas_size),
            "visibility": target["visibility"][self.order],
        }


class FaceDataset(Dataset[tuple[Tensor, Target]]):
    """Context crops of a store with their points: item i is an ``Image`` and a :class:`Target`.

    Parameters
    ----------
    store : opened, or its path; with context crops.
    split : "train", "val" or "test"; None: all faces. rows : these faces instead, rows of the store.
    transform : v2 transforms of torchvision, or anything that is called with an ``Image`` (C, S, S) uint8 and
        a target, and returns both. While it runs, points count from the corner of the picture, as
        torchvision's resizing and turning do. Or an albumentations ``Compose`` with
        ``KeypointParams("xy", remove_invisible=False)``: where it mirrors a picture, left and right points
        change places.

    Attributes
    ----------
    crop : how the faces were cut out.

    Raises
    ------
    ParamsError : a transform that mirrors points and not their names; keypoint settings that lose points; a
        scheme without a mirror image, where albumentations mirrors. StoreError : a store without crops.
    """

    def __init__(
        self,
        store: FaceStore | Path | str,
        *,
        split: str | None = None,
        rows: ArrayLike | None = None,
        transform: Callable[..., Any] | None = None,
    ) -> None:
        self.store = store if isinstance(store, FaceStore) else FaceStore(store)
        if rows is None:
            rows = np.arange(len(self.store)) if split is None else self.store.rows_where(split=split)
        self.rows: NDArray[np.int64] = np.array(rows, dtype=np.int64)
        self.transform: Any = transform
        self._albumentations = type(transform).__module__.startswith("albumentations.")
        _check(transform, self._albumentations)
        self.crop = self.store.crop_spec
        affine = self.store.numbers("affine", self.rows)
        landmarks = self.store.numbers("landmarks", self.rows).astype(np.float64)
        self._points = (landmarks @ affine[:, :, :2].mT + affine[:, None, :, 2]).astype(np.float32)
        self._visibility = self.store.numbers("visibility", self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, Target]:
        row = int(self.rows[index])
        crop = np.array(self.store.crops[row])
        pixels = crop[None] if crop.ndim == 2 else crop
        points, visibility = self._points[index], self._visibility[index].copy()
        if self._albumentations:
            return self._through_albumentations(pixels, points, visibility, row)
        image, shift = Image(torch.from_numpy(pixels)), 0.0 if self.transform is None else HALF
        target = Target(
            points=KeyPoints(points + np.float32(shift), canvas_size=pixels.shape[-2:]),
            visibility=torch.from_numpy(visibility),
            row=row,
        )
        if self.transform is None:
            return image, target
        changed, target = self.transform(image, target)
        moved = target["points"]
        target["points"] = KeyPoints(moved.as_subclass(Tensor) - shift, canvas_size=moved.canvas_size)
        return changed, target

    def _through_albumentations(
        self, pixels: NDArray[np.uint8], points: NDArray[np.float32], visibility: NDArray[np.uint8], row: int
    ) -> tuple[Tensor, Target]:
        labelled = visibility > 0
        side = pixels.shape[-1] - 1
        # Three corners of the picture travel with the points: whether they turn the other way round tells
        # whether the picture was mirrored, whichever transform did it.
        corners = np.array([[0, 0], [side, 0], [0, side]], np.float32)
        sent = np.concatenate([np.where(labelled[:, None], points, 0), corners])
        done = self.transform(image=np.ascontiguousarray(pixels.transpose(1, 2, 0)), keypoints=sent)
        came = np.asarray(done["keypoints"], np.float32)
        moved = np.where(labelled[:, None], came[:-3], np.nan).astype(np.float32)
        right, down = came[-2] - came[-3], came[-1] - came[-3]
        if right[0] * down[1] < right[1] * down[0]:
            order = self.store.scheme.flip_indices()
            moved, visibility = moved[order], visibility[order]
        image = done["image"]
        if not isinstance(image, Tensor):  # without ToTensorV2
            image = torch.from_numpy(np.ascontiguousarray(np.atleast_3d(image).transpose(2, 0, 1)))
        size = (int(image.shape[-2]), int(image.shape[-1]))
        target = Target(
            points=KeyPoints(moved, canvas_size=size), visibility=torch.from_numpy(visibility), row=row
        )
        return Image(image), target


def _check(transform: Any, albumentations: bool) -> None:
    """ParamsError for a transform that would lose points, or their names in the mirror."""
    if albumentations:
        params = getattr(transform.processors.get("keypoints"), "params", None)
        if params is None or params.format != "xy" or params.remove_invisible:
            raise ParamsError(
                "the albumentations pipeline does not keep all points",
                expected='Compose(..., keypoint_params=KeypointParams("xy", remove_invisible=False))',
            )
        return
    for inner in _all_of(transform):
        if isinstance(inner, v2.RandomHorizontalFlip | v2.RandomVerticalFlip):
            raise ParamsError(
                f"{type(inner).__name__} leaves a left eye the name of the left one",
                hint="use flmd.MirrorFace in its place",
            )


def _all_of(transform: Any) -> Iterator[Any]:
    """A transform and those inside it, which torchvision keeps in lists that ``modules()`` passes over."""
    yield transform
    inside = [*transform.children()] if isinstance(transform, nn.Module) else []
    for inner in (*inside, *getattr(transform, "transforms", ())):
        yield from _all_of(inner)
