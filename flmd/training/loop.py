"""The training loop: epochs, the best and the last model, and going on after a kill.

Everything drawn at random in an epoch is a function of (seed, epoch): the order of faces and the
dropout masks. So a training that was killed and started again goes on from its last finished epoch,
and on the CPU (with the same number of threads) it ends with the bytes of an undisturbed one.

Under torchrun each process takes its share of every batch, see :mod:`flmd.training.distributed`; only the
first one writes and speaks. ``settings.batch`` stays the size of the whole batch.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from flmd import models
from flmd.core import processor
from flmd.core._version import __version__ as flmd_version
from flmd.core.crop_spec import CropSpec
from flmd.core.params import TrainParams
from flmd.errors import FlmdError, InputError, ParamsError, StoreError
from flmd.models import checkpoint
from flmd.models.devices import autocast_type, choose_device, cpu_threads
from flmd.models.normalisation import Normalisation
from flmd.schemes import Scheme
from flmd.training import distributed, losses, optim
from flmd.training.batches import ArraySplit, Batch, Feeder, check_split, cut, draw
from flmd.training.curves import Curves
from flmd.training.determinism import reproducible, seed_all
from flmd.training.distributed import Processes, Share
from flmd.training.ema import WeightAverage
from flmd.training.whole_batch import Place

Row = dict[str, float]


@dataclass(frozen=True)
class FitResult:
    """What training gave.

    Attributes
    ----------
    history : a row an epoch: epoch (from 1), train_loss, val_loss, val_error_px (mean distance of a
        labelled point, pixels of the network's input), lr (at the epoch's end). Without validation
        faces the val columns are missing.
    best_epoch : the epoch of best.pt, from 1.
    best_val : its validation loss; its training loss without validation faces.
    """

    history: list[Row]
    best_epoch: int
    best_val: float


def fit(
    train: ArraySplit,
    val: ArraySplit,
    settings: TrainParams,
    *,
    scheme: Scheme,
    seed: int,
    crop: CropSpec,
    out: Path,
    resume_dir: Path | None = None,
    curves: Path | None = None,
    made_from: dict[str, Any] | None = None,
    progress: bool = True,
) -> FitResult:
    """Train a network; write ``out/best.pt`` (lowest validation loss) and ``out/last.pt``.

    Parameters
    ----------
    train, val : the arrays; ``val`` may be empty, then the training loss decides.
    settings : params.yaml's ``train`` section.
    scheme : K landmarks, kept by name in the models.
    seed : of weights, order and dropout; 0 to 2^32 - 1. Also seeds Python's and numpy's global generators.
    crop : how faces were cut out, kept in the models.
    out : folder of the two models, see :mod:`flmd.models.checkpoint`.
    resume_dir : where the state after each epoch is kept, in a folder named after the settings, seed
        and data; removed when training ends well. None: a killed training starts over.
    curves : folder for DVCLive, emptied first; None for none.
    made_from : digests and params of what the arrays were made from, kept in the models.
    progress : show a bar on a terminal and print a line for each epoch.

    Raises
    ------
    ParamsError : unknown network, loss, optimiser, schedule, option or device, or a value out of range.
    InputError : arrays that do not fit together, or fewer than two training faces.
    FlmdError : the loss is not a number any more; processes of torchrun that do not have the same data.
    """
    check_split("train", train, scheme.count)
    check_split("val", val, scheme.count)
    _check_sizes(train, val, crop)
    processes = distributed.current()
    device = processes.device(choose_device(settings.device))
    made_from = {**(made_from or {}), **({"processes": processes.count} if processes.count > 1 else {})}
    fingerprint = _fingerprint(train, val, settings, scheme, seed, crop, made_from)
    processes.same("training data, settings or versions", fingerprint)
    if not processes.first:
        curves, progress = None, False
    processor.warn_if_not_pinned(settings.cpu)
    _keep_freed_memory()
    with reproducible(settings.deterministic, device), cpu_threads(settings.threads):
        run = _Run(train, val, settings, scheme, seed, crop, made_from, device, processes)
        state = None
        if resume_dir is not None:
            state = resume_dir / fingerprint / "resume.pt"
            run.resume(state, progress)
        return run.to_the_end(out, state, curves, progress)


class _Run:
    """One training: the network, what trains it, and where it stands."""

    def __init__(
        self,
        train: ArraySplit,
        val: ArraySplit,
        settings: TrainParams,
        scheme: Scheme,
        seed: int,
        crop: CropSpec,
        made_from: dict[str, Any],
        device: torch.device,
        processes: Processes,
    ) -> None:
        self.settings, self.seed, self.device, self.processes = settings, seed, device, processes
        models.check_convention(settings.network, settings.points_offset, settings.points_scale)
        self.normalisation = Normalisation(
            input_size=train.images.shape[-1],
            pixel_mean=_numbers(settings.pixel_mean),
            pixel_std=_numbers(settings.pixel_std),
            points_offset=settings.points_offset,
            points_scale=settings.points_scale,
        )
        self.info = checkpoint.ModelInfo(
            network=settings.network,
            options=models.resolved_options(settings.network, **settings.network_options),
            points=scheme.count,
            channels=1 if train.images.ndim == 3 else train.images.shape[1],
            scheme=scheme.name,
            normalisation=self.normalisation,
            crop=crop,
            made_from=made_from,
        )
        seed_all(seed, 0)
        self.model = models.build(
            settings.network,
            points=self.info.points,
            channels=self.info.channels,
            input_size=self.normalisation.input_size,
            pretrained=settings.pretrained,
            **settings.network_options,
        ).to(device)
        # Twice as fast as planar on the CPU too, measured on xception.
        self.model = self.model.to(memory_format=torch.channels_last)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.loss = losses.build(settings.loss, **settings.loss_options)
        # What is measured and saved: the trained network itself, or the average of its weights.
        self.average = WeightAverage(self.model, settings.ema_decay) if settings.ema_decay else None
        self.result = self.average.module if self.average else self.model
        self.place = Place()
        self.learner = _seen_by(settings.loss, settings.network, self.model)
        if processes.count > 1:
            self.learner = processes.learner(self.model, self.learner, self.place)
        self.optimizer = optim.build_optimizer(
            settings.optimizer, trained, lr=settings.lr, **settings.optimizer_options
        )
        self.schedule = optim.build_schedule(
            settings.schedule, epochs=settings.epochs, **settings.schedule_options
        )
        self.precision = autocast_type(settings.precision, device, settings.cpu)
        self.train, self.val = Feeder(train, device), Feeder(val, device)
        self.faces = settings.epoch_faces or len(self.train)
        # A look at the loss makes a GPU wait; on the CPU it is free.
        self.look_every = 1 if device.type == "cpu" else 20
        self.history: list[Row] = []
        self.best_epoch, self.best_score = 0, math.inf
        self.best_weights: checkpoint.Weights = {}

    def to_the_end(self, out: Path, state: Path | None, curves: Path | None, progress: bool) -> FitResult:
        """Train what is left, saving after each epoch."""
        drawn_curves = Curves(curves)
        for row in self.history:
            drawn_curves.log(row)
        if self.best_epoch:
            self._save(out / "best.pt", self.best_weights, self.best_epoch)
        epochs = self.settings.epochs
        with tqdm(
            total=epochs * self.faces,
            initial=len(self.history) * self.faces,
            unit="face",
            disable=None if progress else True,
            dynamic_ncols=True,
        ) as bar:
            for epoch in range(len(self.history), epochs):
                row = self._epoch(epoch, bar)
                self.history.append(row)
                score = row.get("val_loss", row["train_loss"])
                self.schedule.observe(score)
                if score < self.best_score:
                    self.best_epoch, self.best_score = epoch + 1, score
                    self.best_weights = checkpoint.weights_of(self.result)
                    self._save(out / "best.pt", self.best_weights, self.best_epoch)
                drawn_curves.log(row)
                if progress:
                    tqdm.write(_line(row, epochs, best=self.best_epoch == epoch + 1), file=sys.stdout)
                    sys.stdout.flush()
                if state is not None and self.processes.first:
                    checkpoint.save_resume(state, self._state())
        self._save(out / "last.pt", checkpoint.weights_of(self.result), epochs)
        drawn_curves.close()
        if state is not None and self.processes.first:
            _remove(state)
        return FitResult(self.history, self.best_epoch, self.best_score)

    def _epoch(self, epoch: int, bar: tqdm[Any]) -> Row:
        """Train one epoch, measure, and return its row."""
        seed_all(self.seed, epoch + 1)
        self.model.train()
        pieces = cut(draw(len(self.train), self.settings.epoch_faces, self.seed, epoch), self.settings.batch)
        shares = [self.processes.share(piece) for piece in pieces]
        total = torch.zeros((), dtype=torch.float64, device=self._sums_on())
        labelled = torch.zeros_like(total)
        lr = self.settings.lr
        for step, batch in enumerate(self.train.batches([share.rows for share in shares])):
            lr = self.settings.lr * self.schedule.factor(epoch + (step + 0.5) / len(pieces))
            for group in self.optimizer.param_groups:
                group["lr"] = lr
            self.optimizer.zero_grad(set_to_none=True)
            loss, count = self._learn(batch, shares[step])
            self.optimizer.step()
            if self.average:
                self.average.update(self.model)
            total += loss * count
            labelled += count
            bar.update(len(pieces[step]))
            if step % self.look_every == 0 or step + 1 == len(pieces):
                self._check_finite(float(loss), epoch, step, lr)
                bar.set_postfix(epoch=epoch + 1, loss=f"{float(loss):.3g}", refresh=False)
        row = {"epoch": epoch + 1, "train_loss": float(total / labelled.clamp(min=1))}
        self._check_finite(row["train_loss"], epoch, len(pieces) - 1, lr)
        if len(self.val):
            row["val_loss"], row["val_error_px"] = self._measure()
            self._check_finite(row["val_loss"], epoch, len(pieces) - 1, lr)
        return self.processes.agree({**row, "lr": lr})

    def _learn(self, batch: Batch, share: Share) -> tuple[Tensor, Tensor]:
        """Set the gradients of the whole batch's mean loss; return that loss and its labelled points."""
        target = self.normalisation.points(batch.points)
        if self.processes.count == 1:
            loss = self.loss(self._predict(batch, self.learner), target, batch.labelled)
            torch.autograd.backward(loss)
            return loss.detach(), batch.labelled.sum()
        self.place.take(share.place)
        labelled = batch.labelled if share.place.count else torch.zeros_like(batch.labelled)
        loss = self.loss(self._predict(batch, self.learner), target, labelled)
        # Every process has all labels, so that the count of the whole batch takes no message.
        whole = self.train.labelled[torch.from_numpy(share.whole).to(self.device)].sum()
        loss = loss * (labelled.sum() / whole.clamp(min=1))
        torch.autograd.backward(loss * self.processes.count)  # DDP takes the mean over the processes
        return self.processes.sum(loss.detach()), whole

    @torch.inference_mode()
    def _measure(self) -> tuple[float, float]:
        """Mean loss and mean pixel error of the labelled points of the validation faces."""
        self.result.eval()
        seen_by_loss = _seen_by(self.settings.loss, self.settings.network, self.result)
        total = torch.zeros((), dtype=torch.float64, device=self._sums_on())
        distance, labelled = torch.zeros_like(total), torch.zeros_like(total)
        share = self.processes.share(np.arange(len(self.val)))
        rows = share.rows[: share.place.count]
        for batch in self.val.batches(cut(rows, max(64, self.settings.batch))):
            predicted = self._predict(batch, seen_by_loss)
            count = batch.labelled.sum()
            total += self.loss(predicted, self.normalisation.points(batch.points), batch.labelled) * count
            coordinates = predicted if predicted.ndim == 3 else predicted[-1, ..., :2]
            away = torch.linalg.vector_norm(
                self.normalisation.denormalise_points(coordinates) - batch.points, dim=-1
            )
            distance += torch.where(batch.labelled, away, torch.zeros_like(away)).sum()
            labelled += count
        total, distance, labelled = map(self.processes.sum, (total, distance, labelled))
        count = labelled.clamp(min=1)
        return float(total / count), float(distance / count)

    def _predict(self, batch: Batch, network: Callable[[Tensor], Tensor]) -> Tensor:
        """(B, K, 2) float32 normalised coordinates; (M, B, K, 5) for a loss of distributions."""
        pixels = self.normalisation.pixels(batch.images).contiguous(memory_format=torch.channels_last)
        if self.precision is None:
            predicted = network(pixels)
        else:
            with torch.autocast(self.device.type, dtype=self.precision):
                predicted = network(pixels)
        return predicted.float()

    def _sums_on(self) -> torch.device:
        """Where sums are kept: MPS has no float64."""
        return torch.device("cpu") if self.device.type == "mps" else self.device

    def _check_finite(self, loss: float, epoch: int, step: int, lr: float) -> None:
        if not math.isfinite(loss):
            raise FlmdError(
                f"the loss is {loss} in epoch {epoch + 1}, batch {step + 1}, at learning rate {lr:.3g}",
                hint="lower train.lr, or set train.schedule_options.warmup: 1 to start gently",
            )

    def _save(self, path: Path, weights: checkpoint.Weights, epoch: int) -> None:
        if not self.processes.first:
            return
        checkpoint.save_model(path, weights, replace(self.info, epoch=epoch, history=self.history[:epoch]))

    def _state(self) -> dict[str, Any]:
        """All that :meth:`resume` needs. No generator states: each epoch seeds its own."""
        return {
            "weights": checkpoint.weights_of(self.model),
            "average": checkpoint.weights_of(self.average.module) if self.average else None,
            "averaged_steps": self.average.steps if self.average else 0,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state(),
            "history": self.history,
            "best_epoch": self.best_epoch,
            "best_score": self.best_score,
            "best_weights": self.best_weights,
        }

    def resume(self, path: Path, progress: bool) -> None:
        """Go on from a saved state, if there is one; one that cannot be read is set aside with a warning."""
        state = None
        if self.processes.first and path.is_file():
            try:
                state = checkpoint.load_resume(path)
            except StoreError as error:
                print(f"warning: training starts over: {error}", file=sys.stderr)
        state = self.processes.from_first(state)
        if state is None:
            return
        self.model.load_state_dict(state["weights"])
        if self.average:
            self.average.module.load_state_dict(state["average"])
            self.average.steps = state["averaged_steps"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.restore(state["schedule"])
        self.history = state["history"]
        self.best_epoch, self.best_score = state["best_epoch"], state["best_score"]
        self.best_weights = state["best_weights"]
        if progress:
            print(f"going on after epoch {len(self.history)}/{self.settings.epochs} ({path})", flush=True)


def _line(row: Row, epochs: int, *, best: bool) -> str:
    text = f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}  train loss {row['train_loss']:.3e}"
    if "val_loss" in row:
        text += f"  val loss {row['val_loss']:.3e}  val error {row['val_error_px']:.3f} px"
    return text + f"  lr {row['lr']:.2e}" + ("  best" if best else "")


