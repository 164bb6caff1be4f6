"""Six unpadded convolutions, each pooled, and three linear layers: the cnn6-youtube recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from flmd.models.input_size import side_after
from flmd.models.options import Count, Share
from flmd.models.regression_head import regression_head

WIDTHS = (32, 64, 128, 256, 512, 1024)
CONV_DROPOUT = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35)


class Cnn6(nn.Module):
    """(B, C, S, S) float32 -> (B, K, 2) float32. 6,984,840 parameters at the defaults.

    Parameters
    ----------
    points : K. channels : C. input_size : S, at least 190 pixels.
    conv_dropout : of whole channels, after every pool: one rate for all six, or six.
    dropout : after the linear layers but the last.
    """

    def __init__(
        self,
        *,
        points: Count = 68,
        channels: Count = 3,
        input_size: Count = 224,
        conv_dropout: Share | Annotated[Sequence[Share], Field(min_length=6, max_length=6)] = CONV_DROPOUT,
        dropout: Share = 0.4,
    ) -> None:
        super().__init__()
        side = side_after("cnn6", input_size, [3] * len(WIDTHS))
        self.points = points
        layers: list[nn.Module] = []
        rates = [conv_dropout] * 6 if isinstance(conv_dropout, float | int) else conv_dropout
        for inputs, outputs, rate in zip((channels, *WIDTHS[:-1]), WIDTHS, rates, strict=True):
            layers += [
                nn.Conv2d(inputs, outputs, 3),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
                nn.Dropout2d(rate),
            ]
        self.features = nn.Sequential(*layers)
        self.head = regression_head(WIDTHS[-1] * side * side, points, dropout=dropout)

    def forward(self, x: Tensor) -> Tensor:
        coordinates: Tensor = self.head(self.features(x).flatten(1))
        return coordinates.float().view(-1, self.points, 2)
