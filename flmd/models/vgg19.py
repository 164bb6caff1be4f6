"""torchvision's VGG-19 as feature extractor: the vgg19-youtube recipe."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torchvision
from pydantic import Field
from torchvision.models import WeightsEnum

from flmd.models.options import Count, Share
from flmd.models.pretrained import load_pretrained
from flmd.models.torchvision_features import TorchvisionFeatures


class Vgg19(TorchvisionFeatures):
    """Simonyan and Zisserman, "Very Deep Convolutional Networks" (ICLR 2015), its convolutions.

    33,037,768 parameters at 224 px: the head sees all 7 x 7 places, not their average.

    Parameters
    ----------
    points : K. channels : 1 or 3. input_size : S, at least 32 pixels.
    pretrained : none, imagenet or a weights file of torchvision's vgg19.
    dropout : in the head. freeze : train the head only.
    """

    imagenet: ClassVar[WeightsEnum] = torchvision.models.VGG19_Weights.IMAGENET1K_V1

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
        network = torchvision.models.vgg19()
        load_pretrained("vgg19", network, pretrained, self.imagenet)
        super().__init__(
            network.features,
            512 * (input_size // 32) ** 2,
            points=points,
            channels=channels,
            dropout=dropout,
            freeze=freeze,
        )
