"""Networks: one file each, and the registry that builds them by name.

A network is an ``nn.Module`` whose constructor takes keyword-only arguments: ``points``, ``channels``
and ``input_size`` and its own options, all with the recipe's defaults. It maps (B, C, S, S) float32
normalised pixels to (B, K, 2) float32 normalised coordinates (``normalisation`` maps both ways).
One that also has a ``distributions`` method can be trained with the losses of ``losses.OF_DISTRIBUTIONS``.
One with heat maps also has ``points_and_spread``: (B, K, 3), the same coordinates, and how far each map
spreads about them in the same unit (``flmd.models.confidence``).
A new one is a new file and a line in ``NETWORKS``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from flmd.core import openmp
from flmd.errors import ParamsError
from flmd.models import options as _options

if TYPE_CHECKING:
    from torch import nn
    from torchvision.models import WeightsEnum

openmp.wait_briefly()

NETWORKS = {
    "cnn2": "flmd.models.cnn2:Cnn2",
    "cnn6": "flmd.models.cnn6:Cnn6",
    "hourglass": "flmd.models.hourglass:Hourglass",
    "integral": "flmd.models.integral:Integral",
    "naimishnet": "flmd.models.naimishnet:NaimishNet",
    "resnet152": "flmd.models.resnet152:ResNet152",
    "vgg19": "flmd.models.vgg19:Vgg19",
    "xception": "flmd.models.xception:Xception",
}

_OF_EVERY_NETWORK = frozenset({"points", "channels", "input_size", "pretrained"})


def names() -> list[str]:
    """The networks there are, sorted; imports none of them."""
    return sorted(NETWORKS)


def build(
    name: str,
    *,
    points: int = 68,
    channels: int | None = None,
    input_size: int | None = None,
    pretrained: str = "none",
    **options: object,
) -> nn.Module:
    """Build a network with freshly drawn weights, in training mode, on the CPU.

    Parameters
    ----------
    name : one of :func:`names`.
    points : K, landmarks to predict.
    channels : of the input, 1 or 3; None: the recipe's.
    input_size : S, side of the input in pixels; None: the recipe's.
    pretrained : "none", "imagenet" or the path of a weights file; only for networks that have such.
    options : the network's own; unset ones have the recipe's values.

    Returns
    -------
    A module that maps (B, C, S, S) float32 to (B, K, 2) float32.

    Raises
    ------
    ParamsError : unknown network or option (names the nearest), a value out of range, an input too
        small for the network, pretrained weights that cannot be had.
    """
    factory = _factory(name)
    check_pretrained(name, pretrained)
    given: dict[str, object] = {"points": points, **options}
    if channels is not None:
        given["channels"] = channels
    if input_size is not None:
        given["input_size"] = input_size
    if "pretrained" in _options.known_options(factory):
        given["pretrained"] = pretrained
    network: nn.Module = factory(**_options.check("network", name, factory, given))
    return network


def resolved_options(name: str, **options: object) -> dict[str, Any]:
    """All of a network's own options: those given, checked, and the defaults of the others.

    What a checkpoint keeps, so that a later change of a default does not change an old model. Without
    ``points``, ``channels``, ``input_size`` and ``pretrained``. ParamsError as :func:`build`.
    """
    factory = _factory(name)
    checked = _options.check("network", name, factory, options)
    defaults = {option: p.default for option, p in _options.known_options(factory).items()}
    return {k: v for k, v in {**defaults, **checked}.items() if k not in _OF_EVERY_NETWORK}


def check_convention(name: str, points_offset: float, points_scale: float) -> None:
    """ParamsError when a network reads points off a map, in one convention only, and is asked for another."""
    own: tuple[float, float] | None = getattr(_factory(name), "convention", None)
    if own is not None and own != (points_offset, points_scale):
        raise ParamsError(
            f"points_offset {points_offset}, points_scale {points_scale}",
            where="train",
            expected=f"{own[0]} and {own[1]}: network {name} gives places on its input",
        )


def check_pretrained(name: str, pretrained: str) -> None:
    """ParamsError when a network is to start from weights and takes none."""
    if pretrained != "none" and "pretrained" not in _options.known_options(_factory(name)):
        raise ParamsError(
            f"network {name} has no pretrained weights (pretrained is {pretrained!r})",
            hint="set train.pretrained: none",
        )


def imagenet_of(name: str) -> WeightsEnum:
    """torchvision's weights that "imagenet" stands for, of a network that takes some."""
    weights: WeightsEnum = _factory(name).imagenet
    return weights


def _factory(name: str) -> Any:
    module, _, attribute = _options.look_up("network", name, NETWORKS).partition(":")
    return getattr(importlib.import_module(module), attribute)
