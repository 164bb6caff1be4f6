"""Deployed files: the same points as torch, all that is needed to use them, whole or not there."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torchvision
from torch import Tensor, nn

import flmd
from flmd import models
from flmd.cli import flmd as command
from flmd.core import geometry
from flmd.core.crop_spec import CropSpec
from flmd.errors import FlmdError, ParamsError, StoreError
from flmd.evaluation import measure
from flmd.inference import torch_backend
from flmd.inference.deploy import checks, crops, export, onnx_file, seal, torchscript
from flmd.inference.deploy.network import CropsToPoints, crop_shape
from flmd.inference.deploy.onnx_runtime import OnnxRuntime
from flmd.inference.landmarker import Landmarker
from flmd.models import checkpoint
from flmd.models.normalisation import Normalisation
from tests.cli.test_cli import call
from tests.factories import write_picture
from tests.inference.deploy.models import SMALL, model_file, noise, store  # noqa: F401  (a fixture)


def by_evaluation(model: Path, images: np.ndarray) -> np.ndarray:
    """Points in pixels of the crop as the rest of flmd computes them."""
    network, info = checkpoint.load_model(model)
    identity = np.broadcast_to(np.eye(2, 3), (len(images), 2, 3))
    return measure.predict(network, images, identity, info.normalisation)


def by_onnxruntime(path: Path, images: np.ndarray) -> np.ndarray:
    """As somebody without flmd runs the file."""
    return onnxruntime.InferenceSession(str(path)).run(["points"], {"crops": images})[0]  # type: ignore


def test_every_network_has_a_small_case() -> None:
    assert sorted(SMALL) == models.names()


@pytest.mark.filterwarnings("ignore:.torch.jit")
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", sorted(SMALL))
def test_every_network_gives_torchs_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, channels: int
) -> None:
    """Alone and in batches of other sizes than the one that was traced, which is 2."""
    # The same layers, fewer of them.
    monkeypatch.setattr(torchvision.models, "resnet152", torchvision.models.resnet50)
    monkeypatch.setattr(torchvision.models, "vgg19", torchvision.models.vgg11)
    if (name in ("cnn6", "naimishnet", "vgg19", "resnet152")) == (channels == 1):
        pytest.skip("the other number of channels covers it")
    model = model_file(tmp_path / "m.pt", name, channels=channels)
    network, info = checkpoint.load_model(model)
    images = noise(7, *crop_shape(info))
    wanted = by_evaluation(model, images)
    assert np.ptp(wanted, axis=0).max() > 0.01  # it looks at the crops
    whole = CropsToPoints(network, info)
    example = torch.from_numpy(noise(2, *crop_shape(info), seed=5))
    # An untrained deep network magnifies rounding: no file is nearer to torch than torch is to itself.
    spread = checks.own_spread(torch_backend.load(model, "cpu")[0], images)
    limit = max(1e-4, 4 * spread)
    assert limit < 0.005
    onnx_file.write(whole, example, tmp_path / "m.onnx")
    for count in (1, 7):
        found = by_onnxruntime(tmp_path / "m.onnx", images[:count])
        np.testing.assert_allclose(found, wanted[:count], atol=limit, rtol=0)
    torchscript.write(whole, example, tmp_path / "m.torchscript", {})
    script = torch.jit.load(str(tmp_path / "m.torchscript"))  # type: ignore[no-untyped-call]
    for count in (1, 7):
        found = script(torch.from_numpy(images[:count])).numpy()
        np.testing.assert_allclose(found, wanted[:count], atol=limit, rtol=0)


class MeanLevel(nn.Module):
    """One point whose x is the mean of the normalised first channel, and y of the last."""

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean((2, 3))
        return torch.stack([means[:, 0], means[:, -1]], dim=1)[:, None]


def test_levels_and_points_are_normalised_inside(tmp_path: Path) -> None:
    """By hand: red 102, blue 204 of 255 are 0.4 and 0.8; with means 0.2, 0.3 and stds 0.1, 0.25 they are 2
    and 2; times 0.1 and plus 0.25 of 40 pixels: 0.45 x 40 - 0.5 = 17.5."""
    info = checkpoint.ModelInfo(
        network="mean",
        options={},
        points=1,
        channels=3,
        scheme="points1",
        normalisation=Normalisation(40, (0.2, 0.9, 0.3), (0.1, 0.9, 0.25), 0.25, 0.1),
        crop=CropSpec(40, 1.3, "rgb"),
    )
    whole = CropsToPoints(MeanLevel(), info)
    image = np.zeros((1, 3, 40, 40), np.uint8)
    image[:, 0], image[:, 1], image[:, 2] = 102, 7, 204
    onnx_file.write(whole, torch.zeros(2, 3, 40, 40, dtype=torch.uint8), tmp_path / "m.onnx")
    np.testing.assert_allclose(by_onnxruntime(tmp_path / "m.onnx", image), [[[17.5, 17.5]]], atol=1e-4)
    image[:, 0] = 0  # (0 - 0.2) / 0.1 = -2, so 0.05 x 40 - 0.5 = 1.5
    np.testing.assert_allclose(by_onnxruntime(tmp_path / "m.onnx", image), [[[1.5, 17.5]]], atol=1e-4)


def test_metadata_say_how_to_use_the_file(tmp_path: Path, store: Path) -> None:  # noqa: F811
    model = model_file(tmp_path / "m.pt")
    export.export_model(model, tmp_path / "m.onnx", "onnx", check=store)
    export.export_model(model, tmp_path / "m.torchscript", "torchscript", check=store)
    loaded = onnx.load(tmp_path / "m.onnx")
    said = json.loads({p.key: p.value for p in loaded.metadata_props}["flmd"])
    assert said["input"] == {
        "name": "crops",
        "shape": ["N", 32, 32],
        "dtype": "uint8",
        "color": "grey",
        "levels": "0-255, not normalised",
    }
    assert said["output"]["shape"] == ["N", 68, 2]
    assert said["normalisation"] == {
        "inside": True,
        "input_size": 32,
        "pixel_mean": 0.4,
        "pixel_std": 0.25,
        "points_offset": 0.5,
        "points_scale": 1.0,
    }
    assert said["scheme"]["name"] == "ibug68"
    assert len(said["scheme"]["points"]) == 68
    assert said["crop"]["padding"] == 1.3
    assert said["network"]["name"] == "integral"
    assert said["network"]["epoch"] == 3
    assert said["made_from"] == {"inputs": {"faces.h5": "0" * 64}}
    with zipfile.ZipFile(tmp_path / "m.torchscript") as archive:
        extra = [name for name in archive.namelist() if name.endswith("extra/flmd.json")]
        assert json.loads(archive.read(extra[0])) == said
        # Neither this machine's folders nor this test's name are anybody's business.
        assert not any(str(flmd.__file__).encode() in archive.read(name) for name in archive.namelist())
    assert loaded.opset_import[0].version == 17
    batch = [
        end.type.tensor_type.shape.dim[0].dim_param for end in (*loaded.graph.input, *loaded.graph.output)
    ]
    assert batch == ["N", "N"]


def test_the_same_model_gives_the_same_bytes(tmp_path: Path, store: Path) -> None:  # noqa: F811
    model = model_file(tmp_path / "m.pt")
    for kind in export.ENDINGS:
        one, two = tmp_path / f"one.{kind}", tmp_path / f"two.{kind}"
        for target in (one, two):
            export.export_model(model, target, kind, check=store)
        if kind == "onnx":
            assert one.read_bytes() == two.read_bytes()
        else:  # within one process torch numbers its classes on; see that nothing else differs
            with zipfile.ZipFile(one) as a, zipfile.ZipFile(two) as b:
                assert len(a.namelist()) == len(b.namelist())
                assert a.read("archive/constants.pkl") == b.read("archive/constants.pkl")


@pytest.mark.parametrize("kind", sorted(export.ENDINGS))
def test_a_file_whose_points_are_not_torchs_is_not_kept(
    tmp_path: Path,
    store: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    model = model_file(tmp_path / "in" / "m.pt")
    other, info = checkpoint.load_model(model_file(tmp_path / "in" / "other.pt", seed=1))
    monkeypatch.setattr(export.checkpoint, "load_model", lambda path: (other, info))
    target = tmp_path / "out" / f"m.{kind}"
    with pytest.raises(FlmdError, match=r"differ from torch's by up to .* px on 8 faces; no file was kept"):
        export.export_model(model, target, kind, check=store)
    assert list(target.parent.iterdir()) == []
    target.write_text("the old one")
    with pytest.raises(FlmdError):
        export.export_model(model, target, kind, check=store)
    assert [path.read_text() for path in target.parent.iterdir()] == ["the old one"]


def test_the_check_sees_a_tenth_of_a_thousandth(tmp_path: Path, store: Path) -> None:  # noqa: F811
    def shifted(by: float, finite: bool = True) -> checks.Points:
        return lambda images: np.full((len(images), 5, 2), by if finite else np.nan, np.float32)

    images = noise(20, 8, 8)
    assert checks.require_equal(shifted(0), shifted(0.9e-4), images, 1e-4, "x") == pytest.approx(0.9e-4)
    with pytest.raises(FlmdError, match=r"by up to 0.00011 px on 20 faces"):
        checks.require_equal(shifted(0), shifted(1.1e-4), images, 1e-4, "x")
    with pytest.raises(FlmdError, match="not finite"):
        checks.require_equal(shifted(0), shifted(0, finite=False), images, 1e-4, "x")

    def wrong_alone(images: np.ndarray) -> np.ndarray:
        return np.full((len(images), 5, 2), len(images) == 1, np.float32)

    with pytest.raises(FlmdError, match="by up to 1 px"):
        checks.require_equal(shifted(0), wrong_alone, images, 1e-4, "x")


def test_drawn_faces_check_a_model_without_a_store(tmp_path: Path) -> None:
    model = model_file(tmp_path / "m.pt")
    made = export.export_model(model, tmp_path / "m.onnx", "onnx")
    assert made.source == "drawn faces"
    assert made.faces >= 16
    assert made.difference <= 1e-4


def test_flmd_load_takes_an_onnx_file(tmp_path: Path, store: Path) -> None:  # noqa: F811
    """The same points as the model file's, to a thousandth of a pixel of the picture."""
    model = model_file(tmp_path / "m.pt", channels=3)
    export.export_model(model, tmp_path / "m.onnx", "onnx", check=store)
    torch_one, onnx_one = flmd.load(model, "cpu"), flmd.load(tmp_path / "m.onnx")
    picture, boxes = crops.drawn_pictures(1)[0]
    np.testing.assert_allclose(
        onnx_one.points_of(picture, boxes), torch_one.points_of(picture, boxes), atol=1e-3, rtol=0
    )


