from __future__ import annotations

import numpy as np
import pytest
import torch

from flmd.errors import InputError
from flmd.training.batches import Feeder, check_split, cut, draw
from tests.faces_drawn import squares

CPU = torch.device("cpu")


def test_an_epoch_is_a_permutation_of_its_own() -> None:
    first, second = draw(100, 0, 7, 0), draw(100, 0, 7, 1)
    assert sorted(first) == sorted(second) == list(range(100))
    assert (first != second).any()
    assert (draw(100, 0, 8, 0) != first).any()
    assert (draw(100, 0, 7, 0) == first).all()


@pytest.mark.parametrize("faces", [1, 7, 10, 23])
def test_short_and_long_epochs_walk_on_through_the_permutations(faces: int) -> None:
    pieces = [draw(10, faces, 3, epoch) for epoch in range(10)]
    assert [len(piece) for piece in pieces] == [faces] * 10
    walked = np.concatenate(pieces)
    for start in range(0, len(walked) - 9, 10):
        assert sorted(walked[start : start + 10]) == list(range(10))


def test_cut_keeps_every_row_and_leaves_none_alone() -> None:
    for count, batch, sizes in ((10, 4, [4, 4, 2]), (9, 4, [4, 5]), (8, 4, [4, 4]), (1, 4, [1]), (0, 4, [])):
        pieces = cut(np.arange(count), batch)
        assert [len(piece) for piece in pieces] == sizes
        assert [row for piece in pieces for row in piece] == list(range(count))


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("colour", [True, False])
def test_batches_hold_the_rows_asked_for(resident: bool, colour: bool) -> None:
    split = squares(50, colour=colour)
    pieces = cut(draw(50, 0, 1, 0), 8)
    for piece, batch in zip(pieces, Feeder(split, CPU, resident=resident).batches(pieces), strict=True):
        assert (batch.images.numpy() == split.images[piece]).all()
        np.testing.assert_array_equal(batch.points.numpy(), split.points[piece])
        assert (batch.labelled.numpy() == (split.visibility[piece] > 0)).all()


def test_memory_map_is_read_in_place(tmp_path: object) -> None:
    split = squares(20)
    path = f"{tmp_path}/images.npy"
    np.save(path, split.images)
    split.images = np.load(path, mmap_mode="r")
    batch = next(iter(Feeder(split, CPU).batches([np.array([3, 1, 3])])))
    assert (batch.images.numpy() == split.images[[3, 1, 3]]).all()


def test_leaving_early_stops_the_thread() -> None:
    import threading

    stream = Feeder(squares(50), CPU).batches(cut(np.arange(50), 2))
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert not [t for t in threading.enumerate() if t.name == "flmd-batches"]


def test_arrays_that_do_not_belong_together_are_named() -> None:
    for field, value, message in (
        ("images", np.zeros((4, 32, 16), np.uint8), r"val split: images are uint8 of shape \(4, 32, 16\)"),
        ("images", np.zeros((4, 32, 32), np.float32), "images are float32"),
        ("images", np.zeros((4, 32, 32, 3), np.uint8), "expected uint8"),
        ("points", np.zeros((4, 6, 2), np.float32), r"points have shape \(4, 6, 2\)"),
        ("visibility", np.zeros((3, 5), np.uint8), "visibility have shape"),
        ("visibility", np.full((4, 5), 2, np.uint8), "row 0: point 1 is labelled but not a number"),
    ):
        split = squares(4)
        split.points[0, 1] = np.nan
        split.visibility[0, 1] = 0
        setattr(split, field, value)
        with pytest.raises(InputError, match=message):
            check_split("val", split, 5)
