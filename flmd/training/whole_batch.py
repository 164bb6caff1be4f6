"""Layers that see the whole batch although each process of a distributed training holds only its share.

Batch norm takes its statistics from the faces of all processes, and dropout draws the masks of the whole
batch everywhere and applies its own rows, so that a step is the step of one process with that batch. On the
CPU the masks are the very ones of a single process; on a GPU they are the same for any number of processes.

A process that a small batch left without a face computes on a stand-in, which counts nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


@dataclass
class Place:
    """Where this process's rows lie in the batch at hand: rows ``start ... start + count - 1`` of ``total``.

    ``count`` 0: the one row that is there is a stand-in.
    """

    start: int = 0
    count: int = 0
    total: int = 0

    def take(self, other: Place) -> None:
        """Be where the other one is: the layers keep hold of one place."""
        self.start, self.count, self.total = other.start, other.count, other.total


def across_processes(network: nn.Module, place: Place) -> nn.Module:
    """The network with its batch norm and dropout replaced; parameters, buffers and names stay.

    ``place`` is read in each forward pass in training mode: set it before each batch.
    """
    for name, child in network.named_children():
        replaced = _replaced(child, place)
        if replaced is None:
            across_processes(child, place)
        else:
            setattr(network, name, replaced)
    return network


def _replaced(layer: nn.Module, place: Place) -> nn.Module | None:
    if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
        return _BatchNorm(layer, place)
    if isinstance(layer, nn.Dropout | nn.Dropout2d):
        return _Dropout(layer, place)
    return None


class _BatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm over the rows of all processes, for (B, C) and (B, C, H, W)."""

    def __init__(self, like: nn.BatchNorm1d | nn.BatchNorm2d, place: Place) -> None:
        super().__init__(like.num_features, like.eps, like.momentum, like.affine, like.track_running_stats)
        self.weight, self.bias = like.weight, like.bias
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            setattr(self, name, getattr(like, name))
        self._place = place
        self.train(like.training)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in (2, 4):
            raise ValueError(f"expected (B, C) or (B, C, H, W), got {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        count = self._place.total * input[0, 0].numel()
        if count < 2:
            raise ValueError("batch norm cannot learn from one value per channel; raise train.batch")
        out, mean, var = _Normalise.apply(input, self.weight, self.bias, self.eps, self._place.count, count)
        if self.running_mean is not None and self.running_var is not None:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            kept = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
            with torch.no_grad():
                self.running_mean.mul_(1 - kept).add_(mean, alpha=kept)
                # The variance kept is the unbiased one.
                self.running_var.mul_(1 - kept).add_(var * (count / (count - 1)), alpha=kept)
        normalised: Tensor = out
        return normalised


class _Normalise(torch.autograd.Function):
    """(x - mean) / sqrt(var + eps) * weight + bias, mean and var those of the counted rows of all."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, counted: int, count: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """``counted``: rows of this process; ``count``: values per channel of all."""
        means = torch.zeros(2, x.shape[1], dtype=torch.float64, device=x.device)
        if counted:
            seen = x[:counted].float()
            var, mean = torch.var_mean(seen, [0, *range(2, x.dim())], correction=0)
            share = seen.numel() / seen.shape[1] / count
            # In double precision the difference of means below costs no digit of a float32 variance.
            means[0] = mean.double() * share
            means[1] = (var.double() + mean.double().square()) * share
        dist.all_reduce(means)
        mean, var = means[0].float(), (means[1] - means[0].square()).clamp(min=0).float()
        ctx.save_for_backward(x, weight, mean, (var + eps).rsqrt())
        ctx.counted, ctx.count = counted, count
        ctx.set_materialize_grads(False)
        out = F.batch_norm(x, mean, var, weight, bias, training=False, eps=eps)
        ctx.mark_non_differentiable(mean, var)
        return out, mean, var

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale = ctx.saved_tensors
        dims, shape = [0, *range(2, x.dim())], (1, -1, *[1] * (x.dim() - 2))
        given = gradients[0]
        assert given is not None  # every layer's output is used
        seen, away = given[: ctx.counted].float(), x[: ctx.counted].float() - mean.view(shape)
        own = torch.stack([seen.sum(dims), (seen * away).sum(dims) * scale]).double()
        whole = own.clone()
        dist.all_reduce(whole)
        by_mean, by_size = (whole / ctx.count).float()
        slope = scale if weight is None else scale * weight
        to_x = slope.view(shape) * (
            given.float()
            - by_mean.view(shape)
            - (x.float() - mean.view(shape)) * (scale * by_size).view(shape)
        )
        to_x[ctx.counted :] = 0  # a stand-in has no part in the mean and gets nothing from it
        # Of the parameters each process gives its own part; DDP adds them up.
        to_weight, to_bias = (None, None) if weight is None else (own[1].float(), own[0].float())
        return to_x.to(x.dtype), to_weight, to_bias, None, None, None


class _Dropout(nn.Module):
    """Dropout, of single values or of whole channels, whose mask is drawn for the whole batch."""

    def __init__(self, like: nn.Dropout | nn.Dropout2d, place: Place) -> None:
        super().__init__()
        self.p = like.p
        self._channels, self._place = isinstance(like, nn.Dropout2d), place
        self.train(like.training)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        # As torch draws them on the CPU: bools in the order in which x lies in memory, or floats, one a
        # channel. So one process and many draw alike.
        shape = (self._place.total, *x.shape[1:])
        if self._channels:
            mask = torch.empty((*shape[:2], 1, 1), dtype=x.dtype, device=x.device)
        else:
            last = x.dim() == 4 and not x.is_contiguous()
            order = torch.channels_last if last else torch.contiguous_format
            mask = torch.empty(shape, dtype=torch.bool, device=x.device, memory_format=order)
        mask.bernoulli_(1 - self.p)
        own = mask[self._place.start : self._place.start + self._place.count]
        if not self._place.count:
            own = mask[:1]
        kept: Tensor = x * own / (1 - self.p) if self.p < 1 else x * 0
        return kept
