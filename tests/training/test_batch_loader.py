"""Batches: the same with any number of threads, every face once, points where the pixels say they are."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from typing import Any

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
from flmd.training.batch_loader import Batch, BatchLoader
from flmd.training.distributed import Processes
from flmd.training.live_crops import LiveCrops
from flmd.training.stored_crops import StoredCrops
from tests.faces_drawn import squares
from tests.factories import blob_picture, centroid, convert_list, write_picture

FACES, SIZE = 23, 48
PLAIN = {"input_size": SIZE, "padding": 1.2, "variants": 1}
CHANGED = {
    **PLAIN, "rotation": 25, "scale": 0.15, "shift": 0.05, "flip": 0.5, "brightness": 0.3, "contrast": 0.3,
    "saturation": 0.3, "hue": 0.05, "blur": 0.5, "noise": 0.02, "occlusion": 0.3, "grey": 0.2,
}  # fmt: skip
TURNED = {**PLAIN, "rotation": 30, "scale": 0.1, "shift": 0.05, "flip": 0.5}


def config(**changes: object) -> AugmentParams:
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


@pytest.fixture(scope="module")
def stored(store: FaceStore, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The training faces of arrays, three versions each."""
    target = tmp_path_factory.mktemp("arrays") / "a.h5"
    build.build(store, target, config(variants=3), seed=5, made_from={}, workers=1)
    with TrainingArrays(target) as made:
        return made.split("train")


def live(store: FaceStore, rows: Any = None, **changes: object) -> LiveCrops:
    return LiveCrops(store, np.arange(FACES) if rows is None else rows, config(**changes), seed=5)


def loader(store: FaceStore, *, batch: int = 4, **options: Any) -> BatchLoader:
    """Of live crops."""
    return BatchLoader(live(store), batch=batch, seed=5, **{"normalise": (0.5, 0.5), **options})


Kept = tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[int]]


def epoch(batches: BatchLoader, number: int = 0) -> list[Kept]:
    return [(b.images.clone(), b.points, b.visibility, b.rows.tolist()) for b in batches.epoch(number)]


def rows_of(kept: list[Kept]) -> list[int]:
    return [row for batch in kept for row in batch[3]]


