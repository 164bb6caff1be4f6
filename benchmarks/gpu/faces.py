"""The faces of a run: a recipe's settings, and a store that its training reads."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from flmd.conversion.converter import convert
from flmd.conversion.settings import CropSettings, Reporting, SplitSettings
from flmd.conversion.stage import box_of, dataset_faces
from flmd.core import params
from flmd.experiments import recipes
from flmd.sources.sample import archive
from flmd.store.face_store import FaceStore
from flmd.store.merge import merge

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = {"ibug300w": archive.make_ibug300w, "youtube_faces": archive.make_youtube_faces}


def settings_of(recipe: str, **changes: Mapping[str, Any]) -> params.Params:
    """Params of a recipe on this project's; ``changes``: section -> keys."""
    tree = YAML(typ="safe").load(ROOT / "params.yaml")
    said = recipes.load(recipe, ROOT / "recipes").settings
    for section in ("convert", "augment", "train"):
        tree[section] |= said.get(section, {}) | dict(changes.get(section, {}))
    for name, keys in said.get("datasets", {}).items():
        tree["datasets"][name] |= keys
    return params.parse(tree)


def samples(folder: Path, faces: int) -> dict[str, Path]:
    """Drawn faces of both data sets: data set -> archive."""
    made = {}
    for name, make in SAMPLES.items():
        made[name] = folder / f"{name}.archive"
        make(made[name], faces=faces, seed=1)
    return made


def make_store(settings: params.Params, sources: Mapping[str, Path], target: Path) -> Path:
    """A store of the data sets that the recipe trains on, its crops as the recipe wants them."""
    how = settings.convert
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        parts = []
        for name in settings.train.datasets:
            dataset = settings.datasets[name]
            part = Path(folder) / f"{name}.h5"
            with dataset_faces(name, dataset, sources[name], how.scheme) as faces:
                convert(
                    faces,
                    part,
                    box=box_of(dataset, faces),
                    crop=CropSettings(how.crop_size, how.margin, how.color, how.max_megapixels * 1e6),
                    split=SplitSettings(dataset.split, dataset.val_share, dataset.test_share, settings.seed),
                    dataset=name,
                    reporting=Reporting(made_from={}),
                )
            parts.append(FaceStore(part))
        merge(parts, target, made_from={})
        for store in parts:
            store.close()
    return target
