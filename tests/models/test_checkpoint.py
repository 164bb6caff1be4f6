from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from flmd.core.crop_spec import CropSpec
from flmd.errors import FlmdError, InputError, StoreError
from flmd.models import checkpoint
from flmd.models.checkpoint import ModelInfo, load_model, load_resume, save_model, save_resume, weights_of
from flmd.models.normalisation import Normalisation


def info() -> ModelInfo:
    return ModelInfo(
        network="xception",
        options={"width": 0.125, "middle_blocks": 1},
        points=5,
        channels=1,
        scheme="square",
        normalisation=Normalisation(32, pixel_mean=0.25),
        crop=CropSpec(32, 1.3, "grey"),
        epoch=3,
        history=[{"epoch": 1, "train_loss": 0.1 + 0.2}],
        made_from={"arrays": "abc", "seed": 7},
    )


def network() -> nn.Module:
    torch.manual_seed(1)
    return info().build()


def test_model_comes_back_whole_and_in_eval_mode(tmp_path: Path) -> None:
    model = network()
    save_model(tmp_path / "m.pt", weights_of(model), info())
    loaded, found = load_model(tmp_path / "m.pt")
    assert found == info()
    assert not loaded.training
    x = torch.rand(2, 1, 32, 32)
    with torch.inference_mode():
        assert torch.equal(loaded(x), model.eval()(x))


def test_same_content_gives_same_bytes_whatever_the_name_and_layout(tmp_path: Path) -> None:
    save_model(tmp_path / "a.pt", weights_of(network()), info())
    # The same weights another way: channels-last, through a file, and metadata through JSON.
    loaded, found = load_model(tmp_path / "a.pt")
    again = weights_of(loaded.to(memory_format=torch.channels_last))  # type: ignore
    save_model(tmp_path / "deep" / "another_name.pt", again, found)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "deep" / "another_name.pt").read_bytes()


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.pt"
    save_model(path, weights_of(network()), info())
    before = path.read_bytes()

    def full_disk(content: object, file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_model(path, {}, info())
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.pt"]


def test_resume_state_comes_back(tmp_path: Path) -> None:
    state = {"weights": {"a": torch.arange(3.0)}, "history": [{"epoch": 1}], "best_score": 0.5}
    save_resume(tmp_path / "r.pt", state)
    found = load_resume(tmp_path / "r.pt")
    assert torch.equal(found["weights"]["a"], torch.arange(3.0))
    assert found["history"] == [{"epoch": 1}]


def rewritten(path: Path, **changes: object) -> Path:
    content = torch.load(path, weights_only=True)
    for key, value in changes.items():
        content.pop(key) if value is None else content.update({key: value})
    torch.save(content, path)
    return path


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_model(tmp_path / "m.pt", weights_of(network()), info())
    return tmp_path / "m.pt"


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def as_text(path: Path) -> None:
    path.write_text("not a model")


def as_code(path: Path) -> None:
    torch.save(nn.Linear(2, 2), path)


def as_foreign(path: Path) -> None:
    torch.save({"state_dict": {"w": torch.zeros(2)}}, path)


def as_tensor(path: Path) -> None:
    torch.save(torch.zeros(2), path)


def as_resume(path: Path) -> None:
    save_resume(path, {"weights": {}})


def as_later(path: Path) -> None:
    rewritten(path, version=checkpoint.VERSION + 1)


def without_weights(path: Path) -> None:
    rewritten(path, weights=None)


def with_other_weights(path: Path) -> None:
    rewritten(path, weights={"w": torch.zeros(2)})


def with_unknown_network(path: Path) -> None:
    text = json.loads(torch.load(path, weights_only=True)["info"])
    rewritten(path, info=json.dumps({**text, "network": "yception"}))


def with_broken_info(path: Path) -> None:
    rewritten(path, info="{")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (cut_short, "cut short"),
        (as_text, "not a model file"),
        (as_code, "loaded safely"),
        (as_foreign, "not made by flmd"),
        (as_tensor, "not made by flmd"),
        (as_resume, "format is 'flmd-resume'; expected a file of format 'flmd-model'"),
        (as_later, "version 2, made by a later flmd; expected version 1 or earlier; update flmd"),
        (without_weights, "parts are missing"),
        (with_other_weights, "does not fit together"),
        (with_unknown_network, "unknown network 'yception'"),
        (with_broken_info, "does not fit together"),
    ],
)
def test_bad_files_are_one_line_naming_the_file(saved: Path, spoil: object, message: str) -> None:
    spoil(saved)  # type: ignore[operator]
    with pytest.raises(FlmdError, match=message) as caught:
        load_model(saved)
    assert isinstance(caught.value, StoreError)
    assert str(caught.value).startswith(f"{saved}: ")
    assert "\n" not in str(caught.value)


def test_an_archive_of_several_disks_is_one_line(saved: Path) -> None:
    data = bytearray(saved.read_bytes())
    at = data.rindex(b"PK\x06\x07")  # the locator of zip64: total number of disks at 16
    data[at + 16] = 3
    saved.write_bytes(data)
    with pytest.raises(StoreError, match="damaged: its records cannot be read"):
        load_model(saved)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_model(tmp_path / "gone.pt")


def test_fields_of_a_later_minor_change_are_ignored(saved: Path) -> None:
    text = json.loads(torch.load(saved, weights_only=True)["info"])
    rewritten(saved, info=json.dumps({**text, "novelty": 1}))
    assert load_model(saved)[1] == info()
