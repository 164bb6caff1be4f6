"""How far a training is: a row for each epoch, and the best model so far."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from flmd.models.checkpoint import Weights, weights_of

Row = dict[str, float]


class Progress:
    """The epochs that are done.

    Attributes
    ----------
    history : a row each: epoch (from 1), train_loss, lr, and where there are validation faces val_loss and
        val_error_px.
    best_epoch : from 1; 0 before the first epoch. best_score : its validation loss, else training loss.
    best_weights : of that epoch.
    """

    def __init__(self) -> None:
        self.history: list[Row] = []
        self.best_epoch, self.best_score = 0, math.inf
        self.best_weights: Weights = {}

    def take(self, row: Row, network: nn.Module) -> bool:
        """Add an epoch; whether ``network``, as it is after it, is the best so far."""
        self.history.append(row)
        if score(row) >= self.best_score:
            return False
        self.best_epoch, self.best_score = len(self.history), score(row)
        self.best_weights = weights_of(network)
        return True

    def line(self, epochs: int) -> str:
        """The latest epoch of ``epochs`` in one line."""
        row = self.history[-1]
        text = f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}  train loss {row['train_loss']:.3e}"
        if "val_loss" in row:
            text += f"  val loss {row['val_loss']:.3e}  val error {row['val_error_px']:.3f} px"
        best = self.best_epoch == len(self.history)
        return text + f"  lr {row['lr']:.2e}" + ("  best" if best else "")

    def state(self) -> dict[str, Any]:
        """All that :meth:`restore` needs."""
        return dict(vars(self))

    def restore(self, state: dict[str, Any]) -> None:
        """Be as :meth:`state` says; KeyError, TypeError or ValueError for what it cannot have said."""
        history, best_epoch, best_weights = state["history"], state["best_epoch"], state["best_weights"]
        rows = isinstance(history, list) and all(isinstance(row, dict) for row in history)
        if not rows or not isinstance(best_weights, dict) or not 0 <= int(best_epoch) <= len(history):
            raise ValueError("no history, or a best epoch outside it")
        if [row["epoch"] for row in history] != list(range(1, len(history) + 1)):
            raise ValueError("epochs are missing in its history")
        self.history, self.best_weights = history, best_weights
        self.best_epoch, self.best_score = int(best_epoch), float(state["best_score"])


def score(row: Row) -> float:
    """What decides which epoch is best, the lower the better."""
    return row.get("val_loss", row["train_loss"])
