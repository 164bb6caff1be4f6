"""One finished pipeline, one small project and one server of each kind for all tests here."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.experiments.remotes import servers
from tests.experiments.remotes.clones import Clone, small_project
from tests.experiments.remotes.servers import Server
from tests.experiments.remotes.wire import Wire
from tests.pipeline.project import Project

START = {"webdav": servers.webdav_server, "s3": servers.s3_server, "ssh": servers.ssh_server}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """``server(kind)`` starts the server at its first use: "ssh", "webdav" or "s3"; "folder" needs none."""
    folder = tmp_path_factory.mktemp("servers")
    running: dict[str, Server] = {"folder": servers.FolderServer(folder / "folder")}
    with contextlib.ExitStack() as stack:

        def start(kind: str) -> Server:
            if kind == "ssh" and servers.sshd_path() is None:
                pytest.skip("no sshd here (Debian: openssh-server)")
            if kind not in running:
                running[kind] = stack.enter_context(START[kind](folder / kind))
            return running[kind]

        yield start


@pytest.fixture(scope="session")
def finished(finished_project: Project) -> Clone:
    """A project whose small pipeline ran and was committed, as a colleague has it."""
    return Clone(finished_project.folder)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A small project, with all its files in its cache."""
    return small_project(tmp_path_factory.mktemp("small") / "origin")


@pytest.fixture
def wire(server: Callable[[str], Server], kind: str) -> Iterator[Wire]:
    """A wire to the server of the test's ``kind``."""
    made = Wire(server(kind).port)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB; `mount -o remount,size=...` makes it larger."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.getuid():
        pytest.skip("cannot mount a small tmpfs here (needs root)")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=False)
    if mounted.returncode:
        pytest.skip("cannot mount a small tmpfs here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