def test_real_pictures_give_the_same_points(
    tmp_path: Path,
    shared_data: Path,
    store: Path,  # noqa: F811
) -> None:
    model = model_file(tmp_path / "m.pt")
    export.export_model(model, tmp_path / "m.onnx", "onnx", check=store)
    torch_one, onnx_one = flmd.load(model, "cpu"), flmd.load(tmp_path / "m.onnx")
    pictures = sorted(shared_data.rglob("*.jpg"))[:50]
    assert len(pictures) == 50
    for picture in pictures:
        one, two = (each.predict(picture, "none")[0].landmarks for each in (torch_one, onnx_one))
        np.testing.assert_allclose(two, one, atol=1e-3, rtol=0)


def test_the_backend_takes_no_other_crops(tmp_path: Path, store: Path) -> None:  # noqa: F811
    model = model_file(tmp_path / "m.pt")
    export.export_model(model, tmp_path / "m.onnx", "onnx", check=store)
    backend = OnnxRuntime(tmp_path / "m.onnx", threads=1)
    assert backend(noise(0, 32, 32)).shape == (0, 68, 2)
    for wrong in (noise(1, 31, 32), noise(1, 3, 32, 32), noise(1, 32, 32).astype(np.float32)):
        with pytest.raises(FlmdError, match=r"crops of shape .*expected \(N, 32, 32\) uint8"):
            backend(wrong)
    assert isinstance(Landmarker(backend, backend.info), Landmarker)


