"""The integral network: its size by hand, and that a heat map is read where its mass lies."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from flmd import models
from flmd.models.integral import Integral


def convolution(inputs: int, outputs: int) -> int:
    """Weights of a 3x3 convolution without bias, and scale and shift of its batch norm."""
    return 9 * inputs * outputs + 2 * outputs


def test_parameters_as_counted_by_hand() -> None:
    stem = convolution(1, 24) + convolution(24, 32)
    fine = 2 * convolution(32, 32)
    middle = convolution(32, 64) + 2 * convolution(64, 64)
    coarse = convolution(64, 128) + 2 * convolution(128, 128)
    joins = (128 + 1) * 64 + (64 + 1) * 64 + (32 + 1) * 64
    maps = (64 + 1) * 68
    expected = stem + fine + middle + coarse + joins + maps
    assert expected == 506_700
    assert sum(p.numel() for p in models.build("integral").parameters()) == expected


def test_it_is_as_small_as_a_real_time_application_wants() -> None:
    network = models.build("integral").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 1, 96, 96))
    assert counter.get_total_flops() < 100e6  # 2 x multiply-adds
    assert sum(p.numel() for p in network.parameters()) < 1.5e6


@pytest.mark.parametrize(("column", "row"), [(0, 0), (5, 17), (23, 23)])
def test_a_peak_is_read_at_its_place(column: int, row: int) -> None:
    """All mass at one pixel of the 24 x 24 map: its middle is at (i + 0.5) / 24 - 0.5 of the side."""
    network = Integral(points=1)
    peak = torch.full((1, 1, 24, 24), -50.0)
    peak[0, 0, row, column] = 50
    network.maps = Constant(peak)  # type: ignore[assignment]
    found = network.eval()(torch.zeros(1, 1, 96, 96))[0, 0]
    assert found.tolist() == pytest.approx([(column + 0.5) / 24 - 0.5, (row + 0.5) / 24 - 0.5], abs=1e-6)


def test_equal_mass_at_two_pixels_is_read_between_them() -> None:
    network = Integral(points=1)
    peaks = torch.full((1, 1, 24, 24), -50.0)
    peaks[0, 0, 10, 7], peaks[0, 0, 10, 8] = 50, 50
    network.maps = Constant(peaks)  # type: ignore[assignment]
    found = network.eval()(torch.zeros(1, 1, 96, 96))[0, 0]
    assert found.tolist() == pytest.approx([8 / 24 - 0.5, 10.5 / 24 - 0.5], abs=1e-6)


class Constant(nn.Module):
    """The same maps whatever comes in."""

    def __init__(self, maps: torch.Tensor) -> None:
        super().__init__()
        self.value = maps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.value


def test_sizes_alone_are_built_without_the_compiler() -> None:
    """``load_model`` builds on "meta" first, where torch does sums by a package that takes seconds."""
    code = """if True:
        import sys, torch
        from flmd import models
        with torch.device("meta"):
            models.build("integral", points=5, channels=1, input_size=32, width=8)
        print("torch._dynamo" in sys.modules)
        """
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "False"


@pytest.mark.parametrize("side", [8, 24, 40, 56])
def test_places_are_the_middles_of_the_maps_pixels(side: int) -> None:
    network = models.build("integral", points=1, channels=1, input_size=4 * side, width=8)
    wanted = [(4 * i + 1.5 + 0.5) / (4 * side) - 0.5 for i in range(side)]  # pixels 4 i ... 4 i + 3
    assert network.place.tolist() == pytest.approx(wanted, abs=1e-7)
