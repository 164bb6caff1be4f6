"""torchvision's ResNet-152 as feature extractor: the resnet152-youtube recipe."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torchvision
from pydantic import Field
from torch import nn
from torchvision.models import WeightsEnum

from flmd.models.options import Count, Share
from flmd.models.pretrained import load_pretrained
from flmd.models.torchvision_features import TorchvisionFeatures


class ResNet152(TorchvisionFeatures):
    """He et al., "Deep Residual Learning" (CVPR 2016), up to the average pool; 59,360,712 parameters.

    Parameters
    ----------
    points : K. channels : 1 or 3. input_size : S, at least 32 pixels; any S fits the same weights.
    pretrained : none, imagenet or a weights file of torchvision's resnet152.
    dropout : in the head. freeze : train the head only.
    """

    imagenet: ClassVar[WeightsEnum] = torchvision.models.ResNet152_Weights.IMAGENET1K_V1

    def __init__(
        self,
        *,
        points: Count = 68,
        channels: Literal[1, 3] = 3,
        input_size: Annotated[int, Field(ge=32)] = 224,
        pretrained: str = "none",
        dropout: Share = 0.4,
        freeze: bool = False,
    ) -> None:
        network = torchvision.models.resnet152()
        load_pretrained("resnet152", network, pretrained, self.imagenet)
        outputs: int = network.fc.in_features
        network.fc = nn.Identity()
        super().__init__(network, outputs, points=points, channels=channels, dropout=dropout, freeze=freeze)