def _check_sizes(train: ArraySplit, val: ArraySplit, crop: CropSpec) -> None:
    if len(train.images) < 2:
        raise InputError(
            f"{len(train.images)} training face(s)",
            expected="at least 2",
            hint="see train.datasets and the splits",
        )
    if len(val.images) and val.images.shape[1:] != train.images.shape[1:]:
        raise InputError(
            f"validation images are {val.images.shape[1:]}",
            expected=f"{train.images.shape[1:]} as in training",
        )
    side = train.images.shape[-1]
    if crop.size != side:
        raise InputError(f"images are {side} px", expected=f"augment.input_size, {crop.size} px")


def _seen_by(loss: str, network: str, model: nn.Module) -> Callable[[Tensor], Tensor]:
    """What gives a loss its predictions: the network, or its distributions (see ``losses``)."""
    if loss not in losses.OF_DISTRIBUTIONS:
        return model
    distributions: Callable[[Tensor], Tensor] | None = getattr(model, "distributions", None)
    if distributions is None:
        raise ParamsError(
            f"loss {loss} needs a network that predicts distributions; {network} predicts coordinates",
            hint="set train.network: hourglass, or train.loss: smooth_l1",
        )
    return distributions


def _numbers(value: float | list[float]) -> float | tuple[float, ...]:
    return tuple(value) if isinstance(value, list) else value


