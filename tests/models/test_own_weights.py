"""Training that starts from a model of flmd."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from flmd.core.crop_spec import CropSpec
from flmd.core.params import TrainParams
from flmd.errors import ParamsError, StoreError
from flmd.models import own_weights
from flmd.models.checkpoint import save_model, weights_of
from flmd.models.pretrained import place_weights
from flmd.training import distributed
from flmd.training.trainee import Trainee, describe
from tests.faces_drawn import SQUARE

OPTIONS = {"width": 4, "fine_blocks": 0, "middle_blocks": 0, "coarse_blocks": 0}


def trainee(size: int = 32, colour: str = "grey", **changes: object) -> Trainee:
    fields = {"datasets": ["squares"], "network": "integral", "network_options": OPTIONS, "lr": 1e-3}
    settings = TrainParams.model_validate({**fields, "epochs": 1, "batch": 2, "device": "cpu", **changes})
    info = describe(settings, SQUARE, CropSpec(size, 1.3, colour), {})
    return Trainee(info, settings, 3, torch.device("cpu"), distributed.current())


@pytest.fixture
def model(tmp_path: Path) -> tuple[str, dict[str, torch.Tensor]]:
    """A model file in a folder of weights, and its weights, unlike those that seed 3 draws."""
    made = trainee()
    weights = {k: v + 1 if v.is_floating_point() else v for k, v in weights_of(made.model).items()}
    path = tmp_path / "weights" / "mine.pt"
    path.parent.mkdir()
    save_model(path, weights, made.info)
    return str(path), weights


@pytest.mark.parametrize("size", [32, 64])
def test_training_begins_with_the_weights_of_the_model(
    size: int, model: tuple[str, dict[str, torch.Tensor]]
) -> None:
    path, weights = model
    begun = trainee(size, pretrained=path)
    assert all(torch.equal(value, weights[name]) for name, value in weights_of(begun.model).items())


def test_the_stage_places_it(model: tuple[str, dict[str, torch.Tensor]], tmp_path: Path) -> None:
    path, _ = model
    target = tmp_path / "pretrained.pt"
    assert place_weights("integral", path, target, tmp_path / "weights") == path
    assert target.read_bytes() == Path(path).read_bytes()
    with pytest.raises(ParamsError, match="model of network integral; expected .*xception"):
        place_weights("xception", path, target, tmp_path / "weights")
    with pytest.raises(ParamsError, match="outside"):
        place_weights("integral", path, target, tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "xception", "network_options": {}}, "model of network integral"),
        ({"network_options": {**OPTIONS, "width": 8}}, "network_options .*'width': 4.*expected .*'width': 8"),
        ({"pixel_mean": 0.4}, "pixel_mean 0.5; expected 0.4"),
        ({"colour": "rgb"}, "channels 1; expected 3"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    changes: dict[str, object], message: str, model: tuple[str, dict[str, torch.Tensor]]
) -> None:
    with pytest.raises(ParamsError, match=message) as caught:
        trainee(**{"pretrained": model[0], **changes})  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_a_damaged_model_is_refused(model: tuple[str, dict[str, torch.Tensor]], tmp_path: Path) -> None:
    path = Path(model[0])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreError):
        place_weights("integral", str(path), tmp_path / "pretrained.pt", path.parent)


def test_other_files_are_no_models(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "weights.pth")
    (tmp_path / "text.pt").write_text("flmd-model")
    for name in ("none", "imagenet", *map(str, tmp_path.iterdir()), str(tmp_path), str(tmp_path / "gone")):
        assert not own_weights.is_model(name)
