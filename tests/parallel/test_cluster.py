"""A real Dask cluster of three worker processes, some of which are killed while they work."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from flmd.augmentation import build
from flmd.conversion import crop_pass
from flmd.core.params import AugmentParams
from flmd.errors import FlmdError, InputError
from flmd.parallel import dask_cluster, pool
from flmd.store.face_store import FaceStore
from tests.factories import convert_list, make_face, write_picture
from tests.parallel.test_pool import fail

distributed = pytest.importorskip("distributed")

FACES = 120
LIMITS = AugmentParams(input_size=32, padding=1.3, variants=2, rotation=20, flip=0.5, noise=0.05)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with distributed.LocalCluster(
        n_workers=3,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address=":0",
        silence_logs=logging.CRITICAL,
    ) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine starts worker processes slowly."""
    monkeypatch.setattr(dask_cluster, "PATIENCE", 60.0)
    monkeypatch.setattr(dask_cluster, "ALONE", 300.0)


@pytest.fixture
def executor(cluster: Any) -> Iterator[Executor]:
    with dask_cluster.connected(cluster.scheduler_address) as executor:
        assert executor is not None
        yield executor


def small_cluster(workers: int) -> Any:
    """A scheduler and workers that are threads of this process."""
    return distributed.LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address=":0",
        silence_logs=logging.CRITICAL,
    )


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(FACES):
        pixels = np.random.default_rng(i).integers(0, 255, (110, 130, 3), dtype=np.uint8)
        write_picture(folder / f"{i:03}.png", pixels)
    (folder / "007.png").write_bytes(b"no picture")  # an account of losses must not depend on workers either
    return folder


