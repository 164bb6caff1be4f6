"""A share of the siege of stores in every test run, and that it finds what it looks for.

FLMD_SIEGE_STORES=5000 FLMD_SIEGE_SEED=3 python -m pytest tests/siege/test_stores.py
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

import pytest

from flmd.cli import store_tools
from flmd.errors import StoreError
from flmd.store.face_store import FaceStore
from tests.siege import store_mutations, stores


@pytest.mark.slow
def test_damaged_and_hostile_stores_end_in_one_line() -> None:
    count, seed = (
        int(os.environ.get("FLMD_SIEGE_STORES", "60")),
        int(os.environ.get("FLMD_SIEGE_SEED", "18")),
    )
    assert [str(finding) for finding in stores.siege(count, seed)] == []


@pytest.mark.parametrize("mebibytes", [250, 400, 600])
def test_with_too_little_memory_a_command_ends_in_one_line(tmp_path: Path, mebibytes: int) -> None:
    """``ulimit -v``: at any size the store is checked, or one line says that memory is too little."""
    store = store_mutations.make_seeds(tmp_path).good
    words = "from flmd.cli.flmd_data import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", words, "validate", str(store)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (mebibytes << 20,) * 2),
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = ended.stderr.strip()
    assert ended.returncode in (0, 2), said
    if ended.returncode == 2:
        assert said.startswith("error: ")
        assert len(said.splitlines()) == 1


def _fails() -> NoReturn:
    raise KeyError("crops")


def _hangs() -> NoReturn:
    while True:
        time.sleep(1)


def _computes() -> NoReturn:
    begun = time.process_time()
    while time.process_time() - begun < 0.6:
        pass
    raise StoreError("slow")


def _dies() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def _talks() -> NoReturn:
    print("one line", file=sys.stderr)
    raise StoreError("and another")


@pytest.mark.parametrize(
    ("planted", "what"),
    [
        (_fails, "exit code 1: error: KeyError: 'crops' (a failure of flmd"),
        (_hangs, "took longer than 1 s"),
        (_computes, "s of the processor"),
        (_dies, "the process ended with exit code -9"),
        (_talks, "2 lines: one line error: and another"),
    ],
)
def test_a_planted_fault_is_found(monkeypatch: pytest.MonkeyPatch, planted: object, what: str) -> None:
    class Planted(FaceStore):
        def __init__(self, path: Path) -> None:
            super().__init__(path)
            planted()  # type: ignore[operator]

    monkeypatch.setattr(store_tools, "FaceStore", Planted)
    monkeypatch.setattr(stores, "INTERRUPTED", 1.0 if planted is _hangs else 60.0)
    monkeypatch.setattr(stores, "LONGEST", 0.5)
    inspect = [stores.Command("flmd-data", ("inspect", "{good}"))] * stores.COMMANDS_EACH
    monkeypatch.setattr(stores, "commands", lambda: inspect)
    found = [str(finding) for finding in stores.siege(1, seed=0)]
    assert found
    assert found[0].startswith("python -m tests.siege.stores --seed 0 --only 0: ")
    assert what in found[0]
