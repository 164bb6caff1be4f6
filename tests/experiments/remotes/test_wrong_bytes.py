"""Wrong bytes in a remote: pulling names the file, and `flmd remote check` names any."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flmd.cli import flmd as command
from flmd.errors import ParamsError
from flmd.experiments.dvc_remote import MISSING, WRONG, Remote
from tests.experiments.remotes.clones import SMALL, Clone, flip, wrong_objects
from tests.experiments.remotes.servers import Server, free_port


@pytest.mark.parametrize("kind", ["folder", "s3", "ssh", "webdav"])
def test_a_pull_of_wrong_bytes_fails_names_the_file_and_keeps_nothing_of_it(
    kind: str, server: Callable[[str], Server], small: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = server(kind).remote("flipped")
    small.use(remote)
    small.run("dvc", "push", **remote.environment)
    (name,) = [n for n in remote.contents.names() if len(remote.contents.read(n)) == SMALL]
    flip(remote.contents, name)
    clone = small.clone(tmp_path / "clone")
    clone.use(remote)
    failed = clone.run("dvc", "pull", check=False, **remote.environment)
    assert failed.returncode != 0
    assert "small.bin" in failed.stderr
    assert clone.files().keys() == small.files().keys() - {"small.bin"}
    assert wrong_objects(clone.cache) == []
    # Here DVC says no more than that it could not check the file out. This says why:
    for key, value in remote.environment.items():
        monkeypatch.setenv(key, value)
    (fault,) = Remote(clone.folder).check()
    assert (fault.what, fault.path) == (WRONG, "small.bin")
    assert fault.got == hashlib.md5(remote.contents.read(name)).hexdigest()


def test_a_flipped_bit_in_any_file_of_a_remote_is_named(
    server: Callable[[str], Server], finished: Clone
) -> None:
    place = server("folder").remote("any")
    finished.use(place)
    finished.run("dvc", "push")
    remote = Remote(finished.folder)
    assert remote.check() == []
    paths = set()
    for name in place.contents.names():
        flip(place.contents, name)
        (fault,) = remote.check()
        assert (fault.what, fault.address.endswith(name)) == (WRONG, True)
        paths.add(fault.path)
        flip(place.contents, name)
    assert {"data/faces.h5", "data/raw/ibug300w", "reports/training", "reports/plots/ced.png"} <= paths
    assert "" not in paths
    assert remote.check() == []
    assert remote.count == len(place.contents.names())


def flmd(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> int:
    """Run `flmd` in this process; its exit code."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["flmd", *arguments])
    with pytest.raises(SystemExit) as ended:
        command.main()
    return int(ended.value.code or 0)


def test_the_command_says_names_removes_and_ends_with_1(
    server: Callable[[str], Server],
    small: Clone,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = server("folder").remote("command")
    clone = small.clone(tmp_path / "clone")
    clone.use(place, verify=False)
    assert flmd(monkeypatch, clone.folder, "remote", "check") == 1
    said = capsys.readouterr()
    assert "small.bin: missing" in said.err
    assert "`dvc remote modify team verify true`" in said.err

    small.use(place)
    small.run("dvc", "push")
    clone.use(place)
    assert flmd(monkeypatch, clone.folder, "remote", "check", "team", "--all") == 0
    said = capsys.readouterr()
    assert "5 objects" in said.out
    assert "0 faults" in said.out
    assert "verify" not in said.err

    (name,) = [n for n in place.contents.names() if len(place.contents.read(n)) == 1001]
    flip(place.contents, name)
    assert flmd(monkeypatch, clone.folder, "remote", "check", "--remove") == 1
    assert "folder/1.txt: wrong bytes" in capsys.readouterr().err
    # Its folder's listing is gone as well: else DVC would believe that all its files are there.
    assert [f.what for f in Remote(clone.folder).check()] == [MISSING]
    small.run("dvc", "push")
    assert flmd(monkeypatch, clone.folder, "remote", "check") == 0


def test_a_server_that_is_down_and_a_remote_that_is_not_are_one_line(
    small: Clone,
    server: Callable[[str], Server],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clone = small.clone(tmp_path / "clone")
    clone.use(server("webdav").remote("down", free_port()))
    assert flmd(monkeypatch, clone.folder, "remote", "check") == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "docs/remotes.md" in line
    with pytest.raises(ParamsError, match="nobody"):
        Remote(clone.folder, "nobody")