def assert_same(ours: list[Kept], theirs: list[Kept]) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one[3] == other[3]
        for a, b in zip(one[:3], other[:3], strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


def ring_threads() -> list[threading.Thread]:
    gc.collect()
    return [t for t in threading.enumerate() if t.name.startswith("flmd-ring")]


@pytest.mark.parametrize("color", ["grey", "rgb"])
def test_one_and_four_threads_give_the_same_batches(store: FaceStore, color: str) -> None:
    one, four = (
        BatchLoader(live(store, color=color), batch=4, seed=5, normalise=(0.5, 0.5), threads=threads)
        for threads in (1, 4)
    )
    for number in (0, 3):
        assert_same(epoch(one, number), epoch(four, number))


def test_every_face_is_there_exactly_once_an_epoch_in_a_new_order(store: FaceStore) -> None:
    batches = BatchLoader(live(store, np.arange(2, FACES)), batch=4, seed=5)
    orders = [rows_of(epoch(batches, n)) for n in range(3)]
    for order in orders:
        assert sorted(order) == list(range(FACES - 2))
    assert orders[0] != orders[1] != orders[2]
    # 21 faces: the last one would be alone, and batch norm cannot learn from one.
    assert [len(b[0]) for b in epoch(batches)] == [4, 4, 4, 4, 5]
    assert len(batches) == 5


def test_drop_last_leaves_out_only_the_short_batch(store: FaceStore) -> None:
    batches = loader(store, drop_last=True)
    assert [len(b[0]) for b in epoch(batches)] == [4] * 5 == [4] * len(batches)


def test_without_shuffling_faces_come_as_given(store: FaceStore) -> None:
    faces = live(store, np.array([7, 3, 11]))
    kept = epoch(BatchLoader(faces, batch=2, seed=5, shuffle=False), 4)
    assert faces.rows[rows_of(kept)].tolist() == [7, 3, 11]


def test_epochs_show_new_versions_and_the_same_epoch_the_same(store: FaceStore) -> None:
    batches = BatchLoader(live(store, np.arange(8)), batch=8, seed=5, shuffle=False)
    first, second, again = epoch(batches, 0), epoch(batches, 1), epoch(batches, 0)
    assert_same(first, again)
    assert not torch.equal(first[0][1], second[0][1])


def test_a_version_is_the_one_the_augment_stage_makes(store: FaceStore) -> None:
    (made,) = epoch(loader(store, batch=FACES, shuffle=False, normalise=None), 2)
    stage = build.make_faces(store, np.arange(FACES), build.augmenter_for(store, config(), 5), (3,))
    assert np.array_equal(made[0][:, 0].numpy(), stage.images)
    assert np.array_equal(made[1].numpy(), stage.points)
    assert np.array_equal(made[2].numpy(), stage.visibility)


def test_an_epoch_longer_than_the_faces_shows_each_in_new_versions(store: FaceStore) -> None:
    """Two epochs of 2 x 23 faces are four passes: versions 1 and 2, then 3 and 4, and no two alike."""
    batches = loader(store, batch=5, epoch_faces=2 * FACES, normalise=None)
    made = {
        n: build.make_faces(store, np.arange(FACES), build.augmenter_for(store, config(), 5), (n,))
        for n in (1, 2, 3, 4)
    }
    shown = dict.fromkeys(range(FACES), 0)
    for number in range(2):
        for images, points, _, rows in epoch(batches, number):
            for image, point, row in zip(images, points, rows, strict=True):
                shown[row] += 1
                assert np.array_equal(image[0].numpy(), made[shown[row]].images[row])
                assert np.array_equal(point.numpy(), made[shown[row]].points[row])
    assert set(shown.values()) == {4}


@pytest.mark.parametrize("color", ["grey", "rgb"])
def test_a_blob_and_its_point_agree_in_the_float_tensor(store: FaceStore, color: str) -> None:
    turned = AugmentParams.model_validate({**TURNED, "color": color})
    faces = LiveCrops(store, np.arange(FACES), turned, seed=1)
    batches = BatchLoader(faces, batch=8, seed=1, normalise=(0.5, 0.5))
    looked_at = 0
    for number in range(4):
        for images, points, _, rows in epoch(batches, number):
            assert images.dtype == torch.float32
            assert images.shape == (len(rows), 3 if color == "rgb" else 1, SIZE, SIZE)
            for image, point in zip(images.numpy(), points.numpy(), strict=True):
                for plane in image:
                    found = centroid((plane + 1) * 127.5, floor=6)
                    assert np.abs(np.array(found) - point[0]).max() < 0.05
                looked_at += 1
    assert looked_at == 4 * FACES


def test_normalised_floats_are_the_levels_through_mean_and_std(store: FaceStore) -> None:
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    levels, floats = (
        epoch(BatchLoader(live(store, color="rgb"), batch=FACES, seed=5, threads=2, normalise=normalise))[0]
        for normalise in (None, (mean, std))
    )
    assert levels[0].dtype == torch.uint8
    for channel in range(3):
        expected = (levels[0][:, channel].double() / 255 - mean[channel]) / std[channel]
        assert torch.allclose(floats[0][:, channel].double(), expected, atol=1e-6)


def test_images_last_until_the_next_batch_and_points_for_good(store: FaceStore) -> None:
    batches = loader(store, batch=1, threads=1)
    places, points, lasting = [], [], []
    for batch in batches.epoch(0):
        lasting.append(batch.images.clone())
        assert torch.equal(batch.images, lasting[-1])
        places.append(batch.images.data_ptr())
        points.append(batch.points)
    assert len(set(places)) <= 3  # a ring of threads + 2 buffers, reused
    for kept, again in zip(points, epoch(batches), strict=True):
        assert torch.equal(kept, again[1])
    for kept, again in zip(lasting, epoch(batches), strict=True):
        assert torch.equal(kept, again[0])


def test_stopping_early_leaves_no_thread_and_the_loader_usable(store: FaceStore) -> None:
    batches = loader(store, batch=2, threads=4)
    for batch in batches.epoch(0):
        assert len(batch.rows) == 2
        break
    assert not ring_threads()
    assert len(epoch(batches)) == 11
    assert not ring_threads()


def test_two_iterations_at_once_are_refused(store: FaceStore) -> None:
    batches = loader(store, batch=2)
    first = batches.epoch(0)
    next(first)
    with pytest.raises(RuntimeError, match="share their buffers"):
        next(batches.epoch(0))


@pytest.mark.parametrize("threads", [1, 4])
def test_an_exception_in_a_thread_reaches_the_consumer(
    store: FaceStore, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = loader(store, batch=2, threads=threads, shuffle=False)
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
        for batch in batches.epoch(0):
            seen.append(batch.rows.tolist())
    assert seen == [b[3] for b in whole[:3]]
    assert not ring_threads()


@pytest.mark.parametrize("threads", [1, 3])
def test_stored_batches_are_the_rows_of_the_split(stored: Any, threads: int) -> None:
    batches = BatchLoader(StoredCrops(stored), batch=10, seed=2, threads=threads)
    for number in range(2):
        kept = epoch(batches, number)
        rows = rows_of(kept)
        assert sorted(rows) == list(range(3 * FACES))
        images, points = torch.cat([b[0] for b in kept]), torch.cat([b[1] for b in kept])
        assert images.dtype == torch.uint8
        assert images.shape == (3 * FACES, 1, SIZE, SIZE)
        assert np.array_equal(images[:, 0].numpy(), stored.images[rows])
        assert np.array_equal(points.numpy(), stored.points[rows])
    floats = BatchLoader(StoredCrops(stored), batch=10, seed=2, threads=threads, normalise=(0.5, 0.5))
    for levels, normal in zip(epoch(batches), epoch(floats), strict=True):
        assert torch.allclose(normal[0], levels[0].float() / 127.5 - 1, atol=1e-6)


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize("normalise", [None, (0.4, 0.3)])
def test_faces_held_on_the_device_give_the_batches_of_streamed_ones(
    colour: bool, normalise: tuple[float, float] | None
) -> None:
    options: dict[str, Any] = {"batch": 8, "seed": 1, "normalise": normalise}
    there, here = (
        BatchLoader(StoredCrops(squares(50, colour=colour)), resident=resident, **options)
        for resident in (True, False)
    )
    for number in range(2):
        assert_same(epoch(there, number), epoch(here, number))


@pytest.mark.parametrize("count", [2, 3, 5])
def test_shares_of_processes_are_the_batches_of_one(store: FaceStore, count: int) -> None:
    """19 faces in batches of 4 leave one of 3: among five processes some get a stand-in, which counts not."""
    options: dict[str, Any] = {"batch": 4, "seed": 5, "epoch_faces": 19, "normalise": None}
    whole = [list(BatchLoader(live(store), **options).epoch(n)) for n in (0, 1)]
    shares = [
        [list(BatchLoader(live(store), processes=Processes(rank, count), **options).epoch(n)) for n in (0, 1)]
        for rank in range(count)
    ]
    for n in (0, 1):
        for step, batch in enumerate(whole[n]):
            own: list[Batch] = [share[n][step] for share in shares]
            assert all(np.array_equal(one.share.whole, batch.rows) for one in own)
            counted = [one for one in own if one.share.place.count]
            assert sum(one.share.place.count for one in own) == len(batch.rows)
            assert np.concatenate([one.rows for one in counted]).tolist() == batch.rows.tolist()
            assert torch.equal(torch.cat([one.points for one in counted]), batch.points)
            labelled = live(store).labelled[batch.share.whole].sum()
            assert sum(int(one.labelled.sum()) for one in own) == int(batch.labelled.sum()) == labelled


def test_bad_settings_are_named(store: FaceStore) -> None:
    for options, message in (
        ({"batch": 0}, "batch is 0"),
        ({"batch": 24, "drop_last": True}, "23 faces make no batch of 24"),
        ({"normalise": ((0.1, 0.2, 0.3), 1.0)}, "pixel means for 1 channel"),
        ({"normalise": (0.5, 0.0)}, "above 0"),
        ({"threads": 0}, "workers is 0"),
    ):
        with pytest.raises(ParamsError, match=message):
            loader(store, **options)
    with pytest.raises(ParamsError, match="make no batch"):
        BatchLoader(StoredCrops(squares(0)), batch=4)
    with pytest.raises(ParamsError, match="no faces to augment"):
        live(store, np.arange(0))
    with pytest.raises(ParamsError, match="looks as far as"):
        live(store, padding=2.5)
    with pytest.raises(ParamsError, match="epoch is -1"):
        loader(store).epoch(-1)
