"""Which rows an epoch shows: functions of seed and epoch alone, and no row left out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd.training.order import cut, draw, passes


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


def test_without_shuffling_rows_come_as_they_lie() -> None:
    assert draw(4, 0, 7, 3, shuffle=False).tolist() == [0, 1, 2, 3]
    assert draw(4, 6, 7, 1, shuffle=False).tolist() == [2, 3, 0, 1, 2, 3]  # places 6 ... 11 of the stream


@settings(deadline=None)
@given(count=st.integers(1, 12), faces=st.integers(0, 30), epochs=st.integers(1, 6))
def test_passes_count_how_often_a_row_came_before(count: int, faces: int, epochs: int) -> None:
    seen: dict[int, int] = {}
    for epoch in range(epochs):
        for row, number in zip(draw(count, faces, 5, epoch), passes(count, faces, epoch), strict=True):
            assert number == seen.get(row, 0)
            seen[row] = number + 1


def test_cut_keeps_every_row_and_leaves_none_alone() -> None:
    for count, batch, sizes in (
        (10, 4, [4, 4, 2]),
        (9, 4, [4, 5]),
        (8, 4, [4, 4]),
        (1, 4, [1]),
        (0, 4, []),
        (3, 1, [1, 1, 1]),
    ):
        pieces = cut(np.arange(count), batch)
        assert [len(piece) for piece in pieces] == sizes
        assert [row for piece in pieces for row in piece] == list(range(count))


def test_dropping_the_last_leaves_whole_batches() -> None:
    for count, sizes in ((10, [4, 4]), (9, [4, 4]), (8, [4, 4]), (3, [])):
        assert [len(piece) for piece in cut(np.arange(count), 4, drop_last=True)] == sizes
