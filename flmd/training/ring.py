"""A small ring of reused buffers, filled ahead by threads and handed out in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from typing import Generic, TypeVar

Buffer = TypeVar("Buffer")
Task = TypeVar("Task")


def filled(
    fill: Callable[[Buffer, Task], object], tasks: Sequence[Task], buffers: Sequence[Buffer], threads: int
) -> Generator[Buffer]:
    """Yield one buffer for each task, in order, after ``fill(buffer, task)`` ran in some thread.

    Parameters
    ----------
    fill : lets go of the GIL for most of its time (OpenCV and numpy do), else threads gain nothing.
    buffers : reused in turn; one more than ``threads`` keeps all of them busy while the consumer works.
    threads : how many fill at the same time.

    A buffer is the consumer's until it asks for the next one. An exception in ``fill`` is raised in the
    consumer, in its task's place. However the loop ends, no thread outlives the iterator.
    """
    ring = _Ring(fill, tasks, buffers)
    crew = [
        threading.Thread(target=ring.work, name=f"flmd-ring-{number}", daemon=True)
        for number in range(min(threads, len(tasks)))
    ]
    for thread in crew:
        thread.start()
    try:
        for index in range(len(tasks)):
            buffer = ring.take(index)
            yield buffer
            ring.give_back(buffer)
    finally:
        ring.stop()
        for thread in crew:
            thread.join()


class _Ring(Generic[Buffer, Task]):
    """What the threads and the consumer share, behind one lock.

    A task is begun only together with a free buffer, in order; so the task that the consumer waits for
    always has one, and nobody waits for ever.
    """

    def __init__(
        self, fill: Callable[[Buffer, Task], object], tasks: Sequence[Task], buffers: Sequence[Buffer]
    ) -> None:
        self._fill, self._tasks = fill, tasks
        self._free = list(buffers)
        self._begun = 0
        self._full: dict[int, Buffer] = {}
        self._failed: dict[int, BaseException] = {}
        self._changed = threading.Condition()

    def work(self) -> None:
        """A thread's life: take the next task and a free buffer, fill it, until none is left."""
        while True:
            with self._changed:
                while self._begun < len(self._tasks) and not self._free:
                    self._changed.wait()
                if self._begun >= len(self._tasks):
                    return
                index, buffer = self._begun, self._free.pop()
                self._begun += 1
            try:
                self._fill(buffer, self._tasks[index])
            except BaseException as error:
                with self._changed:
                    self._failed[index] = error
                    self._changed.notify_all()
                return
            with self._changed:
                self._full[index] = buffer
                self._changed.notify_all()

    def take(self, index: int) -> Buffer:
        """Wait for a task's buffer; the exception of its filling, if there was one."""
        with self._changed:
            while index not in self._full and index not in self._failed:
                self._changed.wait()
            if index in self._failed:
                raise self._failed[index]
            return self._full.pop(index)

    def give_back(self, buffer: Buffer) -> None:
        """The consumer is done with it."""
        with self._changed:
            self._free.append(buffer)
            self._changed.notify_all()

    def stop(self) -> None:
        """No task is begun any more; those under way end."""
        with self._changed:
            self._begun = len(self._tasks)
            self._changed.notify_all()
