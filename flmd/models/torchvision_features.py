"""What the torchvision recipes have in common: somebody else's features, our head."""

from __future__ import annotations

from torch import Tensor, nn

from flmd.models.regression_head import regression_head


class TorchvisionFeatures(nn.Module):
    """(B, C, S, S) float32 -> (B, K, 2) float32 through a torchvision network's features.

    Parameters
    ----------
    features : (B, 3, S, S) -> something that flattens to (B, ``outputs``).
    channels : C, 1 or 3; a grey image is repeated three times.
    freeze : leave the features as they are, batch statistics included, and train the head only.
    """

    def __init__(
        self, features: nn.Module, outputs: int, *, points: int, channels: int, dropout: float, freeze: bool
    ) -> None:
        super().__init__()
        self.points, self.channels, self.freeze = points, channels, freeze
        self.features = features.requires_grad_(not freeze)
        self.head = regression_head(outputs, points, dropout=dropout)

    def forward(self, x: Tensor) -> Tensor:
        if self.channels == 1:
            x = x.expand(-1, 3, -1, -1)
        coordinates: Tensor = self.head(self.features(x).flatten(1))
        return coordinates.float().view(-1, self.points, 2)

    def train(self, mode: bool = True) -> TorchvisionFeatures:
        """Frozen features stay in eval mode."""
        super().train(mode)
        if self.freeze:
            self.features.eval()
        return self
