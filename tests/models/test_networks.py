from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torch import nn
from torchvision.models import VGG19_Weights

from flmd import models
from flmd.errors import ParamsError
from flmd.models.pretrained import load_pretrained, place_weights
from flmd.models.xception import Down

SMALL = {
    "xception": {"input_size": 32, "width": 0.125, "middle_blocks": 1},
    "naimishnet": {"input_size": 64, "hidden": 32},
    "cnn6": {"input_size": 190},
    "cnn2": {"input_size": 32},
    "resnet152": {"input_size": 32},
    "vgg19": {"input_size": 64},
    "hourglass": {"input_size": 64, "stacks": 1, "width": 16},
    "integral": {"input_size": 32, "width": 8},
}


def test_every_network_has_a_small_case_here() -> None:
    assert sorted(SMALL) == models.names()


@pytest.mark.parametrize("name", sorted(SMALL))
@pytest.mark.parametrize("channels", [1, 3])
def test_maps_pixels_to_coordinates(name: str, channels: int) -> None:
    network = models.build(name, points=5, channels=channels, **SMALL[name]).eval()  # type: ignore[arg-type]
    side = SMALL[name]["input_size"]
    with torch.inference_mode():
        found = network(torch.zeros(2, channels, int(side), int(side)))
    assert found.shape == (2, 5, 2)
    assert found.dtype == torch.float32


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("xcepton", {}, "unknown network 'xcepton'.*did you mean 'xception'"),
        ("xception", {"widht": 0.5}, "'widht'.*did you mean 'width'"),
        ("xception", {"width": 0}, "width is 0; expected greater than"),
        ("xception", {"width": "wide"}, "width is 'wide'; expected a valid number"),
        ("xception", {"middle_blocks": -1}, "middle_blocks is -1"),
        ("xception", {"dropout": 1.0}, "dropout is 1.0; expected less than 1"),
        ("xception", {"points": 0}, "points is 0"),
        ("xception", {"input_size": 8}, "input_size is 8"),
        ("xception", {"pretrained": "imagenet"}, "xception has no pretrained weights.*pretrained: none"),
        ("cnn6", {"input_size": 64}, "input_size is 64; expected at least 190 pixels"),
        ("resnet152", {"channels": 2}, "channels is 2; expected 1 or 3"),
    ],
)
def test_impossible_wishes_are_one_line(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ParamsError, match=message) as caught:
        models.build(name, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_resolved_options_hold_the_defaults_and_only_the_networks_own() -> None:
    assert models.resolved_options("integral", width=8) == {
        "width": 8,
        "fine_blocks": 1,
        "middle_blocks": 1,
        "coarse_blocks": 1,
    }
    with pytest.raises(ParamsError, match="did you mean 'width'"):
        models.resolved_options("integral", widht=8)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_resolved_options_build_the_same_network(name: str) -> None:
    one = models.build(name, **SMALL[name])  # type: ignore[arg-type]
    given = {k: v for k, v in SMALL[name].items() if k != "input_size"}
    every = models.resolved_options(name, **given)
    two = models.build(name, input_size=int(SMALL[name]["input_size"]), **every)
    assert {k: v.shape for k, v in one.state_dict().items()} == {
        k: v.shape for k, v in two.state_dict().items()
    }


def test_networks_that_read_maps_take_one_convention_only() -> None:
    models.check_convention("xception", 0.1, 3.0)
    for name in ("integral", "hourglass"):
        models.check_convention(name, 0.5, 1.0)
        with pytest.raises(ParamsError, match=f"expected 0.5 and 1.0.*{name}"):
            models.check_convention(name, 0.0, 1.0)


def test_listing_imports_no_network() -> None:
    code = "import sys, flmd.models; flmd.models.names(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_smallest_inputs_are_the_ones_named() -> None:
    for name, smallest in (("cnn6", 190), ("naimishnet", 27), ("cnn2", 12)):
        models.build(name, input_size=smallest)
        with pytest.raises(ParamsError, match=f"at least {smallest} pixels"):
            models.build(name, input_size=smallest - 1)


def test_pretrained_file_is_loaded_and_features_can_be_frozen(tmp_path: Path) -> None:
    import torchvision

    torch.manual_seed(3)
    donor = torchvision.models.vgg19()
    torch.save(dict(donor.state_dict()), tmp_path / "vgg.pth")
    network = models.build("vgg19", input_size=32, pretrained=str(tmp_path / "vgg.pth"), freeze=True)
    assert torch.equal(network.features[0].weight, donor.features[0].weight)  # type: ignore
    assert not any(p.requires_grad for p in network.features.parameters())  # type: ignore
    assert not network.train().features.training


def test_bad_pretrained_files_are_one_line(tmp_path: Path) -> None:
    torch.save(nn.Linear(3, 2).state_dict(), tmp_path / "other.pth")
    torch.save({"x": [1, 2]}, tmp_path / "list.pth")
    torch.save(nn.Linear(2, 2), tmp_path / "code.pth")
    (tmp_path / "text.pth").write_text("hello")
    for file, message in (
        ("other", "weights of another network than vgg19"),
        ("list", "not a state dict"),
        ("code", "loaded safely"),
        ("text", "loaded safely"),
        ("gone", "no such file"),
    ):
        with pytest.raises(ParamsError, match=message) as caught:
            load_pretrained(
                "vgg19", nn.Linear(2, 2), str(tmp_path / f"{file}.pth"), VGG19_Weights.IMAGENET1K_V1
            )
        assert "\n" not in str(caught.value)


def test_damaged_pretrained_files_are_refused(tmp_path: Path) -> None:
    weights = {"weight": torch.zeros(64, 64), "bias": torch.zeros(64)}
    torch.save(weights, tmp_path / "zip.pth")
    torch.save(weights, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    digest = hashlib.sha256((tmp_path / "old.pth").read_bytes()).hexdigest()
    named = tmp_path / f"old-{digest[:8]}.pth"
    (tmp_path / "old.pth").rename(named)
    for path, message in ((tmp_path / "zip.pth", "CRC-32"), (named, f"damaged.*expected {digest[:8]}")):
        load_pretrained("vgg19", nn.Linear(64, 64), str(path), VGG19_Weights.IMAGENET1K_V1)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        for attempt in (
            lambda: load_pretrained("vgg19", nn.Linear(64, 64), str(path), VGG19_Weights.IMAGENET1K_V1),  # noqa: B023
            lambda: place_weights("vgg19", str(path), tmp_path / "out" / "pretrained.pth", tmp_path),  # noqa: B023
        ):
            with pytest.raises(ParamsError, match=message):
                attempt()
        assert not (tmp_path / "out" / "pretrained.pth").exists()


def test_unreachable_imagenet_weights_say_where_to_put_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise URLError("no route")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", unreachable)
    with pytest.raises(ParamsError, match=r"no route.*put the file at .*resnet152.*\.pth.*none"):
        models.build("resnet152", pretrained="imagenet")


def test_xceptions_shortcut_is_a_strided_convolution() -> None:
    down = Down(6, 6, 10, activate=False).eval()
    strided = nn.Sequential(nn.Conv2d(6, 10, 1, stride=2), nn.BatchNorm2d(10)).eval()
    strided.load_state_dict(down.shortcut.state_dict())
    for side in (8, 9):
        x = torch.randn(2, 6, side, side)
        torch.testing.assert_close(down(x) - down.residual(x), strided(x), atol=1e-5, rtol=1e-5)


def test_narrow_xception_trains_on_odd_batches() -> None:
    """In a process of its own: what this guards against (see xception.Down) is a crash."""
    code = """if True:
        import torch
        from flmd import models
        network = models.build("xception", width=0.125, middle_blocks=1, input_size=32)
        network = network.to(memory_format=torch.channels_last)
        for _ in range(6):
            network(torch.rand(17, 1, 32, 32)).sum().backward()
    """
    subprocess.run([sys.executable, "-c", code], check=True)
