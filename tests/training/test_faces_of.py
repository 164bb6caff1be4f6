"""Live training: version e + 1 of every face in epoch e, and the same bytes however often it is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from ruamel.yaml import YAML

from flmd.augmentation import build
from flmd.augmentation.arrays import TrainingArrays
from flmd.core.params import AugmentParams
from flmd.errors import StoreError
from flmd.models.checkpoint import load_model
from flmd.sources.datasets.rules import DatasetRules
from flmd.store.face_store import FaceStore
from flmd.store.merge import merge
from flmd.training.batch_loader import BatchLoader
from flmd.training.faces_of import training_faces, validation_faces
from flmd.training.live_crops import LiveCrops
from tests import processes
from tests.factories import convert_list, make_face, write_picture

ROOT = Path(__file__).resolve().parents[2]
FACES, EPOCHS = 22, 4
LIMITS = AugmentParams.model_validate(
    {
        **{"input_size": 32, "padding": 1.2, "variants": 4, "rotation": 20, "scale": 0.1, "shift": 0.05},
        **{"flip": 0.5, "brightness": 0.3, "noise": 0.02, "occlusion": 0.5, "offset_of": {"b": 2.0}},
        **{"albumentations": [{"name": "ImageCompression", "quality_range": [40, 95], "p": 0.5}]},
    }
)


def faces_store(folder: Path, seed: int = 0) -> Path:
    """Faces of two data sets, a and b, in all splits."""
    rng, parts = np.random.default_rng(seed), []
    for name in "ab":
        faces = []
        for i in range(FACES // 2):
            picture = cv2.resize(rng.integers(0, 255, (12, 12, 3), np.uint8), (96, 96))
            write_picture(folder / f"{name}{i}.png", picture)
            face = make_face(f"{name}{i}.png", seed=i + 100 * seed, box=(20, 20, 56, 56))
            face.split = ("train", "train", "train", "val", "test")[i % 5]
            faces.append(face)
        parts.append(
            convert_list(folder, faces, folder / f"{name}.h5", color="grey", rules=DatasetRules(name))[1]
        )
    merge(parts, folder / "faces.h5")
    for part in parts:
        part.close()
    return folder / "faces.h5"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faces_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def arrays(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("arrays") / "arrays.h5"
    with FaceStore(store) as faces:
        build.build(faces, target, LIMITS.stored_for("live"), seed=5, made_from={}, workers=1)
    return target


def test_live_needs_one_stored_crop_of_each_face_and_stored_all_versions(store: Path, arrays: Path) -> None:
    with FaceStore(store) as faces, TrainingArrays(arrays) as made:
        train = faces.rows_where(split="train")
        assert made.split("train").face.tolist() == train.tolist()
        assert len(training_faces(made, store, "live", seed=5)) == len(train)
        assert len(validation_faces(made)) == len(faces.rows_where(split="val"))
    assert LIMITS.stored_for("stored").variants == 4


@pytest.mark.parametrize("datasets", [["a"], ["a", "b"]])
def test_epoch_e_shows_version_e_plus_1_as_the_stage_augment_makes_it(
    store: Path, arrays: Path, datasets: list[str]
) -> None:
    with FaceStore(store) as faces, TrainingArrays(arrays) as made:
        live = training_faces(made, store, "live", seed=5, datasets=datasets)
        assert isinstance(live, LiveCrops)
        expected = [r for r in faces.rows_where(split="train") if faces.texts("dataset")[r] in datasets]
        assert live.rows.tolist() == expected
        for epoch in (0, 6):
            stage = build.make_faces(faces, live.rows, build.augmenter_for(faces, LIMITS, 5), (epoch + 1,))
            for batch in BatchLoader(live, batch=4, seed=1, threads=2).epoch(epoch):
                assert np.array_equal(batch.images[:, 0].numpy(), stage.images[batch.rows])
                assert np.array_equal(batch.points.numpy(), stage.points[batch.rows])
                assert np.array_equal(batch.visibility.numpy(), stage.visibility[batch.rows])


def test_another_store_than_that_of_the_arrays_is_refused(arrays: Path, tmp_path: Path) -> None:
    other = faces_store(tmp_path, seed=1)
    with TrainingArrays(arrays) as made, pytest.raises(StoreError, match="not the store that the training"):
        training_faces(made, other, "live", seed=5)


def params_file(folder: Path, **changes: object) -> Path:
    yaml = YAML()
    tree = yaml.load(ROOT / "params.yaml")
    tree["augment"] |= LIMITS.model_dump(include={"input_size", "padding", "variants", "albumentations"})
    tree["train"] |= {
        "augmentation": "live",
        "network_options": {"width": 0.125, "middle_blocks": 1},
        "epochs": EPOCHS,
        "batch": 4,
        "device": "cpu",
        "threads": 1,
        **changes,
    }
    yaml.dump(tree, folder / "params.yaml")
    return folder / "params.yaml"


def command(store: Path, out: Path, params: Path) -> list[str]:
    """`flmd train`."""
    return [
        *(sys.executable, "-u", "-m", "flmd.cli.flmd", "train", str(store)),
        *("--out", str(out), "--params", str(params), "--overwrite"),
    ]


def run(*arguments: object, workers: int = 1) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FLMD_WORKERS": str(workers)}
    done = subprocess.run(command(*arguments), check=False, capture_output=True, text=True, env=environment)  # type: ignore[arg-type]
    assert done.returncode == 0, done.stderr
    return done.stdout


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_live_training_repeats_to_the_byte_with_other_threads_and_killed(store: Path, tmp_path: Path) -> None:
    params = params_file(tmp_path)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run(store, whole, params)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FLMD_WORKERS": "3"}
    process = subprocess.Popen(
        command(store, killed, params), stdout=subprocess.PIPE, text=True, env=environment
    )
    processes.killed_at(process, "epoch 2/")
    assert "going on after epoch" in run(store, killed, params, workers=3)
    assert files(killed) == files(whole)
    _, info = load_model(whole / "best.pt")
    assert info.made_from["params"]["train"]["augmentation"] == "live"
    assert info.crop.augmentation["variants"] == 1  # no version but the plain one was written
