"""`flmd remote check --repair`: what a remote lacks or has wrong comes from this machine's cache."""

from __future__ import annotations

import functools
import http.server
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flmd.experiments.dvc_remote import MISSING, WRONG, Remote
from tests.experiments.remotes.clones import SMALL, Clone, flip, small_project, wrong_objects
from tests.experiments.remotes.servers import Remote as Place
from tests.experiments.remotes.servers import Server, free_port
from tests.experiments.remotes.test_wrong_bytes import flmd

OBJECTS = 5  # two files, a folder of two, and its listing

# `dvc push`, killed while it writes down what there is to push: after a folder's listing, before its files.
KILLED = """
import os, signal, sys
import dvc_data.index.collect as collecting
from dvc_data.index.index import DataIndexTrie

write, collect, seen = DataIndexTrie.__setitem__, collecting._collect_from_index, {}

def writing(self, key, value):
    if seen.get("collecting") and seen.get("listing"):
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, key, value)
    seen["listing"] = key[-1].endswith(".dir")

def watched(*arguments, **options):
    seen["collecting"] = True
    collect(*arguments, **options)
    seen["collecting"] = False

DataIndexTrie.__setitem__, collecting._collect_from_index = writing, watched
from dvc.cli import main
main(["push"])
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    """A small project of this test's own; what DVC remembers of it is the same in this process."""
    project = small_project(tmp_path / "own")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "own.site"))
    return project


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_push_that_was_killed_is_completed_though_dvc_calls_it_up_to_date(
    own: Clone, server: Callable[[str], Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = server("folder").remote("killed")
    own.use(place)
    killed = own.run(sys.executable, "-c", KILLED, check=False)
    assert killed.returncode == -signal.SIGKILL
    for _ in range(3):
        pushed = own.run("dvc", "push")
    if len(place.contents.names()) == OBJECTS:
        pytest.skip("this DVC pushes all of it: docs/remotes.md can say so")
    assert "Everything is up to date" in pushed.stdout
    clone = own.clone(tmp_path / "clone")
    clone.use(place)
    assert clone.run("dvc", "pull", check=False).returncode != 0

    assert flmd(monkeypatch, own.folder, "remote", "check", "--repair") == 0
    assert len(place.contents.names()) == OBJECTS
    assert flmd(monkeypatch, own.folder, "remote", "check", "--all") == 0
    clone.run("dvc", "pull")
    assert clone.files() == own.files()


@pytest.mark.parametrize("kind", ["folder", "s3", "ssh", "webdav"])
def test_missing_and_wrong_objects_are_sent_to_every_kind_of_server(
    kind: str, own: Clone, server: Callable[[str], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = server(kind).remote("repaired")
    own.use(place)
    own.run("dvc", "push", **place.environment)
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    remote = Remote(own.folder)
    (small,) = [n for n in place.contents.names() if len(place.contents.read(n)) == SMALL]
    (child,) = [n for n in place.contents.names() if len(place.contents.read(n)) == 1001]
    flip(place.contents, small)
    remote._objects.remove(remote._objects.path_of(child.removeprefix("files/md5/").replace("/", "")))
    faults = remote.check()
    assert [(fault.what, fault.path) for fault in faults] == [(MISSING, "folder/1.txt"), (WRONG, "small.bin")]
    assert remote.repair(faults) == (2, [])
    assert wrong_objects(place.contents) == []
    assert Remote(own.folder).check(everything=True) == []
    assert len(place.contents.names()) == OBJECTS


def empty(place: Place) -> None:
    for name in place.contents.names():
        (Path(place.url) / name).unlink()


def test_a_listing_is_sent_only_when_all_its_files_are_there(
    own: Clone,
    server: Callable[[str], Server],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = server("folder").remote("incomplete")
    own.use(place)
    own.run("dvc", "push")
    lost = next(own.cache.root / n for n in own.cache.names() if len(own.cache.read(n)) == 1000)
    kept = lost.read_bytes()
    lost.chmod(0o600)
    lost.write_bytes(b"wrong here too")
    empty(place)
    assert flmd(monkeypatch, own.folder, "remote", "check", "--repair") == 1
    said = capsys.readouterr()
    assert "3 files sent" in said.out
    stays = [line for line in said.err.splitlines() if line.startswith("not repaired, ")]
    assert sorted(line.partition(": ")[2].partition(": ")[0] for line in stays) == ["folder", "folder/0.txt"]
    assert not [name for name in place.contents.names() if name.endswith(".dir")]
    lost.write_bytes(kept)
    assert flmd(monkeypatch, own.folder, "remote", "check", "--repair") == 0
    assert len(place.contents.names()) == OBJECTS


def test_a_remote_without_anything_gets_all_of_it(own: Clone, server: Callable[[str], Server]) -> None:
    place = server("folder").remote("empty")
    own.use(place)
    remote = Remote(own.folder)
    faults = remote.check()
    # The listing is read from the cache: what it lists is missing too.
    assert sorted(fault.path for fault in faults) == [
        "folder", "folder/0.txt", "folder/1.txt", "large.bin", "small.bin"
    ]  # fmt: skip
    assert remote.repair(faults) == (OBJECTS, [])
    assert Remote(own.folder).check(everything=True) == []


@pytest.mark.parametrize("scheme", ["http", "https", "webdav"])
def test_a_server_out_of_reach_is_said_once_and_its_password_never(
    scheme: str, own: Clone, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own.use(Place(scheme, f"{scheme}://ann:s3cret@127.0.0.1:{free_port()}/flmd", own.cache))
    for extra in ([], ["--repair"]):
        assert flmd(monkeypatch, own.folder, "remote", "check", *extra) == 2
        said = capsys.readouterr()
        (line,) = [line for line in said.err.splitlines() if line.startswith("error: ")]
        assert "not reachable" in line
        assert "127.0.0.1" in line
        assert "s3cret" not in said.out + said.err
        assert "missing" not in said.out + said.err


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address of a web server that lets anyone read it."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_web_server_without_the_file_is_not_out_of_reach(own: Clone, served: tuple[Path, str]) -> None:
    folder, address = served
    own.use(Place("http", address, own.cache))
    assert {fault.what for fault in Remote(own.folder).check()} == {MISSING}
    own.use(Place("folder", str(folder), own.cache))
    own.run("dvc", "push")
    own.use(Place("http", address, own.cache))
    assert Remote(own.folder).check() == []


@pytest.mark.parametrize(
    "address", ["remote://team/x", "ssh://", "azure://box/x", "remote://nobody/x", "foo://x"]
)
def test_an_address_that_leads_nowhere_is_one_line(
    address: str, own: Clone, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own.use(Place("", address, own.cache))
    assert flmd(monkeypatch, own.folder, "remote", "check") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "docs/remotes.md" in line
