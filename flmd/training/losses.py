"""Regression losses that look at labelled points only.

All take ``predicted`` and ``target`` (B, K, 2) float32 in the same units, ``target`` being NaN (or
anything) where a point is not labelled, and ``labelled`` (B, K) bool; they return the mean over
labelled coordinates, a float32 scalar: 0, with zero gradient, when nothing is labelled. More or other
trailing dimensions do as well: (B, K, H, W) for heat maps.

The losses of ``OF_DISTRIBUTIONS`` take (M, B, K, 5) instead: what a network's ``distributions`` method
returns, M estimates one after another, each a mean x and y, a variance of x, a covariance of x and y and a
variance of y. They return the mean over labelled points.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Annotated

import torch
import torch.nn.functional as F  # noqa: N812
from pydantic import Field
from torch import Tensor

from flmd.models import options as _options
from flmd.models.options import NotNegative, Positive

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def mse(predicted: Tensor, target: Tensor, labelled: Tensor) -> Tensor:
    """Mean squared error."""
    difference, _, mask = _masked(predicted, target, labelled)
    return _mean(difference.square(), mask)


def l1(predicted: Tensor, target: Tensor, labelled: Tensor) -> Tensor:
    """Mean absolute error."""
    difference, _, mask = _masked(predicted, target, labelled)
    return _mean(difference.abs(), mask)


def smooth_l1(predicted: Tensor, target: Tensor, labelled: Tensor, *, beta: Positive = 1.0) -> Tensor:
    """d^2 / (2 beta) where |d| < beta, |d| - beta / 2 beyond (Girshick, "Fast R-CNN", 2015).

    ``beta`` is in the units of ``target``.
    """
    difference, _, mask = _masked(predicted, target, labelled)
    return _mean(
        F.smooth_l1_loss(difference, torch.zeros_like(difference), reduction="none", beta=beta), mask
    )


def wing(
    predicted: Tensor, target: Tensor, labelled: Tensor, *, w: Positive = 10 / 64, epsilon: Positive = 2 / 64
) -> Tensor:
    """w ln(1 + |d| / epsilon) where |d| < w, |d| - C beyond (Feng et al., "Wing Loss", CVPR 2018).

    ``w`` and ``epsilon`` are in the units of ``target``. The defaults are the paper's 10 and 2 pixels of
    its 64-pixel input, as shares of the side: right for points_scale 1.
    """
    difference, _, mask = _masked(predicted, target, labelled)
    size = difference.abs()
    constant = w - w * math.log1p(w / epsilon)
    return _mean(torch.where(size < w, w * torch.log1p(size / epsilon), size - constant), mask)


def adaptive_wing(
    predicted: Tensor,
    target: Tensor,
    labelled: Tensor,
    *,
    omega: Positive = 14.0,
    theta: Positive = 0.5,
    epsilon: Positive = 1.0,
    alpha: Annotated[float, Field(ge=2.01, le=10)] = 2.1,
) -> Tensor:
    """omega ln(1 + |d / epsilon|^(alpha - y)) where |d| < theta, A |d| - C beyond.

    Wang, Bo and Fuxin, "Adaptive Wing Loss" (ICCV 2019), made for heat maps whose values y lie in
    0..1. y is the target held to that range, so that the exponent stays above 1 for coordinates too.
    """
    difference, wanted, mask = _masked(predicted, target, labelled)
    size = difference.abs()
    power = alpha - wanted.clamp(0, 1)
    edge = (theta / epsilon) ** power
    slope = omega / (1 + edge) * power * (theta / epsilon) ** (power - 1) / epsilon
    constant = theta * slope - omega * torch.log1p(edge)
    inner = omega * torch.log1p((size / epsilon) ** power)
    return _mean(torch.where(size < theta, inner, slope * size - constant), mask)


def star(
    predicted: Tensor,
    target: Tensor,
    labelled: Tensor,
    *,
    beta: Positive = 0.005,
    spread: NotNegative = 4.0,
    epsilon: Positive = 2.5e-6,
) -> Tensor:
    """s(d1) / sqrt(v1 + epsilon) + s(d2) / sqrt(v2 + epsilon) + spread (v1 + v2); s: smooth L1.

    Zhou et al., "STAR Loss" (CVPR 2023): v1 and v2 are the variances along the principal axes of the
    predicted distribution, d1 and d2 the error along them. Along a contour, where annotators disagree,
    distributions get long and an error counts less; ``spread`` keeps them from growing without bound.
    The M estimates weigh 1, 2, 4 ... of their sum, as there. No gradient goes through the axes'
    directions: it has no limit where a distribution is round.

    predicted (M, B, K, 5), see the top of this file. ``beta`` is in the units of ``target``, ``epsilon`` in
    their square, ``spread`` in its inverse. The defaults are the authors' 0.01, 1e-5 and 1 of coordinates in
    -1..1, in shares of the side: right for points_scale 1. The covariance is the plain one; theirs is
    divided by 1 less the sum of the squared heat map.
    """
    difference, _, _ = _masked(predicted[..., :2], target, labelled)
    xx, xy, yy = predicted[..., 2:].unbind(-1)
    middle, half = (xx + yy) / 2, (xx - yy) / 2
    # The tiny term keeps the root's gradient finite for a round distribution, the floor that of the quotient.
    radius = _root(half.square() + xy.square() + 1e-20)
    along, across = middle + radius, (middle - radius).clamp(min=0)
    angle = torch.atan2(xy, half).detach() / 2
    cosine, sine = angle.cos(), angle.sin()
    x, y = difference.unbind(-1)
    distances = torch.stack([cosine * x + sine * y, cosine * y - sine * x])
    sizes = F.smooth_l1_loss(distances, torch.zeros_like(distances), reduction="none", beta=beta)
    values = (sizes * (torch.stack([along, across]) + epsilon).rsqrt()).sum(0) + spread * (xx + yy)
    weights = 2.0 ** torch.arange(len(values), dtype=values.dtype, device=values.device)
    return _mean(torch.tensordot(weights / weights.sum(), values, dims=1), labelled)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "mse": mse,
    "l1": l1,
    "smooth_l1": smooth_l1,
    "wing": wing,
    "adaptive_wing": adaptive_wing,
    "star": star,
}
OF_DISTRIBUTIONS = frozenset({"star"})


def names() -> list[str]:
    """The losses there are, sorted."""
    return sorted(LOSSES)


def build(name: str, **options: object) -> Loss:
    """The loss of that name with its options set: ``loss(predicted, target, labelled) -> scalar``.

    Raises
    ------
    ParamsError : unknown name or option (names the nearest), or a value out of range.
    """
    function = _options.look_up("loss", name, LOSSES)
    return functools.partial(function, **_options.check("loss", name, function, options))


def _masked(predicted: Tensor, target: Tensor, labelled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """predicted - target and target, both 0 where not labelled, and the mask, all of one shape.

    The target is replaced before it is subtracted: a NaN that only meets a zero later would come back
    as NaN through the gradient.
    """
    mask = labelled.reshape(*labelled.shape, *([1] * (target.ndim - labelled.ndim))).expand_as(target)
    wanted = torch.where(mask, target, torch.zeros_like(target))
    difference = torch.where(mask, predicted - wanted, torch.zeros_like(wanted))
    return difference, wanted, mask


def _root(values: Tensor) -> Tensor:
    """Square roots of positive numbers, the same on every processor: torch.sqrt is not, on a CPU."""
    return values.rsqrt().reciprocal()


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean over the mask; what lies outside it counts nothing even where a loss of 0 is not 0."""
    return torch.where(mask, values, torch.zeros_like(values)).sum() / mask.sum().clamp(min=1)
