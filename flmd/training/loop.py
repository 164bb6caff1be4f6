"""The training loop: epochs, the best and the last model, and going on after a kill.

Everything drawn at random in an epoch is a function of (seed, epoch): the order of faces, how they are
augmented, and the dropout masks. So a training that was killed and started again goes on from its last
finished epoch, and on the CPU (with the same number of threads) it ends with the bytes of an undisturbed one.

Under torchrun each process takes its share of every batch, see :mod:`flmd.training.distributed`; only the
first one writes and speaks. ``settings.batch`` stays the size of the whole batch.
"""

from __future__ import annotations

import ctypes
import math
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from flmd.core import processor
from flmd.core.box_rule import BoxRule
from flmd.core.crop_spec import CropSpec
from flmd.core.params import TrainParams
from flmd.errors import FlmdError, InputError, one_line
from flmd.models.checkpoint import Weights, save_model, weights_of
from flmd.models.devices import choose_device, cpu_threads
from flmd.schemes import Scheme
from flmd.training import distributed
from flmd.training.batch_loader import BatchLoader
from flmd.training.crop_source import CropSource
from flmd.training.curves import Curves
from flmd.training.determinism import reproducible, seed_all
from flmd.training.progress import Progress, Row, score
from flmd.training.resume import ResumeFile, fingerprint
from flmd.training.trainee import Trainee, describe
from flmd.training.validation import measure

# What restoring a state raises whose parts are missing or of another kind.
_UNFITTING = (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError)
VALIDATION_BATCH = 64  # faces at least, in each process


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

    @property
    def best_by(self) -> str:
        """The loss that the best epoch was chosen by: "validation loss" or "training loss"."""
        return "validation loss" if "val_loss" in self.history[-1] else "training loss"


def fit(
    train: CropSource,
    val: CropSource,
    settings: TrainParams,
    *,
    scheme: Scheme,
    seed: int,
    crop: CropSpec,
    out: Path,
    resume_dir: Path | None = None,
    curves: Path | None = None,
    made_from: dict[str, Any] | None = None,
    rule: BoxRule | None = None,
    stop_at: float = math.inf,
    progress: bool = True,
) -> FitResult:
    """Train a network; write ``out/best.pt`` (lowest validation loss) and ``out/last.pt``.

    Parameters
    ----------
    train, val : the faces; ``val`` may be empty, then the training loss decides.
    settings : params.yaml's ``train`` section.
    scheme : K landmarks, kept by name in the models.
    seed : of weights, order and dropout; 0 to 2^32 - 1. Also seeds Python's and numpy's global generators.
    crop : how faces were cut out, kept in the models.
    out : folder of the two models, see :mod:`flmd.models.checkpoint`.
    resume_dir : where the state after each epoch is kept, in a folder named after the settings, seed
        and data; removed when training ends well. None: a killed training starts over.
    curves : folder for DVCLive, emptied first; None for none.
    made_from : digests and params of what the arrays were made from, kept in the models.
    rule : how boxes lie around points, kept in the models for a second look.
    stop_at : of ``time.monotonic()``: no epoch begins later, and the models are those of the epochs done.
    progress : show a bar on a terminal and print a line for each epoch.

    Raises
    ------
    ParamsError : unknown network, loss, optimiser, schedule, option or device, or a value out of range.
    InputError : faces that do not fit the scheme, the crop or each other; fewer than two to train on.
    FlmdError : the loss is not a number any more; processes of torchrun that do not have the same data.
    """
    _check(train, val, scheme, crop)
    processes = distributed.current()
    device = processes.device(choose_device(settings.device))
    made_from = {**(made_from or {}), **({"processes": processes.count} if processes.count > 1 else {})}
    name = fingerprint(train, val, settings, scheme, seed, crop, made_from)
    processes.same("training data, settings or versions", name)
    if not processes.first:
        curves, progress = None, False
    processor.warn_if_not_pinned(settings.cpu)
    _keep_freed_memory()
    with reproducible(settings.deterministic, device), cpu_threads(settings.threads):
        info = describe(settings, scheme, crop, made_from, rule)
        trainee = Trainee(info, settings, seed, device, processes)
        training = Training(trainee, train, val, seed, out)
        return training.run(ResumeFile(resume_dir, name, processes), Curves(curves), progress, stop_at)


