from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from flmd import models
from flmd.core.params import TrainParams
from flmd.errors import ParamsError
from flmd.models.checkpoint import load_model
from flmd.models.normalisation import Normalisation
from flmd.training import loop
from flmd.training.determinism import seed_all
from flmd.training.ema import WeightAverage
from flmd.training.loop import FitResult, fit
from flmd.training.order import cut, draw
from flmd.training.stored_crops import StoredCrops
from tests.faces_drawn import GREY, SQUARE, squares

DECAY = 0.9


def settings(**changes: object) -> TrainParams:
    fields: dict[str, object] = {
        "datasets": ["squares"],
        "network": "xception",
        "network_options": {"width": 0.125, "middle_blocks": 1},
        "optimizer": "sgd",  # whose steps, unlike Adam's, do not make much of the last digit of a gradient
        "optimizer_options": {"momentum": 0.5},
        "lr": 0.03,
        "epochs": 2,
        "batch": 16,
        "device": "cpu",
    }
    return TrainParams.model_validate({**fields, **changes})


def train(folder: Path, **changes: object) -> FitResult:
    return fit(
        StoredCrops(squares(48)),
        StoredCrops(squares(24, seed=1)),
        settings(**changes),
        scheme=SQUARE,
        seed=7,
        crop=GREY,
        out=folder / "model",
        resume_dir=folder / "state",
        progress=False,
    )


def plain_loop() -> tuple[nn.Module, list[dict[str, torch.Tensor]]]:
    """The same training written out; the network, and its weights after each step."""
    seed_all(7, 0)
    network = models.build("xception", points=5, channels=1, input_size=32, width=0.125, middle_blocks=1)
    network = network.to(memory_format=torch.channels_last)
    sgd = torch.optim.SGD(network.parameters(), lr=0.03, momentum=0.5)
    data, steps = squares(48), []
    for epoch in range(2):
        seed_all(7, epoch + 1)
        network.train()
        for rows in cut(draw(48, 0, 7, epoch), 16):
            pixels = (torch.from_numpy(data.images[rows])[:, None] / 255 - 0.5) / 0.5
            targets = (torch.from_numpy(data.points[rows]) + 0.5) / 32 - 0.5
            labelled = torch.from_numpy(data.visibility[rows] > 0)
            found = network(pixels.contiguous(memory_format=torch.channels_last))
            loss = ((found[labelled] - targets[labelled]) ** 2).mean()
            sgd.zero_grad()
            loss.backward()
            sgd.step()
            steps.append({name: value.clone() for name, value in network.state_dict().items()})
    return network, steps


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_training_in_one_process_is_the_plain_loop(tmp_path: Path) -> None:
    train(tmp_path)
    found = load_model(tmp_path / "model" / "last.pt")[0].state_dict()
    for name, value in plain_loop()[1][-1].items():
        assert torch.allclose(found[name], value, rtol=1e-3, atol=5e-5), name


def test_the_saved_model_is_the_average_of_the_steps(tmp_path: Path) -> None:
    train(tmp_path, ema_decay=DECAY)
    found = load_model(tmp_path / "model" / "last.pt")[0].state_dict()
    _, steps = plain_loop()
    seed_all(7, 0)
    drawn = models.build("xception", points=5, channels=1, input_size=32, width=0.125, middle_blocks=1)
    # Six steps: the decays by hand are 1/10, 2/11, 3/12, 4/13, 5/14 and 6/15.
    for name, expected in drawn.state_dict().items():
        if expected.is_floating_point():
            for n, after in enumerate(steps):
                d = (1 + n) / (10 + n)
                expected = d * expected + (1 - d) * after[name]
        else:
            expected = steps[-1][name]
        assert torch.allclose(found[name], expected, rtol=1e-3, atol=5e-5), name


def test_the_average_is_what_is_measured(tmp_path: Path) -> None:
    result = train(tmp_path, ema_decay=DECAY)
    network, info = load_model(tmp_path / "model" / "last.pt")
    val, norm = squares(24, seed=1), Normalisation.from_dict(info.normalisation.to_dict())
    with torch.inference_mode():
        found = network(norm.pixels(torch.from_numpy(val.images)))
    away = np.linalg.norm(norm.denormalise_points(found).numpy() - val.points, axis=-1)[val.visibility > 0]
    assert result.history[-1]["val_error_px"] == pytest.approx(away.mean(), rel=1e-4)


def test_a_broken_off_training_goes_on_with_its_average(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path / "whole", ema_decay=DECAY)
    original = loop.Training._epoch

    def stop(run: Any, epoch: int, bar: Any) -> dict[str, float]:
        if epoch == 1:
            raise KeyboardInterrupt
        return original(run, epoch, bar)

    monkeypatch.setattr(loop.Training, "_epoch", stop)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken", ema_decay=DECAY)
    monkeypatch.undo()
    train(tmp_path / "broken", ema_decay=DECAY)
    for name in ("best.pt", "last.pt"):
        whole, broken = (tmp_path / run / "model" / name for run in ("whole", "broken"))
        assert whole.read_bytes() == broken.read_bytes()


@given(decay=st.floats(0, 0.9999), steps=st.integers(1, 30), seed=st.integers(0, 2**31))
def test_an_average_lies_among_what_was_averaged(decay: float, steps: int, seed: int) -> None:
    draws = np.random.default_rng(seed).normal(size=(steps + 1, 3)).astype(np.float32)
    module = nn.Linear(3, 1, bias=False)
    module.weight.data[0] = torch.from_numpy(draws[0])
    average = WeightAverage(module, decay)
    for draw_ in draws[1:]:
        module.weight.data[0] = torch.from_numpy(draw_)
        average.update(module)
    found = average.module.weight.detach().numpy()[0]
    assert (found >= draws.min(0) - 1e-6).all()
    assert (found <= draws.max(0) + 1e-6).all()


def test_a_long_constant_stretch_is_forgotten_at_the_rate_of_the_decay() -> None:
    """From 1 to 0: after n steps of decay d, d**n of the one is left. Batch norm's count is copied."""
    module = nn.BatchNorm1d(1)
    average = WeightAverage(module, DECAY)
    for _ in range(200):  # past the warm-up; the weight is 1
        average.update(module)
    module.weight.data.zero_()
    module.num_batches_tracked += 17
    for _ in range(20):
        average.update(module)
    assert float(average.module.weight) == pytest.approx(DECAY**20, rel=1e-4)
    assert int(average.module.num_batches_tracked) == 17


@pytest.mark.parametrize("decay", [1.0, -0.1, "much"])
def test_a_decay_outside_0_to_1_is_refused(decay: object) -> None:
    with pytest.raises((ParamsError, ValueError), match="ema_decay"):
        settings(ema_decay=decay)