def test_files_that_are_not_ours_end_in_one_line(tmp_path: Path, store: Path) -> None:  # noqa: F811
    model = model_file(tmp_path / "m.pt")
    good = tmp_path / "good.onnx"
    export.export_model(model, good, "onnx", check=store)
    loaded = onnx.load(good)
    said = json.loads(loaded.metadata_props[0].value)

    def changed(name: str, **changes: object) -> Path:
        onnx.helper.set_model_props(loaded, {"flmd": json.dumps({**said, **changes})})
        onnx.save(loaded, tmp_path / name)
        seal.put(tmp_path / name)
        return tmp_path / name

    later = changed("later.onnx", version=2)
    lying = changed("lying.onnx", normalisation={**said["normalisation"], "input_size": 64})
    nothing = changed("nothing.onnx", network=None)
    mean = changed("mean.onnx", normalisation={**said["normalisation"], "pixel_std": 0})
    fewer = changed("fewer.onnx", scheme={"name": "ibug51"})
    del loaded.metadata_props[:]
    onnx.save(loaded, tmp_path / "unsealed.onnx")
    onnx.save(loaded, tmp_path / "foreign.onnx")
    seal.put(tmp_path / "foreign.onnx")
    (tmp_path / "short.onnx").write_bytes(good.read_bytes()[:5000])
    (tmp_path / "text.onnx").write_text("not a graph")
    (tmp_path / "sealed.onnx").write_text("not a graph")
    seal.put(tmp_path / "sealed.onnx")
    (tmp_path / "empty.onnx").touch()
    for path, message in (
        (later, "metadata version 2, made by a later flmd"),
        (lying, "do not fit together"),
        (nothing, "do not fit together"),
        (mean, "pixel_std is 0"),
        (fewer, "68 points, but scheme ibug51 has 51"),
        (tmp_path / "foreign.onnx", "no metadata of flmd"),
        (tmp_path / "unsealed.onnx", "no checksum of flmd at its end"),
        (tmp_path / "short.onnx", "no checksum of flmd at its end"),
        (tmp_path / "text.onnx", "no checksum of flmd at its end"),
        (tmp_path / "sealed.onnx", "ONNX Runtime cannot use it"),
        (tmp_path / "empty.onnx", "no checksum of flmd at its end"),
    ):
        with pytest.raises(StoreError, match=message) as caught:
            flmd.load(path)
        assert "\n" not in str(caught.value)
        assert path.name in str(caught.value)
    for path, message in (
        (tmp_path / "text.onnx", "its records cannot be read"),
        (model, "torch cannot load it"),
    ):
        with pytest.raises(StoreError, match=message):
            torchscript.TorchScript(path)