class Training:
    """The epochs of one training: what learns, from which faces, and how far it is.

    Parameters
    ----------
    train, val : the faces. seed : of orders and dropout. out : folder of the models.
    """

    def __init__(self, trainee: Trainee, train: CropSource, val: CropSource, seed: int, out: Path) -> None:
        self.trainee, self.seed, self.out = trainee, seed, out
        self.settings, self.processes = trainee.settings, trainee.processes
        where: dict[str, Any] = {"device": trainee.device, "processes": self.processes}
        batch, faces = self.settings.batch, self.settings.epoch_faces
        self.train = BatchLoader(train, batch=batch, seed=seed, epoch_faces=faces, **where)
        self.val: BatchLoader | None = None
        if len(val):
            batch = max(VALIDATION_BATCH, batch) * self.processes.count
            self.val = BatchLoader(val, batch=batch, shuffle=False, **where)
        self.progress = Progress()
        # A look at the loss makes a GPU wait; on the CPU it is free.
        self._look_every = 1 if trainee.device.type == "cpu" else 20

    def run(self, state: ResumeFile, curves: Curves, progress: bool, stop_at: float = math.inf) -> FitResult:
        """Train what is left, saving after each epoch; none begins after ``stop_at``."""
        self._resume(state, progress)
        done, epochs = self.progress, self.settings.epochs
        for row in done.history:
            curves.log(row)
        if done.best_epoch:
            self._save("best.pt", done.best_weights, done.best_epoch)
        with tqdm(
            total=epochs * self.train.faces,
            initial=len(done.history) * self.train.faces,
            unit="face",
            disable=None if progress else True,
            dynamic_ncols=True,
        ) as bar:
            for epoch in range(len(done.history), epochs):
                if epoch and time.monotonic() > stop_at:
                    break
                row = self._epoch(epoch, bar)
                self.trainee.schedule.observe(score(row))
                if done.take(row, self.trainee.result):
                    self._save("best.pt", done.best_weights, done.best_epoch)
                curves.log(row)
                if progress:
                    tqdm.write(done.line(epochs), file=sys.stdout)
                    sys.stdout.flush()
                state.save({**self.trainee.state(), **done.state()})
        self._save("last.pt", weights_of(self.trainee.result), len(done.history))
        curves.close()
        state.remove()
        return FitResult(done.history, done.best_epoch, done.best_score)

    def _resume(self, saved: ResumeFile, progress: bool) -> None:
        """Go on from a saved state, if there is one."""
        state = saved.load()
        if state is None:
            return
        fresh, progressed = self.trainee.state(), Progress()
        try:
            progressed.restore(state)
            self.trainee.restore(state)
        except _UNFITTING as error:
            self.trainee.restore(fresh)
            saved.refuse(f"{saved.path}: a state that does not fit this training ({one_line(error)[:160]})")
            return
        self.progress = progressed
        if progress:
            done = len(self.progress.history)
            print(f"going on after epoch {done}/{self.settings.epochs} ({saved.path})", flush=True)

    def _epoch(self, epoch: int, bar: tqdm[Any]) -> Row:
        """Train one epoch, measure, and return its row."""
        seed_all(self.seed, epoch + 1)
        self.trainee.model.train()
        total = torch.zeros((), dtype=torch.float64, device=self.trainee.sums_on())
        labelled = torch.zeros_like(total)
        lr, last = self.settings.lr, len(self.train) - 1
        for step, batch in enumerate(self.train.epoch(epoch)):
            lr = self.trainee.set_lr(epoch + (step + 0.5) / len(self.train))
            # Every process has all labels, so that the count of the whole batch takes no message.
            whole = self.train.source.labelled[batch.share.whole].sum()
            loss, count = self.trainee.training_step(batch, int(whole))
            total += loss * count
            labelled += count
            bar.update(len(batch.share.whole))
            if step % self._look_every == 0 or step == last:
                _check_finite(float(loss), epoch, step, lr)
                bar.set_postfix(epoch=epoch + 1, loss=f"{float(loss):.3g}", refresh=False)
        row = {"epoch": epoch + 1, "train_loss": float(total / labelled.clamp(min=1))}
        _check_finite(row["train_loss"], epoch, last, lr)
        if self.val is not None:
            row["val_loss"], row["val_error_px"] = measure(self.trainee, self.val)
            _check_finite(row["val_loss"], epoch, last, lr)
        return self.processes.agree({**row, "lr": lr})

    def _save(self, name: str, weights: Weights, epoch: int) -> None:
        if self.processes.first:
            info = replace(self.trainee.info, epoch=epoch, history=self.progress.history[:epoch])
            save_model(self.out / name, weights, info)


def _check_finite(loss: float, epoch: int, step: int, lr: float) -> None:
    if not math.isfinite(loss):
        raise FlmdError(
            f"the loss is {loss} in epoch {epoch + 1}, batch {step + 1}, at learning rate {lr:.3g}",
            hint="lower train.lr, or set train.schedule_options.warmup: 1 to start gently",
        )


def _check(train: CropSource, val: CropSource, scheme: Scheme, crop: CropSpec) -> None:
    """InputError for faces that do not fit."""
    if len(train) < 2:
        raise InputError(
            f"{len(train)} training face(s)", expected="at least 2", hint="see train.datasets and the splits"
        )
    if len(val) and val.image_shape != train.image_shape:
        raise InputError(
            f"validation images are {val.image_shape}", expected=f"{train.image_shape} as in training"
        )
    wanted = (1, *crop.shape) if crop.color == "grey" else crop.shape
    if train.image_shape != wanted:
        raise InputError(
            f"images are {train.image_shape}",
            expected=f"{wanted}, as augment.input_size and augment.color say",
        )
    for source in (train, val):
        if source.points != scheme.count:
            raise InputError(f"faces of {source.points} points", expected=f"{scheme.count}, of {scheme.name}")


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
