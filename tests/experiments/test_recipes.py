"""Recipes: complete, valid, merged into params.yaml without a scratch on it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from benchmarks.accuracy import cost
from flmd import models
from flmd.cli.flmd import main
from flmd.core import params
from flmd.errors import ParamsError
from flmd.experiments import recipes
from flmd.models.normalisation import Normalisation
from flmd.models.options import known_options
from flmd.training import losses, optim
from tests.pipeline.project import ROOT

NAMES = recipes.names(ROOT / "recipes")
SOURCES = ["cnn2-youtube", "cnn6-youtube", "naimishnet-youtube", "resnet152-youtube", "vgg19-youtube"]
SOURCES += ["xception-ibug"]


def read(path: Path) -> dict[str, dict[str, object]]:
    tree: dict[str, dict[str, object]] = YAML(typ="safe").load(path)
    return tree


def applied(name: str, folder: Path) -> params.Params:
    """This project's params with a recipe, as a stage reads them."""
    target = folder / "params.yaml"
    shutil.copy(ROOT / "params.yaml", target)
    recipes.apply(recipes.load(name, ROOT / "recipes"), target)
    return params.load(target)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["flmd", "recipe", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_five_systems_have_their_recipes() -> None:
    assert set(SOURCES) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_all_that_decides_a_training(name: str) -> None:
    recipe = recipes.load(name, ROOT / "recipes")
    for section, model in (("augment", params.AugmentParams), ("train", params.TrainParams)):
        assert list(recipe.settings[section]) == list(model.model_fields)


@pytest.mark.parametrize("name", NAMES)
def test_all_recipes_set_the_same_keys(name: str) -> None:
    """What one sets and the next does not would show in the next one's result."""
    assert recipes.keys(recipes.load(name, ROOT / "recipes").settings) == recipes.keys(
        recipes.load("xception-ibug", ROOT / "recipes").settings
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_name_and_option_of_a_recipe_exists(name: str, tmp_path: Path) -> None:
    train = applied(name, tmp_path).train
    losses.build(train.loss, **train.loss_options)
    optim.build_schedule(train.schedule, epochs=train.epochs, **train.schedule_options)
    module, _, attribute = models.NETWORKS[train.network].partition(":")
    __import__(module)
    assert set(train.network_options) <= set(known_options(getattr(sys.modules[module], attribute)))


@pytest.mark.parametrize("name", SOURCES)
def test_networks_are_built_at_their_recipes_defaults(name: str, tmp_path: Path) -> None:
    settings = applied(name, tmp_path)
    module, _, attribute = models.NETWORKS[settings.train.network].partition(":")
    __import__(module)
    defaults = {k: p.default for k, p in known_options(getattr(sys.modules[module], attribute)).items()}
    assert settings.augment.input_size == defaults["input_size"]
    assert (3 if settings.augment.color == "rgb" else 1) == defaults["channels"]
    for option, value in settings.train.network_options.items():
        if option != "freeze":  # only with pretrained weights
            assert defaults[option] == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize("name", [n for n in SOURCES if n != "xception-ibug"])
def test_targets_are_the_course_s_at_224_px(name: str, tmp_path: Path) -> None:
    train = applied(name, tmp_path).train
    units = Normalisation(224, points_offset=train.points_offset, points_scale=train.points_scale)
    pixels = np.array([[0.0, 50.0], [100.0, 223.0]])
    np.testing.assert_allclose(units.points(pixels), (pixels - 100) / 50, atol=1e-12)


@pytest.mark.parametrize("name", SOURCES)
def test_the_crops_are_stored_as_large_as_the_network_wants_them(name: str, tmp_path: Path) -> None:
    """Pixels of the context crop to pixels of the input at one to one, within a percent."""
    settings = applied(name, tmp_path)
    shown = settings.augment.padding * settings.augment.crop
    stored = settings.convert.crop_size * shown / settings.convert.margin
    assert stored == pytest.approx(settings.augment.input_size, rel=0.01)


@pytest.mark.parametrize(
    ("name", "most_parameters", "most_flops"),
    [("fast", 1.5e6, 100e6), ("balanced", 3e6, 1e9), ("accurate", 15e6, 1e12)],
)
def test_our_own_recipes_keep_within_their_limits(
    name: str, most_parameters: float, most_flops: float, tmp_path: Path
) -> None:
    settings = applied(name, tmp_path)
    channels, side = 3 if settings.augment.color == "rgb" else 1, settings.augment.input_size
    network = models.build(
        settings.train.network, channels=channels, input_size=side, **settings.train.network_options
    )
    found = cost.parameters(network), cost.flops(network, torch.zeros(1, channels, side, side))
    assert found[0] <= most_parameters
    assert found[1] <= most_flops
    row = next(r for r in (ROOT / "docs" / "recipes.md").read_text().splitlines() if f"| `{name}` |" in r)
    parameters, mflops = (int(cell.replace(",", "")) for cell in row.split("|")[-3:-1])
    assert (parameters, mflops) == (found[0], round(found[1] / 1e6))
    assert f"{settings.train.batch}, {settings.train.epochs}" in row


@pytest.mark.parametrize("name", NAMES)
def test_live_recipes_store_one_version_of_each_face(name: str, tmp_path: Path) -> None:
    settings = applied(name, tmp_path)
    if settings.train.augmentation == "live":
        assert settings.augment.variants == 1


def test_apply_keeps_comments_and_order_and_prints_each_change(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (project / "params.yaml").read_text()
    assert call(monkeypatch, "apply", "cnn6-youtube") == 0
    printed = capsys.readouterr().out.splitlines()
    after = (project / "params.yaml").read_text()
    assert "train.network: xception -> cnn6" in printed
    assert "train.pixel_mean: 0.5 -> [0.403, 0.343, 0.314]" in printed
    assert (
        "train.network_options: {width: 0.25, middle_blocks: 2, dropout: 0.0} -> "
        "{conv_dropout: [0.1, 0.15, 0.2, 0.25, 0.3, 0.35], dropout: 0.4}"
    ) in printed
    comments = [line.partition("#")[2] for line in before.splitlines() if "#" in line]
    assert comments == [line.partition("#")[2] for line in after.splitlines() if "#" in line]
    keys = [line.split(":")[0] for line in after.splitlines()]
    assert keys == [line.split(":")[0] for line in before.splitlines() if "ImageCompression" not in line]
    # Nothing but the printed keys changed.
    old, new = read(ROOT / "params.yaml"), read(project / "params.yaml")
    changed = {f"train.{k}" for k in new["train"] if new["train"][k] != old["train"][k]}
    assert changed == {line.split(":")[0] for line in printed if line.startswith("train.")}
    assert new["evaluate"] == old["evaluate"]


def test_applied_again_nothing_changes(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, "apply", "xception-ibug")
    capsys.readouterr()
    file = project / "params.yaml"
    before = file.read_bytes(), file.stat().st_ino
    assert call(monkeypatch, "apply", "xception-ibug") == 0
    assert capsys.readouterr().out == "nothing changed\n"
    assert (file.read_bytes(), file.stat().st_ino) == before


def test_what_was_applied_before_leaves_no_trace(project: Path) -> None:
    file = project / "params.yaml"
    for name in NAMES:
        recipes.apply(recipes.load(name, project / "recipes"), file)
    recipes.apply(recipes.load("naimishnet-youtube", project / "recipes"), file)
    through_all = read(file)
    shutil.copy(ROOT / "params.yaml", file)
    recipes.apply(recipes.load("naimishnet-youtube", project / "recipes"), file)
    assert read(file) == through_all


def test_comments_below_a_replaced_block_stay(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text()
    text = text.replace("\ntrain:", "\n# of the training\ntrain:").replace(
        "  loss_options: {}\n", "  loss_options:   # of the loss\n    beta: 2.0   # of beta\n"
    )
    (tmp_path / "params.yaml").write_text(text)
    recipes.apply(recipes.load("cnn2-youtube", ROOT / "recipes"), tmp_path / "params.yaml")
    after = (tmp_path / "params.yaml").read_text()
    assert "with their options\n\n# of the training\ntrain:" in after
    assert "  loss_options: {} # of the loss\n  optimizer: sgd" in after
    assert "of beta" not in after


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("about: x\ntrain: {epoch: 3}\n", "params.yaml with recipe odd: unknown key 'train.epoch'.*'epochs'"),
        ("about: x\ntrain: {lr: -1}\n", "train.lr is -1; expected greater than 0"),
        ("about: x\ndatasets: {wflw: {source: [1]}}\n", r"datasets.wflw.source is \[1\]; expected official"),
        ("about: x\naugment: {padding: 9}\n", "convert.margin: 2.4 is too small"),
        ("about: x\ntrain: {network_options: {freeze: true}}\n", "freeze: true would keep weights drawn"),
        ("about: x\ntrain: [1]\n", "train is \\[1\\]"),
        ("train: {lr: 1}\n", "odd.yaml: no 'about' text"),
        ("about: [\n", "odd.yaml:2: not valid YAML"),
        ("- 1\n", "odd.yaml: not a mapping"),
        ("", "odd.yaml: not a mapping"),
    ],
)
def test_a_bad_recipe_is_one_line_and_leaves_params_alone(project: Path, text: str, message: str) -> None:
    (project / "recipes" / "odd.yaml").write_text(text)
    before = (project / "params.yaml").read_bytes()
    with pytest.raises(ParamsError, match=message) as caught:
        recipes.apply(recipes.load("odd", project / "recipes"), project / "params.yaml")
    assert "\n" not in str(caught.value)
    assert (project / "params.yaml").read_bytes() == before
    assert [p.name for p in project.iterdir() if "tmp" in p.name] == []


def test_mistakes_on_the_command_line(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, message in (
        (("apply", "xception-ibgu"), "did you mean 'xception-ibug'?"),
        (("show", "xception"), "unknown recipe 'xception'"),
        (("apply", "cnn2-youtube", "--params", "gone.yaml"), "gone.yaml: no such file"),
        (("apply", "../params"), "unknown recipe '../params'"),
    ):
        assert call(monkeypatch, *arguments) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_list_and_show(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "list") == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["recipe", "what", "it", "is"]
    assert [line.split()[0] for line in lines] == NAMES
    assert all(len(line.split()) > 6 for line in lines)
    assert call(monkeypatch, "show", "cnn2-youtube") == 0
    assert capsys.readouterr().out == (ROOT / "recipes" / "cnn2-youtube.yaml").read_text()


def test_without_a_folder_of_its_own_a_project_has_flmds_recipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert recipes.names(recipes.folder()) == NAMES


def test_what_a_recipe_says_of_other_data_sets_is_left_out(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (project / "params.yaml").read_text().replace("  youtube_faces:\n", "  mine:\n")
    (project / "params.yaml").write_text(text)
    assert call(monkeypatch, "apply", "fast") == 0
    said = capsys.readouterr()
    assert said.err == "left out, as they are not in params.yaml: youtube_faces\n"
    settings = params.load(project / "params.yaml")
    assert list(settings.datasets) == ["ibug300w", "mine"]
    assert settings.train.datasets == ["ibug300w", "mine"]
    assert settings.augment.flip_of == {}  # the recipe names youtube_faces alone
    assert settings.augment.offset_of == {"ibug300w": 0.5}
    # A recipe that trains on a data set which is not here leaves training to those that are.
    assert call(monkeypatch, "apply", "cnn6-youtube") == 0
    assert params.load(project / "params.yaml").train.datasets == ["ibug300w", "mine"]


def test_apply_in_an_empty_folder_writes_flmds_own_settings_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "apply", "cnn6-youtube") == 0
    assert "params.yaml: flmd's own, as there was none" in capsys.readouterr().out
    assert params.load("params.yaml") == applied("cnn6-youtube", tmp_path)
