"""Turns at the page: how many at once, in which order, and how long one waits at most."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from flmd.app.turns import BusyError, Turns

PATIENCE = 60.0  # seconds; a guard against hanging


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_turns_are_had_in_the_order_of_coming() -> None:
    turns, order = Turns(at_once=1, waiting=9, patience=PATIENCE), list[int]()

    def visit(number: int) -> None:
        with turns.turn():
            order.append(number)

    with turns.turn():
        visitors = []
        for number in range(5):
            visitors.append(threading.Thread(target=visit, args=(number,)))
            visitors[-1].start()
            until(lambda: len(turns._queue) == len(visitors))
        assert order == []
    for visitor in visitors:
        visitor.join(PATIENCE)
    assert order == [0, 1, 2, 3, 4]


def test_so_many_have_a_turn_at_once() -> None:
    turns, inside, most = Turns(at_once=2, waiting=99, patience=PATIENCE), list[int](), list[int]()

    def visit(number: int) -> None:
        with turns.turn():
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.002)
            inside.remove(number)

    visitors = [threading.Thread(target=visit, args=(number,)) for number in range(12)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join(PATIENCE)
    assert len(most) == 12
    assert max(most) <= 2
    for _ in range(2):  # both are free again
        turns._take()
    with pytest.raises(BusyError):
        Turns(at_once=0, waiting=0)._take()


def test_nobody_waits_longer_than_patience_and_a_turn_is_not_lost() -> None:
    turns = Turns(at_once=1, waiting=9, patience=0.01)
    with turns.turn(), pytest.raises(BusyError), turns.turn():
        pass
    assert not turns._queue
    with turns.turn():
        pass


def test_a_full_queue_is_told_at_once() -> None:
    turns = Turns(at_once=1, waiting=0, patience=PATIENCE)
    begun = time.monotonic()
    with turns.turn(), pytest.raises(BusyError), turns.turn():
        pass
    assert time.monotonic() - begun < PATIENCE / 2


def test_a_turn_that_fails_is_given_back() -> None:
    turns = Turns(at_once=1, waiting=0)
    with pytest.raises(ZeroDivisionError), turns.turn():
        1 / 0  # noqa: B018
    with turns.turn():
        pass
