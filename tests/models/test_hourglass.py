"""The hourglass network: its maps are read where their mass lies, in float32 whatever the precision."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from flmd import models
from flmd.models.hourglass import Hourglass, OneHourglass, moments
from flmd.training import losses

SIDE = 64


def small() -> Hourglass:
    torch.manual_seed(2)
    return Hourglass(points=5, input_size=64, stacks=2, width=16)


def gaussian(
    x: float, y: float, *, along: float = 1.5, across: float = 1.5, degrees: float = 0.0, height: float = 0.0
) -> Tensor:
    """Logits of a 64 x 64 map of a Gaussian, (1, 1, 64, 64); map pixels, the first one's middle at 0."""
    down, right = torch.meshgrid(torch.arange(SIDE) - y, torch.arange(SIDE) - x, indexing="ij")
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    u, v = cosine * right + sine * down, cosine * down - sine * right
    return (height - (u / along) ** 2 / 2 - (v / across) ** 2 / 2)[None, None].float()


@pytest.mark.parametrize(("x", "y"), [(31.0, 31.0), (20.37, 40.81), (12.5, 50.25), (44.99, 9.13)])
@pytest.mark.parametrize("height", [0.0, 40.0])
def test_a_gaussian_between_pixels_is_read_to_a_fiftieth_of_a_pixel(
    x: float, y: float, height: float
) -> None:
    found = moments(gaussian(x, y, height=height))[0, 0, :2]
    # A map pixel is 4 input pixels: its middle i lies at 4 (i + 0.5) - 0.5 of the 256.
    pixels = (found + 0.5) * 256 - 0.5
    assert pixels.tolist() == pytest.approx([4 * (x + 0.5) - 0.5, 4 * (y + 0.5) - 0.5], abs=0.02)


def test_covariance_of_a_slanted_gaussian() -> None:
    """Variances 9 and 1 along axes turned by 30 degrees: 9 c^2 + s^2 = 7, 8 c s = 3.464, 9 s^2 + c^2 = 3."""
    found = moments(gaussian(30.2, 33.7, along=3, across=1, degrees=30))[0, 0, 2:] * SIDE**2
    assert found.tolist() == pytest.approx([7.0, 8 * math.sqrt(3) / 4, 3.0], rel=1e-4)


def test_equal_logits_are_the_middle_and_the_variance_of_a_square() -> None:
    # 64 places 1 / 64 apart: (64^2 - 1) / 12 / 64^2.
    found = moments(torch.full((1, 1, SIDE, SIDE), 3.0))[0, 0]
    assert found.tolist() == pytest.approx([0, 0, 4095 / 12 / 4096, 0, 4095 / 12 / 4096], abs=1e-6)


def test_all_mass_at_one_pixel_has_no_spread() -> None:
    peak = torch.full((1, 1, SIDE, SIDE), -80.0)
    peak[0, 0, 5, 60] = 80
    found = moments(peak)[0, 0]
    assert found.tolist() == pytest.approx([60.5 / 64 - 0.5, 5.5 / 64 - 0.5, 0, 0, 0], abs=1e-6)


def test_coordinates_are_the_last_stack_s_means() -> None:
    network = small().eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        distributions, coordinates = network.distributions(x), network(x)
    assert distributions.shape == (2, 2, 5, 5)
    assert torch.equal(coordinates, distributions[-1, ..., :2])
    assert coordinates.shape == (2, 5, 2)
    assert not torch.equal(distributions[0], distributions[1])


@pytest.mark.parametrize("side", [64, 128])
def test_an_hourglass_keeps_the_side(side: int) -> None:
    x = torch.randn(2, 8, side // 4, side // 4)
    assert OneHourglass(8)(x).shape == x.shape


@pytest.mark.parametrize("input_size", [32, 100, 224])
def test_sides_that_cannot_be_halved_six_times_are_refused(input_size: int) -> None:
    with pytest.raises(models.ParamsError, match=f"input_size is {input_size}"):
        models.build("hourglass", input_size=input_size)


def test_bfloat16_keeps_maps_and_moments_in_float32() -> None:
    network = small().eval().to(memory_format=torch.channels_last)
    x = torch.randn(2, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        plain = network.distributions(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            fast = network.distributions(x)
    assert fast.dtype == torch.float32
    torch.testing.assert_close(fast, plain, atol=0.01, rtol=0)


@pytest.mark.parametrize("precision", [None, torch.bfloat16])
def test_every_weight_learns_from_star_with_a_finite_gradient(precision: torch.dtype | None) -> None:
    network = small()
    target, labelled = torch.rand(2, 5, 2) - 0.5, torch.ones(2, 5, dtype=torch.bool)
    with torch.autocast("cpu", dtype=precision, enabled=precision is not None):
        predicted = network.distributions(torch.randn(2, 3, 64, 64))
    torch.autograd.backward(losses.build("star")(predicted, target, labelled))
    # A soft-max does not see what is added to all of a map: biases of maps learn where they are handed on.
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.any() or name == "stacks.1.maps.bias", name


def test_a_state_dict_makes_the_same_network_again() -> None:
    one, other = small(), Hourglass(points=5, input_size=128, stacks=2, width=16)
    other.load_state_dict(one.state_dict())
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(one.eval()(x), other.eval()(x))