def test_without_onnxruntime_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_file(tmp_path / "m.pt")
    (tmp_path / "m.onnx").touch()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for attempt in (
        lambda: flmd.load(tmp_path / "m.onnx"),
        lambda: export.export_model(model, tmp_path / "x.onnx", "onnx"),
    ):
        with pytest.raises(ParamsError, match=r"onnxruntime is not installed.*pip install 'flmd\[onnx\]'"):
            attempt()


def test_the_command_writes_beside_the_model_and_replaces_nothing_unasked(
    tmp_path: Path,
    store: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = model_file(tmp_path / "m.pt")
    assert call(monkeypatch, command, "export", model, "--check", store) == 0
    printed = capsys.readouterr().out
    assert "(N, 32, 32) uint8 to (N, 68, 2) px, ibug68" in printed
    assert "px from torch on 8 faces of faces.h5" in printed
    for arguments, message in (
        (["export", model, "--check", store], "m.onnx: exists already; add --overwrite"),
        (["export", model, "--to", "tflite"], "'--to': 'tflite' is not one of 'onnx', 'torchscript'"),
        (["export", model, "--int8"], "--int8 and --calibrate STORE go together"),
        (["export", model, "--calibrate", store], "--int8 and --calibrate STORE go together"),
        (["export", model, "--int8", "--calibrate", store, "--to", "torchscript"], "int8 is for ONNX"),
        (["export", model, "-o", tmp_path], "is a folder"),
        (["export", model, "--overwrite", "--tolerance", "0"], "--tolerance 0; expected pixels"),
        (["export", tmp_path / "gone.pt"], "gone.pt: no such file"),
        (["export", store, "-o", tmp_path / "x"], "not a model file"),
        (["export", model, "--overwrite", "--check", tmp_path / "gone.h5"], "gone.h5: no such file"),
    ):
        assert call(monkeypatch, command, *arguments) == 2, arguments
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1
    assert call(monkeypatch, command, "export", model, "--check", store, "--overwrite") == 0


def test_the_pages_few_lines_for_onnxruntime_alone_are_right(
    tmp_path: Path,
    store: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = (Path(__file__).parents[3] / "docs" / "deploying.md").read_text(encoding="utf-8")
    code = page.partition("## With ONNX Runtime alone")[2].partition("```python\n")[2].partition("```")[0]
    export.export_model(model_file(tmp_path / "m.pt"), tmp_path / "best.onnx", "onnx", check=store)
    write_picture(tmp_path / "face.jpg", noise(400, 500, 3))
    monkeypatch.chdir(tmp_path)
    names: dict[str, np.ndarray] = {}
    exec(code, names)
    affine = geometry.square_crop(np.array([120, 80, 200, 200]), 1.3, 32)
    np.testing.assert_allclose(names["affine"], affine, atol=1e-9)
    wanted = geometry.apply(geometry.invert(affine), by_evaluation(tmp_path / "m.pt", names["crop"][None])[0])
    np.testing.assert_allclose(names["in_picture"], wanted, atol=1e-2)
