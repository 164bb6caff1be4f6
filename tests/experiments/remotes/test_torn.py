"""A remote that dies in the middle: an error, nothing half-written that counts, the next try completes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flmd.experiments.dvc_remote import WRONG, Remote
from tests.experiments.remotes.clones import LARGE, Clone, wrong_objects
from tests.experiments.remotes.servers import Server
from tests.experiments.remotes.wire import Wire

SERVED = ["s3", "ssh", "webdav"]
OBJECTS = 5  # two files, a folder of two, and its listing


def failures(stderr: str) -> list[str]:
    """The lines in which DVC says what failed."""
    assert "Traceback" not in stderr
    return [line for line in stderr.splitlines() if line.startswith("ERROR: ")]


@pytest.mark.parametrize("kind", SERVED)
def test_a_torn_pull_leaves_nothing_half_and_the_next_completes(
    kind: str, server: Callable[[str], Server], small: Clone, wire: Wire, tmp_path: Path
) -> None:
    remote = server(kind).remote("good")
    small.use(remote)
    small.run("dvc", "push", **remote.environment)
    clone = small.clone(tmp_path / "clone")
    torn = server(kind).remote("good", wire.port)
    clone.use(torn)
    wire.cut(down=LARGE // 2)
    failed = clone.run("dvc", "pull", check=False, **torn.environment)
    assert wire.dead
    assert failed.returncode != 0
    assert any("failed to transfer" in line for line in failures(failed.stderr))
    assert clone.files().keys() < small.files().keys()
    assert wrong_objects(clone.cache) == []
    for path, data in clone.files().items():
        assert data == small.files()[path], f"{path} is half-written"
    wire.mend()
    clone.run("dvc", "pull", **torn.environment)
    assert clone.files() == small.files()


@pytest.mark.parametrize("kind", SERVED)
def test_a_torn_push_is_mended_by_check_and_the_next_push(  # type: ignore[no-untyped-def]
    kind: str, server: Callable[[str], Server], small: Clone, wire: Wire, monkeypatch
) -> None:
    torn = server(kind).remote("torn", wire.port)
    small.use(torn)
    wire.cut(up=LARGE // 2)
    failed = small.run("dvc", "push", check=False, **torn.environment)
    assert wire.dead
    assert failed.returncode != 0
    assert failures(failed.stderr)
    wire.mend()
    for name, value in torn.environment.items():
        monkeypatch.setenv(name, value)
    straight = server(kind).remote("torn")
    small.use(straight)
    remote = Remote(small.folder)
    faults = remote.check(everything=True)
    half = wrong_objects(torn.contents)
    assert {f.address.rpartition("files/")[2] for f in faults if f.what != "missing"} == {
        name.removeprefix("files/") for name in half
    }
    if kind == "s3":
        assert half == []  # an object appears whole or not at all
    if kind == "webdav":
        # This server keeps what it got under its final name; DVC alone would take it for pushed.
        assert [f.what for f in faults if f.path == "large.bin"] == [WRONG]
    remote.remove(faults)
    small.run("dvc", "push", **straight.environment)
    assert wrong_objects(torn.contents) == []
    assert Remote(small.folder).check(everything=True) == []
    assert len(torn.contents.names()) == OBJECTS
