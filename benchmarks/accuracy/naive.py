"""The students' pipeline, told again: boxes squashed to a square, a Dataset, a DataLoader, Adam and MSE.

No padding, no augmentation, targets ``(px - 100) / 50`` at 224 px as the course has them (the same share of
the side at other sizes). The weights of the lowest validation loss are kept, so that it is not compared at
its worst.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.accuracy.pictures import Shown
from flmd import models

BATCH = 64
LR = 1e-3


class Faces(Dataset[tuple[Tensor, Tensor]]):
    """Faces cut out along their boxes: (1, S, S) float32 in [0, 1] and (K, 2) float32 targets.

    Kept in memory. Faces with a point that is not labelled are left out: MSE knows no missing points.
    """

    def __init__(self, faces: Iterable[Shown], size: int) -> None:
        self.items = [item(face, size) for face in faces if np.isfinite(face.points).all()]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        pixels, target = self.items[index]
        return torch.from_numpy(pixels)[None].float() / 255, torch.from_numpy(target)


def item(face: Shown, size: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """(S, S) pixels of the box, width and height scaled apart, and the targets of its points."""
    left, top, right, bottom = _corners(face)
    cut = face.pixels[top:bottom, left:right]
    pixels = np.asarray(cv2.resize(cut, (size, size)), np.uint8)
    inside = (face.points - [left, top]) * [size / (right - left), size / (bottom - top)]
    return pixels, ((inside * 224 / size - 100) / 50).astype(np.float32)


def back(target: NDArray[np.floating], face: Shown, size: int) -> NDArray[np.float64]:
    """(K, 2) targets in pixels of the face's image: the way of :func:`item` undone."""
    left, top, right, bottom = _corners(face)
    inside = (np.asarray(target, np.float64) * 50 + 100) * size / 224
    return face.to_image(inside / [size / (right - left), size / (bottom - top)] + [left, top])


def train(
    faces: Faces, val: Faces, network: str, points: int, epochs: int, *, seed: int
) -> tuple[nn.Module, int]:
    """A network of :mod:`flmd.models`, trained; and the epoch, from 1, that its weights are of."""
    torch.manual_seed(seed)
    size = faces[0][0].shape[-1]
    model = models.build(network, points=points, channels=1, input_size=size)
    loader = DataLoader(faces, BATCH, shuffle=True, drop_last=len(faces) > BATCH)
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    criterion = nn.MSELoss()
    best, best_epoch, weights = float("inf"), 0, model.state_dict()
    for epoch in range(1, epochs + 1):
        model.train()
        total = 0.0
        for images, targets in loader:
            optimizer.zero_grad()
            loss = criterion(model(images), targets)
            loss.backward()
            optimizer.step()
            total += loss.item()
        val_loss = _loss(model, val, criterion)
        print(f"epoch {epoch}/{epochs}  train {total / len(loader):.4f}  val {val_loss:.4f}", flush=True)
        if val_loss < best:
            best, best_epoch, weights = val_loss, epoch, copy.deepcopy(model.state_dict())
    model.load_state_dict(weights)
    return model.eval(), best_epoch


def predict(model: nn.Module, faces: Iterable[Shown], size: int) -> NDArray[np.float32]:
    """(N, K, 2) points in pixels of the faces' images."""
    found = []
    with torch.inference_mode():
        for face in faces:
            pixels, _ = item(face, size)
            target = model.eval()(torch.from_numpy(pixels)[None, None].float() / 255)
            found.append(back(target[0].numpy(), face, size))
    return np.array(found, np.float32)


def _loss(model: nn.Module, faces: Faces, criterion: nn.Module) -> float:
    model.eval()
    with torch.inference_mode():
        losses = [
            criterion(model(images), targets) * len(images) for images, targets in DataLoader(faces, BATCH)
        ]
    return float(sum(losses)) / len(faces)


def _corners(face: Shown) -> tuple[int, int, int, int]:
    """Of the box in whole pixels, as slices take them, cut off at the picture's edge."""
    x, y, width, height = np.rint(face.box).astype(int).tolist()
    high, wide = face.pixels.shape
    return max(x, 0), max(y, 0), min(x + width, wide), min(y + height, high)
