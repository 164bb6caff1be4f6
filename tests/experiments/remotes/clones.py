"""Clones of a project with a remote set up as docs/remotes.md says, driven through git and DVC."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.experiments.remotes.servers import Contents, Folder, Remote

LARGE, SMALL = 4_000_000, 300_000


@dataclass(frozen=True)
class Clone:
    """A working tree and its cache."""

    folder: Path

    def run(self, *command: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command here as a user with an empty home would; its output is text."""
        home = self.folder.parent / "home"
        home.mkdir(exist_ok=True)
        given = {k: v for k, v in os.environ.items() if k != "SSH_AUTH_SOCK" and not k.startswith("AWS_")}
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={
                **given,
                "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"],
                "PYTHONPATH": str(self.folder),
                "PYTHONDONTWRITEBYTECODE": "1",
                "NO_ALBUMENTATIONS_UPDATE": "1",
                "HOME": str(home),
                "DVC_SITE_CACHE_DIR": str(self.folder.parent / f"{self.folder.name}.site"),
                "AWS_MAX_ATTEMPTS": "2",
                "GIT_AUTHOR_NAME": "t",
                "GIT_AUTHOR_EMAIL": "t@localhost",
                "GIT_COMMITTER_NAME": "t",
                "GIT_COMMITTER_EMAIL": "t@localhost",
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        if check and done.returncode:
            raise AssertionError(f"{command} exited {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def use(self, remote: Remote, *, verify: bool = True, **secrets: str) -> None:
        """What `dvc remote add -d team URL` and `dvc remote modify` write, but all out of git's sight."""
        lines = ["[core]", "    remote = team", "    analytics = false", "    check_update = false"]
        lines += ["""['remote "team"']""", f"    url = {remote.url}", f"    verify = {str(verify).lower()}"]
        lines += [
            f"    {key} = {value}" for key, value in {**remote.options, **remote.secrets, **secrets}.items()
        ]
        (self.folder / ".dvc" / "config.local").write_text("\n".join(lines) + "\n")

    def clone(self, folder: Path) -> Clone:
        """A clone by git: no cache, no remote."""
        subprocess.run(["git", "clone", "-q", str(self.folder), str(folder)], check=True)
        return Clone(folder)

    @property
    def cache(self) -> Folder:
        return Folder(self.folder / ".dvc" / "cache")

    def files(self) -> dict[str, bytes]:
        """The tracked files of a small project that are here."""
        found = [self.folder / "large.bin", self.folder / "small.bin", *(self.folder / "folder").glob("*")]
        return {p.relative_to(self.folder).as_posix(): p.read_bytes() for p in found if p.exists()}


def small_project(folder: Path) -> Clone:
    """A DVC project of one large file, one small one and a folder; nothing has to run to make it."""
    project = Clone(folder)
    folder.mkdir(parents=True)
    draw = random.Random(folder.name)
    (folder / "large.bin").write_bytes(draw.randbytes(LARGE))
    (folder / "small.bin").write_bytes(draw.randbytes(SMALL))
    (folder / "folder").mkdir()
    for i in range(2):
        (folder / "folder" / f"{i}.txt").write_bytes(draw.randbytes(1000 + i))
    project.run("git", "init", "-q")
    project.run("dvc", "init", "-q")
    project.run("dvc", "add", "-q", "large.bin", "small.bin", "folder")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-q", "-m", "start")
    return project


def wrong_objects(contents: Contents) -> list[str]:
    """Names of files whose bytes are not those that their name promises; DVC's run-cache aside."""
    wrong = []
    for name in contents.names():
        if name.startswith("files/md5/"):
            digest = name.removeprefix("files/md5/").replace("/", "").removesuffix(".dir")
            if hashlib.md5(contents.read(name)).hexdigest() != digest:
                wrong.append(name)
    return wrong


def flip(contents: Contents, name: str) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(contents.read(name))
    data[len(data) // 2] ^= 1
    contents.write(name, bytes(data))
