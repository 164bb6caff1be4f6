"""A remote that is full or refuses the credentials: an error that says so, and the next try completes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from flmd.experiments.dvc_remote import LEFTOVER, Remote
from tests.experiments.remotes.clones import Clone, wrong_objects
from tests.experiments.remotes.servers import Folder, Server, SshServer
from tests.experiments.remotes.servers import Remote as Place
from tests.experiments.remotes.test_torn import OBJECTS, failures

# What DVC calls it, by the kind of server.
REFUSALS = {"s3": "Forbidden", "ssh": "Permission denied", "webdav": "401"}


@pytest.mark.parametrize("kind", ["s3", "ssh", "webdav"])
def test_refused_credentials_are_said_and_nothing_is_written(
    kind: str, server: Callable[[str], Server], small: Clone, tmp_path: Path
) -> None:
    remote = server(kind).remote("good")
    clone = small.clone(tmp_path / "clone")
    environment, secrets = dict(remote.environment), {}
    if kind == "s3":
        environment["AWS_SECRET_ACCESS_KEY"] = "not-the-secret"
    elif kind == "webdav":
        secrets["password"] = "not-the-password"
    else:
        secrets["keyfile"] = str(tmp_path / "stranger")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", secrets["keyfile"]], check=True)
    clone.use(remote, **secrets)
    failed = clone.run("dvc", "pull", check=False, **environment)
    assert failed.returncode != 0
    assert any(REFUSALS[kind] in line for line in failures(failed.stderr)), failed.stderr
    assert clone.files() == {}
    assert clone.cache.names() == []


@pytest.mark.parametrize("kind", ["s3", "webdav"])
def test_a_full_server_is_said_and_the_next_push_completes(
    kind: str, server: Callable[[str], Server], small: Clone
) -> None:
    remote = server(kind).remote("full")
    small.use(remote)
    with server(kind).full():
        failed = small.run("dvc", "push", check=False, **remote.environment)
    assert failed.returncode != 0
    assert any("507" in line or "Insufficient Storage" in line for line in failures(failed.stderr))
    assert remote.contents.names() == []
    small.run("dvc", "push", **remote.environment)
    assert len(remote.contents.names()) == OBJECTS
    assert wrong_objects(remote.contents) == []


@pytest.mark.parametrize("kind", ["folder", "ssh"])
def test_a_full_disk_is_said_and_the_next_push_completes(
    kind: str, server: Callable[[str], Server], small: Clone, small_disk: Path
) -> None:
    if kind == "folder":
        remote = Place(kind, str(small_disk), Folder(small_disk))
    else:
        ssh = server("ssh")
        assert isinstance(ssh, SshServer)
        remote = ssh.remote("", root=small_disk)
    small.use(remote)
    failed = small.run("dvc", "push", check=False)
    assert failed.returncode != 0
    assert any("failed to transfer" in line for line in failures(failed.stderr)), failed.stderr
    # What DVC could not finish has a name of its own, counts for nothing, and can be removed.
    check = Remote(small.folder)
    faults = [fault for fault in check.check(everything=True) if fault.what == LEFTOVER]
    assert {fault.address.rpartition("/")[2] for fault in faults} == {
        name.rpartition("/")[2] for name in wrong_objects(remote.contents)
    }
    assert check.remove(faults) == len(faults)
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    small.run("dvc", "push")
    assert len(remote.contents.names()) == OBJECTS
    assert wrong_objects(remote.contents) == []
