"""What a deployed file says about itself: one JSON text, the same in ONNX and TorchScript.

An ONNX file has it in ``metadata_props`` under :data:`KEY`, a TorchScript archive as the extra file
:data:`EXTRA_FILE`. Keys:

=============  =======================================================================================
format         "flmd-deployed"; ``version`` 1
input          name, shape, dtype and colour of the crops
output         name, shape, dtype and unit of the points
normalisation  of pixels and points, done inside the graph: the fields of ``models.normalisation``
scheme         name, and the name of each point in order
crop           how a face is cut out: padding, crop, color and the other settings it was trained with
network        name, options, epoch, and the number of points and channels
box_rule       how the boxes that it was trained with lie around points, or null
made_from      digests and params of what made the model, as in the model file
exported       the SHA-256 of the model file, and the versions of flmd and torch that wrote this one
int8           of a quantised file only: how it was calibrated, and its error beside the float one's
=============  =======================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flmd.core.crop_spec import CropSpec
from flmd.errors import FlmdError, StoreError
from flmd.inference.deploy.network import crop_shape
from flmd.models.checkpoint import ModelInfo
from flmd.models.normalisation import Normalisation
from flmd.schemes import get_scheme

FORMAT, VERSION = "flmd-deployed", 1
KEY, EXTRA_FILE = "flmd", "flmd.json"
INPUT, OUTPUT, BATCH = "crops", "points", "N"


def describe(info: ModelInfo, exported: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a model; JSON values only.

    Parameters
    ----------
    exported : versions and digests of the export.
    """
    color = "grey" if info.channels == 1 else "rgb"
    return {
        "format": FORMAT,
        "version": VERSION,
        "input": {
            "name": INPUT,
            "shape": [BATCH, *crop_shape(info)],
            "dtype": "uint8",
            "color": color,
            "levels": "0-255, not normalised",
        },
        "output": {
            "name": OUTPUT,
            "shape": [BATCH, info.points, 2],
            "dtype": "float32",
            "unit": "x, y in pixels of the crop, the centre of its top-left pixel being (0, 0)",
        },
        "normalisation": {"inside": True, **info.normalisation.to_dict()},
        "scheme": {"name": info.scheme, "points": list(get_scheme(info.scheme).points)},
        "crop": info.crop.to_dict(),
        "network": {
            "name": info.network,
            "options": info.options,
            "points": info.points,
            "channels": info.channels,
            "epoch": info.epoch,
        },
        "box_rule": info.box_rule,
        "made_from": info.made_from,
        "exported": dict(exported),
    }


def to_text(metadata: Mapping[str, Any]) -> str:
    """One line of JSON; the same metadata give the same text."""
    return json.dumps(metadata, sort_keys=True, ensure_ascii=False)


def parse(text: str | None, where: str) -> tuple[dict[str, Any], ModelInfo]:
    """The metadata of a file, checked, and what the rest of flmd wants to know of a model.

    Parameters
    ----------
    text : as read from the file; None or "" where it has none.

    Raises
    ------
    StoreError : not written by flmd, by a later one, or damaged.
    """
    if not text:
        raise StoreError(
            "has no metadata of flmd", where=where, expected="a file made by `flmd export`", hint="export it"
        )
    try:
        tree = json.loads(text)
        if tree["format"] != FORMAT:
            raise ValueError(f"format is {tree['format']!r}")
        if not isinstance(tree["version"], int) or tree["version"] > VERSION:
            raise StoreError(
                f"metadata version {tree['version']}, made by a later flmd",
                where=where,
                expected=f"version {VERSION} or earlier",
                hint="update flmd or export again",
            )
        network, normalisation = tree["network"], dict(tree["normalisation"])
        normalisation.pop("inside")
        info = ModelInfo(
            network=str(network["name"]),
            options=dict(network["options"]),
            points=int(network["points"]),
            channels=int(network["channels"]),
            scheme=str(tree["scheme"]["name"]),
            normalisation=Normalisation.from_dict(normalisation),
            crop=CropSpec.from_dict(tree["crop"]),
            epoch=int(network["epoch"]),
            made_from=dict(tree["made_from"]),
            box_rule=tree.get("box_rule"),
        )
        known = get_scheme(info.scheme).count
        if info.points != known:
            raise ValueError(f"{info.points} points, but scheme {info.scheme} has {known}")
        if tree["input"]["shape"][1:] != list(crop_shape(info)):
            raise ValueError(f"input of shape {tree['input']['shape']}")
    except StoreError:
        raise
    except (FlmdError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise StoreError(
            f"its metadata do not fit together ({what})", where=where, hint="export the model again"
        ) from None
    return tree, info
