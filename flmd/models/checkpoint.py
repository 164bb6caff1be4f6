"""Models and half-finished trainings on disk.

A model file is a torch zip of plain values: format name, version, a JSON text with all that is
needed to use the model, and its weights. It is loaded with ``weights_only=True``, so no file can run
code. The same content gives the same bytes, so the same seed gives the same digest: metadata is one
sorted JSON text and weights are written contiguous, because a pickle of live objects would record
which of them happened to be shared.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from flmd import models
from flmd.core.atomic import whole_or_nothing
from flmd.core.crop_spec import CropSpec
from flmd.errors import FlmdError, InputError, StoreError
from flmd.models import intact
from flmd.models.confidence import Confidence
from flmd.models.normalisation import Normalisation

MODEL, RESUME = "flmd-model", "flmd-resume"
VERSION = 1
HINT = "train again or `dvc pull`"
# What building and filling a network from a file raises when its parts contradict each other.
_UNFITTING = (KeyError, TypeError, ValueError, RuntimeError, AttributeError, OverflowError, RecursionError)

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class ModelInfo:
    """Everything about a model but its weights; JSON values only.

    Attributes
    ----------
    network, options : as :func:`flmd.models.build` takes them.
    points, channels : K landmarks, C channels.
    scheme : name of the landmark scheme.
    normalisation : conventions of pixels and coordinates, with the input size.
    crop : how a face is cut out for it.
    epoch : the epoch it was saved after, counted from 1.
    history : a row for each epoch up to then.
    made_from : digests and params of what made it.
    box_rule : right, down, size: how the boxes it was trained with lie around points, see
        :class:`flmd.core.box_rule.BoxRule`; None when it was not recorded.
    confidence : what the spread of its heat maps says of its errors, :meth:`flmd.models.confidence.Confidence
        .to_dict`; None until `flmd calibrate` has measured it.
    """

    network: str
    options: dict[str, Any]
    points: int
    channels: int
    scheme: str
    normalisation: Normalisation
    crop: CropSpec
    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    made_from: dict[str, Any] = field(default_factory=dict)
    box_rule: list[float] | None = None
    confidence: dict[str, Any] | None = None

    def build(self) -> nn.Module:
        """The network, with freshly drawn weights."""
        return models.build(
            self.network,
            points=self.points,
            channels=self.channels,
            input_size=self.normalisation.input_size,
            **self.options,
        )


def weights_of(module: nn.Module) -> Weights:
    """A copy of all parameters and buffers on the CPU, contiguous."""
    return {
        name: torch.empty(value.shape, dtype=value.dtype).copy_(value.detach())
        for name, value in module.state_dict().items()
    }


def save_model(path: Path, weights: Weights, info: ModelInfo) -> None:
    """Write a model file atomically: the old file or the whole new one, whenever killed.

    Raises
    ------
    OSError : it cannot be written; nothing half-written stays under the name.
    """
    nested = {"normalisation": info.normalisation.to_dict(), "crop": info.crop.to_dict()}
    tree = {**vars(info), **nested}
    if info.confidence is None:  # a model that was not calibrated has the bytes it always had
        del tree["confidence"]
    text = json.dumps(tree, sort_keys=True)
    _write(path, {"format": MODEL, "version": VERSION, "info": text, "weights": weights})


def load_model(path: Path | str, device: torch.device | str = "cpu") -> tuple[nn.Module, ModelInfo]:
    """The network in eval mode on the device, and what it is.

    Raises
    ------
    InputError : there is no such file.
    StoreError : not a model of flmd, cut short, or of a later version.
    """
    path = Path(path)
    content = _read(path, MODEL)
    info = _info(path, content)
    try:
        with torch.device("meta"):  # sizes alone: a damaged number asks for no memory
            _check_weights(content["weights"], info.build().state_dict())
        module = info.build()
        module.load_state_dict(content["weights"])
    except FlmdError as error:
        raise StoreError(str(error), where=str(path)) from None
    except _UNFITTING as error:
        raise _unfitting(path, error) from None
    return module.to(device).eval(), info


def _check_weights(found: Any, wanted: Mapping[str, Tensor]) -> None:
    """ValueError unless names, shapes and types agree: torch itself turns other types into its own."""
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise ValueError("weights are no mapping of names to tensors")
    if odd := sorted(map(str, found.keys() ^ wanted.keys())):
        raise ValueError(f"{len(odd)} weights are missing or too many, such as {odd[0]}")
    for name, value in found.items():
        if (value.shape, value.dtype) != (wanted[name].shape, wanted[name].dtype):
            what = f"{tuple(value.shape)} {value.dtype}"
            raise ValueError(f"{name} is {what}, not {tuple(wanted[name].shape)} {wanted[name].dtype}")


def read_info(path: Path | str) -> ModelInfo:
    """What a model is, without building it; InputError and StoreError as :func:`load_model` raises them."""
    path = Path(path)
    return _info(path, _read(path, MODEL))


def _info(path: Path, content: Mapping[str, Any]) -> ModelInfo:
    try:
        tree = json.loads(content["info"])
        tree["normalisation"] = Normalisation.from_dict(tree["normalisation"])
        tree["crop"] = CropSpec.from_dict(tree["crop"])
        known = {f.name for f in fields(ModelInfo)}
        info = ModelInfo(**{k: v for k, v in tree.items() if k in known})
        _check_info(info)
    except FlmdError as error:
        raise StoreError(str(error), where=str(path)) from None
    except _UNFITTING as error:
        raise _unfitting(path, error) from None
    return info


def _check_info(info: ModelInfo) -> None:
    """ValueError for a field of another type, or fields that contradict each other."""
    kinds = {"network": str, "options": dict, "points": int, "channels": int, "scheme": str, "epoch": int}
    for name, kind in {**kinds, "history": list, "made_from": dict}.items():
        value = getattr(info, name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(f"{name} is {str(value)[:60]!r}, not of type {kind.__name__}")  # noqa: TRY004
    if info.points < 1 or info.channels not in (1, 3):
        raise ValueError(f"{info.points} points, {info.channels} channels")
    if info.channels != (1 if info.crop.color == "grey" else 3):
        raise ValueError(f"{info.channels} channels for crops of color {info.crop.color}")
    if info.crop.size != info.normalisation.input_size:
        raise ValueError(f"crops of {info.crop.size} px for an input of {info.normalisation.input_size} px")
    if info.confidence is not None:
        Confidence.from_dict(info.confidence)


def save_resume(path: Path, state: Mapping[str, Any]) -> None:
    """Write a half-finished training atomically; ``state`` holds tensors, numbers, texts, lists, dicts."""
    _write(path, {"format": RESUME, "version": VERSION, "state": dict(state)})


def load_resume(path: Path | str) -> dict[str, Any]:
    """What :func:`save_resume` wrote; InputError when there is no file, StoreError for a bad one."""
    state: Any = _read(Path(path), RESUME)["state"]
    if not isinstance(state, dict):
        raise _damaged(Path(path), "its state is no mapping", RESUME)
    return state


def _write(path: Path, content: Mapping[str, Any]) -> None:
    # Given a file object instead of a name, torch does not put the name into the archive.
    with whole_or_nothing(path) as new, new.open("wb") as file:
        torch.save(dict(content), file)


def _read(path: Path, kind: str) -> dict[str, Any]:
    if not path.is_file():
        raise InputError("no such file", where=str(path))
    try:
        with path.open("rb") as file:
            if not intact.is_zip(file):
                raise _damaged(path, "not a model file, or one cut short")
            intact.check_zip(file, str(path), HINT)
            content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except (
        RuntimeError,
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        RecursionError,
    ) as error:
        raise _damaged(path, f"not a file that can be loaded safely ({_first_line(error)})") from None
    found = content.get("format") if isinstance(content, dict) else None
    if found != kind:
        raise _damaged(path, f"format is {found!r}" if isinstance(found, str) else "not made by flmd", kind)
    version = content.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise StoreError(
            f"{kind} version {version}, made by a later flmd",
            where=str(path),
            expected=f"version {VERSION} or earlier",
            hint="update flmd or train again",
        )
    if not {MODEL: {"info", "weights"}, RESUME: {"state"}}[kind] <= content.keys():
        raise _damaged(path, "parts are missing", kind)
    return dict(content)


def _damaged(path: Path, what: str, kind: str = MODEL) -> StoreError:
    return StoreError(what, where=str(path), expected=f"a file of format {kind!r}", hint=HINT)


def _unfitting(path: Path, error: Exception) -> StoreError:
    return _damaged(path, f"a model file whose content does not fit together ({_first_line(error)})")


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:160] if str(error).strip() else ''}"