def converted(pictures: Path, target: Path, executor: Executor | None = None) -> FaceStore:
    faces = [
        make_face(f"{i:03}.png", seed=i, subject=str(i // 3), split="test" if i % 5 == 0 else "train")
        for i in range(FACES)
    ]
    account, store = convert_list(pictures, faces, target, color="grey", executor=executor)
    assert sum(account.skipped.values()) == 1
    return store


def augmented(store: FaceStore, target: Path, executor: Executor | None = None) -> bytes:
    with store:
        build.build(store, target, LIMITS, seed=3, made_from={}, workers=1, executor=executor)
    return target.read_bytes()


class Counted:
    """A context that counts how often a process has opened it."""

    opened: ClassVar[Counter[int]] = Counter()

    def __setstate__(self, state: object) -> None:
        Counted.opened[os.getpid()] += 1

    def __getstate__(self) -> dict[str, int]:
        return {"not": 0}


def openings(context: Counted, task: int) -> tuple[int, int]:
    time.sleep(0.005)
    return os.getpid(), Counted.opened[os.getpid()]


def test_a_context_is_opened_once_by_each_worker(executor: Executor) -> None:
    seen = list(pool.in_order(openings, Counted(), range(60), executor=executor))
    assert len({process for process, _ in seen}) > 1
    assert {count for _, count in seen} == {1}
    again = list(pool.in_order(openings, Counted(), range(60), executor=executor))
    assert 2 in {count for _, count in again}  # a new run opens anew: the file may be another one


def test_errors_cross_whole(executor: Executor) -> None:
    with pytest.raises(InputError) as caught:
        list(pool.in_order(fail, None, range(9), executor=executor))
    assert str(caught.value) == "task 3: bad; mend it"


def nap(context: float, task: int) -> int:
    time.sleep(context)
    return task


def test_tasks_are_taken_as_results_are(executor: Executor) -> None:
    taken: list[int] = []

    def tasks() -> Iterator[int]:
        for i in range(1000):
            taken.append(i)
            yield i

    results = pool.in_order(nap, 0.0, tasks(), executor=executor)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert len(taken) < 30
    results.close()  # type: ignore[attr-defined]


def test_a_scheduler_that_goes_away_is_one_line() -> None:
    with small_cluster(1) as cluster:
        address = cluster.scheduler_address
        with pytest.raises(FlmdError, match="is gone; start it"), dask_cluster.connected(address) as executor:
            threading.Timer(0.5, cluster.close).start()
            list(pool.in_order(nap, 0.05, range(1000), executor=executor))


def test_workers_that_never_come_back_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_cluster, "ALONE", 0.4)
    lost = "has lost all its workers; start some: `dask worker tcp://"
    with small_cluster(1) as cluster:
        address = cluster.scheduler_address
        with pytest.raises(FlmdError, match=lost), dask_cluster.connected(address) as executor:
            threading.Timer(0.3, cluster.scale, [0]).start()
            list(pool.in_order(nap, 0.05, range(1000), executor=executor))


@pytest.mark.parametrize("frozen", [False, True])
def test_a_cluster_that_hangs_is_one_line(frozen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that never comes to an end, and a scheduler that does not answer besides."""
    monkeypatch.setattr(dask_cluster, "STALLED", 2.0)
    if frozen:
        monkeypatch.setattr(dask_cluster.ClusterExecutor, "width", 1)
        monkeypatch.setattr(dask_cluster.ClusterExecutor, "_threads", does_not_answer)
    said = r"no task has come back from the cluster at tcp://.* for 2 s; a worker"
    with small_cluster(1) as cluster:
        address = cluster.scheduler_address
        with pytest.raises(FlmdError, match=said), dask_cluster.connected(address) as executor:
            list(pool.in_order(nap, 6.0, range(1000), executor=executor))


def does_not_answer(*_: object) -> int:
    raise TimeoutError


def test_a_scheduler_that_does_not_answer_at_first_is_one_line(
    executor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert executor.width == 3
    monkeypatch.setattr(executor, "_threads", does_not_answer)
    with pytest.raises(FlmdError, match=r"the scheduler at tcp://.* does not answer; look at it"):
        list(pool.in_order(nap, 0.0, range(9), executor=executor))


def wait_for(gate: Path, task: int) -> int:
    end = time.monotonic() + 60
    while not gate.exists() and time.monotonic() < end:
        time.sleep(0.01)
    return task


def test_what_is_given_out_and_what_comes_back_begin_patience_anew(executor: Any, tmp_path: Path) -> None:
    begun = executor._moved
    given_out = executor.submit(wait_for, tmp_path / "gate", 1)
    before = executor._moved
    assert before > begun
    (tmp_path / "gate").touch()
    assert given_out.result(timeout=60) == 1
    end = time.monotonic() + 60
    while executor._moved == before:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_scheduler_without_workers_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_cluster, "PATIENCE", 0.5)
    with small_cluster(0) as cluster:
        address = cluster.scheduler_address
        with pytest.raises(FlmdError, match="has no workers; start some"), dask_cluster.connected(address):
            pass


def test_a_result_that_was_fetched_counts_although_its_worker_is_lost_then(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = executor._client  # type: ignore[attr-defined]
    gather = client._gather

    async def and_lose(futures: Any, *arguments: Any, **options: Any) -> Any:
        results = await gather(futures, *arguments, **options)
        for future in futures:
            future._state.lose()
        return results

    monkeypatch.setattr(client, "_gather", and_lose)
    assert executor.submit(divmod, 7, 3).result(timeout=60) == (2, 1)


def test_a_task_that_is_cancelled_is_cancelled_on_the_cluster(cluster: Any, executor: Executor) -> None:
    futures = [executor.submit(nap, 5.0, task) for task in range(30)]
    for future in futures:
        assert future.cancel()
    end = time.monotonic() + 60
    while any("nap" in str(key) for key in list(cluster.scheduler.tasks)):
        assert time.monotonic() < end
        time.sleep(0.05)


async def kill_a_busy_worker(cluster: Any) -> list[str]:
    """SIGKILL a worker process that holds tasks, running or waiting to be fetched; its address.

    On the cluster's own loop: nothing changes while it is looked at.
    """
    for nanny in cluster.workers.values():
        state = cluster.scheduler.workers.get(nanny.worker_address)
        if state is not None and any(
            "_run" in str(task.key) for task in (*state.processing, *state.has_what)
        ):
            os.kill(nanny.pid, signal.SIGKILL)
            return [str(nanny.worker_address)]
    return []


@pytest.fixture
def killed(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The workers killed: one in the middle of the conversion, one in that of the augmentation."""
    addresses: list[str] = []

    def in_order(*arguments: Any, **options: Any) -> Iterator[Any]:
        most = len(addresses) + 1
        for number, result in enumerate(pool.in_order(*arguments, **options)):
            if number >= 2 and len(addresses) < min(most, 2) and options["executor"] is not None:
                addresses.extend(distributed.utils.sync(cluster.loop, kill_a_busy_worker, cluster))
            yield result

    monkeypatch.setattr(crop_pass, "in_order", in_order)
    monkeypatch.setattr(build, "in_order", in_order)
    monkeypatch.setattr(build, "CROPS_A_TASK", 8)
    return addresses


def test_killed_workers_change_no_byte(
    pictures: Path, tmp_path: Path, cluster: Any, executor: Executor, killed: list[str]
) -> None:
    alone = converted(pictures, tmp_path / "alone.h5")
    arrays = augmented(alone, tmp_path / "alone_arrays.h5")
    many = converted(pictures, tmp_path / "many.h5", executor)
    assert len(killed) == 1
    assert (tmp_path / "many.h5").read_bytes() == (tmp_path / "alone.h5").read_bytes()
    assert augmented(many, tmp_path / "many_arrays.h5", executor) == arrays
    assert len(set(killed)) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "alone.h5", "alone_arrays.h5", "many.h5", "many_arrays.h5"
    ]  # fmt: skip
