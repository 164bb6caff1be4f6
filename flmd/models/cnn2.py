"""Two convolutions and two linear layers: the cnn2-youtube recipe."""

from __future__ import annotations

from torch import Tensor, nn

from flmd.models.input_size import side_after
from flmd.models.options import Count, Share

KERNELS = (5, 3)


class Cnn2(nn.Module):
    """(B, C, S, S) float32 -> (B, K, 2) float32. 5,985,928 parameters at the defaults.

    [conv -> ReLU -> max pool 2 -> dropout] with 5x5 and 3x3 unpadded kernels, dropout 0.1 and 0.2, then
    linear -> ReLU -> linear. The recipe's authors give the dropout; channels, kernels and the hidden
    layer's size are ours.

    Parameters
    ----------
    points : K. channels : C. input_size : S, at least 12 pixels.
    width : channels of the first convolution; the second has twice as many.
    hidden : outputs of the first linear layer.
    """

    def __init__(
        self,
        *,
        points: Count = 68,
        channels: Count = 1,
        input_size: Count = 224,
        width: Count = 16,
        hidden: Count = 64,
        dropout1: Share = 0.1,
        dropout2: Share = 0.2,
    ) -> None:
        super().__init__()
        side = side_after("cnn2", input_size, KERNELS)
        self.points = points
        self.features = nn.Sequential(
            nn.Conv2d(channels, width, KERNELS[0]),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Dropout(dropout1),
            nn.Conv2d(width, 2 * width, KERNELS[1]),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Dropout(dropout2),
        )
        self.head = nn.Sequential(
            nn.Linear(2 * width * side * side, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, points * 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        coordinates: Tensor = self.head(self.features(x).flatten(1))
        return coordinates.float().view(-1, self.points, 2)
