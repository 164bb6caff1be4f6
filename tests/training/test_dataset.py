"""Batches: the same with any number of threads, every face once, points where the pixels say they are."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from flmd.augmentation import build
from flmd.augmentation.arrays import TrainingArrays
from flmd.augmentation.augmenter import Augmenter
from flmd.core.params import AugmentParams
from flmd.errors import ParamsError
from flmd.face import Face, visibility_of
from flmd.store.face_store import FaceStore
from flmd.training.dataset import AugmentedBatches, PrecomputedBatches
from tests.factories import blob_picture, centroid, convert_list, write_picture

FACES, SIZE = 23, 48
PLAIN = {"input_size": SIZE, "padding": 1.2, "variants": 1}
CHANGED = {
    **PLAIN, "rotation": 25, "scale": 0.15, "shift": 0.05, "flip": 0.5, "brightness": 0.3, "contrast": 0.3,
    "saturation": 0.3, "hue": 0.05, "blur": 0.5, "noise": 0.02, "occlusion": 0.3, "grey": 0.2,
}  # fmt: skip
TURNED = {**PLAIN, "rotation": 30, "scale": 0.1, "shift": 0.05, "flip": 0.5}


def limits(**changes: object) -> AugmentParams:
    return AugmentParams.model_validate({**CHANGED, **changes})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaceStore]:
    """Pictures with one blob each; all 68 points of a face lie on its blob."""
    folder = tmp_path_factory.mktemp("blobs")
    rng = np.random.default_rng(3)
    faces = []
    for number in range(FACES):
        x, y = (130 + rng.uniform(-12, 12, 2)).tolist()
        write_picture(folder / f"{number}.png", blob_picture(260, 260, (x, y), sigma=9.0))
        points = np.tile(np.array([x, y], np.float32), (68, 1))
        face = Face(
            f"{number}.png",
            points,
            visibility_of(points),
            np.array([80, 80, 101, 101], np.float32),
            "annotated",
        )
        face.split = "train"
        faces.append(face)
    _, made = convert_list(folder, faces, folder / "faces.h5", size=160, margin=2.8)
    with made:
        yield made


def epoch(batches: AugmentedBatches | PrecomputedBatches, number: int = 0) -> list[tuple[torch.Tensor, ...]]:
    batches.set_epoch(number)
    return [(b.images.clone(), b.points, b.visibility, b.faces) for b in batches]


def assert_same(ours: list[tuple[torch.Tensor, ...]], theirs: list[tuple[torch.Tensor, ...]]) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        for a, b in zip(one, other, strict=True):
            assert torch.equal(a, b)


def ring_threads() -> list[threading.Thread]:
    gc.collect()
    return [t for t in threading.enumerate() if t.name.startswith("flmd-ring")]


@pytest.mark.parametrize("color", ["grey", "rgb"])
def test_one_and_four_threads_give_the_same_batches(store: FaceStore, color: str) -> None:
    one, four = (
        AugmentedBatches(store, np.arange(FACES), limits(color=color), seed=5, batch=4, threads=threads)
        for threads in (1, 4)
    )
    for number in (0, 3):
        assert_same(epoch(one, number), epoch(four, number))


def test_every_face_is_there_exactly_once_an_epoch_in_a_new_order(store: FaceStore) -> None:
    rows = np.arange(2, FACES)
    batches = AugmentedBatches(store, rows, limits(), seed=5, batch=4)
    orders = [torch.cat([b[3] for b in epoch(batches, n)]).tolist() for n in range(3)]
    for order in orders:
        assert sorted(order) == rows.tolist()
    assert orders[0] != orders[1] != orders[2]
    assert len(batches) == 6
    assert [len(b[0]) for b in epoch(batches)] == [4, 4, 4, 4, 4, 1]


def test_drop_last_leaves_out_only_the_short_batch(store: FaceStore) -> None:
    batches = AugmentedBatches(store, np.arange(FACES), limits(), seed=5, batch=4, drop_last=True)
    assert [len(b[0]) for b in epoch(batches)] == [4] * 5 == [4] * len(batches)


def test_without_shuffling_faces_come_as_given(store: FaceStore) -> None:
    rows = np.array([7, 3, 11])
    batches = AugmentedBatches(store, rows, limits(), seed=5, batch=2, shuffle=False)
    assert torch.cat([b[3] for b in epoch(batches, 4)]).tolist() == rows.tolist()


def test_epochs_show_new_versions_and_the_same_epoch_the_same(store: FaceStore) -> None:
    batches = AugmentedBatches(store, np.arange(8), limits(), seed=5, batch=8, shuffle=False)
    first, second, again = epoch(batches, 0), epoch(batches, 1), epoch(batches, 0)
    assert_same(first, again)
    assert not torch.equal(first[0][1], second[0][1])


def test_a_version_is_the_one_the_augment_stage_makes(store: FaceStore) -> None:
    batches = AugmentedBatches(
        store, np.arange(FACES), limits(), seed=5, batch=FACES, shuffle=False, normalise=None
    )
    (made,) = epoch(batches, 2)
    stage = build.make_faces(store, np.arange(FACES), build.augmenter_for(store, limits(), 5), (3,))
    assert np.array_equal(made[0][:, 0].numpy(), stage.images)
    assert np.array_equal(made[1].numpy(), stage.points)
    assert np.array_equal(made[2].numpy(), stage.visibility)


@pytest.mark.parametrize("color", ["grey", "rgb"])
def test_a_blob_and_its_point_agree_in_the_float_tensor(store: FaceStore, color: str) -> None:
    batches = AugmentedBatches(
        store, np.arange(FACES), AugmentParams.model_validate({**TURNED, "color": color}), seed=1, batch=8
    )
    mirrored = 0
    for number in range(4):
        for images, points, _, faces in epoch(batches, number):
            assert images.dtype == torch.float32
            assert images.shape == (len(faces), 3 if color == "rgb" else 1, SIZE, SIZE)
            for image, point in zip(images.numpy(), points.numpy(), strict=True):
                for plane in image:
                    found = centroid((plane + 1) * 127.5, floor=6)
                    assert np.abs(np.array(found) - point[0]).max() < 0.05
                mirrored += 1
    assert mirrored == 4 * FACES


def test_normalised_floats_are_the_levels_through_mean_and_std(store: FaceStore) -> None:
    kinds = {"seed": 5, "batch": FACES, "threads": 2}
    rows, mean, std = np.arange(FACES), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    (levels,) = epoch(AugmentedBatches(store, rows, limits(color="rgb"), normalise=None, **kinds))
    (floats,) = epoch(AugmentedBatches(store, rows, limits(color="rgb"), normalise=(mean, std), **kinds))
    assert levels[0].dtype == torch.uint8
    for channel in range(3):
        expected = (levels[0][:, channel].double() / 255 - mean[channel]) / std[channel]
        assert torch.allclose(floats[0][:, channel].double(), expected, atol=1e-6)


def test_images_last_until_the_next_batch_and_points_for_good(store: FaceStore) -> None:
    batches = AugmentedBatches(store, np.arange(FACES), limits(), seed=5, batch=1, threads=1)
    places, points, lasting = [], [], []
    for batch in batches:
        lasting.append(batch.images.clone())
        assert torch.equal(batch.images, lasting[-1])
        places.append(batch.images.data_ptr())
        points.append(batch.points)
    assert len(set(places)) <= 3  # a ring of threads + 2 buffers, reused
    for kept, again in zip(points, epoch(batches), strict=True):
        assert torch.equal(kept, again[1])
    for kept, again in zip(lasting, epoch(batches), strict=True):
        assert torch.equal(kept, again[0])


def test_stopping_early_leaves_no_thread_and_the_batches_usable(store: FaceStore) -> None:
    batches = AugmentedBatches(store, np.arange(FACES), limits(), seed=5, batch=2, threads=4)
    for batch in batches:
        assert len(batch.faces) == 2
        break
    assert not ring_threads()
    assert len(epoch(batches)) == 12
    assert not ring_threads()


def test_two_iterations_at_once_are_refused(store: FaceStore) -> None:
    batches = AugmentedBatches(store, np.arange(FACES), limits(), seed=5, batch=2)
    first = iter(batches)
    next(first)
    with pytest.raises(RuntimeError, match="share their buffers"):
        next(iter(batches))


@pytest.mark.parametrize("threads", [1, 4])
def test_an_exception_in_a_thread_reaches_the_consumer(
    store: FaceStore, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = AugmentedBatches(
        store, np.arange(FACES), limits(), seed=5, batch=2, threads=threads, shuffle=False
    )
    whole, real = epoch(batches), Augmenter.__call__

    def failing(
        self: Augmenter, crops: object, affine: object, box: object, landmarks: np.ndarray, *rest, **kw
    ):  # type: ignore[no-untyped-def]
        if np.array_equal(landmarks[0], store.numbers("landmarks")[6]):
            raise OSError("the disk went away")
        return real(self, crops, affine, box, landmarks, *rest, **kw)  # type: ignore[arg-type]

    monkeypatch.setattr(Augmenter, "__call__", failing)
    seen = []
    with pytest.raises(OSError, match="went away"):
        for batch in batches:
            seen.append(batch.faces)
    assert [f.tolist() for f in seen] == [b[3].tolist() for b in whole[:3]]
    assert not ring_threads()


@pytest.mark.parametrize("threads", [1, 3])
def test_precomputed_batches_are_the_rows_of_the_split(
    store: FaceStore, tmp_path: Path, threads: int
) -> None:
    build.build(store, tmp_path / "a.h5", limits(variants=3), seed=5, made_from={}, workers=1)
    with TrainingArrays(tmp_path / "a.h5") as made:
        split = made.split("train")
    batches = PrecomputedBatches(split, batch=10, seed=2, threads=threads)
    for number in range(2):
        got = epoch(batches, number)
        assert sorted(torch.cat([b[3] for b in got]).tolist()) == sorted(split.face.tolist())
        images, points = torch.cat([b[0] for b in got]), torch.cat([b[1] for b in got])
        assert images.dtype == torch.uint8
        assert images.shape == (3 * FACES, 1, SIZE, SIZE)
        # Each row of the split is found again, with its own points.
        wanted = {split.images[i].tobytes() + split.points[i].tobytes() for i in range(len(split))}
        assert {
            i.numpy().tobytes() + p.numpy().tobytes() for i, p in zip(images, points, strict=True)
        } == wanted
    floats = PrecomputedBatches(split, batch=10, seed=2, threads=threads, normalise=(0.5, 0.5))
    for levels, normal in zip(epoch(batches), epoch(floats), strict=True):
        assert torch.allclose(normal[0], levels[0].float() / 127.5 - 1, atol=1e-6)


def test_bad_settings_are_named(store: FaceStore) -> None:
    rows = np.arange(FACES)
    with pytest.raises(ParamsError, match="batch is 0"):
        AugmentedBatches(store, rows, limits(), seed=5, batch=0)
    with pytest.raises(ParamsError, match="make no batch"):
        AugmentedBatches(store, rows[:0], limits(), seed=5, batch=4)
    with pytest.raises(ParamsError, match="pixel means for 1 channel"):
        AugmentedBatches(store, rows, limits(), seed=5, batch=4, normalise=((0.1, 0.2, 0.3), 1.0))
    with pytest.raises(ParamsError, match="above 0"):
        AugmentedBatches(store, rows, limits(), seed=5, batch=4, normalise=(0.5, 0.0))
    with pytest.raises(ParamsError, match="looks as far as"):
        AugmentedBatches(store, rows, limits(padding=2.5), seed=5, batch=4)
