from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from flmd.errors import ParamsError
from flmd.training import losses

ALL = [name for name in losses.names() if name not in losses.OF_DISTRIBUTIONS]


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


def round_or_long(points: Tensor, *, xx: float, xy: float, yy: float) -> Tensor:
    """Points (B, K, 2) as the means of one estimate of distributions (1, B, K, 5)."""
    spread = torch.tensor([xx, xy, yy], dtype=points.dtype).expand(*points.shape[:-1], 3)
    return torch.cat([points, spread], dim=-1)[None]


def star_of(error: tuple[float, float], *, xx: float, xy: float, yy: float, **options: object) -> float:
    """STAR of a single point."""
    points = torch.tensor([[error]], dtype=torch.float64)
    loss = losses.build("star", **options)
    return float(
        loss(round_or_long(points, xx=xx, xy=xy, yy=yy), torch.zeros_like(points), torch.ones(1, 1).bool())
    )


def test_star_by_hand() -> None:
    # Standard deviations 0.2 and 0.1, error (0.04, 0.03), beta 0.01: 0.04 - 0.005 and 0.03 - 0.005.
    value = 0.035 / 0.2 + 0.025 / 0.1 + 2 * (0.04 + 0.01)
    assert star_of((0.04, 0.03), xx=0.04, xy=0, yy=0.01, beta=0.01, spread=2, epsilon=1e-12) == pytest.approx(
        value
    )
    # The long axis on y, and errors within beta: d^2 / (2 beta) = 0.0018 and 0.0008 at beta 0.25.
    value = 0.0018 / 0.1 + 0.0008 / 0.2 + 4 * 0.05
    assert star_of((0.03, -0.02), xx=0.01, xy=0, yy=0.04, beta=0.25, epsilon=1e-12) == pytest.approx(value)
    # With epsilon 0.05 the standard deviations 0.2 and 0.1 are sqrt(0.09) and sqrt(0.06).
    value = 0.035 / 0.3 + 0.025 / math.sqrt(0.06) + 4 * 0.05
    assert star_of((0.04, 0.03), xx=0.04, xy=0, yy=0.01, beta=0.01, epsilon=0.05) == pytest.approx(value)


def test_star_of_a_slanted_distribution_by_hand() -> None:
    # Variances 0.05 and 0.03 along (1, 1) and (1, -1): xx = yy = 0.04, xy = 0.01. The error is along (1, 1).
    length = math.hypot(0.06, 0.06)
    value = (length - 0.005) / math.sqrt(0.05) + 4 * 0.08
    assert star_of((0.06, 0.06), xx=0.04, xy=0.01, yy=0.04, beta=0.01, epsilon=1e-12) == pytest.approx(value)
    value = (length - 0.005) / math.sqrt(0.03) + 4 * 0.08
    assert star_of((0.06, -0.06), xx=0.04, xy=0.01, yy=0.04, beta=0.01, epsilon=1e-12) == pytest.approx(value)


def test_star_defaults_are_the_authors_in_shares_of_the_side() -> None:
    # Theirs count the side from -1 to 1, so errors are twice and variances four times as large:
    # 0.08 - 0.005 over sqrt(0.16 + 1e-5), 0.06 - 0.005 over sqrt(0.04 + 1e-5), and 0.16 + 0.04.
    value = 0.075 / math.sqrt(0.16001) + 0.055 / math.sqrt(0.04001) + 0.2
    assert star_of((0.08, 0.06), xx=0.16, xy=0, yy=0.04, beta=0.01, spread=1, epsilon=1e-5) == (
        pytest.approx(value)
    )
    assert star_of((0.04, 0.03), xx=0.04, xy=0, yy=0.01) == pytest.approx(value)


def test_star_counts_an_error_along_the_distribution_less_than_one_across_it() -> None:
    along, across = (star_of(error, xx=0.04, xy=0, yy=0.001, spread=0) for error in ((0.05, 0), (0, 0.05)))
    assert across == pytest.approx(along * math.sqrt(40), rel=2e-3)


def test_later_estimates_weigh_twice_the_one_before() -> None:
    _, target, labelled = example()
    torch.manual_seed(1)
    three = torch.cat([torch.randn(3, 3, 4, 2), torch.tensor([0.2, 0.05, 0.1]).expand(3, 3, 4, 3)], dim=-1)
    star = losses.build("star")
    one, two, four = (star(estimate[None], target, labelled) for estimate in three)
    torch.testing.assert_close(star(three, target, labelled), (one + 2 * two + 4 * four) / 7)


def test_star_looks_at_labelled_points_alone() -> None:
    predicted, target, labelled = example()
    star = losses.build("star")
    value = star(round_or_long(predicted, xx=0.2, xy=0.1, yy=0.3), target, labelled)
    torch.autograd.backward(value)
    assert predicted.grad is not None
    assert (predicted.grad[~labelled] == 0).all()
    assert (predicted.grad[labelled] != 0).all()
    alone = round_or_long(predicted[labelled][None], xx=0.2, xy=0.1, yy=0.3)
    torch.testing.assert_close(value, star(alone, target[labelled][None], torch.ones(1, 6).bool()))
    nothing = star(alone, torch.full((1, 6, 2), torch.nan), torch.zeros(1, 6).bool())
    assert nothing == 0


@pytest.mark.parametrize("spread", [(0.0, 0.0, 0.0), (0.1, 0.0, 0.1), (0.1, 0.1, 0.1)])
def test_star_s_gradient_is_finite_for_points_circles_and_lines(spread: tuple[float, float, float]) -> None:
    for error in (0.0, 0.3):
        predicted = torch.tensor([[[[error, error, *spread]]]], requires_grad=True)
        value = losses.build("star")(predicted, torch.zeros(1, 1, 2), torch.ones(1, 1).bool())
        torch.autograd.backward(value)
        assert value.isfinite()
        assert predicted.grad is not None
        assert predicted.grad.isfinite().all()


def test_star_s_gradient_is_its_slope() -> None:
    """By finite differences, for a distribution along an axis: turning it is what no gradient sees."""
    target, labelled = torch.zeros(1, 1, 2, dtype=torch.float64), torch.ones(1, 1).bool()

    def value(mean_and_variances: Tensor) -> Tensor:
        x, y, xx, yy = mean_and_variances
        predicted = torch.stack([x, y, xx, torch.zeros_like(x), yy])[None, None, None]
        loss: Tensor = losses.build("star")(predicted, target, labelled)
        return loss

    point = torch.tensor([0.04, 0.003, 0.02, 0.007], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(value, (point,))


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
