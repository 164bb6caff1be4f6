"""A model file with flipped bytes is refused in one line, or gives the very points it gave before."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from flmd.cli import flmd as command
from flmd.errors import FlmdError, StoreError
from flmd.inference import landmarker, torch_backend
from flmd.inference.deploy import export, seal, torchscript
from flmd.inference.deploy.onnx_runtime import OnnxRuntime
from flmd.models import checkpoint
from tests.cli.test_cli import call
from tests.factories import write_picture
from tests.inference.deploy.models import model_file, noise
from tests.siege.damage import overwritten

TIMES = 40
Load = Callable[[Path], landmarker.Backend]
KINDS: dict[str, Load] = {
    "pt": lambda path: torch_backend.load(path, "cpu")[0],
    "onnx": lambda path: OnnxRuntime(path, threads=1),
    "torchscript": torchscript.TorchScript,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """m.pt, m.onnx and m.torchscript of one small network."""
    folder = tmp_path_factory.mktemp("models")
    model_file(folder / "m.pt")
    for kind in export.ENDINGS:
        export.export_model(folder / "m.pt", folder / f"m.{kind}", kind)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bytes_are_refused_or_change_nothing(models: Path, tmp_path: Path, kind: str) -> None:
    good, crops = (models / f"m.{kind}").read_bytes(), noise(2, 32, 32)
    wanted = KINDS[kind](models / f"m.{kind}")(crops)
    path = tmp_path / f"m.{kind}"
    said = []
    for seed in range(TIMES):
        path.write_bytes(overwritten(good, seed))
        try:
            found = KINDS[kind](path)(crops)
        except StoreError as error:
            said.append(str(error))
        else:
            np.testing.assert_array_equal(found, wanted, err_msg=f"seed {seed}")
    assert len(said) > TIMES // 2
    assert all(line.startswith(f"{path}: ") and "\n" not in line for line in said)


@pytest.mark.parametrize("where", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("kind", KINDS)
def test_one_flipped_bit_of_a_weight_is_refused(
    models: Path, tmp_path: Path, kind: str, where: float
) -> None:
    data = bytearray((models / f"m.{kind}").read_bytes())
    data[int(where * len(data))] ^= 1
    (tmp_path / f"m.{kind}").write_bytes(data)
    with pytest.raises(StoreError, match=r"damaged|cannot"):
        KINDS[kind](tmp_path / f"m.{kind}")


def test_what_was_cut_short_or_lengthened_has_no_seal(models: Path, tmp_path: Path) -> None:
    good, path = (models / "m.onnx").read_bytes(), tmp_path / "m.onnx"
    for data in (good[:-1], good + b"\0", good[: len(good) // 2], b"", good[:40]):
        path.write_bytes(data)
        with pytest.raises(StoreError, match="no checksum of flmd"):
            seal.check(path)


def test_predict_ends_with_2_and_one_line(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = bytearray((models / "m.pt").read_bytes())
    data[len(data) // 2] ^= 64
    (tmp_path / "m.pt").write_bytes(data)
    write_picture(tmp_path / "in" / "a.png", noise(40, 40, 3))
    arguments = (tmp_path / "in", "--model", tmp_path / "m.pt", "-o", tmp_path / "out")
    assert call(monkeypatch, command, "predict", *arguments) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "not what was written (CRC-32)" in said
    assert not (tmp_path / "out").exists()


def resaved(path: Path, **changes: object) -> Path:
    """A model file with other fields of its info, and checksums that are right."""
    content = torch.load(path, weights_only=True)
    content["info"] = json.dumps({**json.loads(content["info"]), **changes})
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scheme": "wflw98"}, "a model of 68 points, but its scheme wflw98 has 98"),
        ({"scheme": "ibug86"}, "unknown scheme 'ibug86'"),
        ({"points": "68"}, "not of type int"),
        ({"points": 5}, "torch.float32"),
        ({"points": 10**12}, "does not fit together"),
        ({"channels": 3}, "3 channels for crops of color grey"),
        ({"options": []}, "not of type dict"),
        ({"history": {}}, "not of type list"),
        ({"scheme": True}, "not of type str"),
    ],
)
def test_parts_that_disagree_are_one_line(
    models: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    path = tmp_path / "m.pt"
    path.write_bytes((models / "m.pt").read_bytes())
    with pytest.raises(StoreError, match=message) as caught:
        landmarker.load(resaved(path, **changes), "cpu")
    assert str(caught.value).startswith(f"{path}: ")


def test_info_nested_too_deep_is_one_line(models: Path, tmp_path: Path) -> None:
    content = torch.load(models / "m.pt", weights_only=True)
    content["info"] = '{"a":' * 5000 + "1" + "}" * 5000
    torch.save(content, tmp_path / "m.pt")
    with pytest.raises(StoreError, match="does not fit together"):
        checkpoint.read_info(tmp_path / "m.pt")


def test_weights_of_another_type_are_refused(models: Path, tmp_path: Path) -> None:
    """torch would round them to its own."""
    network, info = checkpoint.load_model(models / "m.pt")
    checkpoint.save_model(tmp_path / "m.pt", checkpoint.weights_of(network.double()), replace(info))
    with pytest.raises(FlmdError, match=r"torch.float64, not \(.*torch.float32"):
        checkpoint.load_model(tmp_path / "m.pt")
