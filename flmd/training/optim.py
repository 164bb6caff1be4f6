"""Optimisers and learning-rate schedules by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Annotated

from pydantic import Field
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from flmd.errors import ParamsError
from flmd.models import options as _options
from flmd.models.options import NotNegative, Positive, Share

Parameters = Iterable[nn.Parameter]
# One pass over the weights, and with the processor's own square root: that of torch.sqrt is MKL's on a CPU,
# whose last digit differs from one processor to the next.
FUSED = True
GRID = 2.0**40


def adam(
    parameters: Parameters,
    lr: float,
    /,
    *,
    beta1: Share = 0.9,
    beta2: Share = 0.999,
    epsilon: Positive = 1e-8,
    weight_decay: NotNegative = 0.0,
) -> Optimizer:
    """Kingma and Ba, "Adam" (2015); weight decay is added to the gradient."""
    return Adam(parameters, lr, betas=(beta1, beta2), eps=epsilon, weight_decay=weight_decay, fused=FUSED)


def adamw(
    parameters: Parameters,
    lr: float,
    /,
    *,
    beta1: Share = 0.9,
    beta2: Share = 0.999,
    epsilon: Positive = 1e-8,
    weight_decay: NotNegative = 0.01,
) -> Optimizer:
    """Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019)."""
    return AdamW(parameters, lr, betas=(beta1, beta2), eps=epsilon, weight_decay=weight_decay, fused=FUSED)


def sgd(
    parameters: Parameters,
    lr: float,
    /,
    *,
    momentum: Share = 0.0,
    nesterov: bool = False,
    weight_decay: NotNegative = 0.0,
) -> Optimizer:
    """Stochastic gradient descent, with (Nesterov's) momentum when set."""
    if nesterov and momentum == 0:
        raise ParamsError("optimizer sgd: nesterov without momentum", hint="set momentum, 0.9 for example")
    return SGD(parameters, lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"adam": adam, "adamw": adamw, "sgd": sgd}


def build_optimizer(name: str, parameters: Parameters, *, lr: float, **options: object) -> Optimizer:
    """The optimiser of that name.

    Raises
    ------
    ParamsError : unknown name or option (names the nearest), or a value out of range.
    """
    factory = _options.look_up("optimizer", name, OPTIMIZERS)
    return factory(parameters, lr, **_options.check("optimizer", name, factory, options))


class Schedule:
    """What to multiply the learning rate by, as a function of progress; constant, after a warm-up.

    Parameters
    ----------
    epochs : of the whole run.
    warmup : epochs, a fraction allowed, over which the factor climbs linearly from 0 to the schedule's.
    """

    def __init__(self, epochs: int, /, *, warmup: NotNegative = 0.0) -> None:
        if warmup >= epochs and warmup > 0:
            raise ParamsError(
                f"schedule: warmup is {warmup:g} epochs of {epochs}", expected="fewer than train.epochs"
            )
        self.epochs, self.warmup = epochs, warmup

    def factor(self, epoch: float) -> float:
        """The factor after ``epoch`` epochs, counted from 0, fractions allowed."""
        climb = min(1.0, epoch / self.warmup) if self.warmup else 1.0
        # On a grid, so that the last digit of a system's cosine decides nothing.
        return round(climb * self.base(epoch) * GRID) / GRID

    def base(self, epoch: float) -> float:
        """The factor without the warm-up."""
        return 1.0

    def observe(self, score: float) -> None:
        """Told the score, lower being better, after each epoch."""

    def state(self) -> dict[str, float]:
        """All that :meth:`observe` has changed, to be saved."""
        return {}

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from a saved :meth:`state`."""


class Cosine(Schedule):
    """Half a cosine from 1 to ``final`` (Loshchilov and Hutter, "SGDR", 2017, without restarts)."""

    def __init__(self, epochs: int, /, *, warmup: NotNegative = 0.0, final: Share = 0.0) -> None:
        super().__init__(epochs, warmup=warmup)
        self.final = final

    def base(self, epoch: float) -> float:
        done = min(1.0, max(0.0, (epoch - self.warmup) / (self.epochs - self.warmup)))
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * done)) / 2


class Multistep(Schedule):
    """Multiplied by ``gamma`` at each milestone, an epoch counted from 0."""

    def __init__(
        self,
        epochs: int,
        /,
        *,
        milestones: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)],
        gamma: Annotated[float, Field(gt=0, le=1)] = 0.1,
        warmup: NotNegative = 0.0,
    ) -> None:
        super().__init__(epochs, warmup=warmup)
        if any(late <= early for early, late in pairwise(milestones)):
            raise ParamsError(f"schedule multistep: milestones is {milestones}", expected="rising epochs")
        self.milestones, self.gamma = milestones, gamma

    def base(self, epoch: float) -> float:
        return float(self.gamma ** sum(epoch >= milestone for milestone in self.milestones))


class Plateau(Schedule):
    """Multiplied by ``factor`` when the score has not improved for more than ``patience`` epochs.

    As torch's ReduceLROnPlateau with its relative ``threshold``: a score below (1 - threshold) times
    the best is an improvement. ``minimum`` is the lowest factor.
    """

    def __init__(
        self,
        epochs: int,
        /,
        *,
        factor: Annotated[float, Field(gt=0, lt=1)] = 0.1,
        patience: Annotated[int, Field(ge=0)] = 10,
        threshold: Share = 1e-4,
        minimum: Share = 0.0,
        warmup: NotNegative = 0.0,
    ) -> None:
        super().__init__(epochs, warmup=warmup)
        self.shrink, self.patience, self.threshold, self.minimum = factor, patience, threshold, minimum
        self.best, self.bad, self.now = math.inf, 0, 1.0

    def base(self, epoch: float) -> float:
        return self.now

    def observe(self, score: float) -> None:
        if score < self.best * (1 - self.threshold):
            self.best, self.bad = score, 0
            return
        self.bad += 1
        if self.bad > self.patience:
            self.now, self.bad = max(self.minimum, self.now * self.shrink), 0

    def state(self) -> dict[str, float]:
        return {"best": self.best, "bad": self.bad, "now": self.now}

    def restore(self, state: Mapping[str, float]) -> None:
        self.best, self.bad, self.now = state["best"], int(state["bad"]), state["now"]


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": Schedule,
    "cosine": Cosine,
    "multistep": Multistep,
    "plateau": Plateau,
}


def build_schedule(name: str, *, epochs: int, **options: object) -> Schedule:
    """The schedule of that name for a run of so many epochs.

    Raises
    ------
    ParamsError : unknown name or option (names the nearest), a value out of range, or an option that
        has to be set and is not.
    """
    factory = _options.look_up("schedule", name, SCHEDULES)
    checked = _options.check("schedule", name, factory, options)
    for option, parameter in _options.known_options(factory).items():
        if parameter.default is parameter.empty and option not in checked:
            raise ParamsError(
                f"schedule {name}: {option} is not set", hint="set it in train.schedule_options"
            )
    return factory(epochs, **checked)
