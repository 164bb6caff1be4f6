from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd.errors import ParamsError
from flmd.models.normalisation import Normalisation


@settings(deadline=None)
@given(
    size=st.integers(16, 512),
    offset=st.floats(-1, 1),
    scale=st.floats(0.1, 4),
    px=st.lists(st.tuples(st.floats(-100, 600), st.floats(-100, 600)), min_size=1, max_size=8),
)
def test_denormalise_points_is_the_inverse(
    size: int, offset: float, scale: float, px: list[tuple[float, float]]
) -> None:
    convention = Normalisation(size, points_offset=offset, points_scale=scale)
    points = np.array(px, dtype=np.float32)
    back = convention.denormalise_points(convention.points(points))
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, points, atol=2e-3)
    tensor = torch.from_numpy(points)
    torch.testing.assert_close(convention.points(tensor), torch.from_numpy(convention.points(points)))
    torch.testing.assert_close(
        convention.denormalise_points(convention.points(tensor)), tensor, atol=2e-3, rtol=0
    )


def test_default_puts_the_middle_at_zero_and_the_sides_at_a_half() -> None:
    convention = Normalisation(64)
    px = np.array([[-0.5, 63.5], [31.5, 31.5]], dtype=np.float32)
    np.testing.assert_allclose(convention.points(px), [[-0.5, 0.5], [0, 0]])


def test_naimishnets_convention_can_be_said() -> None:
    convention = Normalisation(224, points_offset=100.5 / 224, points_scale=50 / 224)
    px = np.array([[0.0, 100.0], [150.0, 223.0]])
    np.testing.assert_allclose(convention.points(px), (px - 100) / 50, atol=1e-12)


def test_nan_stays_nan() -> None:
    assert np.isnan(Normalisation(64).points(np.full((3, 2), np.nan, dtype=np.float32))).all()


def test_grey_pixels_to_minus_one_and_one() -> None:
    images = torch.tensor([[[0, 255], [51, 204]]], dtype=torch.uint8)
    found = Normalisation(2).pixels(images)
    assert found.shape == (1, 1, 2, 2)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[0, 0], torch.tensor([[-1.0, 1.0], [-0.6, 0.6]]))


def test_each_colour_has_its_own_mean_and_std() -> None:
    images = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    found = Normalisation(4, pixel_mean=(0.485, 0.456, 0.406), pixel_std=(0.229, 0.224, 0.225)).pixels(images)
    for channel, (mean, std) in enumerate(zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)):
        wanted = (images[:, channel].double() / 255 - mean) / std
        torch.testing.assert_close(found[:, channel].double(), wanted, atol=1e-6, rtol=1e-6)


def test_images_are_left_alone() -> None:
    images = torch.full((1, 2, 2), 7, dtype=torch.uint8)
    Normalisation(2).pixels(images)
    assert (images == 7).all()


def test_dict_round_trip_through_json() -> None:
    for convention in (Normalisation(64), Normalisation(224, (0.1, 0.2, 0.3), (1.0, 2.0, 3.0), 0.25, 2.0)):
        assert Normalisation.from_dict(json.loads(json.dumps(convention.to_dict()))) == convention


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pixel_std": 0.0}, "pixel_std is 0.0; expected above 0"),
        ({"pixel_std": (1.0, 0.0, 1.0)}, "pixel_std"),
        ({"pixel_mean": (0.1, 0.2)}, "pixel_mean has 2 numbers"),
        ({"points_scale": 0.0}, "points_scale is 0.0"),
    ],
)
def test_impossible_conventions(fields: dict[str, float], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        Normalisation(64, **fields)  # type: ignore[arg-type]


def test_three_means_for_a_grey_image() -> None:
    convention = Normalisation(4, pixel_mean=(0.1, 0.2, 0.3))
    with pytest.raises(ParamsError, match=r"3 pixel means or stds for 1 channel"):
        convention.pixels(torch.zeros(1, 4, 4, dtype=torch.uint8))
