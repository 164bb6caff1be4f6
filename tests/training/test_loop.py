from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flmd import models
from flmd.core.crop_spec import CropSpec
from flmd.core.params import TrainParams
from flmd.errors import FlmdError, InputError, ParamsError
from flmd.models.checkpoint import load_model, save_resume
from flmd.models.normalisation import Normalisation
from flmd.training import loop, losses, optim
from flmd.training.loop import FitResult, fit
from flmd.training.resume import fingerprint
from flmd.training.stored_crops import StoredCrops
from tests import processes
from tests.faces_drawn import GREY, RGB, SQUARE, Arrays, squares

ROOT = Path(__file__).resolve().parents[2]
EPOCHS = 4


def settings(**changes: object) -> TrainParams:
    fields: dict[str, object] = {
        "datasets": ["squares"],
        "network": "xception",
        "network_options": {"width": 0.125, "middle_blocks": 1},
        "lr": 3e-3,
        "schedule": "plateau",
        "schedule_options": {"patience": 0, "warmup": 0.5},
        "epochs": EPOCHS,
        "batch": 16,
        "epoch_faces": 70,
        "device": "cpu",
    }
    return TrainParams.model_validate({**fields, **changes})


def stored(count: int, **changes: Any) -> StoredCrops:
    return StoredCrops(squares(count, **changes))


def train(
    folder: Path, *, seed: int = 7, resume: bool = True, progress: bool = False, **changes: object
) -> FitResult:
    """A small training into ``folder``: model/, state/ and curves/."""
    return fit(
        stored(96),
        stored(24, seed=1),
        settings(**changes),
        scheme=SQUARE,
        seed=seed,
        crop=GREY,
        out=folder / "model",
        resume_dir=folder / "state" if resume else None,
        curves=folder / "curves",
        made_from={"arrays": "abc"},
        progress=progress,
    )


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module", autouse=True)
def outside_the_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Curves of these trainings are none of this project's own DVC experiments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))
        yield


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    train(folder)
    return folder


def test_same_seed_gives_the_same_bytes(undisturbed: Path, tmp_path: Path) -> None:
    train(tmp_path, resume=False)
    assert files(tmp_path) == files(undisturbed)


def test_another_seed_gives_another_model(undisturbed: Path, tmp_path: Path) -> None:
    train(tmp_path, seed=8, epochs=1)
    assert files(tmp_path)["model/last.pt"] != files(undisturbed)["model/last.pt"]


def test_killed_and_started_again_ends_with_the_same_bytes(undisturbed: Path, tmp_path: Path) -> None:
    code = "import pathlib, tests.training.test_loop as t; "
    code += f"t.train(pathlib.Path({str(tmp_path)!r}), progress=True)"
    command = [sys.executable, "-u", "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path, env=environment, text=True)
    processes.killed_at(process, "epoch 2/")
    assert list((tmp_path / "state").glob("*/resume.pt"))
    # As DVC does before it starts the stage again: outputs are gone, the state is not one of them.
    for path in [*(tmp_path / "model").iterdir(), tmp_path / "curves" / "metrics.json"]:
        path.unlink(missing_ok=True)
    again = subprocess.run(command, check=True, capture_output=True, cwd=tmp_path, env=environment, text=True)
    assert "going on after epoch" in again.stdout
    assert not any(line.startswith("epoch 1/") for line in again.stdout.splitlines())
    assert files(tmp_path) == files(undisturbed)  # and so no state is left behind


def test_state_of_other_settings_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(run: Any, epoch: int, bar: Any) -> dict[str, float]:
        if epoch == 1:
            raise KeyboardInterrupt
        return original(run, epoch, bar)

    original = loop.Training._epoch
    monkeypatch.setattr(loop.Training, "_epoch", crash)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path)
    monkeypatch.undo()
    assert len(train(tmp_path, lr=1e-3, epochs=1).history) == 1
    assert len(list((tmp_path / "state").glob("*/resume.pt"))) == 1  # the first one's still waits
    assert len(train(tmp_path).history) == EPOCHS
    assert not (tmp_path / "state").exists()


