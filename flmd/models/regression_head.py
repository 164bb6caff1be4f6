"""The fully connected head that cnn6 and the torchvision recipes share."""

from __future__ import annotations

from torch import nn

from flmd.models.options import Share

HIDDEN = (512, 256)


def regression_head(inputs: int, points: int, *, dropout: Share) -> nn.Sequential:
    """[linear -> batch norm -> ReLU -> dropout] 512, 256, then linear: (B, inputs) -> (B, 2 K)."""
    layers: list[nn.Module] = []
    for outputs in HIDDEN:
        layers += [
            nn.Linear(inputs, outputs),
            nn.BatchNorm1d(outputs),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
        ]
        inputs = outputs
    return nn.Sequential(*layers, nn.Linear(inputs, points * 2))
