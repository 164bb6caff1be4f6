"""The file of weights that training starts from, as one output of the pipeline."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from flmd import models
from flmd.errors import ParamsError

NONE, IMAGENET = "none", "imagenet"
KEY = "train.pretrained"


def place(network: str, pretrained: str, target: Path, folder: Path) -> str:
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
    ParamsError : the network takes none, there is no such file or it lies elsewhere, or torchvision's
        cannot be fetched.
    """
    part = target.with_name(f".{target.name}.tmp")
    if pretrained == NONE:
        part.write_text("none\n", encoding="utf-8")
        part.replace(target)
        return NONE
    models.check_pretrained(network, pretrained)
    if pretrained == IMAGENET:
        from flmd.models.pretrained import imagenet_file

        source = imagenet_file(network, models.imagenet_of(network))
    else:
        source = file_of(pretrained)
        if not source.resolve().is_relative_to(folder.resolve()):
            raise ParamsError(
                f"{KEY} is {pretrained!r}, outside {folder}",
                hint=f"copy the file to {folder / source.name} and set {KEY}: {folder / source.name}",
            )
    try:
        shutil.copyfile(source, part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return str(source)


def file_of(pretrained: str) -> Path:
    """The weights file that train.pretrained names; ParamsError when there is none."""
    path = Path(pretrained)
    if not path.is_file():
        raise ParamsError(
            f"{KEY} is {pretrained!r}: no such file",
            expected="none, imagenet or a weights file",
            hint=f"put the file there (`dvc pull` brings one that was added), or set {KEY}: none",
        )
    return path