def test_damaged_state_starts_over_with_a_warning(
    undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = fingerprint(
        stored(96),
        stored(24, seed=1),
        settings(),
        SQUARE,
        7,
        GREY,
        {"arrays": "abc"},
    )
    (tmp_path / "state" / digest).mkdir(parents=True)
    (tmp_path / "state" / digest / "resume.pt").write_bytes(b"half")
    train(tmp_path)
    assert "warning: training starts over" in capsys.readouterr().err
    assert files(tmp_path) == files(undisturbed)


@pytest.mark.parametrize(
    "kind", ["no keys", "other weights", "half a history", "a folder", "a file for its folder"]
)
def test_a_state_that_is_no_good_starts_over_with_one_line(
    undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    digest = fingerprint(stored(96), stored(24, seed=1), settings(), SQUARE, 7, GREY, {"arrays": "abc"})
    place = tmp_path / "state" / digest / "resume.pt"
    if kind == "a folder":
        place.mkdir(parents=True)
        (place / "mine.txt").write_text("mine")
    elif kind == "a file for its folder":
        place.parent.parent.mkdir()
        place.parent.write_text("mine")
    else:
        good = {"history": [], "best_epoch": 0, "best_score": 1.0, "best_weights": {}}
        odd = {"half a history": {**good, "history": [{"epoch": 2}]}, "no keys": {}}
        save_resume(place, odd.get(kind, {**good, "weights": {"w": torch.zeros(2)}}))
    train(tmp_path)
    said = capsys.readouterr().err
    assert said.count("warning: training starts over: ") == said.count("\n") == 1
    made = files(tmp_path)
    kept = [made.pop(name) for name in list(made) if name.startswith("state/")]
    assert kept == ([b"mine"] if kind.startswith("a ") else [])
    assert made == files(undisturbed)


def test_model_files_say_what_they_are(undisturbed: Path) -> None:
    model, info = load_model(undisturbed / "model" / "last.pt")
    assert (info.network, info.scheme, info.points, info.channels) == ("xception", "square", 5, 1)
    assert info.normalisation == Normalisation(32)
    assert info.crop == GREY
    assert info.made_from == {"arrays": "abc"}
    assert info.epoch == len(info.history) == EPOCHS
    _, best = load_model(undisturbed / "model" / "best.pt")
    vals = [row["val_loss"] for row in info.history]
    assert best.epoch == 1 + int(np.argmin(vals))
    assert not model.training


def test_history_is_what_the_best_model_measures(undisturbed: Path) -> None:
    model, info = load_model(undisturbed / "model" / "best.pt")
    val = squares(24, seed=1)
    with torch.inference_mode():
        predicted = model(info.normalisation.pixels(torch.from_numpy(val.images)))
    found = info.normalisation.denormalise_points(predicted.numpy())
    away = np.linalg.norm(found - val.points, axis=-1)[val.visibility > 0]
    assert away.mean() == pytest.approx(info.history[-1]["val_error_px"], rel=1e-4)
    squared = ((predicted.numpy() - info.normalisation.points(val.points)) ** 2)[val.visibility > 0]
    assert squared.mean() == pytest.approx(info.history[-1]["val_loss"], rel=1e-4)


def test_curves_hold_the_history(undisturbed: Path) -> None:
    _, info = load_model(undisturbed / "model" / "last.pt")
    for name in ("train_loss", "val_loss", "val_error_px", "lr"):
        lines = (undisturbed / "curves" / "plots" / "metrics" / f"{name}.tsv").read_text().splitlines()
        assert lines[0] == f"step\t{name}"
        assert [line.split("\t") for line in lines[1:]] == [
            [str(i), str(row[name])] for i, row in enumerate(info.history, start=1)
        ]
    latest = json.loads((undisturbed / "curves" / "metrics.json").read_text())
    assert latest["val_loss"] == info.history[-1]["val_loss"]


def test_colour_and_uneven_batches(tmp_path: Path) -> None:
    result = fit(
        stored(17, colour=True),
        stored(5, colour=True),
        settings(epochs=1, epoch_faces=0, pixel_mean=[0.4, 0.5, 0.6], precision="bfloat16_emulated"),
        scheme=SQUARE,
        seed=0,
        crop=RGB,
        out=tmp_path,
        progress=False,
    )
    assert result.best_epoch == 1
    assert load_model(tmp_path / "best.pt")[1].channels == 3


def test_a_loss_of_distributions_is_measured_in_pixels_like_any_other(tmp_path: Path) -> None:
    faces, others = squares(8, side=64), squares(6, side=64, seed=1)
    chosen = settings(
        network="hourglass", network_options={"stacks": 2, "width": 8}, loss="star", epochs=2, epoch_faces=8
    )
    result = fit(
        StoredCrops(faces),
        StoredCrops(others),
        chosen,
        scheme=SQUARE,
        seed=3,
        crop=CropSpec(64, 1.3, "grey"),
        out=tmp_path,
        progress=False,
    )
    model, info = load_model(tmp_path / "last.pt")
    with torch.inference_mode():
        found = model(info.normalisation.pixels(torch.from_numpy(others.images)))
    assert found.shape == (6, 5, 2)
    away = np.linalg.norm(info.normalisation.denormalise_points(found.numpy()) - others.points, axis=-1)
    assert result.history[-1]["val_error_px"] == pytest.approx(away[others.visibility > 0].mean(), rel=1e-3)


def test_without_validation_faces_the_training_loss_decides(tmp_path: Path) -> None:
    result = fit(
        stored(32),
        stored(0),
        settings(epochs=2),
        scheme=SQUARE,
        seed=0,
        crop=GREY,
        out=tmp_path,
        progress=False,
    )
    assert "val_loss" not in result.history[0]
    assert result.best_val == min(row["train_loss"] for row in result.history)


def test_exploding_loss_stops_with_advice(tmp_path: Path) -> None:
    with pytest.raises(FlmdError, match=r"in epoch \d+, batch \d+, at learning rate 1e\+30; lower train.lr"):
        train(tmp_path, optimizer="sgd", lr=1e30, schedule="constant", schedule_options={})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "xceptoin"}, "did you mean 'xception'"),
        ({"loss": "mes"}, "did you mean 'mse'"),
        ({"optimizer": "adan"}, "did you mean 'adam'"),
        ({"schedule": "cosin", "schedule_options": {}}, "did you mean 'cosine'"),
        ({"device": "gpu"}, "train.device is 'gpu'; expected auto, cpu, cuda"),
        ({"loss": "star"}, "star needs a network that predicts distributions; xception predicts coord"),
        ({"pixel_std": [0.1, 0.2, 0.3]}, "3 pixel means or stds for 1 channel"),
    ],
)
def test_impossible_settings(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        train(tmp_path, **changes)
    assert not (tmp_path / "model").exists()


def test_sizes_that_do_not_fit(tmp_path: Path) -> None:
    six = StoredCrops(Arrays(squares(4).images, np.zeros((4, 6, 2), np.float32), np.zeros((4, 6), np.uint8)))
    larger = CropSpec(64, 1.3, "grey")
    for arrays, val, crop, message in (
        (stored(1), stored(2), GREY, "1 training face"),
        (stored(4), stored(2, side=64), GREY, "validation images are"),
        (stored(4), stored(2), larger, r"images are \(1, 32, 32\); expected \(1, 64, 64\), as augment.inp"),
        (stored(4), stored(2), RGB, r"expected \(3, 32, 32\), as augment.input_size and augment.color say"),
        (six, stored(2), GREY, "faces of 6 points; expected 5, of square"),
    ):
        with pytest.raises(InputError, match=message):
            fit(arrays, val, settings(), scheme=SQUARE, seed=0, crop=crop, out=tmp_path)


def test_training_leaves_torch_as_it_was(undisturbed: Path) -> None:
    assert not torch.are_deterministic_algorithms_enabled()


def test_xception_learns_32_crops_by_heart() -> None:
    torch.manual_seed(0)
    crops = squares(32)
    convention = Normalisation(32)
    pixels = convention.pixels(torch.from_numpy(crops.images))
    wanted = convention.points(torch.from_numpy(crops.points))
    labelled = torch.from_numpy(crops.visibility > 0)
    network = models.build("xception", points=5, input_size=32, width=0.25, middle_blocks=2)
    optimizer = optim.build_optimizer("adam", network.parameters(), lr=2e-3)
    loss = losses.build("mse")
    values = []
    for _ in range(30):
        optimizer.zero_grad()
        value = loss(network(pixels), wanted, labelled)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        values.append(float(value.detach()))
    assert np.mean(values[-3:]) < values[0] / 5


def test_the_number_of_threads_is_the_settings_own(tmp_path: Path) -> None:
    seen = set()

    def note(*_: object) -> None:
        seen.add(torch.get_num_threads())

    before = torch.get_num_threads()
    hook = torch.nn.modules.module.register_module_forward_hook(note)
    try:
        train(tmp_path, epochs=1, threads=3)
    finally:
        hook.remove()
    assert seen == {3}
    assert torch.get_num_threads() == before
