"""All changes of colour as one matrix: against the formula in float64, and its whole numbers by hand."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flmd.augmentation import color_matrix, photometric
from flmd.augmentation.photometric import Photometric
from flmd.core import images, processor

WEIGHTS = np.array([0.299, 0.587, 0.114])


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    """A (61, 47, 3) picture with every hue and soft shades."""
    noise = np.random.default_rng(0).integers(0, 256, (61, 47, 3), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)


def by_formula(rgb: NDArray[np.uint8], change: Photometric) -> NDArray[np.float64]:
    """One change after the other in float64, neither rounded nor clipped."""
    x = rgb.astype(np.float64) * change.brightness
    mean = (x @ WEIGHTS).mean()
    x = mean + change.contrast * (x - mean)
    x = change.saturation * x + (1 - change.saturation) * (x @ WEIGHTS)[..., None]
    # Rodrigues' formula about the axis of greys; counter-clockwise takes red to green.
    axis, angle = np.full(3, 1 / math.sqrt(3)), 2 * math.pi * change.hue
    along = (x @ axis)[..., None] * axis
    x = math.cos(angle) * x + math.sin(angle) * np.cross(axis, x) + (1 - math.cos(angle)) * along
    return np.repeat((x @ WEIGHTS)[..., None], 3, axis=2) if change.grey else x


CHANGES = [
    Photometric(brightness=1.3, contrast=0.8, saturation=1.4, hue=0.05),
    Photometric(brightness=0.7, contrast=1.3, saturation=0.2, hue=-0.1),
    Photometric(saturation=0.0),
    Photometric(saturation=2.0),
    Photometric(hue=0.5),
    Photometric(brightness=1.1, contrast=1.2, grey=True),
]


@pytest.mark.parametrize("change", CHANGES)
def test_all_changes_at_once_are_those_one_after_the_other(
    picture: NDArray[np.uint8], change: Photometric
) -> None:
    expected = np.clip(by_formula(picture, change), 0, 255)
    off = photometric.change_color(picture, change) - expected
    # Entries are within 1/2048, the diagonal's within 3/2048 in all; hue within half of 1/1024 turn.
    turn = 2 * math.pi / 2048 * 255 if change.hue else 0
    assert np.abs(off).max() <= 0.5 + 6 / 2048 * 255 + turn
    assert np.abs(off.mean()) < 0.3


def test_a_third_of_a_turn_takes_red_to_green_by_hand() -> None:
    colors = np.array([[[200, 0, 0], [200, 200, 0], [100, 100, 100], [90, 30, 60]]], np.uint8)
    turned = photometric.change_color(colors, Photometric(hue=1 / 3)).astype(int)
    expected = [[[0, 200, 0], [0, 200, 200], [100, 100, 100], [60, 90, 30]]]
    assert np.abs(turned - expected).max() <= 1  # a third is no whole number of 1/1024 turns
    assert turned[0, 2].tolist() == [100, 100, 100]


@settings(max_examples=200, deadline=None)
@given(
    brightness=st.floats(0, 2), contrast=st.floats(0, 2), saturation=st.floats(0, 2), hue=st.floats(-0.5, 0.5)
)
def test_grey_stays_grey_and_the_sum_of_colors_does_not_turn(
    brightness: float, contrast: float, saturation: float, hue: float
) -> None:
    matrix = np.array(color_matrix.of(Photometric(brightness, contrast, saturation, hue)))
    gain = round(1024 * (brightness * contrast))
    assert (matrix.sum(axis=1) == gain).all()
    turned = np.array(color_matrix.of(Photometric(hue=hue)))
    assert np.abs(turned.sum(axis=0) - 1024).max() <= 3
    assert np.abs(turned @ turned.T - 1024**2 * np.eye(3)).max() < 5 * 1024  # a turn, but for rounding


def test_opencv_does_the_whole_numbers_that_are_written_out() -> None:
    """So other processors, where `by_hand` stands in, have the same pixels."""
    if not processor.ON_X86:
        pytest.skip("written out here anyway")
    rng = np.random.default_rng(1)
    for height, width in ((1, 1), (1, 31), (3, 33), (17, 5), (64, 64)):
        rgb = rng.integers(0, 256, (height, width, 3), np.uint8)
        for _ in range(100):
            u = rng.uniform(0, 2, 4)
            change = Photometric(u[0], u[1], u[2], u[3] / 2 - 0.5)
            matrix, added = color_matrix.of(change), color_matrix.start(change, rng.uniform(0, 255))
            if not color_matrix.is_diagonal(matrix):
                theirs = color_matrix.apply(rgb, matrix, added)
                assert np.array_equal(theirs, color_matrix.by_hand(rgb, matrix, added))


def test_levels_alone_are_those_of_the_table(picture: NDArray[np.uint8]) -> None:
    change = Photometric(brightness=1.2, contrast=0.7)
    levels = photometric.change_levels(picture, change)
    assert np.array_equal(photometric.change_color(picture, change), levels)
    nearly = change._replace(saturation=1 + 1e-5)
    assert np.array_equal(photometric.change_color(picture, nearly), levels)


def test_greying_gives_three_equal_colors(picture: NDArray[np.uint8]) -> None:
    made = photometric.change_color(picture, Photometric(grey=True))
    assert (made == made[..., :1]).all()
    assert np.abs(made[..., 0].astype(int) - images.to_grey(picture)).max() <= 1
