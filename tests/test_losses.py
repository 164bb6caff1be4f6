from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from flmd import losses
from flmd.errors import ParamsError

ALL = losses.names()


def example() -> tuple[Tensor, Tensor, Tensor]:
    """Three faces of four points, one point of each and one whole face not labelled."""
    generator = torch.Generator().manual_seed(5)
    predicted = torch.randn(3, 4, 2, generator=generator, requires_grad=True)
    target = torch.randn(3, 4, 2, generator=generator)
    labelled = torch.ones(3, 4, dtype=torch.bool)
    labelled[:, 1] = False
    labelled[2] = False
    return predicted, torch.where(labelled[..., None], target, torch.nan), labelled


@pytest.mark.parametrize("name", ALL)
def test_unlabelled_points_leak_no_nan(name: str) -> None:
    predicted, target, labelled = example()
    value = losses.build(name)(predicted, target, labelled)
    value.backward()  # type: ignore[no-untyped-call]
    assert value.isfinite()
    assert predicted.grad is not None
    assert predicted.grad.isfinite().all()
    assert (predicted.grad[~labelled] == 0).all()
    assert (predicted.grad[labelled] != 0).all()


@pytest.mark.parametrize("name", ALL)
def test_value_is_that_of_the_labelled_points_alone(name: str) -> None:
    predicted, target, labelled = example()
    loss = losses.build(name)
    alone = loss(predicted[labelled][None], target[labelled][None], torch.ones(1, int(labelled.sum())).bool())
    torch.testing.assert_close(loss(predicted, target, labelled), alone)


@pytest.mark.parametrize("name", ALL)
def test_nothing_labelled_is_zero_with_zero_gradient(name: str) -> None:
    predicted = torch.ones(2, 3, 2, requires_grad=True)
    value = losses.build(name)(predicted, torch.full((2, 3, 2), torch.nan), torch.zeros(2, 3).bool())
    value.backward()  # type: ignore[no-untyped-call]
    assert value == 0
    assert predicted.grad is not None
    assert (predicted.grad == 0).all()


@pytest.mark.parametrize("name", ALL)
def test_perfect_prediction_is_zero_with_finite_gradient(name: str) -> None:
    predicted = torch.zeros(1, 2, 2, requires_grad=True)
    value = losses.build(name)(predicted, torch.zeros(1, 2, 2), torch.ones(1, 2).bool())
    value.backward()  # type: ignore[no-untyped-call]
    assert value == 0
    assert predicted.grad is not None
    assert (predicted.grad == 0).all()


def test_torchs_own_losses_agree() -> None:
    predicted, target, labelled = example()
    p, t = predicted[labelled], target[labelled]
    for name, wanted in (
        ("mse", F.mse_loss(p, t)),
        ("l1", F.l1_loss(p, t)),
        ("smooth_l1", F.smooth_l1_loss(p, t)),
    ):
        torch.testing.assert_close(losses.build(name)(predicted, target, labelled), wanted)
    torch.testing.assert_close(
        losses.build("smooth_l1", beta=0.25)(predicted, target, labelled), F.smooth_l1_loss(p, t, beta=0.25)
    )


def one(name: str, difference: float, target: float = 0.0, **options: object) -> float:
    """The loss of a single coordinate."""
    wanted = torch.tensor([[[target, target]]], dtype=torch.float64)
    return float(losses.build(name, **options)(wanted + difference, wanted, torch.ones(1, 1).bool()))


def test_wing_by_hand() -> None:
    # w 10, epsilon 2: 10 ln(1 + 4/2) = 10 ln 3 at 4; C = 10 - 10 ln 6, so 15 - 10 + 10 ln 6 at 15.
    assert one("wing", 4, w=10, epsilon=2) == pytest.approx(10 * math.log(3))
    assert one("wing", -15, w=10, epsilon=2) == pytest.approx(5 + 10 * math.log(6))


def test_wing_default_is_the_papers_in_shares_of_its_64_pixels() -> None:
    assert one("wing", 4 / 64) == pytest.approx(one("wing", 4, w=10, epsilon=2) / 64)
    assert one("wing", 15 / 64) == pytest.approx(one("wing", 15, w=10, epsilon=2) / 64)


def test_adaptive_wing_by_hand() -> None:
    # At y = 1 the exponent is 1.1; with epsilon 1: 14 ln(1 + 0.2^1.1) inside.
    assert one("adaptive_wing", 0.2, target=1.0) == pytest.approx(14 * math.log(1 + 0.2**1.1))
    # At y = 0, beyond theta 0.5: A = 14 / (1 + 0.5^2.1) * 2.1 * 0.5^1.1, C = 0.5 A - 14 ln(1 + 0.5^2.1).
    slope = 14 / (1 + 0.5**2.1) * 2.1 * 0.5**1.1
    assert one("adaptive_wing", 0.8) == pytest.approx(slope * 0.3 + 14 * math.log(1 + 0.5**2.1))


@pytest.mark.parametrize(
    ("name", "options", "edge"), [("wing", {"w": 0.5, "epsilon": 0.1}, 0.5), ("adaptive_wing", {}, 0.5)]
)
def test_pieces_meet(name: str, options: dict[str, object], edge: float) -> None:
    below, above = one(name, edge - 1e-9, **options), one(name, edge + 1e-9, **options)
    assert below == pytest.approx(above, abs=1e-6)


def test_heat_maps_are_masked_by_point_too() -> None:
    predicted, target = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    labelled = torch.tensor([[True, False, True], [False, True, True]])
    torch.testing.assert_close(
        losses.build("mse")(predicted, target, labelled), F.mse_loss(predicted[labelled], target[labelled])
    )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mes", {}, "unknown loss 'mes'.*did you mean 'mse'"),
        ("mse", {"beta": 1}, "unknown option of loss mse"),
        ("wing", {"epsilom": 1}, "did you mean 'epsilon'"),
        ("wing", {"w": 0}, "w is 0; expected greater than 0"),
        ("smooth_l1", {"beta": "big"}, "beta is 'big'; expected a valid number"),
    ],
)
def test_impossible_wishes(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        losses.build(name, **options)
