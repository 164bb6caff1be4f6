"""Every recipe trains: two steps at its own sizes, thirty on the same 32 faces, twice to the same bytes.

On real faces where they are at hand, else on drawn ones.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from flmd import formats
from flmd.augmentation import build
from flmd.augmentation.augmenter import Augmented
from flmd.core import params
from flmd.core.crop_spec import CropSpec
from flmd.experiments import recipes
from flmd.face import Face
from flmd.schemes import IBUG68
from flmd.sources.sample import archive
from flmd.training import loop
from flmd.training.stored_crops import StoredCrops
from flmd.tree import open_tree
from tests.conftest import SHARED
from tests.faces_drawn import Arrays
from tests.factories import convert_list
from tests.pipeline.project import ROOT

NAMES = recipes.names(ROOT / "recipes")
FACES = 32
# Thirty steps at a recipe's own size take minutes on two cores; at these its network, normalisation and loss
# take seconds. SGD at 0.01 moves the mean of an L1 loss over 136 numbers by too little in thirty steps, so
# cnn2 learns with Adam here, and with a hidden layer of 512 instead of 64. Of
# accurate's four hourglasses one learns here, at three times the rate.
SMALLER: dict[str, dict[str, Any]] = {
    "accurate": {
        "input_size": 64,
        "lr": 3e-3,
        "schedule": "constant",
        "network_options": {"stacks": 1},
    },
    "xception-ibug": {"input_size": 48},
    "naimishnet-youtube": {"input_size": 96},
    "cnn6-youtube": {"input_size": 190},
    "resnet152-youtube": {"input_size": 32},
    "vgg19-youtube": {"input_size": 32},
    "cnn2-youtube": {"input_size": 128, "optimizer": "adam", "lr": 1e-3, "network_options": {"hidden": 512}},
}


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folder or archive of each data set."""
    if SHARED.is_dir():
        return {"ibug300w": SHARED / "ibug_300w", "youtube_faces": SHARED / "youtube_faces"}
    folder = tmp_path_factory.mktemp("drawn")
    archive.make_ibug300w(folder / "ibug300w.tar.gz", faces=60, seed=1)
    archive.make_youtube_faces(folder / "youtube_faces.zip", faces=60, seed=1)
    return {"ibug300w": folder / "ibug300w.tar.gz", "youtube_faces": folder / "youtube_faces.zip"}


@dataclass
class Recipes:
    """Settings of each recipe, and faces cut as it says."""

    folder: Path
    sources: dict[str, Path]

    def settings(self, name: str) -> params.Params:
        """This project's params with the recipe; features that have no pretrained weights are not frozen."""
        target = self.folder / "params.yaml"
        shutil.copy(ROOT / "params.yaml", target)
        recipes.apply(recipes.load(name, ROOT / "recipes"), target)
        tree = YAML(typ="safe").load(target)
        tree["train"].update(pretrained="none", device="cpu")
        if "freeze" in tree["train"]["network_options"]:
            tree["train"]["network_options"]["freeze"] = False
        return params.parse(tree)

    def faces(self, name: str, settings: params.Params, count: int, input_size: int | None = None) -> Arrays:
        """One augmented version of each of the first faces of the recipe's data set."""
        dataset = settings.train.datasets[0]
        chosen = settings.datasets[dataset]
        with open_tree(self.sources[dataset]) as tree:
            fmt = formats.get(chosen.format)
            read = fmt.read(tree, IBUG68, fmt.detect(tree).files)
            found = list(islice((f for f in read if isinstance(f, Face)), FACES))
        convert = settings.convert
        store_path = self.folder / f"{name}.h5"
        _, store = convert_list(
            self.sources[dataset],
            found,
            store_path,
            size=convert.crop_size,
            margin=convert.margin,
            box=chosen.box,
            color=convert.color,
        )
        size = {"input_size": input_size or settings.augment.input_size}
        with store:
            augmenter = build.augmenter_for(store, settings.augment.model_copy(update=size), settings.seed)
            made: Augmented = build.make_faces(store, store.rows_where()[:count], augmenter, variants=[1])
        return Arrays(made.images, made.points, made.visibility)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, sources: dict[str, Path]) -> Iterator[Recipes]:
    folder = tmp_path_factory.mktemp("recipes")
    yield Recipes(folder, sources)
    shutil.rmtree(folder)


def train(faces: Arrays, settings: params.Params, out: Path, **changes: Any) -> loop.FitResult:
    return loop.fit(
        StoredCrops(faces),
        StoredCrops(Arrays(faces.images[:0], faces.points[:0], faces.visibility[:0])),
        settings.train.model_copy(update=changes),
        scheme=IBUG68,
        seed=settings.seed,
        crop=CropSpec(faces.images.shape[-1], settings.augment.padding, settings.augment.color),
        out=out,
        progress=False,
    )


@pytest.fixture
def unsaved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of megabytes of weights need not be written after every epoch."""
    monkeypatch.setattr(loop, "save_model", lambda *_: None)


@pytest.mark.parametrize("name", NAMES)
def test_two_steps_at_the_recipe_s_own_size(name: str, here: Recipes, unsaved: None, tmp_path: Path) -> None:
    settings = here.settings(name)
    faces = here.faces(name, settings, 4)
    short = {"epochs": 1, "epoch_faces": 4, "batch": 2, "schedule": "constant", "schedule_options": {}}
    result = train(faces, settings, tmp_path, **short)
    assert 0 < result.history[0]["train_loss"] < 100


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_loss_falls_to_under_a_fifth_in_thirty_steps(
    name: str, here: Recipes, unsaved: None, tmp_path: Path
) -> None:
    settings = here.settings(name)
    smaller = dict(SMALLER.get(name, {}))
    faces = here.faces(name, settings, FACES, smaller.pop("input_size", None))
    # Nothing is dropped out: these are the very faces that are to be learnt.
    options = {**settings.train.network_options, **smaller.pop("network_options", {})}
    options = {option: 0.0 if "dropout" in option else value for option, value in options.items()}
    changes = {"epochs": 30, "epoch_faces": FACES, "batch": FACES, **smaller}
    history = train(faces, settings, tmp_path, network_options=options, **changes).history
    of = distance if settings.train.loss == "wing" else float
    assert of(history[-1]["train_loss"]) < of(history[0]["train_loss"]) / 5


def distance(wing: float) -> float:
    """By how much each coordinate is off where the wing loss is so large and all are off alike.

    The loss grows like a logarithm: a fifth of it is far less than a fifth of the distance.
    """
    w, epsilon = 10 / 64, 2 / 64
    edge = w * math.log1p(w / epsilon)
    return epsilon * math.expm1(wing / w) if wing < edge else wing - edge + w


def test_the_same_seed_gives_the_same_model_and_numbers(here: Recipes, tmp_path: Path) -> None:
    settings = here.settings("xception-ibug")
    faces = here.faces("xception-ibug", settings, FACES, 32)
    runs = [
        train(faces, settings, tmp_path / out, epochs=2, epoch_faces=FACES, batch=8) for out in ("a", "b")
    ]
    assert runs[0] == runs[1]
    for file in ("best.pt", "last.pt"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
