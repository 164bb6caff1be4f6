"""Crops of training arrays: read where they lie, and refused when they do not belong together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from flmd.errors import InputError
from flmd.training.crop_source import Rows
from flmd.training.stored_crops import StoredCrops
from tests.faces_drawn import squares

CPU = torch.device("cpu")


def filled(source: StoredCrops, rows: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    out = np.zeros((len(rows), *source.image_shape), np.uint8)
    which: Rows = np.array(rows)
    labels = source.fill(which, np.zeros_like(which), out)
    return out, labels.points, labels.visibility


@pytest.mark.parametrize("colour", [True, False])
def test_crops_are_the_rows_asked_for(colour: bool) -> None:
    split = squares(50, colour=colour)
    source, rows = StoredCrops(split), [3, 49, 0, 3]
    assert len(source) == 50
    assert source.image_shape == (3 if colour else 1, 32, 32)
    assert source.points == 5
    images, points, visibility = filled(source, rows)
    assert (images.reshape(split.images[rows].shape) == split.images[rows]).all()
    np.testing.assert_array_equal(points, split.points[rows])
    assert (visibility == split.visibility[rows]).all()
    assert source.labelled.tolist() == [int((v > 0).sum()) for v in split.visibility]


@pytest.mark.parametrize("colour", [True, False])
def test_crops_held_on_a_device_are_the_same(colour: bool) -> None:
    source, rows = StoredCrops(squares(50, colour=colour)), [3, 49, 0, 3]
    held = source.resident(CPU).make(np.array(rows), np.zeros(4, np.int64))
    for there, here in zip(held, filled(source, rows), strict=True):
        np.testing.assert_array_equal(there.numpy(), here)


def test_memory_map_is_read_in_place(tmp_path: Path) -> None:
    split = squares(20)
    np.save(tmp_path / "images.npy", split.images)
    split.images = np.load(tmp_path / "images.npy", mmap_mode="r")
    source = StoredCrops(split)
    assert np.shares_memory(source._images, split.images)
    assert (filled(source, [3, 1, 3])[0][:, 0] == split.images[[3, 1, 3]]).all()


def test_other_faces_have_another_digest() -> None:
    same = [StoredCrops(squares(20)).digest() for _ in range(2)]
    others = [StoredCrops(squares(20, seed=1)).digest(), StoredCrops(squares(20, side=64)).digest()]
    assert len({*same, *others}) == 3


def test_arrays_that_do_not_belong_together_are_named() -> None:
    for field, value, message in (
        ("images", np.zeros((4, 32, 16), np.uint8), r"val split: images are uint8 of shape \(4, 32, 16\)"),
        ("images", np.zeros((4, 32, 32), np.float32), "images are float32"),
        ("images", np.zeros((4, 32, 32, 3), np.uint8), "expected uint8"),
        ("points", np.zeros((4, 6, 2), np.float32), r"points have shape \(4, 6, 2\)"),
        ("visibility", np.zeros((3, 5), np.uint8), "visibility have shape"),
        ("visibility", np.full((4, 5), 2, np.uint8), "row 0: point 1 is labelled but not a number"),
    ):
        split = squares(4)
        split.points[0, 1] = np.nan
        split.visibility[0, 1] = 0
        setattr(split, field, value)
        with pytest.raises(InputError, match=message):
            StoredCrops(split, "val")
