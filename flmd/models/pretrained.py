"""Pretrained weights: found, placed as one output of the pipeline, loaded into a network.

torchvision is imported only by the networks that are its own, so that placing no weights is quick.
"""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError

import torch
from torch import Tensor, nn

from flmd import models
from flmd.core.atomic import whole_or_nothing
from flmd.errors import ParamsError, StoreError
from flmd.models import checkpoint, intact, own_weights

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

NONE, IMAGENET = "none", "imagenet"
KEY, TEACHER = "train.pretrained", "train.teacher"
_UNLOADABLE = (RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError)


def place_weights(network: str, pretrained: str, target: Path, folder: Path) -> str:
    """Copy the weights that a network starts from to ``target``, whole or not at all.

    Parameters
    ----------
    network : by name. pretrained : as params.yaml's train.pretrained; with "none" the target says just that.
    folder : where weights files must lie for the pipeline to depend on their bytes.

    Returns
    -------
    Where the weights came from, or "none".

    Raises
    ------
    ParamsError : the network takes none, there is no such file or it lies elsewhere, it is a model of another
        network, or torchvision's cannot be fetched. StoreError : a damaged model.
    """
    if pretrained == NONE:
        return _place_none(target)
    if own_weights.is_model(pretrained):
        own_weights.check_model(pretrained, network)
        _check_in(folder, KEY, Path(pretrained))
        return _place(Path(pretrained), target)
    models.check_pretrained(network, pretrained)
    if pretrained == IMAGENET:
        source = imagenet_file(network, models.imagenet_of(network))
    else:
        source = weights_file(pretrained)
        _check_in(folder, KEY, source)
    check_intact(source)
    return _place(source, target)


def place_teacher(teacher: str, target: Path, folder: Path) -> str:
    """Copy the model that a network also learns from to ``target``, as :func:`place_weights` does weights.

    Parameters
    ----------
    teacher : as params.yaml's train.teacher: "none", or a model of flmd in ``folder``.

    Raises
    ------
    ParamsError : there is no such file, or it lies elsewhere. StoreError : it is no model, or damaged.
    """
    if teacher == NONE:
        return _place_none(target)
    source = Path(teacher)
    if not source.is_file():
        raise ParamsError(
            f"{TEACHER} is {teacher!r}: no such file",
            expected="none, or a model of flmd",
            hint=f"copy a best.pt to {folder} (`dvc pull` brings one that was added), or set {TEACHER}: none",
        )
    _check_in(folder, TEACHER, source)
    checkpoint.read_info(source)
    return _place(source, target)


def _place_none(target: Path) -> str:
    with whole_or_nothing(target) as new:
        new.write_text("none\n", encoding="utf-8")
    return NONE


def _place(source: Path, target: Path) -> str:
    with whole_or_nothing(target) as new:
        shutil.copyfile(source, new)
    return str(source)


def _check_in(folder: Path, key: str, source: Path) -> None:
    """ParamsError for a file on whose bytes the pipeline would not depend."""
    if not source.resolve().is_relative_to(folder.resolve()):
        raise ParamsError(
            f"{key} is {str(source)!r}, outside {folder}",
            hint=f"copy the file to {folder / source.name} and set {key}: {folder / source.name}",
        )


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
    if pretrained == NONE:
        return
    path = imagenet_file(network, imagenet) if pretrained == IMAGENET else weights_file(pretrained)
    check_intact(path)
    try:
        weights: object = torch.load(path, map_location="cpu", weights_only=True)
    except (*_UNLOADABLE, pickle.UnpicklingError) as error:
        raise ParamsError(
            f"not a weights file that can be loaded safely ({type(error).__name__})", where=str(path)
        ) from None
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise ParamsError("not a state dict of tensors", where=str(path))
    try:
        module.load_state_dict(weights)
    except RuntimeError:
        raise ParamsError(f"weights of another network than {network}", where=str(path)) from None


def check_intact(path: Path) -> None:
    """Compare a weights file with the checksums it has: of its records, and in the name torchvision gave it.

    A file from before torch 1.6 is no zip archive: under another name than torchvision's it has none.

    Raises
    ------
    ParamsError : the file is damaged.
    """
    hint = "get the file again"
    try:
        intact.check_name(path, hint)
        with path.open("rb") as file:
            if intact.is_zip(file):
                intact.check_zip(file, str(path), hint)
    except StoreError as error:
        raise ParamsError(error.what, where=error.where, expected=error.expected, hint=error.hint) from None


def weights_file(pretrained: str) -> Path:
    """The weights file that train.pretrained names; ParamsError when there is none."""
    path = Path(pretrained)
    if not path.is_file():
        raise ParamsError(
            f"{KEY} is {pretrained!r}: no such file",
            expected="none, imagenet or a weights file",
            hint=f"put the file there (`dvc pull` brings one that was added), or set {KEY}: none",
        )
    return path


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
