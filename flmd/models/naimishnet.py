"""NaimishNet for 68 points at 224 px: the naimishnet-youtube recipe.

After Agarwal, Krohn-Grimberghe and Vyas, "Facial Key Points Detection using Deep Convolutional Neural
Network - NaimishNet" (arXiv:1710.00977): its kernels, pools and two linear layers of 1000; with batch
norm after every layer, and dropout on the linear layers only, as the recipe's authors have it.
"""

from __future__ import annotations

from torch import Tensor, nn

from flmd.models.input_size import side_after
from flmd.models.options import Count, Share

WIDTHS = (32, 64, 128, 256)
KERNELS = (4, 3, 2, 1)


class NaimishNet(nn.Module):
    """(B, C, S, S) float32 -> (B, K, 2) float32. 44,492,056 parameters at the defaults.

    Parameters
    ----------
    points : K. channels : C. input_size : S, at least 27 pixels.
    hidden : outputs of the first two linear layers.
    dropout1, dropout2 : after them; 0.5 and 0.6 in the paper.
    """

    def __init__(
        self,
        *,
        points: Count = 68,
        channels: Count = 1,
        input_size: Count = 224,
        hidden: Count = 1000,
        dropout1: Share = 0.5,
        dropout2: Share = 0.6,
    ) -> None:
        super().__init__()
        side = side_after("naimishnet", input_size, KERNELS)
        self.points = points
        layers: list[nn.Module] = []
        for inputs, outputs, kernel in zip((channels, *WIDTHS), WIDTHS, KERNELS, strict=False):
            layers += [
                nn.Conv2d(inputs, outputs, kernel),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
            ]
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Linear(WIDTHS[-1] * side * side, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout1),
            nn.Linear(hidden, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout2),
            nn.Linear(hidden, points * 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        coordinates: Tensor = self.head(self.features(x).flatten(1))
        return coordinates.float().view(-1, self.points, 2)
