"""The moving average of a network's weights, which errs less than the weights themselves.

Polyak averaging with an exponential window (Polyak and Juditsky, 1992): single steps of the optimiser
wander around a minimum, their mean lies closer to it, long before the learning rate has fallen.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

WARM_UP = 10  # steps


class WeightAverage:
    """An average of a module's parameters and floating-point buffers over its latest steps.

    Parameters
    ----------
    module : the trained network. decay : d in 0 <= d < 1; a step's weights count 1 - d, those of s steps
        before d**s times as much: the window is about 1 / (1 - d) steps long. Early steps are averaged over
        a shorter window, with (1 + n) / (10 + n) after n steps where that is less, so that the weights drawn
        at random are soon forgotten.

    Attributes
    ----------
    module : the averaged network, in eval mode, on the same device and in the same memory format.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.module = copy.deepcopy(module).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, trained: nn.Module) -> None:
        """Take the weights after a step into the average; whole-number buffers are copied."""
        share = 1 - min(self.decay, (1 + self.steps) / (WARM_UP + self.steps))
        self.steps += 1
        current = trained.state_dict()
        averaged: list[Tensor] = []
        latest: list[Tensor] = []
        for name, value in self.module.state_dict().items():
            if value.is_floating_point():
                averaged.append(value)
                latest.append(current[name])
            else:
                value.copy_(current[name])
        torch._foreach_lerp_(averaged, latest, share)
