"""Training that starts from a model of flmd: its weights, put into a network of the same kind."""

from __future__ import annotations

import zipfile
from pathlib import Path

from torch import nn

from flmd.errors import ParamsError
from flmd.models.checkpoint import MODEL, ModelInfo, load_model, read_info

KEY = "train.pretrained"
_HEAD = 4096  # bytes of the pickle, which begins with the format


def is_model(pretrained: str) -> bool:
    """Whether train.pretrained names a file that says it is a model of flmd, damaged or not."""
    path = Path(pretrained)
    if not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            with archive.open(name) as pickled:
                return MODEL.encode() in pickled.read(_HEAD)
    except (zipfile.BadZipFile, StopIteration, OSError, EOFError, NotImplementedError, RuntimeError):
        return False


def check_model(pretrained: str, network: str) -> None:
    """A model that a network can start from.

    Raises
    ------
    ParamsError : it holds another network. StoreError : it is damaged.
    """
    found = read_info(pretrained).network
    if found != network:
        raise ParamsError(
            f"{KEY} is a model of network {found}",
            where=pretrained,
            expected=f"one of train.network, {network}",
        )


def start_from(pretrained: str, module: nn.Module, info: ModelInfo) -> None:
    """Load the weights of a model of flmd into a network, in place.

    Parameters
    ----------
    module : the network. info : what it is. Its input may have another size than the model's.

    Raises
    ------
    ParamsError : the model holds another network, other options, points or channels, other units of pixels
        or points. StoreError : it is damaged.
    """
    check_model(pretrained, info.network)
    network, found = load_model(pretrained)
    for what, theirs, ours in (
        ("scheme", found.scheme, info.scheme),
        ("channels", found.channels, info.channels),
        ("network_options", _of_weights(found), _of_weights(info)),
        *(
            (name, getattr(found.normalisation, name), getattr(info.normalisation, name))
            for name in ("pixel_mean", "pixel_std", "points_offset", "points_scale")
        ),
    ):
        if theirs != ours:
            expected = f"{ours}, as this training has it"
            raise ParamsError(f"{KEY} has {what} {theirs}", where=pretrained, expected=expected)
    try:
        module.load_state_dict(network.state_dict())
    except RuntimeError:
        sizes = f"{info.normalisation.input_size} px"
        raise ParamsError(
            f"{KEY} is made for an input of {found.normalisation.input_size} px",
            where=pretrained,
            expected=f"weights that fit {sizes}, as augment.input_size says",
        ) from None


def _of_weights(info: ModelInfo) -> dict[str, object]:
    """The options that decide what the weights mean: freezing and dropout do not."""
    return {k: v for k, v in info.options.items() if k != "freeze" and "dropout" not in k}
