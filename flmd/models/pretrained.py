"""Pretrained weights: from torchvision's server, or from a file."""

from __future__ import annotations

import pickle
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from flmd.errors import ParamsError


def load_pretrained(network: str, module: nn.Module, pretrained: str, imagenet: WeightsEnum) -> None:
    """Load weights into a torchvision network, in place.

    Parameters
    ----------
    module : the whole torchvision network, its classifier included.
    pretrained : "none" does nothing; "imagenet" is torch's cache, else the download to it; anything
        else is the path of a torchvision state dict.
    imagenet : what "imagenet" stands for.

    Raises
    ------
    ParamsError : the weights cannot be had, cannot be loaded safely, or belong to another network.
    """
    if pretrained == "none":
        return
    path = imagenet_file(network, imagenet) if pretrained == "imagenet" else Path(pretrained)
    if not path.is_file():
        raise ParamsError(
            f"pretrained weights {pretrained!r}: no such file",
            expected="none, imagenet or a weights file",
            hint="put the file there, or set train.pretrained: none",
        )
    try:
        weights: object = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError) as error:
        raise ParamsError(
            f"not a weights file that can be loaded safely ({type(error).__name__})", where=str(path)
        ) from None
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise ParamsError("not a state dict of tensors", where=str(path))
    try:
        module.load_state_dict(weights)
    except RuntimeError:
        raise ParamsError(f"weights of another network than {network}", where=str(path)) from None


def imagenet_file(network: str, imagenet: WeightsEnum) -> Path:
    """The file of torchvision's weights in torch's cache, downloaded when it is not there."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path: Path = folder / imagenet.url.rsplit("/", 1)[-1]
    if path.is_file():
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.load_state_dict_from_url(
            imagenet.url, model_dir=str(folder), map_location="cpu", check_hash=True, weights_only=True
        )
    except (URLError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ParamsError(
            f"network {network}: ImageNet weights cannot be fetched from {imagenet.url} ({reason})",
            hint=f"put the file at {path}, or one into data/weights, or set train.pretrained: none",
        ) from None
    return path
