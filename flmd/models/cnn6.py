"""Six unpadded convolutions, each pooled, and three linear layers: the cnn6-youtube recipe."""

from __future__ import annotations

from torch import Tensor, nn

from flmd.models.input_size import side_after
from flmd.models.regression_head import regression_head
from flmd.options import Count, Share

WIDTHS = (32, 64, 128, 256, 512, 1024)


class Cnn6(nn.Module):
    """(B, C, S, S) float32 -> (B, K, 2) float32. 6,984,840 parameters at the defaults.

    Parameters
    ----------
    points : K. channels : C. input_size : S, at least 190 pixels.
    conv_dropout : of whole channels, after every pool. dropout : after the linear layers but the last.
        The authors give neither rate; the defaults are ours.
    """

    def __init__(
        self,
        *,
        points: Count = 68,
        channels: Count = 3,
        input_size: Count = 224,
        conv_dropout: Share = 0.1,
        dropout: Share = 0.2,
    ) -> None:
        super().__init__()
        side = side_after("cnn6", input_size, [3] * len(WIDTHS))
        self.points = points
        layers: list[nn.Module] = []
        for inputs, outputs in zip((channels, *WIDTHS), WIDTHS, strict=False):
            layers += [
                nn.Conv2d(inputs, outputs, 3),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
                nn.Dropout2d(conv_dropout),
            ]
        self.features = nn.Sequential(*layers)
        self.head = regression_head(WIDTHS[-1] * side * side, points, dropout=dropout)

    def forward(self, x: Tensor) -> Tensor:
        coordinates: Tensor = self.head(self.features(x).flatten(1))
        return coordinates.float().view(-1, self.points, 2)
