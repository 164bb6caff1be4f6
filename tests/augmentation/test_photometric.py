"""Changes of levels, colour and texture against their formulas."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from flmd.augmentation import photometric
from flmd.augmentation.photometric import Photometric
from flmd.core import images, processor


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    """An (80, 80, 3) picture with every hue and soft shades."""
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)


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
