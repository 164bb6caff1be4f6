"""Augmentation as one step on a device: the CPU's pixels within a tolerance, its points to the bit.

Held to on the CPU here, so that a GPU finds nothing new; `python -m benchmarks.gpu` holds a GPU to the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch

from flmd.augmentation import on_device
from flmd.core.params import AugmentParams
from flmd.errors import ParamsError
from flmd.store.face_store import FaceStore
from flmd.training.batch_loader import BatchLoader
from flmd.training.live_crops import LiveCrops
from tests.factories import convert_list, make_face, write_picture

FACES = 24
PLAIN = {
    "input_size": 48,
    "padding": 1.2,
    "variants": 1,
    "rotation": 20,
    "scale": 0.1,
    "shift": 0.05,
    "flip": 0.5,
}
ALONE: dict[str, dict[str, float]] = {
    "geometry": {},
    "levels": {"brightness": 0.3, "contrast": 0.3},
    "saturation": {"saturation": 0.4},
    "hue": {"hue": 0.1},
    "grey": {"grey": 0.5},
    "blur": {"blur": 1.2},
    "noise": {"noise": 0.05},
    "cover": {"occlusion": 0.7},
}
ALL = {name: value for each in ALONE.values() for name, value in each.items()}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaceStore]:
    """Pictures with coarse colours, as faces have them, and some fine grain."""
    folder = tmp_path_factory.mktemp("faces")
    rng, faces = np.random.default_rng(1), []
    for i in range(FACES):
        coarse = cv2.resize(
            rng.integers(0, 255, (9, 9, 3), np.uint8), (120, 120), interpolation=cv2.INTER_CUBIC
        )
        grain = rng.normal(0, 4, coarse.shape)
        write_picture(folder / f"{i}.png", np.clip(coarse + grain, 0, 255).astype(np.uint8))
        faces.append(make_face(f"{i}.png", seed=i, box=(30, 30, 60, 60), split="train"))
    _, made = convert_list(folder, faces, folder / "faces.h5", size=120, margin=2.4)
    with made:
        yield made


def batches(store: FaceStore, device: str | None, **limits: object) -> list[tuple[torch.Tensor, ...]]:
    """Two epochs, made by threads on the CPU or as one step on a device."""
    faces = LiveCrops(store, np.arange(FACES), AugmentParams.model_validate({**PLAIN, **limits}), seed=3)
    loader = BatchLoader(faces, batch=9, seed=3, device=device or "cpu", resident=device is not None)
    made = [batch for epoch in range(2) for batch in loader.epoch(epoch)]
    return [(b.images.cpu().clone(), b.points.cpu(), b.visibility.cpu()) for b in made]


def check_alike(store: FaceStore, device: str, **limits: object) -> None:
    mean, most = on_device.TOLERANCE
    ours, theirs = batches(store, device, **limits), _streamed(store, **limits)
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one[1], other[1])
        assert torch.equal(one[2], other[2])
        away = (one[0].int() - other[0].int()).abs().float()
        assert one[0].shape == other[0].shape
        assert away.mean() < mean
        assert away.flatten().quantile(0.999) <= most


def _streamed(store: FaceStore, **limits: object) -> list[tuple[torch.Tensor, ...]]:
    """Made by threads; copies, because buffers are used again."""
    faces = LiveCrops(store, np.arange(FACES), AugmentParams.model_validate({**PLAIN, **limits}), seed=3)
    loader = BatchLoader(faces, batch=9, seed=3, resident=False)
    return [(b.images.clone(), b.points, b.visibility) for epoch in range(2) for b in loader.epoch(epoch)]


@pytest.mark.parametrize("color", ["grey", "rgb"])
@pytest.mark.parametrize("change", [*ALONE, "all"])
def test_each_change_gives_the_pixels_of_the_cpu(store: FaceStore, color: str, change: str) -> None:
    check_alike(store, "cpu", color=color, **(ALL if change == "all" else ALONE[change]))


def test_a_crop_that_shrinks_is_averaged_and_not_skipped_over(store: FaceStore) -> None:
    check_alike(store, "cpu", input_size=20)


def test_two_runs_give_the_same_bytes(store: FaceStore) -> None:
    for one, other in zip(batches(store, "cpu", **ALL), batches(store, "cpu", **ALL), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_an_epoch_that_runs_on_into_the_next_pass_is_the_cpus(store: FaceStore) -> None:
    limits = AugmentParams.model_validate(PLAIN)
    made = []
    for resident in (True, False):
        faces = LiveCrops(store, np.arange(FACES), limits, seed=3)
        loader = BatchLoader(faces, batch=10, seed=3, epoch_faces=30, resident=resident)
        made.append([b.points.clone() for epoch in range(3) for b in loader.epoch(epoch)])
    assert all(torch.equal(a, b) for a, b in zip(*made, strict=True))


def test_transforms_of_albumentations_stay_on_the_cpu(store: FaceStore) -> None:
    chain = [{"name": "ImageCompression", "quality_range": [40, 95], "p": 0.2}]
    faces = LiveCrops(
        store, np.arange(FACES), AugmentParams.model_validate({**PLAIN, "albumentations": chain}), seed=3
    )
    assert faces.resident_bytes is None
    with pytest.raises(ParamsError, match="runs on the CPU alone"):
        BatchLoader(faces, batch=4, resident=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_pixels_of_the_cpu(store: FaceStore) -> None:
    for color in ("grey", "rgb"):
        check_alike(store, "cuda", color=color, **ALL)
