"""A network in training: what it is, what trains it, and one step of the optimiser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple
from typing import Any

import torch
from torch import Tensor, nn

from flmd import models
from flmd.core.box_rule import BoxRule
from flmd.core.crop_spec import CropSpec
from flmd.core.params import TrainParams
from flmd.errors import ParamsError
from flmd.models import own_weights
from flmd.models.checkpoint import ModelInfo, weights_of
from flmd.models.devices import autocast_type
from flmd.models.normalisation import Normalisation
from flmd.schemes import Scheme
from flmd.training import losses, optim
from flmd.training.batch_loader import Batch
from flmd.training.determinism import seed_all
from flmd.training.distributed import Processes
from flmd.training.ema import WeightAverage
from flmd.training.teacher import Teacher
from flmd.training.whole_batch import Place

Predict = Callable[[Tensor], Tensor]


def describe(
    settings: TrainParams,
    scheme: Scheme,
    crop: CropSpec,
    made_from: dict[str, Any],
    rule: BoxRule | None = None,
) -> ModelInfo:
    """What a network of these settings is, before it has learnt anything.

    Raises
    ------
    ParamsError : an unknown network or option; units of points that the network does not predict.
    """
    models.check_convention(settings.network, settings.points_offset, settings.points_scale)
    return ModelInfo(
        network=settings.network,
        options=models.resolved_options(settings.network, **settings.network_options),
        points=scheme.count,
        channels=1 if crop.color == "grey" else 3,
        scheme=scheme.name,
        normalisation=Normalisation(
            input_size=crop.size,
            pixel_mean=_numbers(settings.pixel_mean),
            pixel_std=_numbers(settings.pixel_std),
            points_offset=settings.points_offset,
            points_scale=settings.points_scale,
        ),
        crop=crop,
        made_from=made_from,
        box_rule=None if rule is None else list(astuple(rule)),
    )


class Trainee:
    """The network, its loss, its optimiser and the average of its weights.

    Parameters
    ----------
    info : what it is. seed : of its weights. device : where it learns. processes : that learn together.

    Attributes
    ----------
    model : the network. result : what is measured and saved, the network or the average of its weights.
    ddp_model : what a step calls for predictions; under torchrun it sums gradients over the processes.

    Raises
    ------
    ParamsError : unknown loss, optimiser or schedule, or one of their options out of range; a teacher that
        sees or predicts something else. InputError, StoreError : a teacher that cannot be loaded.
    """

    def __init__(
        self,
        info: ModelInfo,
        settings: TrainParams,
        seed: int,
        device: torch.device,
        processes: Processes,
    ) -> None:
        self.info, self.settings, self.device, self.processes = info, settings, device, processes
        seed_all(seed, 0)
        model = _network(info, settings).to(device)
        # Twice as fast as planar on the CPU too, measured on xception.
        self.model = model.to(memory_format=torch.channels_last)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.loss = losses.build(settings.loss, **settings.loss_options)
        self.average = WeightAverage(self.model, settings.ema_decay) if settings.ema_decay else None
        self.result = self.average.module if self.average else self.model
        self._place = Place()
        self.ddp_model: Predict = seen_by_loss(settings, self.model)
        if processes.count > 1:
            self.ddp_model = processes.ddp_model(self.model, self.ddp_model, self._place)
        self.optimizer = optim.build_optimizer(
            settings.optimizer, trained, lr=settings.lr, **settings.optimizer_options
        )
        self.schedule = optim.build_schedule(
            settings.schedule, epochs=settings.epochs, **settings.schedule_options
        )
        self._precision = autocast_type(settings.precision, device, settings.cpu)
        self._teacher = (
            None
            if settings.teacher == "none"
            else Teacher(settings.teacher, settings.teacher_weight, info, device, self._precision)
        )

    def set_lr(self, time: float) -> float:
        """The learning rate at ``time``, in epochs from the start, which the next step uses."""
        lr = self.settings.lr * self.schedule.factor(time)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        return lr

    def training_step(self, batch: Batch, labelled: int) -> tuple[Tensor, Tensor]:
        """Learn from a batch.

        Parameters
        ----------
        labelled : points of the whole batch that have a place, those of other processes included.

        Returns
        -------
        The mean loss of the whole batch before the step, and ``labelled``, both on the device.
        """
        self.optimizer.zero_grad(set_to_none=True)
        self._place.take(batch.share.place)
        points = self._teacher.blend(batch.images, batch.points) if self._teacher else batch.points
        target, own = self.info.normalisation.points(points), batch.labelled
        loss = self.loss(self.predict(batch, self.ddp_model), target, own)
        whole = own.sum()
        if self.processes.count > 1:
            whole = torch.tensor(labelled, device=self.device)
            loss = loss * (own.sum() / whole.clamp(min=1))
        torch.autograd.backward(loss * self.processes.count)  # DDP takes the mean over the processes
        self.optimizer.step()
        if self.average:
            self.average.update(self.model)
        return self.processes.sum(loss.detach()), whole

    def predict(self, batch: Batch, network: Predict) -> Tensor:
        """(B, K, 2) float32 normalised coordinates; (M, B, K, 5) for a loss of distributions."""
        pixels = self.info.normalisation.pixels(batch.images).contiguous(memory_format=torch.channels_last)
        if self._precision is None:
            predicted = network(pixels)
        else:
            with torch.autocast(self.device.type, dtype=self._precision):
                predicted = network(pixels)
        return predicted.float()

    def sums_on(self) -> torch.device:
        """Where sums are kept: MPS has no float64."""
        return torch.device("cpu") if self.device.type == "mps" else self.device

    def state(self) -> dict[str, Any]:
        """All that :meth:`restore` needs. No generator states: each epoch seeds its own."""
        return {
            "weights": weights_of(self.model),
            "average": weights_of(self.average.module) if self.average else None,
            "averaged_steps": self.average.steps if self.average else 0,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Be as :meth:`state` says."""
        self.model.load_state_dict(state["weights"])
        if self.average:
            self.average.module.load_state_dict(state["average"])
            self.average.steps = state["averaged_steps"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.restore(state["schedule"])


def _network(info: ModelInfo, settings: TrainParams) -> nn.Module:
    """The network, its weights drawn at random or those that it starts from."""
    own = own_weights.is_model(settings.pretrained)
    network = models.build(
        settings.network,
        points=info.points,
        channels=info.channels,
        input_size=info.normalisation.input_size,
        pretrained="none" if own else settings.pretrained,
        **settings.network_options,
    )
    if own:
        own_weights.start_from(settings.pretrained, network, info)
    return network


def seen_by_loss(settings: TrainParams, model: nn.Module) -> Predict:
    """What gives the loss its predictions: the network, or its distributions (see ``losses``)."""
    if settings.loss not in losses.OF_DISTRIBUTIONS:
        return model
    distributions: Predict | None = getattr(model, "distributions", None)
    if distributions is None:
        raise ParamsError(
            f"loss {settings.loss} needs a network that predicts distributions; {settings.network} predicts "
            "coordinates",
            hint="set train.network: hourglass, or train.loss: smooth_l1",
        )
    return distributions


def _numbers(value: float | list[float]) -> float | tuple[float, ...]:
    return tuple(value) if isinstance(value, list) else value