def _keep_freed_memory() -> None:
    """Tell glibc to keep large freed blocks instead of handing them back to the kernel.

    Every step frees and asks for the same activations; mapping them anew each time costs a third of a
    step on the CPU. Where there is no glibc nothing happens.
    """
    trim_threshold, mmap_threshold = -1, -3
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(mmap_threshold, 1 << 30)
        libc.mallopt(trim_threshold, (1 << 31) - 1)
    except (OSError, AttributeError):
        return


def _fingerprint(
    train: ArraySplit,
    val: ArraySplit,
    settings: TrainParams,
    scheme: Scheme,
    seed: int,
    crop: CropSpec,
    made_from: dict[str, Any],
) -> str:
    """Names a training by all that decides its result, so that only the same one is ever gone on with."""
    decides = {
        "settings": settings.model_dump(),
        "scheme": scheme.name,
        "seed": seed,
        "crop": crop.to_dict(),
        "made_from": made_from,
        "versions": [flmd_version, torch.__version__],
        "shapes": [list(train.images.shape), list(val.images.shape)],
    }
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True, default=str).encode())
    for split in (train, val):
        digest.update(np.ascontiguousarray(split.points).tobytes())
        digest.update(np.ascontiguousarray(split.visibility).tobytes())
    return digest.hexdigest()[:24]


def _remove(state: Path) -> None:
    """Delete the saved state and the folders that held nothing else."""
    state.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        state.parent.rmdir()
        state.parent.parent.rmdir()
