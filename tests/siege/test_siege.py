"""A short siege in every test run, and that a siege finds what is planted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flmd import formats
from flmd.formats.coco import Coco
from flmd.models import intact
from tests import fuzzing
from tests.experiments.remotes.clones import Clone
from tests.siege import __main__ as siege
from tests.siege import binary, damaged, groups, guarded, runs, texts

SEED = 20_261_201


def findings(kind: str, most: int, seconds: float = 60.0) -> list[str]:
    found = siege.siege(seconds, SEED, {kind: siege.CASES[kind]}, most)
    return [str(finding) for finding in found[kind].findings]


@pytest.mark.parametrize(("kind", "most"), [("lock", 60), ("archive", 150), ("texts", 120), ("model", 30)])
def test_a_short_siege_finds_nothing(kind: str, most: int) -> None:
    assert findings(kind, most, seconds=8) == []


@pytest.mark.parametrize("kind", ["mat5", "mat7", "sqlite", "video"])
def test_a_short_siege_of_binary_files_finds_nothing(kind: str) -> None:
    assert findings(kind, 25, seconds=4) == []


@pytest.mark.slow
def test_a_short_siege_of_programs_finds_nothing() -> None:
    assert findings("kill", 2) + findings("disk", 2) == []


def test_a_finding_says_how_to_repeat_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(siege.CASES, "lock", lambda seed, number: "gave way" if number == 3 else "")
    assert findings("lock", 5) == [f"python -m tests.siege --kind lock --seed {SEED} --only 3: gave way"]


def test_cases_are_functions_of_seed_and_number() -> None:
    name = "coco"
    files = texts._seeds(name)[0]
    victim = next(file for file, data in files.items() if texts.kind_of(file, data) == "json")
    import random

    one, two, other = (texts.mutated(files[victim], "json", random.Random(seed)) for seed in (1, 1, 2))
    assert one == two != files[victim]
    assert one != other


def test_silent_damage_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """As before the checksums were compared."""
    damaged._models()
    monkeypatch.setattr(intact, "check_zip", lambda file, where, hint: file.seek(0))
    assert any("other points than before, silently" in line for line in findings("model", 60))


def test_a_reader_that_raises_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Careless(Coco):
        def read(self, tree, scheme, files):  # type: ignore[no-untyped-def]
            yield from super().read(tree, scheme, files)
            raise KeyError("id")

    usual = formats.get
    monkeypatch.setattr(formats, "get", lambda name: Careless() if name == "coco" else usual(name))
    monkeypatch.setattr(texts, "names", lambda: ["coco"])
    assert any("coco: KeyError: 'id'" in line for line in findings("texts", 20))


def test_a_lock_that_raises_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(text: str, where: str) -> None:
        raise TypeError("no mapping")

    monkeypatch.setattr(damaged.dvc_lock, "parse_lock", fail)
    assert len(findings("lock", 3)) == 3


@pytest.mark.parametrize(
    ("planted", "what"),
    [
        (lambda: "gave way", "gave way"),
        (lambda: os._exit(3), "exit code 3"),
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), "exit code -11"),
        (lambda: str(bytearray(1 << 31)), "exit code"),
        (lambda: time.sleep(60), "took longer than"),
    ],
)
def test_what_a_guarded_case_may_do_is_found(
    planted: Callable[[], str], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded, "PATIENCE", 0.5 if "longer" in what else 60.0)
    assert what in guarded.guarded(planted)


@pytest.mark.parametrize("kind", ["mat5", "mat7", "sqlite"])
def test_a_reader_of_binary_files_that_raises_is_found(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, place: Path) -> str:
        return "KeyError: 'id'"

    monkeypatch.setattr(fuzzing, "_read", fail)
    assert any("KeyError: 'id'" in line for line in findings(kind, 3))


def test_a_video_that_raises_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(tree: object, name: str) -> None:
        raise TypeError("no frame")

    monkeypatch.setattr(binary, "open_video", fail)
    assert any("TypeError: 'no frame'" in line for line in findings("video", 2))


def test_a_group_that_gives_way_is_found(tmp_path: Path) -> None:
    """What the cases of Dask judge: exit code, one line, files."""
    ok, said = tmp_path / "out", tmp_path / "said"
    ok.mkdir()

    def judged(command: str, text: str = "error: gone\n") -> str:
        said.write_text(text)
        return groups._judged(groups._start(["sh", "-c", command], ok, said), said, ok, "x", "")

    assert judged("exit 2") == ""
    assert judged("exit 0") == ""  # nothing was wanted
    assert "exit code 1" in judged("exit 1")
    assert "Traceback" in judged("exit 2", "Traceback\nerror: gone\n")
    assert judged("touch half; exit 2") == "half is left"
    assert judged("echo y > x; exit 0") == "exit code 0, but other bytes"


def test_ranks_that_go_on_without_the_others_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = ["sh", "-c", "sleep 60 & sleep 60 & wait"]
    monkeypatch.setattr(groups, "_training", lambda *paths: alone)
    monkeypatch.setattr(groups, "_to_train", lambda: (Path("s"), Path("p")))
    monkeypatch.setattr(groups, "ENDED", 0.5)
    monkeypatch.setattr(groups, "AFTER", 0.2)
    assert any("torchrun still runs 0.5 s after the kill" in line for line in findings("torchrun", 1))


@pytest.mark.parametrize(("code", "files", "what"), [(1, {}, "exit code 1"), (0, {"a": b"x"}, "dvc pull")])
def test_a_remote_that_is_not_mended_is_found(
    code: int, files: dict[str, bytes], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Clone):
        """Every command ends with ``code``, and each clone has other files."""

        def run(self, *command: str, **options: object) -> subprocess.CompletedProcess[str]:  # type: ignore[override]
            return subprocess.CompletedProcess(command, code, "", "gone")

        def use(self, *options: object, **more: object) -> None: ...

        def clone(self, folder: Path) -> Clone:
            return Broken(folder)

        def files(self) -> dict[str, bytes]:
            return files if self.folder.name == "clone" else {}

    monkeypatch.setattr(groups, "_project", lambda folder: Broken(folder / "project"))
    assert any(what in line for line in findings("remote", 1))


# Writes its target piece by piece under its own name, with a child that nobody ends.
CARELESS = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(20)"])
with open(sys.argv[1], "w") as out:
    for _ in range(20):
        out.write("x" * 1000)
        out.flush()
        time.sleep(0.02)
child.kill()
"""


@pytest.fixture
def careless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One step, which does everything wrong."""
    command = (sys.executable, "-c", CARELESS, "{out}/x")
    monkeypatch.setattr(runs, "STEPS", (("careless", command, "x"),))
    monkeypatch.setattr(runs, "inputs", lambda: tmp_path)
    runs._undisturbed.cache_clear()
    yield
    runs._undisturbed.cache_clear()


def test_orphans_and_halves_are_found(careless: None, monkeypatch: pytest.MonkeyPatch) -> None:
    found = findings("kill", 4)
    assert any("outlived" in line for line in found)
    monkeypatch.setattr(runs.processes, "below", lambda process: set())  # the child is not looked for
    assert any("neither nothing nor the whole" in line for line in findings("kill", 6))


def test_what_a_full_disk_leaves_is_found(careless: None) -> None:
    assert any("exit code 1 on a full disk" in line for line in findings("disk", 3))
