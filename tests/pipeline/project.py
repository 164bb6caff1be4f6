"""A clone of this project with small settings, driven as a user drives it: through DVC."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from flmd.experiments import reproduce

ROOT = Path(__file__).resolve().parents[2]
CODE = (
    "flmd",
    "pipeline",
    "recipes",
    "data/weights/README.md",
    "dvc.yaml",
    "params.yaml",
    ".dvcignore",
    "data/.gitignore",
    "reports/.gitignore",
)
SMALL: dict[str, Any] = {
    **reproduce.SMALL,
    "datasets.ibug300w.source": reproduce.SMALL_SAMPLE,
    "datasets.youtube_faces.source": {"sample": 30},
}


class Project:
    """A small DVC project in a folder of its own, with its own cache.

    ``bin`` of the running interpreter comes first on the path, so that stages run the same Python.
    """

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        for name in CODE:
            source, target = ROOT / name, folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        shutil.copytree(
            ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local")
        )
        self.set({**SMALL, **changes})
        self.run("git", "init", "-q")
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "-m", "start")

    @property
    def environment(self) -> dict[str, str]:
        bin_folder = str(Path(sys.executable).parent)
        return {
            **os.environ,
            "PATH": bin_folder + os.pathsep + os.environ["PATH"],
            "PYTHONPATH": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NO_ALBUMENTATIONS_UPDATE": "1",
            "GIT_AUTHOR_NAME": "t",
            "GIT_AUTHOR_EMAIL": "t@localhost",
            "GIT_COMMITTER_NAME": "t",
            "GIT_COMMITTER_EMAIL": "t@localhost",
        }

    def set(self, changes: dict[str, Any]) -> None:
        """Change keys of params.yaml, comments kept."""
        yaml = YAML()
        path = self.folder / "params.yaml"
        tree = yaml.load(path)
        for key, value in changes.items():
            *parts, last = key.split(".")
            place = tree
            for part in parts:
                place = place[part]
            place[last] = value
        yaml.dump(tree, path)

    def run(self, *command: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the project; its output is text."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        if check and done.returncode:
            raise AssertionError(f"{command} exited {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def repro(
        self, *arguments: str, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """`dvc repro`."""
        return self.run("dvc", "repro", *arguments, check=check, **environment)

    def kill_when(self, stage: str, ready: Callable[[], bool], timeout: float = 900) -> None:
        """Start `dvc repro STAGE`, and SIGKILL it with all its children as soon as ``ready`` says so."""
        child = subprocess.Popen(
            ["dvc", "repro", stage],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        end = time.monotonic() + timeout
        while not ready():
            assert child.poll() is None, f"{stage} ended before it could be killed"
            assert time.monotonic() < end, f"{stage} never got where it should be killed"
            time.sleep(0.002)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()

    def digests(self) -> dict[str, str]:
        """Output path -> digest, from dvc.lock."""
        lock = YAML(typ="safe").load(self.folder / "dvc.lock")
        return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}

    @staticmethod
    def outputs(folder: Path) -> list[str]:
        """All files that the stages of a project made, by their paths in it."""
        lock = YAML(typ="safe").load(folder / "dvc.lock")
        found = [folder / out["path"] for stage in lock["stages"].values() for out in stage["outs"]]
        files = [f for path in found for f in (path.rglob("*") if path.is_dir() else [path]) if f.is_file()]
        return sorted(f.relative_to(folder).as_posix() for f in files)
