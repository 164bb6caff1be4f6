"""Colour changes: the same pixels as albumentations', whose kernels are too heavy to import in workers."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from flmd.augmentation import hue, photometric
from flmd.augmentation.photometric import Photometric
from flmd.core import images, processor


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    """An (80, 80, 3) picture with every hue and soft shades."""
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)


@pytest.mark.slow
def test_saturation_and_hue_give_albumentations_pixels(
    picture: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations.augmentations.pixel.functional as kernels

    for factor in (0.0, 0.4, 0.97, 1.3, 2.0):
        expected = kernels.adjust_saturation_torchvision(picture, round(1024 * factor) / 1024)
        assert np.array_equal(photometric.saturate(picture, factor), expected)
    for turns in (-0.5, -0.05, -0.001, 0.02, 0.31):
        expected = kernels.adjust_hue_torchvision(picture, turns).astype(int)
        off = (
            photometric.turn_hue(picture, turns) - expected
        )  # a level where it cuts off what is rounded here
        assert np.abs(off).max() <= 1
        assert abs(off.mean()) < 0.3


def test_a_pure_hue_turns_to_the_next_by_hand() -> None:
    colours = np.array([[[200, 0, 0], [200, 200, 0], [100, 100, 100], [90, 30, 60]]], np.uint8)
    # A third of the circle: red becomes green, yellow cyan, grey stays, and channels change places.
    turned = photometric.turn_hue(colours, 1 / 3 + 1e-9)
    assert turned.tolist() == [[[0, 200, 0], [0, 200, 200], [100, 100, 100], [60, 90, 30]]]


def test_products_over_255_never_come_near_a_half() -> None:
    """So float32 rounds them as whole numbers do, in whatever order and fused or not."""
    levels = np.arange(256)
    away = np.abs((np.outer(levels, levels) / 255) % 1 - 0.5)
    assert away.min() > 0.0019
    assert 255 * 2.0**-22 < 0.0001
    a, b = (np.ascontiguousarray(v.astype(np.uint8)) for v in np.broadcast_arrays(levels, levels[:, None]))
    assert np.array_equal(cv2.multiply(a, b, scale=1 / 255), (2 * np.outer(levels, levels) + 255) // 510)


def test_the_way_on_arm_gives_the_same_pixels(picture: NDArray[np.uint8]) -> None:
    """On x86-64 OpenCV has the whole numbers that are written out for other processors."""
    levels = np.arange(0, 256, 3, dtype=np.uint8)
    every = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(len(levels), -1, 3)
    noise = np.random.default_rng(1).integers(0, 256, (500, 600, 3), dtype=np.uint8)
    for rgb in (picture, every, noise):
        for theirs, ours in zip(hue.hue_saturation_value(rgb), hue.hue_by_hand(rgb), strict=True):
            assert np.array_equal(theirs, ours)
    rows = np.broadcast_arrays(np.arange(256, dtype=np.uint8), levels[:, None])
    a, b = (np.ascontiguousarray(v) for v in rows)
    assert np.array_equal(hue.product_over_255(a, b), hue.product_by_hand(a, b))


def test_making_crops_never_imports_albumentations_or_torch() -> None:
    code = (
        "import flmd.augmentation.build, sys; print({'albumentations', 'torch', 'scipy'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_brightness_and_contrast_follow_their_formula(picture: NDArray[np.uint8]) -> None:
    change = Photometric(brightness=1.2, contrast=0.7)
    for pixels in (picture, images.to_grey(picture)):
        weights = (0.299, 0.587, 0.114) if pixels.ndim == 3 else (1.0,)
        means = pixels.reshape(-1, len(weights)).mean(axis=0)
        mean = 1.2 * float(np.dot(means, weights))
        expected = np.clip(np.rint(mean + 0.7 * (1.2 * pixels.astype(np.float64) - mean)), 0, 255)
        assert np.array_equal(photometric.change_levels(pixels, change), expected)


def test_levels_are_those_of_the_table_on_every_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32 where that is safe, with and without levels that end at 0, and by the table."""
    x = np.tile(np.arange(256, dtype=np.uint8), 3)[:-1].reshape(59, 13)
    rng = np.random.default_rng(3)
    drawn = rng.uniform(0.05, 2.5, (150, 2)).tolist()
    safe = []
    really = photometric._is_safe_in_float32
    monkeypatch.setattr(
        photometric, "_is_safe_in_float32", lambda *line: safe.append(really(*line)) or safe[-1]
    )
    for b, c in [*drawn, (1.0, 0.5), (1.0, 3.0), (0.1, 0.1)]:
        mean = b * float(x.mean())
        expected = np.clip(np.rint(mean + c * (b * x.astype(np.float64) - mean)), 0, 255)
        assert np.array_equal(photometric.change_levels(x, Photometric(brightness=b, contrast=c)), expected)
    if processor.ON_X86:
        assert 100 < sum(safe) < len(safe)


def test_noise_is_rounded_added_and_clipped_by_hand(picture: NDArray[np.uint8]) -> None:
    for pixels, strength in ((picture, 0.05), (picture, 0.9), (images.to_grey(picture), 0.31)):
        table = photometric.noise_table(1)
        begin = int(0.4 * (len(table) - pixels.size))
        grain = table[begin : begin + pixels.size].reshape(pixels.shape) * np.float32(strength * 255)
        expected = np.clip(pixels + np.rint(grain), 0, 255)
        change = Photometric(noise=strength, noise_place=0.4)
        assert np.array_equal(photometric.change_texture(pixels, change, seed=1), expected)


def test_noise_has_the_deviation_asked_for() -> None:
    flat = np.full((128, 128), 128, np.uint8)
    noisy = photometric.change_texture(flat, Photometric(noise=0.04, noise_place=0.3), seed=1)
    assert noisy.std() == pytest.approx(0.04 * 255, rel=0.03)
    assert noisy.mean() == pytest.approx(128, abs=0.3)
    dark = photometric.change_texture(np.zeros_like(flat), Photometric(noise=0.04), seed=1)
    assert dark.min() == 0
    assert dark.max() > 20


def test_the_neutral_change_changes_nothing(picture: NDArray[np.uint8]) -> None:
    change = Photometric()
    assert photometric.change_levels(picture, change) is picture
    assert photometric.change_color(picture, change) is picture
    assert photometric.change_texture(picture, change, seed=1) is picture
